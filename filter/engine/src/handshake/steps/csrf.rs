//! `csrf`: the token that is bound to the client's session.

use super::Turn;
use crate::handshake::Handshake;
use crate::handshake::waiting::Stop;

/// Refuses a handshake that does not show the token of its session.
pub(super) fn judge(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    if let Some(guard) = &handshake.ruleset.csrf {
        guard.judge(&handshake.credentials.csrf, handshake.head.headers(), turn.now)?;
    }
    Ok(())
}
