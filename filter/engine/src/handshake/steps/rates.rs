//! `rates` that count handshakes: by address and by policy for everybody, by user once one is known.

use std::rc::Rc;

use super::Turn;
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::handshake::waiting::Stop;
use crate::handshake::{Handshake, Refusal};
use crate::peer::Peer;
use crate::rate::{Charged, Outcome};
use crate::ruleset::HandshakeRate;

/// Charges the rates by address and by policy.
pub(super) fn judge_address(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let ruleset = Rc::clone(&handshake.ruleset);
    charge(handshake, &ruleset.address_rates, turn)
}

/// Charges the rates by user. A user is known, and counted, also if the claims are not enough.
pub(super) fn judge_user(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let is_admitted = handshake.refusal.is_none() && !handshake.awaits_first_message();
    if turn.claims.is_none() && !is_admitted {
        return Ok(());
    }
    let ruleset = Rc::clone(&handshake.ruleset);
    charge(handshake, &ruleset.user_rates, turn)
}

/// Charges all of these rates if the handshake is refused anyhow, and otherwise up to the first that has no
/// token left.
fn charge(handshake: &Handshake, rates: &[HandshakeRate], turn: &mut Turn<'_>) -> Result<(), Stop> {
    for rate in rates {
        let request = handshake.buckets.of_handshake(rate, turn.claims.as_ref());
        let wait = match turn.shared.charge(&request, turn.now) {
            Outcome::Charged(Charged::Taken) => continue,
            Outcome::Charged(Charged::Wait(wait)) => Some(wait),
            Outcome::Full => None,
        };
        if handshake.refusal.is_none() {
            let violation = Violation::by(Peer::Client, Rule::Rates(rate.index), Reason::HandshakeRate);
            return Err(Refusal { violation, wait }.into());
        }
    }
    Ok(())
}
