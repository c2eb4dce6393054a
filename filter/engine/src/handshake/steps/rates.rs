//! `rates` that count handshakes or refusals: by address and by policy for everybody, by user, as its tier says, once
//! one is known.

use std::rc::Rc;
use std::time::Duration;

use postern_config::{Counted, Per};

use super::Turn;
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::handshake::waiting::Stop;
use crate::handshake::{Handshake, Refusal};
use crate::peer::Peer;
use crate::rate::{BucketRequest, Charged, Outcome, Shared};
use crate::ruleset::HandshakeRate;

/// Charges the rates of handshakes by address.
pub(super) fn judge_address(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    charge(handshake, Per::Ip, turn)
}

/// Charges the rates of handshakes by policy. A client that has used up its own bucket does not get to empty the
/// one of all.
pub(super) fn judge_policy(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let reason = handshake.refusal.as_ref().map(|refusal| refusal.violation.reason);
    if matches!(reason, Some(Reason::HandshakeRate | Reason::RefusalRate)) {
        return Ok(());
    }
    charge(handshake, Per::Policy, turn)
}

/// Charges the rates of handshakes by user. A user is known, and counted, also if the claims are not enough.
pub(super) fn judge_user(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let is_admitted = handshake.refusal.is_none() && !handshake.awaits_first_message();
    if turn.found.claims.is_none() && !is_admitted {
        return Ok(());
    }
    charge(handshake, Per::User, turn)
}

/// Refuses an address that was refused too often.
pub(super) fn judge_refusals_of_address(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    look_at_refusals(handshake, Per::Ip, turn)
}

/// Refuses a user who was refused too often.
pub(super) fn judge_refusals_of_user(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    if turn.found.claims.is_none() {
        return Ok(());
    }
    look_at_refusals(handshake, Per::User, turn)
}

/// Charges the rates of refusals for a handshake that is refused. Returns the refusal of a client that had none
/// left: of any number of attempts at once no more are answered with what was wrong than there were tokens.
pub(in crate::handshake) fn charge_refusal(
    handshake: &mut Handshake,
    turn: &mut Turn<'_>,
) -> Option<Refusal> {
    let ruleset = Rc::clone(&handshake.limits);
    let rates = |per: Per| ruleset.handshake_rates(Counted::Refusals, per);
    let of_user = rates(Per::User).filter(|_| turn.found.claims.is_some());
    let mut exceeded = None;
    for rate in rates(Per::Ip).chain(of_user) {
        let request = handshake.buckets.of_handshake(rate, turn.found.claims.as_ref());
        let refusal = charged(handshake, rate, &request, turn.shared, turn.now);
        exceeded = exceeded.or(refusal.and_then(|refusal| handshake.enforce(refusal).err()));
    }
    exceeded
}

/// Charges all of these rates if the handshake is refused anyhow, and otherwise up to the first that has no
/// token left.
fn charge(handshake: &mut Handshake, per: Per, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let ruleset = Rc::clone(&handshake.limits);
    for rate in ruleset.handshake_rates(Counted::Handshakes, per) {
        let request = handshake.buckets.of_handshake(rate, turn.found.claims.as_ref());
        let refusal = charged(handshake, rate, &request, turn.shared, turn.now);
        if let (Some(refusal), None) = (refusal, &handshake.refusal) {
            handshake.enforce(refusal)?;
        }
    }
    Ok(())
}

/// Charges a rate, and returns the refusal by it if it has no token left.
fn charged(
    handshake: &Handshake,
    rate: &HandshakeRate,
    request: &BucketRequest,
    shared: &mut dyn Shared,
    now: Duration,
) -> Option<Refusal> {
    let refusal = refusal(rate, shared.charge(request, now));
    handshake.ruleset.measures().decided(Rule::Rates(rate.index), refusal.is_none());
    refusal
}

fn look_at_refusals(handshake: &mut Handshake, per: Per, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let ruleset = Rc::clone(&handshake.limits);
    for rate in ruleset.handshake_rates(Counted::Refusals, per) {
        let request = handshake.buckets.of_handshake(rate, turn.found.claims.as_ref());
        if let Some(refusal) = refusal(rate, turn.shared.look(&request, turn.now)) {
            handshake.enforce(refusal)?;
        }
    }
    Ok(())
}

/// Returns the refusal by a rate whose bucket has given no token.
fn refusal(rate: &HandshakeRate, outcome: Outcome) -> Option<Refusal> {
    let wait = match outcome {
        Outcome::Charged(Charged::Taken) => return None,
        Outcome::Charged(Charged::Wait(wait)) => Some(wait),
        Outcome::Full => None,
    };
    let reason = match rate.counted {
        Counted::Refusals => Reason::RefusalRate,
        _ => Reason::HandshakeRate,
    };
    Some(Refusal { violation: Violation::by(Peer::Client, Rule::Rates(rate.index), reason), wait })
}
