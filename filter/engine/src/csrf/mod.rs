//! Tokens against cross-site request forgery, bound to the session of the page that opens a socket.
//!
//! Owns the demands on a handshake under a policy with `csrf`, and the token that an HTML response is given
//! to meet them. A token says when it was issued and proves that whoever issued it knew the secret and the
//! session, so nothing has to be remembered.

mod issue;
mod token;

use std::time::Duration;

use postern_config::{Carrier, Csrf, CsrfCarrier, Encoding};

use crate::auth::carrier::Candidate;
use crate::decision::cause::CsrfError;
use crate::http::cookies;
use crate::http::headers::Headers;

pub(crate) use issue::Page;
pub use token::CsrfKey;

/// The rule of a policy, with its key.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    rule: Csrf,
    key: CsrfKey,
    carrier: [Carrier; 1],
}

impl Guard {
    pub(crate) fn new(rule: &Csrf, key: CsrfKey) -> Self {
        let carrier = match &rule.from {
            CsrfCarrier::Query(name) => Carrier::Query(name.clone()),
            CsrfCarrier::Subprotocol(prefix) => {
                Carrier::Subprotocol { prefix: prefix.clone(), encoding: Encoding::Plain }
            }
        };
        Self { rule: rule.clone(), key, carrier: [carrier] }
    }

    /// Returns the carrier of the token in a handshake.
    pub(crate) fn carriers(&self) -> &[Carrier] {
        &self.carrier
    }

    /// Judges a handshake; `tokens` are all the candidates for a CSRF token.
    pub(crate) fn judge(
        &self,
        tokens: &[Vec<u8>],
        headers: Headers<'_>,
        now: Duration,
    ) -> Result<(), CsrfError> {
        let token = match tokens {
            [] => return Err(CsrfError::Missing),
            [token] => token,
            _ => return Err(CsrfError::Ambiguous),
        };
        let mut sessions = cookies::values(headers, &self.rule.session_cookie);
        let session = sessions.next().filter(|session| !session.is_empty()).ok_or(CsrfError::NoSession)?;
        if sessions.next().is_some() {
            return Err(CsrfError::TwoSessions);
        }
        self.key.verify(token, session, self.rule.lifetime, now)
    }
}

/// Returns the bytes of the candidates, for [`Guard::judge`].
pub(crate) fn tokens(candidates: Vec<Candidate<'_>>) -> Vec<Vec<u8>> {
    candidates.into_iter().map(|candidate| candidate.token).collect()
}

#[cfg(test)]
mod tests;
