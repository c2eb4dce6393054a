//! The proofs of a direction that are asked of payloads and not enforced, and what was not proved.

use postern_config::Policy;

use crate::decision::Rule;
use crate::decision::cause::FrameFault;
use crate::peer::Peer;

use super::proof::Unproved;

/// The proofs that are told and not enforced.
#[derive(Debug, Default)]
pub(super) struct ShadowedProofs {
    utf8: bool,
    max_message_bytes: bool,
    tunnels: bool,
    /// What was not proved, and has not been taken.
    unproved: Vec<Unproved>,
}

impl ShadowedProofs {
    /// Returns those of what `sender` sends under `policy`.
    pub(super) fn of(sender: Peer, policy: &Policy) -> Self {
        let [utf8, max_message_bytes, tunnels] =
            [Rule::Utf8(sender), Rule::MaxMessageBytes(sender), Rule::Tunnels]
                .map(|rule| rule.is_shadowed_by(policy));
        Self { utf8, max_message_bytes, tunnels, unproved: Vec::new() }
    }

    /// Says whether any proof is not enforced.
    pub(super) fn is_any(&self) -> bool {
        self.utf8 || self.max_message_bytes || self.tunnels
    }

    /// Takes what is not proved, by the proofs in `shadow`.
    ///
    /// # Errors
    /// Returns it if the proof is enforced.
    pub(super) fn pass_over(shadow: &mut Option<Box<Self>>, unproved: Unproved) -> Result<(), Unproved> {
        let Some(shadow) = shadow else { return Err(unproved) };
        let is_enforced = match &unproved {
            Unproved::Broken(FrameFault::Text) => !shadow.utf8,
            Unproved::Broken(_) => true,
            Unproved::TooBig(_) => !shadow.max_message_bytes,
            Unproved::Tunnel(_) => !shadow.tunnels,
        };
        if is_enforced {
            return Err(unproved);
        }
        shadow.unproved.push(unproved);
        Ok(())
    }

    /// Takes what was not proved since the last call.
    pub(super) fn take_unproved(&mut self) -> Vec<Unproved> {
        std::mem::take(&mut self.unproved)
    }
}
