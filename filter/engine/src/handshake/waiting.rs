//! The wait of a handshake that cannot be judged before something has been fetched or answered.
//!
//! For what is fetched the handshake waits as long as was settled the first time, however often it is judged again: then the
//! refusal stands that it would have had without the wait. Nothing is charged while it waits.

use std::time::Duration;

use super::Refusal;
use crate::auth::admit::{Awaited, Rejected};
use crate::decision::Violation;
use crate::decision::cause::{CsrfError, HandshakeFault, InvalidToken, TokenError};
use crate::metrics::measures::Shared as Measured;
use crate::metrics::{self, Stopped};

/// The reason why the judgement goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The handshake is refused.
    Refuse(Refusal),
    /// The handshake is refused unless what it waits for comes within this time.
    Await(Awaited, Duration, Refusal),
    /// An answer of the rate limit service is awaited until this time, since the Unix epoch.
    AwaitAnswer(Duration),
}

impl Stop {
    /// Returns what is awaited, if the handshake is not refused at once.
    pub(super) fn awaited(&self) -> Option<metrics::Awaited> {
        match self {
            Self::Refuse(_) => None,
            Self::Await(Awaited::Keys, ..) => Some(metrics::Awaited::Keys),
            Self::Await(Awaited::RevocationList, ..) => Some(metrics::Awaited::RevocationList),
            Self::AwaitAnswer(_) => Some(metrics::Awaited::RateLimitService),
        }
    }
}

/// The ends of the waits of a handshake.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    keys: Option<Duration>,
    list: Option<Duration>,
    until: Option<Duration>,
    /// The step that waits now, what for, and since when.
    under_way: Option<(&'static str, metrics::Awaited, Duration)>,
}

impl Waiting {
    /// Decides to wait, or returns the refusal if there is nothing to wait for any more.
    pub(super) fn judge(&mut self, stop: Stop, now: Duration) -> Result<(), Refusal> {
        self.until = None;
        match stop {
            Stop::Refuse(refusal) => Err(refusal),
            Stop::AwaitAnswer(until) => {
                self.until = Some(until);
                Ok(())
            }
            Stop::Await(what, patience, refusal) => {
                let until = match what {
                    Awaited::Keys => &mut self.keys,
                    Awaited::RevocationList => &mut self.list,
                };
                let until = *until.get_or_insert(now.saturating_add(patience));
                if until <= now {
                    return Err(refusal);
                }
                self.until = Some(until);
                Ok(())
            }
        }
    }

    /// Notes that the step of this id waits from `now` on, unless it does already, and counts that and the end of a
    /// wait before.
    pub(super) fn begin(
        &mut self,
        step: &'static str,
        awaited: metrics::Awaited,
        measures: &Measured,
        now: Duration,
    ) {
        if self.under_way.is_none_or(|(waits, on, _)| (waits, on) != (step, awaited)) {
            self.end(measures, now);
            self.under_way = Some((step, awaited, now));
            measures.stopped(step, Stopped::Waits);
        }
    }

    /// Counts the wait that is under way, if one is, and ends at `now`.
    pub(super) fn end(&mut self, measures: &Measured, now: Duration) {
        if let Some((_, awaited, since)) = self.under_way.take() {
            measures.waited(awaited, now.saturating_sub(since));
        }
    }

    /// Returns the id of the step that waits, if one does.
    pub(super) fn step(&self) -> Option<&'static str> {
        self.under_way.map(|(step, ..)| step)
    }

    /// Moves the ends of the waits with a clock that was set back.
    pub(super) fn set_back(&mut self, by: Duration) {
        for until in [&mut self.keys, &mut self.list, &mut self.until] {
            *until = until.map(|until| until.saturating_sub(by));
        }
        if let Some((.., since)) = &mut self.under_way {
            *since = since.saturating_sub(by);
        }
    }

    /// Returns the time until which the handshake waits.
    pub(super) fn until(&self) -> Option<Duration> {
        self.until
    }
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Refuse(violation.into())
    }
}

impl From<HandshakeFault> for Stop {
    fn from(fault: HandshakeFault) -> Self {
        Violation::from(fault).into()
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl From<CsrfError> for Stop {
    fn from(error: CsrfError) -> Self {
        Violation::from(error).into()
    }
}

impl From<InvalidToken> for Stop {
    fn from(invalid: InvalidToken) -> Self {
        Violation::from(TokenError::from(invalid)).into()
    }
}

impl From<Rejected> for Stop {
    fn from(rejected: Rejected) -> Self {
        let Rejected { violation, wait, awaits, claims: _ } = rejected;
        let refusal = Refusal { violation, wait };
        match awaits {
            Some((what, patience)) => Self::Await(what, patience, refusal),
            None => Self::Refuse(refusal),
        }
    }
}
