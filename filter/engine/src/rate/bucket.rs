//! A token bucket in exact integers.
//!
//! The state is one number, the time at which the bucket will be full again (the theoretical
//! arrival time of the generic cell rate algorithm). It is kept as nanoseconds and a fraction of
//! `limit`-ths of one, so that no rate is ever rounded.

use std::time::Duration;

/// The rate at which a bucket fills, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quota {
    limit: u64,
    window: u64,
    burst: u64,
    /// The number of the rule among those that fill in the same time.
    twin: u32,
}

/// A bucket; the default one is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket {
    /// The time at which the bucket is full again, in nanoseconds since the Unix epoch.
    pub(crate) full_at: u64,
    /// The fraction of a nanosecond to add to it, in `limit`-ths.
    pub(crate) fraction: u64,
}

/// The answer of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    /// The tokens were there and are taken.
    Taken,
    /// The tokens were not there and none is taken; they will be after this time if nobody else takes any.
    Wait(Duration),
}

impl Quota {
    /// Returns the quota of a rule.
    pub fn new(rate: &postern_config::Rate) -> Self {
        let (window, burst) = (nanoseconds(rate.window), rate.burst);
        Self { limit: rate.limit.max(1), window, burst, twin: rate.twin }
    }

    /// Returns a quota of `limit` tokens a second, and as many at once.
    pub(crate) const fn per_second(limit: u64) -> Self {
        Self { limit, window: 1_000_000_000, burst: limit, twin: 0 }
    }

    /// Returns the same quota with `burst` tokens at once.
    pub(crate) const fn with_burst(self, burst: u64) -> Self {
        Self { burst, ..self }
    }

    /// Returns a quota of `limit` tokens a minute, and as many at once.
    pub(crate) const fn per_minute(limit: u64) -> Self {
        Self { limit, window: 60_000_000_000, burst: limit, twin: 0 }
    }

    /// Returns the size of the bucket.
    pub(crate) fn burst(&self) -> u64 {
        self.burst
    }

    /// Returns the numbers that make one quota different from another.
    pub(crate) fn identity(&self) -> [u64; 3] {
        [self.limit, self.window, self.burst]
    }

    /// Returns the numbers by which a bucket is found whatever its limit comes to be: what is missing in it is a
    /// time, which means the same part of it under any limit.
    pub(crate) fn name(&self) -> [u64; 3] {
        let fills_in = u128::from(self.window) * u128::from(self.burst);
        let fills_in = fills_in.checked_div(u128::from(self.limit)).unwrap_or(u128::MAX);
        [self.window, u64::try_from(fills_in).unwrap_or(u64::MAX), u64::from(self.twin)]
    }
}

impl Bucket {
    /// Takes `tokens` at `now` (since the Unix epoch) from a bucket that is asked in the order of time.
    pub(crate) fn take(&mut self, quota: Quota, tokens: u64, now: Duration) -> Charged {
        self.take_out_of_order(quota, tokens, now, Duration::ZERO)
    }

    /// Takes `tokens` at `now` from a bucket that may have been asked at a time later by as much as
    /// `disorder`.
    pub(crate) fn take_out_of_order(
        &mut self,
        quota: Quota,
        tokens: u64,
        now: Duration,
        disorder: Duration,
    ) -> Charged {
        if tokens == 0 {
            return Charged::Taken;
        }
        let now = nanoseconds(now);
        // The numbers from here on are `limit`-ths of a nanosecond, counted from now.
        let room = u128::from(quota.burst) * u128::from(quota.window);
        let until_full = self.full_at.checked_sub(now).map_or(0, |nanoseconds| {
            u128::from(nanoseconds) * u128::from(quota.limit) + u128::from(self.fraction)
        });
        // Only a clock that was set back makes a bucket full later than an empty one would be, by more than
        // `disorder`. A client that was served would be refused until the clock has caught up; so the bucket
        // starts anew, full.
        let disorder = u128::from(nanoseconds(disorder)) * u128::from(quota.limit);
        let until_full = if until_full > room.saturating_add(disorder) { 0 } else { until_full };
        let cost = u128::from(tokens) * u128::from(quota.window);
        let after = until_full.saturating_add(cost);
        let over = after.saturating_sub(room);
        if over > 0 {
            let (wait, rest) = divide(over, quota.limit);
            return Charged::Wait(Duration::from_nanos(wait.saturating_add(u64::from(rest > 0))));
        }
        let (nanoseconds, fraction) = divide(after, quota.limit);
        (self.full_at, self.fraction) = (now.saturating_add(nanoseconds), fraction);
        Charged::Taken
    }

