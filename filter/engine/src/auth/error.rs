//! Why a token is refused.
//!
//! Owns the causes and their wording. A cause is for the operator's log; the client learns the
//! reason only. No cause carries bytes of a token.

use std::time::Duration;

use crate::reason::Reason;
use crate::strict_json::JsonError;

/// The outcome of a token that does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// `token_expired`: genuine in every respect, but past its `exp` and the clock skew.
    #[error("the token has expired")]
    Expired,
    /// `token_invalid`.
    #[error("the token is not valid: {0}")]
    Invalid(#[from] Cause),
    /// `keys_unavailable`: it is well formed and its provider known, whose keys are not at hand.
    #[error("the keys of the token's provider are not at hand")]
    KeysUnavailable,
    /// It cannot be judged yet: a fetch that is under way or due may bring what is missing. It is
    /// worth waiting so long.
    #[error("awaits keys")]
    AwaitsKeys(Missing, Duration),
}

/// What a fetch may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The key that the token names.
    Key,
    /// All keys of its provider.
    Keys,
}

impl Missing {
    /// What the token is when it does not come.
    pub fn after_all(self) -> TokenError {
        match self {
            Self::Key => Cause::KeyUnknown.into(),
            Self::Keys => TokenError::KeysUnavailable,
        }
    }
}

impl TokenError {
    /// What the client learns.
    pub fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::TokenExpired,
            Self::Invalid(_) => Reason::TokenInvalid,
            Self::AwaitsKeys(missing, _) => missing.after_all().reason(),
            Self::KeysUnavailable => Reason::KeysUnavailable,
        }
    }
}

/// What is wrong with a token that is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// `alg` is absent, unknown, `none`, or not one of the provider's.
    #[error("algorithm not allowed")]
    Algorithm,
    /// No audience of the provider is in `aud`.
    #[error("meant for another audience")]
    Audience,
    /// A registered claim is of the wrong type.
    #[error("a registered claim has the wrong type")]
    ClaimType,
    /// `crit` or `b64` is in the header (RFC 7515 §4.1.11, RFC 7797): no extension is understood.
    #[error("demands an extension")]
    Extension,
    /// A part is not base64url without padding (RFC 7515 §2).
    #[error("not base64url")]
    Encoding,
    /// A claim to be forwarded has no form as a header value.
    #[error("a forwarded claim does not fit into a header")]
    Forward,
    /// The header is no JSON object, or has a parameter of the wrong type.
    #[error("malformed header")]
    Header,
    /// Duplicate members or deep nesting.
    #[error("ambiguous JSON: {0}")]
    Json(JsonError),
    /// The token names no key and too many keys could have signed it.
    #[error("too many keys fit a token without a key id")]
    KeyIdMissing,
    /// No key of the provider fits the token's algorithm.
    #[error("no key fits the algorithm")]
    KeyMismatch,
    /// No key of the provider has the token's `kid`.
    #[error("unknown key id")]
    KeyUnknown,
    /// `exp` is missing.
    #[error("no expiry")]
    NoExpiry,
    /// `jti` is missing where a token opens one connection only.
    #[error("no token id")]
    NoTokenId,
    /// `nbf` is still to come.
    #[error("not valid yet")]
    NotYetValid,
    /// The payload is no JSON object.
    #[error("malformed payload")]
    Payload,
    /// Not three parts (RFC 7515 §7.1); five are an encrypted token.
    #[error("not three parts")]
    Shape,
    /// The signature does not verify.
    #[error("wrong signature")]
    Signature,
    /// Longer than `max_token_bytes`.
    #[error("too long")]
    TooLong,
    /// `iss` belongs to no provider of the policy.
    #[error("unknown issuer")]
    UnknownIssuer,
}
