//! The actions of a connection whose timers have gone off.

use std::time::Duration;

use crate::decision::Violation;
use crate::peer::Peer;

use super::Connection;
use super::ending::Sink;
use super::timers::Due;

impl Connection {
    /// Does what is due at `now`, and says whether whatever is left must be cut.
    pub(crate) fn on_time(&mut self, now: Duration) -> bool {
        while let Some(due) = self.deadlines.due(self.under_way(), now) {
            match due {
                Due::Cut => return true,
                Due::End(violation) => self.end_by_time(violation, now),
                Due::UpstreamMute => self.parking.of(Peer::Upstream).give_up_on_answers(),
                Due::AskClient if !self.may_answer() => {}
                Due::AskClient => self.ask_client(now),
                Due::Mark => self.mark(now),
                Due::ParkClient => self.park_client(now),
                Due::LookAgain => self.look_again(now),
                Due::GiveNotice => self.give_notice(now),
                Due::Speak => {
                    self.send_closes();
                    self.speak(now);
                    self.answer_upstream(now);
                }
            }
        }
        false
    }

    /// Ends the connection, whose time is over by some rule. One that is shadowed ends nothing.
    fn end_by_time(&mut self, violation: Violation, now: Duration) {
        let rule = violation.rule;
        match Sink::of(&mut self.findings, &self.deadlines).enforce(violation) {
            Ok(()) => self.deadlines.pass_over(rule),
            Err(violation) => self.refuse(violation, now),
        }
    }
}
