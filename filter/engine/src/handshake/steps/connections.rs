//! `connections`: the caps on live connections.
//!
//! A handshake that finds a cap full is refused in its turn. It is counted only when everything else is settled,
//! so that no handshake that is refused takes a place from another, even for a moment; and is refused then if
//! others were faster.

use postern_config::OnFull;

use super::Turn;
use crate::handshake::Handshake;
use crate::handshake::waiting::Stop;
use crate::rate::live::places::{CountedLive, Counts};

/// Refuses a handshake whose address, or policy, has as many live connections as may be.
pub(super) fn judge_address(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let counted = CountedLive::of_address(handshake.awaits_first_message());
    let counts = Counts { ruleset: &handshake.limits, buckets: &handshake.buckets, claims: None };
    Ok(counts.look(counted, turn.shared, &mut handshake.findings)?)
}

/// Refuses a handshake whose user has as many live connections as may be in its tier.
pub(super) fn judge_user(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    // Where nobody is asked between this and the count, the count alone says the same.
    if handshake.ruleset.rate_limit.is_none() {
        return Ok(());
    }
    let counted = of_user(handshake);
    let counts = Counts {
        ruleset: &handshake.limits,
        buckets: &handshake.buckets,
        claims: turn.found.claims.as_ref(),
    };
    Ok(counts.look(counted, turn.shared, &mut handshake.findings)?)
}

/// Counts the connection. A token that was used before takes no other connection's place.
pub(super) fn acquire(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let replaces = handshake.limits.policy.connections.on_full == OnFull::Replace;
    if let Some(ticket) = turn.found.ticket.filter(|_| replaces)
        && let Some(violation) = turn.shared.look_at_ticket(&ticket, turn.now).refusal()
    {
        handshake.enforce(violation.into())?;
    }
    let of_address = CountedLive::of_address(handshake.awaits_first_message());
    let of_user = of_user(handshake);
    let counts = Counts {
        ruleset: &handshake.limits,
        buckets: &handshake.buckets,
        claims: turn.found.claims.as_ref(),
    };
    for counted in [of_address, of_user] {
        turn.places.acquire(counted, counts, turn.shared, &mut handshake.findings, turn.now)?;
    }
    Ok(())
}

/// Returns the cap by user, once one is known.
fn of_user(handshake: &Handshake) -> &'static [CountedLive] {
    if handshake.awaits_first_message() { &[] } else { &[CountedLive::PerUser] }
}
