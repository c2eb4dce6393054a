//! A session whose handshake is judged before a witness.

use std::rc::Rc;
use std::time::Duration;

use super::{Awaiting, Phase, Session};
use crate::handshake::{Expected, Witness};
use crate::http::request::RequestHead;
use crate::rate::Shared;
use crate::remote::rate_limit::Answer;
use crate::ruleset::Ruleset;

impl Session {
    /// Takes the request as [`Session::handle`] does.
    pub(crate) fn take_request_before(
        &mut self,
        witness: &mut impl Witness,
        head: RequestHead,
        shared: &mut dyn Shared,
        now: Duration,
    ) {
        let Phase::Fresh(keys) = &self.phase else { return };
        let keys = keys.clone();
        self.begin(head, keys);
        self.go_on_before(witness, shared, now);
    }

    /// Goes on with a handshake that waits, at `now`.
    pub(crate) fn go_on_before(
        &mut self,
        witness: &mut impl Witness,
        shared: &mut dyn Shared,
        now: Duration,
    ) {
        self.advance_before(witness, shared, now);
        self.pay(shared, now);
    }

    /// Takes the answer to the question of this number, and goes on with the handshake that waits for it.
    pub(crate) fn take_answer_before(
        &mut self,
        witness: &mut impl Witness,
        (number, answer): (u32, Answer),
        shared: &mut dyn Shared,
        now: Duration,
    ) {
        if let Phase::Handshake(handshake) = &mut self.phase
            && handshake.take_answer(number, answer)
        {
            self.go_on_before(witness, shared, now);
        }
    }

    /// Returns the session that judges, where the policy is in shadow: what that refuses passes all the same. Returns
    /// itself otherwise.
    pub(crate) fn judge_of(self) -> Self {
        match self.phase {
            Phase::Shadowed(shadowed) => shadowed.into_observer(),
            _ => self,
        }
    }

    /// Returns the ruleset of the session's policy.
    pub(crate) fn ruleset(&self) -> &Rc<Ruleset> {
        &self.ruleset
    }

    /// Returns the demands on the response of a handshake that went up, and the ruleset that its connection begins
    /// under.
    pub(crate) fn terms(&self) -> Option<(&Expected, &Rc<Ruleset>)> {
        match &self.phase {
            Phase::AwaitingResponse(awaiting) => {
                let Awaiting { expected, limits, .. } = &**awaiting;
                Some((expected, limits))
            }
            _ => None,
        }
    }
}
