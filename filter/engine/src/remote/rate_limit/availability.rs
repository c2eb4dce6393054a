//! The availability of a rate limit service, as one worker sees it: how often it may be asked.
//!
//! Owns the pace of questions to a service that does not answer, and the number of calls under way.

use std::cell::Cell;
use std::time::Duration;

/// The number of failures in a row after which the service counts as down.
const TOLERATED: u32 = 3;

/// The time between two calls to a service that is down.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The purpose of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody waits for the answer.
    Question,
    /// What was counted is told.
    Report,
}

impl Purpose {
    /// Returns the number of such calls that may be under way at once.
    fn most(self) -> u32 {
        match self {
            Self::Question => 1024,
            Self::Report => 64,
        }
    }
}

/// The verdict on a call that somebody wants to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// The call may be made.
    Granted,
    /// As many calls as may be are under way.
    Busy,
    /// The service has not answered lately.
    Down,
}

/// What is known of one service.
#[derive(Debug, Default)]
pub(super) struct Availability {
    questions: Cell<u32>,
    reports: Cell<u32>,
    failures: Cell<u32>,
    /// The time of the last call.
    called_at: Cell<Duration>,
    /// The number of calls that were wanted and not made since that was last told.
    unasked: Cell<u64>,
    /// Says whether it was last told that the service is down.
    is_told_down: Cell<bool>,
}

impl Availability {
    /// Says whether a call may be made at `now`.
    pub(super) fn leave(&self, purpose: Purpose, now: Duration) -> Leave {
        // A clock that was set back says nothing of how long ago the last call is.
        let since = now.checked_sub(self.called_at.get());
        let leave = if self.is_down() && since.is_some_and(|since| since < PROBE_INTERVAL) {
            Leave::Down
        } else if self.under_way(purpose).get() >= purpose.most() {
            Leave::Busy
        } else {
            return Leave::Granted;
        };
        // A report that finds the service busy is sent later.
        if (leave, purpose) != (Leave::Busy, Purpose::Report) {
            self.unasked.set(self.unasked.get().saturating_add(1));
        }
        leave
    }

    fn is_down(&self) -> bool {
        self.failures.get() >= TOLERATED
    }

    /// Takes the number of calls that were wanted and not made since the last time.
    pub(super) fn take_unasked(&self) -> u64 {
        self.unasked.take()
    }

    /// Says whether the service is down, if that has changed since the last time.
    pub(super) fn take_change(&self) -> Option<bool> {
        let is_down = self.is_down();
        (self.is_told_down.replace(is_down) != is_down).then_some(is_down)
    }

    /// Notes a call.
    pub(super) fn begin(&self, purpose: Purpose, now: Duration) {
        let under_way = self.under_way(purpose);
        under_way.set(under_way.get().saturating_add(1));
        self.called_at.set(now);
    }

    /// Notes the end of a call; `answered` is absent where nobody was there to hear it.
    pub(super) fn end(&self, purpose: Purpose, answered: Option<bool>) {
        let under_way = self.under_way(purpose);
        under_way.set(under_way.get().saturating_sub(1));
        match answered {
            Some(true) => self.failures.set(0),
            Some(false) => self.failures.set(self.failures.get().saturating_add(1)),
            None => {}
        }
    }

    fn under_way(&self, purpose: Purpose) -> &Cell<u32> {
        match purpose {
            Purpose::Question => &self.questions,
            Purpose::Report => &self.reports,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Purpose::{Question, Report};

    const START: Duration = Duration::from_secs(1_800_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn fail(availability: &Availability, now: Duration) {
        assert_eq!(availability.leave(Question, now), Leave::Granted);
        availability.begin(Question, now);
        availability.end(Question, Some(false));
    }

    #[test]
    fn a_service_that_fails_thrice_in_a_row_is_asked_once_a_second_until_it_answers() {
        let availability = Availability::default();
        fail(&availability, START);
        fail(&availability, START);
        availability.begin(Report, START);
        availability.end(Report, Some(true));
        for _ in 0..3 {
            fail(&availability, START);
        }
        assert_eq!(availability.leave(Question, START), Leave::Down);
        assert_eq!(availability.leave(Report, START + SECOND / 2), Leave::Down);
        fail(&availability, START + SECOND);
        assert_eq!(availability.leave(Question, START + SECOND), Leave::Down);
        assert_eq!(availability.leave(Report, START + 2 * SECOND), Leave::Granted);
        availability.begin(Report, START + 2 * SECOND);
        assert_eq!(availability.leave(Question, START + 2 * SECOND), Leave::Down, "one at a time");
        availability.end(Report, Some(true));
        assert_eq!(availability.leave(Question, START + 2 * SECOND), Leave::Granted);
    }

    #[test]
    fn so_many_calls_are_under_way_and_no_more() {
        let availability = Availability::default();
        for (purpose, most) in [(Question, 1024), (Report, 64)] {
            for _ in 0..most {
                assert_eq!(availability.leave(purpose, START), Leave::Granted);
                availability.begin(purpose, START);
            }
            assert_eq!(availability.leave(purpose, START), Leave::Busy);
        }
        availability.end(Report, None);
        assert_eq!(availability.leave(Report, START), Leave::Granted);
        assert_eq!(availability.leave(Question, START), Leave::Busy);
    }

    #[test]
    fn a_call_that_nobody_waits_for_any_more_says_nothing_of_the_service() {
        let availability = Availability::default();
        for _ in 0..5 {
            availability.begin(Question, START);
            availability.end(Question, None);
        }
        assert_eq!(availability.leave(Question, START), Leave::Granted);
    }

    #[test]
    fn whoever_was_not_asked_is_counted_and_each_change_is_told_once() {
        let availability = Availability::default();
        assert_eq!((availability.take_change(), availability.take_unasked()), (None, 0));
        for _ in 0..3 {
            fail(&availability, START);
        }
        assert_eq!(availability.leave(Question, START), Leave::Down);
        assert_eq!(availability.leave(Report, START), Leave::Down);
        assert_eq!((availability.take_change(), availability.take_unasked()), (Some(true), 2));
        assert_eq!((availability.take_change(), availability.take_unasked()), (None, 0));
        availability.end(Question, Some(true));
        assert_eq!(availability.take_change(), Some(false));
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nothing() {
        let availability = Availability::default();
        for _ in 0..3 {
            fail(&availability, START);
        }
        assert_eq!(availability.leave(Question, START - 3600 * SECOND), Leave::Granted);
    }
}
