//! The end of a connection by Postern's will: both directions stop at their next frame boundary, and a Close goes to each.

use std::time::Duration;

use postern_config::Policy;

use crate::decision::{Findings, Violation};
use crate::peer::Peer;
use crate::websocket::close;

use super::Connection;
use super::deadlines::Deadlines;

/// A place for violations, which says which of them are enforced.
pub(super) struct Sink<'s> {
    findings: &'s mut Findings,
    policy: &'s Policy,
}

impl<'s> Sink<'s> {
    /// Creates the sink of a connection that has these parts.
    pub(super) fn of(findings: &'s mut Findings, deadlines: &'s Deadlines) -> Self {
        Self { findings, policy: &deadlines.ruleset().policy }
    }

    /// Takes a violation.
    ///
    /// # Errors
    /// Returns the violation if its rule is enforced.
    pub(super) fn enforce(&mut self, violation: Violation) -> Result<(), Violation> {
        self.findings.enforce(violation, self.policy)
    }
}

impl Connection {
    /// Ends the connection for a violation whose rule is enforced.
    pub(crate) fn enforce(&mut self, violation: Violation, now: Duration) {
        if let Err(violation) = Sink::of(&mut self.findings, &self.deadlines).enforce(violation) {
            self.refuse(violation, now);
        }
    }

    /// Ends the connection by Postern's will. [`Connection::take_sends`] returns the frames that can go to a
    /// peer at once.
    pub(crate) fn refuse(&mut self, violation: Violation, now: Duration) {
        if self.begin_to_refuse(violation, now) {
            self.send_closes();
        }
    }

    /// Ends both directions at their next boundaries, and says whether nothing had refused the connection
    /// before.
    pub(super) fn begin_to_refuse(&mut self, violation: Violation, now: Duration) -> bool {
        if self.violation.is_some() {
            return false;
        }
        let reason = violation.reason;
        self.violation = Some(Box::new(violation));
        self.shut();
        self.deadlines.close(Some(reason), now);
        self.client.end_with(close::to_upstream(reason, self.mask));
        self.upstream.end_with(close::to_client(reason));
        true
    }

    /// Sends the Closes that parked streams can carry.
    pub(super) fn send_closes(&mut self) {
        for (receiver, direction) in [(Peer::Client, &mut self.upstream), (Peer::Upstream, &mut self.client)]
        {
            let reach = self.parking.of(receiver);
            if reach.takes_frames(direction.at_boundary())
                && let Some(close) = direction.take_close()
            {
                reach.pause.set_parked(false);
                self.sends.push((receiver, close));
            }
        }
    }
}
