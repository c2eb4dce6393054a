//! Whether a token is accepted: the one way that every token goes, be it in a handshake, in a first
//! message or in a refresh.
//!
//! Owns the order: verified first, then asked what it says, then whose it is.

use std::time::Duration;

use postern_config::Auth;

use super::claims::Claims;
use super::error::TokenError;
use super::keys::KeyedProvider;
use super::verifier;
use crate::reason::Reason;

/// Whose token opened a connection. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    provider: String,
    issuer: Option<String>,
    subject: Option<String>,
}

/// A token that is not accepted.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) reason: Reason,
    /// For the log.
    pub(crate) detail: Option<TokenError>,
    /// What it says, if it is genuine and in force all the same.
    pub(crate) claims: Option<Claims>,
}

/// Judges `token` by the policy's `auth` and its `providers`; `now` is the time since the Unix epoch.
/// On a connection that somebody holds already, it has to be the holder's.
pub(crate) fn admit(
    token: &[u8],
    auth: &Auth,
    providers: &[KeyedProvider],
    holder: Option<&Holder>,
    now: Duration,
) -> Result<Claims, Box<Rejected>> {
    let providers: Vec<_> = providers.iter().collect();
    let claims = verifier::verify(token, &providers, now).map_err(|error| Rejected {
        reason: error.reason(),
        detail: Some(error),
        claims: None,
    })?;
    let reason = if !claims.meet(&auth.require) {
        Reason::ClaimsDenied
    } else if holder.is_some_and(|holder| !holder.has(&claims)) {
        Reason::SubjectChanged
    } else {
        return Ok(claims);
    };
    Err(Box::new(Rejected { reason, detail: None, claims: Some(claims) }))
}

impl Holder {
    pub(crate) fn of(claims: &Claims) -> Self {
        Self {
            provider: claims.provider().to_owned(),
            issuer: claims.issuer().map(str::to_owned),
            subject: claims.subject().map(str::to_owned),
        }
    }

    /// Whether a token with these claims is this holder's. Of two tokens without a subject nobody
    /// knows that.
    fn has(&self, claims: &Claims) -> bool {
        self.subject.is_some() && *self == Self::of(claims)
    }
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder").field("provider", &self.provider).finish_non_exhaustive()
    }
}
