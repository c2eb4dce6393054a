//! The verifier of tokens: genuine, meant for us, and in force (RFC 7519, RFC 8725).
//!
//! Owns the order of the checks: size, form, provider (by issuer and algorithm), key, signature, and only
//! then the claims. So nothing but a token that its issuer signed is ever called expired. The signature of a
//! token that was verified before is not verified again while its key is one of the provider's. A signature
//! by a shared secret is, since that costs no more than to look. Never reads a clock: the time is an input.

use std::time::Duration;

use serde_json::Value;

use super::claims::Claims;
use super::compact::Compact;
use super::jwk::VerificationKey;
use super::key_set::KeySet;
use super::keys::{KeyedProvider, Keys};
use super::verified::Fingerprint;
use crate::decision::cause::{ClaimName, InvalidToken, Missing, TokenError};
use crate::remote::Source;

/// The most keys that are tried for a token without `kid`. Whoever sends tokens must not choose how many
/// verifications are done.
pub const MAX_KEYS_TRIED: usize = 4;

/// Verifies `token` against the providers of a policy; `now` is the time since the Unix epoch.
///
/// The provider is one that has the token's `iss` among its issuers, or else one without an issuer, and the token's
/// `alg` among its algorithms.
pub fn verify(token: &[u8], providers: &[&KeyedProvider], now: Duration) -> Result<Claims, TokenError> {
    verify_from(None, token, providers, now)
}

/// Verifies `token` as [`verify`] does. It comes from `client`, the bytes of its address, which is charged if
/// the signature is verified in vain. Nobody is charged for a token without a client.
pub(super) fn verify_from(
    client: Option<&[u8]>,
    token: &[u8],
    providers: &[&KeyedProvider],
    now: Duration,
) -> Result<Claims, TokenError> {
    let length = token.len() as u64;
    if !providers.iter().any(|provider| length <= provider.max_token_bytes) {
        return Err(InvalidToken::TooLong.into());
    }
    let parsed = Compact::parse(token)?;
    let provider = choose_provider(&parsed, providers)?;
    if length > provider.max_token_bytes {
        return Err(InvalidToken::TooLong.into());
    }
    let fetched;
    let candidates = match &provider.keys {
        Keys::Secret(key) => {
            signer(&parsed, &[key])?;
            return Claims::accept(parsed.payload, provider, now);
        }
        Keys::Public(keys) => candidates(&parsed, keys, provider)?,
        Keys::Remote(source) => {
            fetched = KeySet::of(source, now)?;
            candidates(&parsed, fetched.keys(), provider).map_err(|cause| or_refetch(cause, source, now))?
        }
    };
    let fingerprint = Fingerprint::of(token);
    if candidates.iter().any(|key| provider.verified.is_by(fingerprint, &key.key, now)) {
        return Claims::accept(parsed.payload, provider, now);
    }
    if let Some(wait) = client.and_then(|client| provider.forgeries.wait(client, now)) {
        return Err(TokenError::TooManyForged(wait));
    }
    let tried = candidates.get(..MAX_KEYS_TRIED).unwrap_or(&candidates);
    let Ok(signer) = signer(&parsed, tried) else {
        if let Some(client) = client {
            provider.forgeries.charge(client, tried.len(), now);
        }
        let cause =
            if tried.len() < candidates.len() { InvalidToken::KeyIdMissing } else { InvalidToken::Signature };
        return Err(cause.into());
    };
    let claims = Claims::accept(parsed.payload, provider, now)?;
    provider.verified.remember(fingerprint, &signer.key, claims.accepted_until());
    Ok(claims)
}

/// Returns the provider whose token it may be: one that has its issuer, or else one without an issuer, and of
/// those the one with its algorithm, which is the only one (as a policy's providers are). A provider that has
/// the issuer is never passed over for one without an issuer.
fn choose_provider<'p>(
    token: &Compact<'_>,
    providers: &[&'p KeyedProvider],
) -> Result<&'p KeyedProvider, InvalidToken> {
    let issuer = match token.payload.get("iss") {
        None => None,
        Some(Value::String(issuer)) => Some(issuer.as_str()),
        Some(_) => return Err(InvalidToken::ClaimType(ClaimName::of("iss"))),
    };
    let named = |provider: &&&KeyedProvider| {
        issuer.is_some_and(|issuer| provider.issuers.iter().any(|own| own.matches(issuer)))
    };
    let nameless = |provider: &&&KeyedProvider| provider.issuers.is_empty();
    let mut of_issuer: Vec<_> = providers.iter().filter(named).collect();
    if of_issuer.is_empty() {
        of_issuer = providers.iter().filter(nameless).collect();
    }
    let mut candidates = of_issuer.into_iter().copied().peekable();
    candidates.peek().ok_or(InvalidToken::UnknownIssuer)?;
    candidates.find(|provider| provider.algorithms.contains(&token.algorithm)).ok_or(InvalidToken::Algorithm)
}

/// Returns the one of `candidates` that signed the token.
fn signer<'k>(
    token: &Compact<'_>,
    candidates: &[&'k VerificationKey],
) -> Result<&'k VerificationKey, InvalidToken> {
    let verifies = |key: &&&VerificationKey| key.verifies(token.algorithm, token.signed, token.signature);
    candidates.iter().find(verifies).copied().ok_or(InvalidToken::Signature)
}

/// Has the keys fetched again if the key is not known, since it may be a new one, and returns the error until
/// then.
fn or_refetch(cause: InvalidToken, source: &Source, now: Duration) -> TokenError {
    let patience = if cause == InvalidToken::KeyUnknown { source.want(now) } else { None };
    patience.map_or(cause.into(), |patience| TokenError::AwaitsKeys(Missing::Key, patience))
}

/// Returns the keys that may have signed the token: the one it names, or all that fit its algorithm, those
/// first that have verified a token last.
fn candidates<'k>(
    token: &Compact<'_>,
    keys: &'k [VerificationKey],
    provider: &KeyedProvider,
) -> Result<Vec<&'k VerificationKey>, InvalidToken> {
    let fits = |key: &&VerificationKey| key.algorithms.contains(&token.algorithm);
    if token.kid.is_some() {
        let mut named = keys.iter().filter(|key| key.kid == token.kid).peekable();
        named.peek().ok_or(InvalidToken::KeyUnknown)?;
        return named.find(fits).map(|key| vec![key]).ok_or(InvalidToken::KeyMismatch);
    }
    let mut fitting: Vec<_> = keys.iter().filter(fits).collect();
    fitting.sort_by_key(|key| provider.verified.since(&key.key));
    if fitting.is_empty() { Err(InvalidToken::KeyMismatch) } else { Ok(fitting) }
}

#[cfg(test)]
mod tests;
