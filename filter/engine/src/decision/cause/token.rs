//! The reasons why a token is refused.
//!
//! Owns the causes and their wording. A cause is for the operator's log; the client learns the reason only.
//! No cause carries bytes of a token.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use postern_config::ClaimPath;

use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::peer::Peer;
use crate::strict_json::JsonError;

/// The reason why a token does not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is genuine in every respect, but past its `exp` and the clock skew (`token_expired`).
    #[error("the token has expired")]
    Expired,
    /// The token is not valid (`token_invalid`).
    #[error("the token is not valid: {0}")]
    Invalid(#[from] InvalidToken),
    /// The token is well formed and its provider known, whose keys are not at hand (`keys_unavailable`).
    #[error("the keys of the token's provider are not at hand")]
    KeysUnavailable,
    /// Too many signatures from the sender's address were verified in vain (`handshake_rate`). Another one
    /// may be verified after this time.
    #[error("too many tokens from this address had wrong signatures")]
    TooManyForged(Duration),
    /// The token cannot be judged yet: a fetch that is under way or due may bring what is missing, and is
    /// worth waiting for this long.
    #[error("awaits keys")]
    AwaitsKeys(Missing, Duration),
}

/// The part that a fetch may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The key that the token names.
    Key,
    /// All keys of the token's provider.
    Keys,
}

impl Missing {
    /// Returns the error of a token for which the fetch does not bring it.
    pub fn after_all(self) -> TokenError {
        match self {
            Self::Key => InvalidToken::KeyUnknown.into(),
            Self::Keys => TokenError::KeysUnavailable,
        }
    }
}

impl TokenError {
    /// Returns the time after which it is worth trying again, if that is known.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Self::TooManyForged(wait) => Some(*wait),
            _ => None,
        }
    }

    /// Returns the reason that the client learns.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Expired => Reason::TokenExpired,
            Self::Invalid(_) => Reason::TokenInvalid,
            Self::AwaitsKeys(missing, _) => missing.after_all().reason(),
            Self::KeysUnavailable => Reason::KeysUnavailable,
            Self::TooManyForged(_) => Reason::HandshakeRate,
        }
    }
}

impl From<TokenError> for Violation {
    fn from(error: TokenError) -> Self {
        let side = !matches!(error, TokenError::KeysUnavailable | TokenError::AwaitsKeys(Missing::Keys, _));
        let violation = Self::new(Rule::Auth, error.reason());
        Self { side: side.then_some(Peer::Client), ..violation }.because(error)
    }
}

/// The reason why a claim has no form as a header value that every service reads as that claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The claim begins or ends with a blank, which is no part of a field's value (RFC 9110 §5.5).
    #[error("has a blank or an invisible character at an end")]
    Blank,
    /// The claim has a control character, which ends a field or is left out or replaced on the way.
    #[error("has a control character")]
    Control,
    /// A member of an array is empty, which is no member of a list (RFC 9110 §5.6.1).
    #[error("is an array with an empty member")]
    EmptyMember,
    /// The claim is a number beyond what a double holds exactly: another one of the token's would look the
    /// same.
    #[error("is a number that is not exact")]
    Inexact,
    /// A member of an array has a comma or a double quote, which make other members of it.
    #[error("is an array whose member has a comma or a quote")]
    Separator,
    /// The claim is an object, or an array with something in it that is neither text, number nor boolean.
    #[error("is no text, number or boolean, and no array of these")]
    Structure,
}

/// The name of a claim, or a JSON pointer to it, as a standard or the policy has it: never a token's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimName(Cow<'static, str>);

impl ClaimName {
    /// Returns the name of a claim that a standard names.
    pub(crate) const fn of(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }
}

impl From<&ClaimPath> for ClaimName {
    fn from(path: &ClaimPath) -> Self {
        Self(Cow::Owned(path.as_str().to_owned()))
    }
}

impl fmt::Display for ClaimName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// A fault of a token that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// `alg` is absent, unknown, `none`, or not one of the provider's.
    #[error("algorithm not allowed")]
    Algorithm,
    /// The claim that says whom the token is for names no audience of the provider.
    #[error("meant for another audience, by its claim {0}")]
    Audience(ClaimName),
    /// A claim that must be of one type is of another.
    #[error("its claim {0} has the wrong type")]
    ClaimType(ClaimName),
    /// `crit` or `b64` is in the header (RFC 7515 §4.1.11, RFC 7797): no extension is understood.
    #[error("demands an extension")]
    Extension,
    /// A part is not base64url without padding (RFC 7515 §2).
    #[error("not base64url")]
    Encoding,
    /// A claim to forward would be another one in a header.
    #[error("a forwarded claim {0}")]
    Forward(Unfit),
    /// The header is no JSON object, or has a parameter of the wrong type.
    #[error("malformed header")]
    Header,
    /// The JSON has duplicate members or nests too deep.
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
    /// The claim that says whom the token is for is missing.
    #[error("its claim {0}, which should say whom it is for, is absent")]
    NoAudience(ClaimName),
    /// `exp` is missing.
    #[error("no expiry")]
    NoExpiry,
    /// The `jti` is missing though a token opens one connection only.
    #[error("no token id")]
    NoTokenId,
    /// The `nbf` is still to come.
    #[error("not valid yet")]
    NotYetValid,
    /// The payload is no JSON object.
    #[error("malformed payload")]
    Payload,
    /// The token is not three parts (RFC 7515 §7.1); five are an encrypted token.
    #[error("not three parts")]
    Shape,
    /// The signature does not verify.
    #[error("wrong signature")]
    Signature,
    /// The token is longer than `max_token_bytes`.
    #[error("too long")]
    TooLong,
    /// `iss` belongs to no provider of the policy.
    #[error("unknown issuer")]
    UnknownIssuer,
}
