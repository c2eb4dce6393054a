//! `memory.budget`: nobody begins to hold anything while the budget is used up.

use super::Turn;
use crate::handshake::waiting::Stop;
use crate::handshake::{Handshake, no_memory};

/// Refuses a handshake whose connection would hold what peers send from the start.
pub(super) fn judge(handshake: &mut Handshake, _turn: &mut Turn<'_>) -> Result<(), Stop> {
    if handshake.may_not_hold && handshake.would_hold() { Err(no_memory().into()) } else { Ok(()) }
}
