//! The timers of an open connection, and the table of the times at which they go off.
//!
//! Owns what each timer stands for, which of them goes before which, and which of them a clock that is set
//! back moves. Never sets one by itself: that is for [`deadlines`](super::deadlines).

use std::time::Duration;

use crate::decision::{Reason, Rule, Violation};
use crate::moment::Moment;
use crate::peer::Peer;

/// Declares the timers once, as the enum and as the list of all, whose length is that of the table.
macro_rules! timers {
    ($($(#[$doc:meta])+ $timer:ident,)+) => {
        /// A timer of a connection. One that is named earlier goes before those that are named later.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Timer {
            $($(#[$doc])+ $timer,)+
        }

        impl Timer {
            /// Every timer, the first to be looked at first.
            pub(super) const ALL: [Self; [$(Self::$timer),+].len()] = [$(Self::$timer),+];
        }
    };
}

timers! {
    /// The time to say what waits to be said.
    Speak,
    /// The time to cut what is left. Once this is set, none but [`Timer::Speak`] counts beside it.
    Cut,
    /// The end of the time that a token waits for something that is fetched.
    Fetch,
    /// The end of the time in which the client must be authenticated.
    Authentication,
    /// The end of the right to the connection, by a time that is written in a token.
    Expiry,
    /// The end of the time that the connection may last.
    Session,
    /// The end of the connection's policy.
    Drain,
    /// The end of the connection with the Envoy that serves it.
    DrainWithEnvoy,
    /// The time by which the client must have answered.
    Pong,
    /// The time to tell the client that its token ends soon, by a time that is written in the token.
    Notice,
    /// The time by which the upstream must have answered.
    UpstreamPong,
    /// The time at which a peer can be asked what it has read.
    Mark,
    /// The time at which the client may have been silent for so long that it must be asked.
    Ping,
    /// The time at which the upstream may have been silent for so long that the stream towards the client can
    /// be parked.
    Park,
}

impl Timer {
    /// Returns the thing to do when the timer goes off.
    pub(super) fn due(self) -> Due {
        let client = Peer::Client;
        match self {
            Self::Speak => Due::Speak,
            Self::Cut => Due::Cut,
            Self::Fetch => Due::LookAgain,
            Self::Authentication => {
                Due::End(Violation::by(client, Rule::AuthFirstMessageTimeout, Reason::AuthTimeout))
            }
            Self::Expiry => Due::End(Violation::by(client, Rule::AuthExpiry, Reason::TokenExpired)),
            Self::Session => Due::End(Violation::new(Rule::AuthMaxSession, Reason::SessionLimit)),
            Self::Drain => Due::End(Violation::new(Rule::Drain, Reason::Drain)),
            Self::DrainWithEnvoy => Due::End(Violation::new(Rule::DrainWithEnvoy, Reason::Drain)),
            Self::Pong => Due::End(Violation::by(client, Rule::PongTimeout, Reason::PongTimeout)),
            Self::Notice => Due::GiveNotice,
            Self::UpstreamPong => Due::UpstreamMute,
            Self::Mark => Due::Mark,
            Self::Ping => Due::AskClient,
            Self::Park => Due::ParkClient,
        }
    }

    /// Tells if the time is written in a token, so that no clock of this host's moves it.
    fn is_of_token(self) -> bool {
        matches!(self, Self::Expiry | Self::Notice)
    }
}

/// A thing to do on a connection, since its time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Whatever is left must be cut.
    Cut,
    /// The connection is over.
    End(Violation),
    /// The client must be asked if it is there.
    AskClient,
    /// A peer must be asked what it has read.
    Mark,
    /// A token has waited long enough for something that is fetched.
    LookAgain,
    /// The client's token ends soon.
    GiveNotice,
    /// The notices that wait can be sent on a parked stream.
    Speak,
    /// The upstream will not answer.
    UpstreamMute,
    /// The stream towards the client may be parked.
    ParkClient,
}

/// The times at which the timers of one connection go off, those of them that are set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TimerTable([Option<Moment>; Timer::ALL.len()]);

impl TimerTable {
    /// Returns the time at which `timer` goes off, if it is set.
    pub(super) fn get(&self, timer: Timer) -> Option<Moment> {
        self.0.get(timer as usize).copied().flatten()
    }

    /// Has `timer` go off at `at`, whatever it was set to, or not at all without a time.
    pub(super) fn set(&mut self, timer: Timer, at: impl Into<Option<Moment>>) {
        if let Some(set_to) = self.0.get_mut(timer as usize) {
            *set_to = at.into();
        }
    }

    /// Has `timer` go off at `at`, unless it is set.
    pub(super) fn set_if_unset(&mut self, timer: Timer, at: Moment) {
        if self.get(timer).is_none() {
            self.set(timer, at);
        }
    }

    /// Has `timer` not go off.
    pub(super) fn unset(&mut self, timer: Timer) {
        self.set(timer, None::<Moment>);
    }

    /// Unsets `timer` if its time has come by `now`, and tells if so.
    pub(super) fn take_expired(&mut self, timer: Timer, now: Moment) -> bool {
        let is_expired = self.get(timer).is_some_and(|at| at <= now);
        if is_expired {
            self.unset(timer);
        }
        is_expired
    }

    /// Returns the time at which the next timer goes off.
    pub(super) fn next(&self) -> Option<Moment> {
        self.0.into_iter().flatten().min()
    }

    /// Moves the timers with a clock that was set back, but for those whose time a token says.
    pub(super) fn set_back(&mut self, by: Duration) {
        for timer in Timer::ALL.into_iter().filter(|timer| !timer.is_of_token()) {
            self.set(timer, self.get(timer).map(|at| at.before(by)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Moment {
        Duration::from_secs(second).into()
    }

    #[test]
    fn every_timer_has_a_place_of_its_own() {
        let mut timers = TimerTable::default();
        for (at, timer) in (1..).map(second).zip(Timer::ALL) {
            assert_eq!(timers.get(timer), None, "{timer:?}");
            timers.set(timer, at);
        }
        for (at, timer) in (1..).map(second).zip(Timer::ALL) {
            assert_eq!((timers.get(timer), timers.next()), (Some(at), Some(at)), "{timer:?}");
            timers.unset(timer);
            assert_eq!(timers.get(timer), None, "{timer:?}");
        }
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_timer_that_is_set_keeps_its_time_where_it_may_not_be_set_again() {
        let mut timers = TimerTable::default();
        timers.set_if_unset(Timer::Mark, second(2));
        timers.set_if_unset(Timer::Mark, second(1));
        assert_eq!(timers.get(Timer::Mark), Some(second(2)));
        timers.set(Timer::Mark, second(1));
        assert_eq!(timers.get(Timer::Mark), Some(second(1)));
    }

    #[test]
    fn a_timer_goes_off_once_and_not_before_its_time() {
        let mut timers = TimerTable::default();
        timers.set(Timer::Mark, second(2));
        assert!(!timers.take_expired(Timer::Mark, second(1)));
        assert!(!timers.take_expired(Timer::Ping, second(2)));
        assert!(timers.take_expired(Timer::Mark, second(2)));
        assert!(!timers.take_expired(Timer::Mark, second(3)));
    }

    #[test]
    fn a_clock_that_is_set_back_moves_every_timer_but_those_of_a_token() {
        let mut timers = TimerTable::default();
        for timer in Timer::ALL {
            timers.set(timer, second(10));
        }
        timers.unset(Timer::Cut);
        timers.set_back(Duration::from_secs(4));
        for timer in Timer::ALL {
            let at = match timer {
                Timer::Cut => None,
                Timer::Expiry | Timer::Notice => Some(second(10)),
                _ => Some(second(6)),
            };
            assert_eq!(timers.get(timer), at, "{timer:?}");
        }
    }

    #[test]
    fn a_table_takes_eight_bytes_a_timer() {
        assert_eq!(size_of::<TimerTable>(), 8 * Timer::ALL.len());
    }
}
