//! A time that takes little room: an open connection keeps a dozen of them, and there are many connections.

use std::num::NonZeroU64;
use std::time::Duration;

/// A time since the Unix epoch, to the nanosecond. Times later than the year 2554 count as then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    /// Returns the time `duration` later.
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }

    /// Returns the time `duration` earlier.
    pub(crate) fn before(self, duration: Duration) -> Self {
        let earlier = self.0.get().saturating_sub(nanoseconds(duration));
        Self(NonZeroU64::new(earlier).unwrap_or(NonZeroU64::MIN))
    }
}

impl From<Duration> for Moment {
    /// Converts a time. The epoch itself counts as the nanosecond after it.
    fn from(since_epoch: Duration) -> Self {
        Self(NonZeroU64::new(nanoseconds(since_epoch)).unwrap_or(NonZeroU64::MIN))
    }
}

impl From<Moment> for Duration {
    fn from(Moment(nanoseconds): Moment) -> Self {
        Self::from_nanos(nanoseconds.get())
    }
}

/// The number of whole seconds of the longest duration that a moment can have.
const MOST_SECONDS: u64 = u64::MAX / 1_000_000_000;

/// Returns a duration in nanoseconds. Times are converted several times for a chunk, and 128 bits would make that a call in
/// WebAssembly.
fn nanoseconds(duration: Duration) -> u64 {
    match duration.as_secs() {
        MOST_SECONDS.. => u64::MAX,
        seconds => seconds * 1_000_000_000 + u64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_time_it_was_made_of_as_far_as_it_reaches() {
        let last = Duration::from_nanos(u64::MAX);
        for (time, kept) in [
            (
                Duration::from_nanos(1_800_000_000_123_456_789),
                Duration::from_nanos(1_800_000_000_123_456_789),
            ),
            (Duration::ZERO, Duration::from_nanos(1)),
            (Duration::new(MOST_SECONDS - 1, 999_999_999), Duration::new(MOST_SECONDS - 1, 999_999_999)),
            (last, last),
            (Duration::MAX, last),
        ] {
            assert_eq!(Duration::from(Moment::from(time)), kept);
        }
        assert_eq!(Duration::from(Moment::from(Duration::MAX).after(Duration::MAX)), last);
        let second = Moment::from(Duration::from_secs(1));
        assert_eq!(Duration::from(second.before(Duration::from_millis(400))), Duration::from_millis(600));
        assert_eq!(Duration::from(second.before(Duration::MAX)), Duration::from_nanos(1));
        assert!(
            Moment::from(Duration::from_secs(1))
                < Moment::from(Duration::from_secs(1)).after(Duration::from_nanos(1))
        );
    }

    #[test]
    fn one_that_may_be_missing_takes_no_more_room() {
        assert_eq!(size_of::<Option<Moment>>(), 8);
    }
}