    /// Gives tokens back that were taken and not used.
    pub(crate) fn give_back(&mut self, quota: Quota, tokens: u64) {
        let limit = u128::from(quota.limit);
        let full_at = u128::from(self.full_at) * limit + u128::from(self.fraction);
        let full_at = full_at.saturating_sub(u128::from(tokens) * u128::from(quota.window));
        (self.full_at, self.fraction) = divide(full_at, quota.limit);
    }

    /// Says whether nothing is lost by forgetting the bucket.
    pub(crate) fn is_full(&self, now: Duration) -> bool {
        (self.full_at, self.fraction) <= (nanoseconds(now), 0)
    }
}

/// Divides a number by `by`, and returns the quotient, at most [`u64::MAX`], and the remainder.
fn divide(number: u128, by: u64) -> (u64, u64) {
    // Most numbers are short, and there is no instruction to divide longer ones.
    if let Ok(number) = u64::try_from(number) {
        return (number / by, number % by);
    }
    let by = u128::from(by);
    let whole = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
    (whole(number / by), whole(number % by))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(limit: u64, window: u64, burst: u64) -> Quota {
        Quota { limit, window, burst, twin: 0 }
    }

    const HOUR: u64 = 3_600_000_000_000;
    const START: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn the_burst_passes_at_once_and_then_one_per_share_of_the_window() {
        let quota = of(100, HOUR, 100);
        let mut bucket = Bucket::default();
        for i in 0..100 {
            assert_eq!(bucket.take(quota, 1, START), Charged::Taken, "token {i}");
        }
        assert_eq!(bucket.take(quota, 1, START), Charged::Wait(Duration::from_secs(36)));
        let almost = START + Duration::from_secs(36) - Duration::from_nanos(1);
        assert_eq!(bucket.take(quota, 1, almost), Charged::Wait(Duration::from_nanos(1)));
        assert_eq!(bucket.take(quota, 1, START + Duration::from_secs(36)), Charged::Taken);
    }

    #[test]
    fn a_rate_that_does_not_divide_its_window_is_not_rounded() {
        let quota = of(3, 10, 1);
        let mut bucket = Bucket::default();
        let taken = (0..10_000u64)
            .filter(|ns| bucket.take(quota, 1, START + Duration::from_nanos(*ns)) == Charged::Taken)
            .count();
        // A token passes every 10/3 ns on average, each at the next whole nanosecond.
        assert_eq!(taken, 2_500);
        let quota = of(1 << 30, 1_000_000_000, 1 << 30);
        let mut bucket = Bucket::default();
        for _ in 0..1 << 10 {
            assert_eq!(bucket.take(quota, 1 << 20, START), Charged::Taken);
        }
        assert_ne!(bucket.take(quota, 1, START), Charged::Taken);
    }

    #[test]
    fn a_wait_is_as_long_as_it_has_to_be_and_no_longer_in_numbers_of_any_length() {
        let quotas =
            [of(3, 10, 1), of(7, HOUR, 5), of((1 << 30) + 1, HOUR, 1 << 30), of(1_000, u64::MAX >> 8, 900)];
        let nanosecond = Duration::from_nanos(1);
        for quota in quotas {
            for tokens in [1, quota.burst.div_ceil(2), quota.burst] {
                let mut bucket = Bucket::default();
                assert_eq!(bucket.take(quota, quota.burst, START), Charged::Taken);
                let Charged::Wait(wait) = bucket.take(quota, tokens, START) else {
                    panic!("{quota:?} has {tokens} left");
                };
                let almost = START + wait - nanosecond;
                assert_eq!(bucket.take(quota, tokens, almost), Charged::Wait(nanosecond), "{quota:?}");
                assert_eq!(bucket.take(quota, tokens, START + wait), Charged::Taken, "{quota:?}, {tokens}");
            }
        }
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let quota = of(1, 1_000, 5);
        let mut bucket = Bucket::default();
        assert_ne!(bucket.take(quota, 6, START), Charged::Taken);
        assert_eq!(bucket.take(quota, 5, START), Charged::Taken);
    }

    #[test]
    fn it_is_full_again_when_all_that_was_taken_has_come_back() {
        let quota = of(2, 1_000, 4);
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(quota, 3, START), Charged::Taken);
        assert!(!bucket.is_full(START + Duration::from_nanos(1_499)));
        assert!(bucket.is_full(START + Duration::from_nanos(1_500)));
    }

    #[test]
    fn who_read_the_clock_earlier_finds_a_shared_bucket_as_empty_as_the_others_left_it() {
        let quota = of(400, HOUR, 400);
        let disorder = Duration::from_secs(10);
        for earlier in [1, 1_000_000, 10_000_000_000].map(Duration::from_nanos) {
            let mut bucket = Bucket::default();
            let mut take = |tokens, now| bucket.take_out_of_order(quota, tokens, now, disorder);
            assert_eq!(take(400, START), Charged::Taken);
            let then = Charged::Wait(Duration::from_secs(9) + earlier);
            assert_eq!(take(1, START - earlier), then, "{earlier:?} earlier");
            assert_eq!(take(0, START - earlier), Charged::Taken, "nothing is always there");
            assert_eq!(take(1, START), Charged::Wait(Duration::from_secs(9)));
        }
    }

    #[test]
    fn workers_whose_clocks_are_out_of_order_get_no_more_together_than_one_would() {
        const DISORDER: u64 = 50_000_000;
        for quota in [of(400, HOUR, 400), of(100, 1_000_000_000, 5)] {
            let (mut bucket, mut taken, mut random) = (Bucket::default(), 0, 7_u64);
            for i in 0..20_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let passed = i * 100_000;
                let read = Duration::from_nanos(passed + (random >> 33) % DISORDER);
                let tokens = 1 + (random >> 20) % 3;
                let disorder = Duration::from_nanos(DISORDER);
                if bucket.take_out_of_order(quota, tokens, START + read, disorder) == Charged::Taken {
                    taken += tokens;
                }
                let refilled = u128::from(passed + DISORDER) * u128::from(quota.limit);
                let allowed = u128::from(quota.burst) + refilled / u128::from(quota.window);
                assert!(u128::from(taken) <= allowed, "{taken} of {allowed} after {passed} ns");
            }
            assert!(taken >= quota.burst);
        }
    }

    #[test]
    fn a_clock_set_back_a_little_makes_a_bucket_emptier_and_by_more_than_it_takes_to_fill_full() {
        let quota = of(1, 1_000_000_000, 2);
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(quota, 1, START), Charged::Taken);
        let earlier = START - Duration::from_secs(1);
        assert_eq!(bucket.take(quota, 1, earlier), Charged::Wait(Duration::from_secs(1)));
        for earlier in [2, 86_400].map(|seconds| START - Duration::from_secs(seconds)) {
            let mut bucket = bucket;
            assert_eq!(bucket.take(quota, 2, earlier), Charged::Taken);
            assert_eq!(bucket.take(quota, 1, earlier), Charged::Wait(Duration::from_secs(1)));
            assert_eq!(bucket.take(quota, 1, earlier + Duration::from_secs(1)), Charged::Taken);
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let quota = of(u64::MAX, u64::MAX, u64::MAX);
        let mut bucket = Bucket { full_at: u64::MAX, fraction: u64::MAX };
        let _ = bucket.take(quota, u64::MAX, Duration::MAX);
        let _ = bucket.take(quota, 1, START);
    }
}
