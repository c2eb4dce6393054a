//! Whether a token is genuine, meant for us, and in force (RFC 7519, RFC 8725).
//!
//! Owns the order of the checks: size, form, provider, algorithm, key, signature, and only then
//! what the claims say. So nothing but a token that its issuer signed is ever called expired.
//! Never reads a clock: the time is an input.

use std::time::Duration;

use serde_json::Value;

use super::claims::Claims;
use super::compact::Compact;
use super::error::{Cause, Missing, TokenError};
use super::jwk::VerificationKey;
use super::key_set::KeySet;
use super::keys::{KeyedProvider, Keys};
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
    let token = Compact::parse(token)?;
    let provider = choose_provider(&token.payload, providers)?;
    if length > provider.max_token_bytes {
        return Err(Cause::TooLong.into());
    }
    verify_signature(&token, provider, now)?;
    Claims::accept(token.payload, provider, now)
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

fn verify_signature(token: &Compact<'_>, provider: &KeyedProvider, now: Duration) -> Result<(), TokenError> {
    if !provider.algorithms.contains(&token.algorithm) {
        return Err(Cause::Algorithm.into());
    }
    let fetched;
    let candidates = match &provider.keys {
        Keys::Remote(source) => {
            fetched = KeySet::of(source, now)?;
            candidates(token, fetched.keys()).map_err(|cause| or_refetch(cause, source, now))?
        }
        Keys::Secret(key) => vec![key],
        Keys::Public(keys) => candidates(token, keys)?,
    };
    let genuine = candidates.iter().any(|key| key.verifies(token.algorithm, token.signed, token.signature));
    if genuine { Ok(()) } else { Err(Cause::Signature.into()) }
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
