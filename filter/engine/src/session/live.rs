//! The places of a session among the live connections, and what its client owes for being refused.

use std::time::Duration;

use super::{Output, Phase, Session};
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::rate::live::LivePlace;
use crate::rate::live::places::{Places, replaced};
use crate::rate::{Charged, Outcome, Shared};

/// The time for which a handshake that has made way waits for its response. The connection has to be closed within
/// a second of that.
const PATIENCE: Duration = Duration::from_millis(250);

impl Session {
    /// Says whether the session may have to make way for a newer one of its user.
    pub fn may_make_way(&self) -> bool {
        self.places().may_make_way()
    }

    /// Says whether this place is the session's.
    pub fn has_place(&self, place: LivePlace) -> bool {
        self.places().has(place)
    }

    fn places(&self) -> &Places {
        match &self.phase {
            Phase::Open(open) => open.places(),
            _ => &self.places,
        }
    }

    /// Ends the session, of which a newer one of the user has taken the place.
    pub(super) fn make_way(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Open(_) => {
                self.act(|open| open.enforce(replaced(), now));
                self.send();
            }
            // Most responses come soon, and a WebSocket can be told why it ends.
            Phase::AwaitingResponse(awaiting) => {
                awaiting.replaced_by.get_or_insert(now.saturating_add(PATIENCE));
            }
            Phase::Declined => {
                self.outputs.push_back(Output::Reset);
                self.cut();
            }
            _ => {}
        }
    }

    /// Refuses a handshake that has made way, and whose response does not come.
    pub(super) fn await_no_longer(&mut self, now: Duration) {
        let Phase::AwaitingResponse(awaiting) = &self.phase else { return };
        if awaiting.replaced_by.is_some_and(|at| at <= now) {
            let violation = Violation::new(Rule::ConnectionsPerUser, Reason::ConnectionLimit);
            self.refuse_response(violation);
        }
    }

    /// Ends the session, whose stream is over.
    pub(super) fn end(&mut self, shared: &mut dyn Shared) {
        self.cut();
        self.places.release(shared);
        self.outputs.retain(|output| matches!(output, Output::Tell(_)));
    }

    /// Has nothing pass any more. The places are given back when the stream is over, and nobody takes the last counts
    /// of an open connection then.
    pub(super) fn cut(&mut self) {
        self.keep_places();
        self.keep_summary();
        let last = self.take_last_tally();
        self.ruleset.measures().keep(&last);
        self.phase = Phase::Ended;
    }

    /// Keeps the places of an open connection until the stream is over.
    pub(super) fn keep_places(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            self.places = open.take_places();
        }
    }

    /// Charges what the client owes.
    pub(super) fn pay(&mut self, shared: &mut dyn Shared, now: Duration) {
        for (index, request) in self.owed.take().into_iter().flat_map(|owed| *owed) {
            // Whether there was one left makes no difference any more.
            let is_within = shared.charge(&request, now) == Outcome::Charged(Charged::Taken);
            self.ruleset.measures().decided(Rule::Rates(index), is_within);
        }
    }
}
