//! The claims of a verified token.
//!
//! Owns the registered claims (RFC 7519 §4.1): their types, the audience, the times, and the `require` lines
//! of a policy. A [`Claims`] exists only for a token whose signature was verified and that was in force at
//! that time.

use std::fmt;
use std::time::Duration;

use postern_config::{Audiences, ClaimPath, Requirement, Test};
use serde_json::Value;

use super::keys::KeyedProvider;
use crate::decision::cause::{ClaimName, InvalidToken, TokenError};
use crate::json_order::equal;

/// The claims of a token that was accepted. Its `Debug` shows none of them.
#[derive(Clone)]
pub struct Claims {
    /// The claims as JSON, always an object.
    payload: Value,
    provider: String,
    /// The claim that names the user.
    subject: ClaimPath,
    expires_at: Duration,
    accepted_until: Duration,
    remembered_until: Duration,
}

impl Claims {
    /// Judges the payload of a genuine token; `now` is the time since the Unix epoch.
    pub(super) fn accept(
        payload: Value,
        provider: &KeyedProvider,
        now: Duration,
    ) -> Result<Self, TokenError> {
        for name in ["sub", "jti", "sid"] {
            if payload.get(name).is_some_and(|claim| !claim.is_string()) {
                return Err(InvalidToken::ClaimType(ClaimName::of(name)).into());
            }
        }
        if provider.subject.find(&payload).is_some_and(|claim| !claim.is_string()) {
            return Err(InvalidToken::ClaimType((&provider.subject).into()).into());
        }
        check_audience(&payload, &provider.audiences)?;
        let expires_at = numeric_date(&payload, "exp")?.ok_or(InvalidToken::NoExpiry)?;
        let not_before = numeric_date(&payload, "nbf")?;
        numeric_date(&payload, "iat")?;
        let accepted_until = expires_at.saturating_add(provider.clock_skew);
        if now >= accepted_until {
            return Err(TokenError::Expired);
        }
        if not_before.is_some_and(|start| start > now.saturating_add(provider.clock_skew)) {
            return Err(InvalidToken::NotYetValid.into());
        }
        let remembered_until = expires_at.saturating_add(provider.longest_skew);
        let (subject, provider) = (provider.subject.clone(), provider.name.clone());
        Ok(Self { payload, provider, subject, expires_at, accepted_until, remembered_until })
    }

    /// Returns all claims, a JSON object.
    pub(crate) fn payload(&self) -> &Value {
        &self.payload
    }

    /// Returns the name of the provider that the token was verified against.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Returns `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// Returns the name of the user, by the claim that the provider names: `sub` unless it names another one.
    /// An empty text names nobody.
    pub fn subject(&self) -> Option<&str> {
        self.subject.find(&self.payload).and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// Returns `jti`.
    pub fn token_id(&self) -> Option<&str> {
        self.text("jti")
    }

    /// Returns `sid` (OpenID Connect Front-Channel Logout §3).
    pub fn session_id(&self) -> Option<&str> {
        self.text("sid")
    }

    /// Returns `iat`, since the Unix epoch.
    pub fn issued_at(&self) -> Option<Duration> {
        numeric_date(&self.payload, "iat").ok().flatten()
    }

    /// Returns `exp`, since the Unix epoch.
    pub fn expires_at(&self) -> Duration {
        self.expires_at
    }

    /// Returns the time until which the token is accepted, since the Unix epoch: `exp` and the provider's
    /// clock skew.
    pub fn accepted_until(&self) -> Duration {
        self.accepted_until
    }

    /// Returns the time until which any provider of the document would accept the token, since the Unix
    /// epoch.
    pub(super) fn remembered_until(&self) -> Duration {
        self.remembered_until
    }

    /// Returns the time when a live connection must end, since the Unix epoch: `exp`, the clock skew and
    /// `grace`.
    pub fn ends(&self, grace: Duration) -> Duration {
        self.accepted_until.saturating_add(grace)
    }

    /// Returns the claim at `path`; a claim that is null counts as absent.
    pub fn get(&self, path: &ClaimPath) -> Option<&Value> {
        path.find(&self.payload).filter(|value| !value.is_null())
    }

    /// Returns the place of the first line of `require` that does not hold.
    pub fn lacks(&self, require: &[Requirement]) -> Option<usize> {
        require.iter().position(|line| {
            !self.get(&line.claim).is_some_and(|claim| match &line.test {
                Test::Contains(wanted) => contains(claim, wanted),
                Test::OneOf(scalars) => scalars.iter().any(|scalar| equal(claim, scalar)),
            })
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.payload.get(name).and_then(Value::as_str)
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// Checks the claim that says whom a token is for: as `aud` (RFC 7519 §4.1.3) it must be a string, or an
/// array of strings, with one that is ours.
fn check_audience(payload: &Value, ours: &Audiences) -> Result<(), InvalidToken> {
    let Audiences::Bound { claim, values } = ours else { return Ok(()) };
    let audiences = match claim.find(payload) {
        None => return Err(InvalidToken::NoAudience(claim.into())),
        Some(Value::Array(audiences)) => audiences.as_slice(),
        Some(audience) => std::slice::from_ref(audience),
    };
    let mut meant_for_us = false;
    for audience in audiences {
        let audience = audience.as_str().ok_or_else(|| InvalidToken::ClaimType(claim.into()))?;
        meant_for_us |= values.iter().any(|our| our == audience);
    }
    if meant_for_us { Ok(()) } else { Err(InvalidToken::Audience(claim.into())) }
}

/// Reads a NumericDate (RFC 7519 §2): seconds since the Unix epoch, perhaps with a fraction. Times before the
/// epoch become the epoch, times beyond [`Duration::MAX`] become that.
fn numeric_date(payload: &Value, name: &'static str) -> Result<Option<Duration>, InvalidToken> {
    let Some(claim) = payload.get(name) else { return Ok(None) };
    let wrong_type = || InvalidToken::ClaimType(ClaimName::of(name));
    let number = claim.as_number().ok_or_else(wrong_type)?;
    if let Some(seconds) = number.as_u64() {
        return Ok(Some(Duration::from_secs(seconds)));
    }
    let seconds = number.as_f64().ok_or_else(wrong_type)?.max(0.0);
    Ok(Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
}

/// Says whether `claim` is an array with `wanted` in it, or a string with that word (RFC 8693 §4.2).
fn contains(claim: &Value, wanted: &Value) -> bool {
    match claim {
        Value::Array(members) => members.iter().any(|member| equal(member, wanted)),
        Value::String(words) => {
            wanted.as_str().is_some_and(|wanted| !wanted.is_empty() && words.split(' ').any(|w| w == wanted))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
