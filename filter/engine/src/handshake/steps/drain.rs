//! `drain`: a policy that goes away lets nobody in. Whatever else is wrong, the client should try elsewhere.

use super::Turn;
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::handshake::Handshake;
use crate::handshake::waiting::Stop;

/// Refuses every handshake under a policy that goes away.
pub(super) fn judge(handshake: &mut Handshake, _turn: &mut Turn<'_>) -> Result<(), Stop> {
    match handshake.ruleset.policy.drain {
        Some(_) => Err(Violation::new(Rule::Drain, Reason::Draining).into()),
        None => Ok(()),
    }
}
