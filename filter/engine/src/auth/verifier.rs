//! Whether a token is genuine, meant for us, and in force (RFC 7519, RFC 8725).
//!
//! Owns the order of the checks: size, form, provider, algorithm, key, signature, and only then
//! what the claims say. So nothing but a token that its issuer signed is ever called expired. The
//! signature of a token that was verified before is not verified again while its key is one of the
//! provider's; one by a shared secret is, which costs no more than to look.
//! Never reads a clock: the time is an input.

use std::time::Duration;

use serde_json::Value;

use super::claims::Claims;
use super::compact::Compact;
use super::error::{Cause, Missing, TokenError};
use super::jwk::VerificationKey;
use super::key_set::KeySet;
use super::keys::{KeyedProvider, Keys};
use super::verified::Fingerprint;
use crate::source::Source;

/// How many keys are tried for a token without `kid`. An RSA verification costs milliseconds in
/// a sandbox, and whoever sends tokens must not choose how many of them are done.
pub const MAX_KEYS_TRIED: usize = 8;

/// Verifies `token` against the providers of a policy; `now` is the time since the Unix epoch.
///
/// The provider is the first one whose issuer is the token's `iss`, or else the first one
/// without an issuer.
pub fn verify(token: &[u8], providers: &[&KeyedProvider], now: Duration) -> Result<Claims, TokenError> {
    let length = token.len() as u64;
    if !providers.iter().any(|provider| length <= provider.max_token_bytes) {
        return Err(Cause::TooLong.into());
    }
    let parsed = Compact::parse(token)?;
    let provider = choose_provider(&parsed.payload, providers)?;
    if length > provider.max_token_bytes {
        return Err(Cause::TooLong.into());
    }
    if !provider.algorithms.contains(&parsed.algorithm) {
        return Err(Cause::Algorithm.into());
    }
    let fetched;
    let candidates = match &provider.keys {
        Keys::Secret(key) => {
            signer(&parsed, &[key])?;
            return Claims::accept(parsed.payload, provider, now);
        }
        Keys::Public(keys) => candidates(&parsed, keys)?,
        Keys::Remote(source) => {
            fetched = KeySet::of(source, now)?;
            candidates(&parsed, fetched.keys()).map_err(|cause| or_refetch(cause, source, now))?
        }
    };
    let fingerprint = Fingerprint::of(token);
    if candidates.iter().any(|key| provider.verified.is_by(fingerprint, &key.key, now)) {
        return Claims::accept(parsed.payload, provider, now);
    }
    let signer = signer(&parsed, &candidates)?;
    let claims = Claims::accept(parsed.payload, provider, now)?;
    provider.verified.remember(fingerprint, &signer.key, claims.accepted_until());
    Ok(claims)
}

fn choose_provider<'p>(payload: &Value, providers: &[&'p KeyedProvider]) -> Result<&'p KeyedProvider, Cause> {
    let issuer = match payload.get("iss") {
        None => None,
        Some(Value::String(issuer)) => Some(issuer.as_str()),
        Some(_) => return Err(Cause::ClaimType),
    };
    let named = |provider: &&&KeyedProvider| issuer.is_some() && provider.issuer.as_deref() == issuer;
    let nameless = |provider: &&&KeyedProvider| provider.issuer.is_none();
    let chosen = providers.iter().find(named).or_else(|| providers.iter().find(nameless));
    chosen.copied().ok_or(Cause::UnknownIssuer)
}

/// The one of `candidates` that signed the token.
fn signer<'k>(token: &Compact<'_>, candidates: &[&'k VerificationKey]) -> Result<&'k VerificationKey, Cause> {
    let verifies = |key: &&&VerificationKey| key.verifies(token.algorithm, token.signed, token.signature);
    candidates.iter().find(verifies).copied().ok_or(Cause::Signature)
}

/// A key that is not known may be a new one.
fn or_refetch(cause: Cause, source: &Source, now: Duration) -> TokenError {
    let patience = if cause == Cause::KeyUnknown { source.want(now) } else { None };
    patience.map_or(cause.into(), |patience| TokenError::AwaitsKeys(Missing::Key, patience))
}

/// The keys that may have signed the token: the one it names, or all that fit its algorithm.
fn candidates<'k>(
    token: &Compact<'_>,
    keys: &'k [VerificationKey],
) -> Result<Vec<&'k VerificationKey>, Cause> {
    let fits = |key: &&VerificationKey| key.algorithms.contains(&token.algorithm);
    if token.kid.is_some() {
        let mut named = keys.iter().filter(|key| key.kid == token.kid).peekable();
        named.peek().ok_or(Cause::KeyUnknown)?;
        return named.find(fits).map(|key| vec![key]).ok_or(Cause::KeyMismatch);
    }
    let fitting: Vec<_> = keys.iter().filter(fits).collect();
    match fitting.len() {
        0 => Err(Cause::KeyMismatch),
        1..=MAX_KEYS_TRIED => Ok(fitting),
        _ => Err(Cause::KeyIdMissing),
    }
}

#[cfg(test)]
mod tests;
