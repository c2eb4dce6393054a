//! The end of a connection by Postern's will: both directions stop at their next frame boundary, and a Close goes to each.

use std::time::Duration;

use crate::decision::Violation;
use crate::peer::Peer;
use crate::websocket::close;

use super::Connection;

impl Connection {
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
