//! Tokens that open one connection: the table of those that were used, which all workers share.
//!
//! Owns the request that spends a token, and its effect on a slot of the table. Whoever lets a token in asks
//! this as the last thing before, so that a refusal for anything else leaves the token unspent; of any number
//! of requests at once one is the first. A spent token is remembered for as long as it would be accepted.
//! Memory is bounded by [`SLOTS`] times [`WAYS`] entries of 16 bytes (48 MiB); a slot of which no entry may
//! be forgotten lets no token in.
//!
//! [`SLOTS`]: crate::rate::slots::SLOTS
//! [`WAYS`]: crate::rate::slots::WAYS

use std::time::Duration;

use super::claims::Claims;
use crate::decision::cause::InvalidToken;
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::peer::Peer;
use crate::rate::slots::{DISORDER, EntryKey, KeySpace, Slot};

/// A request to spend a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    key: EntryKey,
    /// The time until which the token is accepted, by whichever provider, since the Unix epoch.
    accepted_until: Duration,
}

/// The table's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// Nobody has used the token before, and from now on it is used.
    First,
    /// Somebody has used the token before.
    Again,
    /// The table has no room for the token, or its slot could not be swapped: refuse.
    Full,
}

impl Ticket {
    /// Creates the ticket of a verified token. Its `jti` and its issuer identify a token, whichever policy it
    /// is shown to.
    ///
    /// # Errors
    /// Returns [`InvalidToken::NoTokenId`] for a token without `jti`, since nobody could tell whether it was
    /// used before.
    pub(crate) fn of(claims: &Claims, keys: &KeySpace) -> Result<Self, InvalidToken> {
        let token_id = claims.token_id().filter(|id| !id.is_empty()).ok_or(InvalidToken::NoTokenId)?;
        let issuer = claims.issuer().unwrap_or_default();
        let key = keys.entry([issuer.as_bytes(), token_id.as_bytes()], &[]);
        Ok(Self { key, accepted_until: claims.remembered_until() })
    }

    /// Returns the slot of the token's entry; less than [`SLOTS`](crate::rate::slots::SLOTS).
    pub fn slot(&self) -> u32 {
        self.key.slot()
    }
}

impl Spent {
    /// Returns the violation by which the token lets nobody in, if it does not.
    pub(crate) fn refusal(self) -> Option<Violation> {
        let reason = match self {
            Self::First => return None,
            Self::Again => Reason::TokenReplayed,
            Self::Full => Reason::HandshakeRate,
        };
        Some(Violation::by(Peer::Client, Rule::AuthSingleUse, reason))
    }
}

/// Spends a token in `slot`, and returns the slot's new bytes if they change. Bytes that are no slot count as
/// an empty one.
pub fn spend(slot: &[u8], ticket: &Ticket, now: Duration) -> (Spent, Option<Vec<u8>>) {
    // Another worker may have read the clock a little earlier, and would accept the token still.
    let may_forget = |[until]: &[u64; 1]| Duration::from_nanos(*until).saturating_add(DISORDER) <= now;
    let slot = Slot::read(slot, ticket.key, may_forget);
    if slot.found().is_some() {
        return (Spent::Again, None);
    }
    if !slot.has_room() {
        return (Spent::Full, None);
    }
    let until = u64::try_from(ticket.accepted_until.as_nanos()).unwrap_or(u64::MAX);
    (Spent::First, Some(slot.put([until])))
}

#[cfg(test)]
mod tests;
