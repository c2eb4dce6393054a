//! `global_rate_limit`: what is asked of the rate limit service before a handshake goes up.
//!
//! Comes behind all that this Envoy can judge by itself: only what passes that is asked. A token of single use is
//! the last question, and is not spent here before its answer.

use std::rc::Rc;
use std::time::Duration;

use postern_config::GlobalCount;

use super::Turn;
use crate::decision::Violation;
use crate::handshake::waiting::Stop;
use crate::handshake::{Handshake, Refusal};
use crate::remote::rate_limit::{RateLimitService, Unsettled};

/// Asks for the handshake.
pub(super) fn judge_handshake(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    judge(handshake, turn, GlobalCount::Handshakes)
}

/// Asks for the connection that the handshake opens.
pub(super) fn judge_connection(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    judge(handshake, turn, GlobalCount::Connections)
}

fn judge(handshake: &mut Handshake, turn: &mut Turn<'_>, count: GlobalCount) -> Result<(), Stop> {
    let Some(service) = service(handshake, count) else { return Ok(()) };
    let descriptor = handshake.buckets.descriptor(&service, turn.found.claims.as_ref());
    ask(handshake, &service, count, || service.message(count, &descriptor, 1), turn.now)
}

/// Asks for the use of a token that opens one connection, if it was not used here.
pub(super) fn judge_ticket(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let count = GlobalCount::Tickets;
    let (Some(service), Some(ticket)) = (service(handshake, count), turn.found.ticket) else { return Ok(()) };
    let Some(claims) = &turn.found.claims else { return Ok(()) };
    if let Some(violation) = turn.shared.look_at_ticket(&ticket, turn.now).refusal() {
        handshake.enforce(violation.into())?;
    }
    ask(handshake, &service, count, || service.ticket_message(claims), turn.now)
}

fn service(handshake: &Handshake, count: GlobalCount) -> Option<Rc<RateLimitService>> {
    handshake.ruleset.rate_limit.as_ref().filter(|service| service.counts(count)).map(Rc::clone)
}

fn ask(
    handshake: &mut Handshake,
    service: &Rc<RateLimitService>,
    count: GlobalCount,
    message: impl FnOnce() -> Vec<u8>,
    now: Duration,
) -> Result<(), Stop> {
    handshake.asking.judge(service, count, message, now).map_err(|unsettled| match unsettled {
        Unsettled::Awaits(until) => Stop::AwaitAnswer(until),
        Unsettled::Refused(fault, wait) => Refusal { violation: Violation::from(fault), wait }.into(),
    })
}
