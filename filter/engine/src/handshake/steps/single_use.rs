//! `auth.single_use`: a token opens one connection. The last step, so that a handshake that is refused for
//! anything else leaves its token unspent.

use super::Turn;
use crate::handshake::Handshake;
use crate::handshake::waiting::Stop;

/// Spends the token, and refuses one that was spent before.
pub(super) fn judge(_handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let Some(ticket) = turn.found.ticket else { return Ok(()) };
    turn.shared.spend(&ticket, turn.now).refusal().map_or(Ok(()), |violation| Err(violation.into()))
}
