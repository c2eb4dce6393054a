//! The secrets that a handshake carries, and the edits by which they leave it.

use std::fmt;

use postern_config::CsrfCarrier;

use super::PROTOCOL;
use crate::auth::carrier::subprotocol::{Role, Roles};
use crate::auth::carrier::{self, Presence};
use crate::csrf;
use crate::http::headers::{HeaderEdit, Headers};
use crate::ruleset::Ruleset;

/// Everything secret in a request. Its `Debug` shows nothing of it.
pub(super) struct Credentials {
    pub(super) tokens: Tokens,
    /// The candidates for a CSRF token.
    pub(super) csrf: Vec<Vec<u8>>,
    /// The edits that take the secrets out of the request, whatever becomes of it; at most one per header.
    pub(super) removals: Vec<HeaderEdit>,
    /// The subprotocol to choose, if the client offers nothing but credentials.
    pub(super) echo: Option<Vec<u8>>,
}

/// The tokens of a request.
pub(super) enum Tokens {
    Ambiguous,
    Missing,
    One(Vec<u8>),
}

impl Credentials {
    pub(super) fn of(ruleset: &Ruleset, headers: Headers<'_>) -> Self {
        let (tokens, removals) = match &ruleset.policy.auth {
            Some(auth) => {
                let found = carrier::extract(headers, &auth.from, auth.keep_token);
                (Tokens::from(Presence::of(found.candidates)), found.edits)
            }
            None => (Tokens::Missing, Vec::new()),
        };
        let echo = echo(ruleset, headers);
        let Some(guard) = &ruleset.csrf else {
            return Self { tokens, csrf: Vec::new(), removals, echo };
        };
        // The CSRF carriers read what is left once the token is out, so that no header is edited twice.
        let left = headers.edited(&removals);
        let found = carrier::extract(Headers::new(&left), guard.carriers(), false);
        let untouched = |edit: &HeaderEdit| !found.edits.iter().any(|later| later.name() == edit.name());
        let mut removals: Vec<_> = removals.into_iter().filter(untouched).collect();
        removals.extend(found.edits);
        Self { tokens, csrf: csrf::tokens(found.candidates), removals, echo }
    }
}

impl Credentials {
    /// Returns the memory that is taken for the credentials, in bytes.
    pub(super) fn held(&self) -> usize {
        let token = match &self.tokens {
            Tokens::One(token) => token.capacity(),
            Tokens::Ambiguous | Tokens::Missing => 0,
        };
        let csrf: usize = self.csrf.iter().map(|token| size_of::<Vec<u8>>() + token.capacity()).sum();
        let removals: usize = self.removals.iter().map(HeaderEdit::held).sum();
        token + csrf + removals + self.echo.as_ref().map_or(0, Vec::capacity)
    }
}

/// Returns a function that says of the items of one list of subprotocols, in order, whether each is a
/// credential or belongs to one.
pub(super) fn are_credentials(ruleset: &Ruleset) -> impl FnMut(&[u8]) -> bool {
    let mut roles = Roles::new(&ruleset.secret_offers);
    move |offer| roles.of(offer) != Role::Offer
}

fn is_csrf(ruleset: &Ruleset, offer: &[u8]) -> bool {
    ruleset.policy.csrf.as_ref().is_some_and(|csrf| match &csrf.from {
        CsrfCarrier::Subprotocol(prefix) => offer.starts_with(prefix.as_bytes()),
        CsrfCarrier::Query(_) => false,
    })
}

/// Returns the offer to choose if all are credentials. A browser fails a connection for which none of its
/// offers is chosen (WHATWG WebSockets, "establish a WebSocket connection"), and the upstream, which never
/// sees these, cannot choose one. Only the client that sent the item gets it back; a CSRF token is the lesser
/// secret, and the name before a token is none.
fn echo(ruleset: &Ruleset, headers: Headers<'_>) -> Option<Vec<u8>> {
    // The first offer that is none ends this, however many there are.
    if !headers.list(PROTOCOL).all(are_credentials(ruleset)) {
        return None;
    }
    let chosen = headers.list(PROTOCOL).find(|offer| is_csrf(ruleset, offer));
    chosen.or_else(|| headers.list(PROTOCOL).next()).map(<[u8]>::to_vec)
}

impl From<Presence<'_>> for Tokens {
    fn from(presence: Presence<'_>) -> Self {
        match presence {
            Presence::Ambiguous => Self::Ambiguous,
            Presence::Missing => Self::Missing,
            Presence::Token(candidate) => Self::One(candidate.token),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}
