//! `drain` and `drain_with_envoy`: a policy that goes away lets nobody in, and neither does an Envoy. Whatever else is wrong,
//! the client should try elsewhere.

use super::Turn;
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::handshake::Handshake;
use crate::handshake::waiting::Stop;

/// Refuses every handshake under a policy that goes away, or in an Envoy that does.
pub(super) fn judge(handshake: &mut Handshake, _turn: &mut Turn<'_>) -> Result<(), Stop> {
    let ruleset = &handshake.ruleset;
    let rule = if ruleset.policy.drain.is_some() {
        Rule::Drain
    } else if ruleset.server_info.as_ref().is_some_and(|envoy| envoy.drains()) {
        Rule::DrainWithEnvoy
    } else {
        return Ok(());
    };
    Err(Violation::new(rule, Reason::Draining).into())
}
