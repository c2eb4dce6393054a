//! The part of the rate limit service in a session: its handshake may wait for an answer, and what is counted
//! of it over the mesh may end it.

use std::time::Duration;

use super::{Output, Phase, Session};
use crate::decision::Violation;
use crate::rate::Shared;
use crate::remote::rate_limit::Answer;

impl Session {
    /// Says whether the open connection must end for what is counted over the mesh.
    pub fn is_condemned(&self) -> bool {
        matches!(&self.phase, Phase::Open(open) if open.condemned_for().is_some() && open.violation().is_none())
    }

    /// Goes on with what waited for the answer to the question of this number.
    pub(super) fn on_answer(&mut self, number: u32, answer: Answer, shared: &mut dyn Shared, now: Duration) {
        if let Phase::Handshake(handshake) = &mut self.phase
            && handshake.take_answer(number, answer)
        {
            self.advance_handshake(shared, now);
            return;
        }
        self.act(|open| open.take_answer(number, answer, now));
        self.send();
    }

    /// Ends the open connection for what is counted over the mesh.
    pub(super) fn on_rate_limit_exceeded(&mut self, now: Duration) {
        let Phase::Open(open) = &self.phase else { return };
        if let Some(fault) = open.condemned_for() {
            self.act(|open| open.enforce(Violation::from(fault), now));
            self.send();
        }
    }

    /// Takes back the order to hold the request, if the host has not taken it yet.
    pub(super) fn let_go_unheld(&mut self) {
        let is_order = |output: &Output| matches!(output, Output::HoldHandshake(_));
        if let Some(at) = self.outputs.iter().position(is_order) {
            self.outputs.remove(at);
            self.held = false;
        }
    }
}
