//! Token buckets as their definition has them: a level that rises with time.

use std::collections::HashMap;
use std::time::Duration;

use crate::policy::{Count, Per, Quota};

/// A bucket. Its level counts tokens times the nanoseconds of the window, so that it is exact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    quota: Quota,
    level: u128,
    at: Duration,
}

/// What names a shared bucket: two rules with the same words share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) count: Count,
    pub(crate) per: Per,
    pub(crate) quota: Quota,
    /// Which address or user, or zero.
    pub(crate) subject: u64,
}

/// The buckets of all connections.
#[derive(Debug, Default)]
pub(crate) struct Buckets(HashMap<Name, Bucket>);

impl Bucket {
    pub(crate) fn full(quota: Quota, at: Duration) -> Self {
        Self { quota, level: u128::from(quota.burst) * quota.window.as_nanos(), at }
    }

    /// Takes `tokens`, or says how long to wait for them.
    pub(crate) fn take(&mut self, tokens: u64, now: Duration) -> Result<(), Duration> {
        let Quota { limit, window, burst } = self.quota;
        let risen = (now - self.at).as_nanos() * u128::from(limit);
        self.level = (self.level + risen).min(u128::from(burst) * window.as_nanos());
        self.at = now;
        let cost = u128::from(tokens) * window.as_nanos();
        if let Some(missing) = cost.checked_sub(self.level).filter(|missing| *missing > 0) {
            let wait = missing.div_ceil(u128::from(limit));
            return Err(Duration::from_nanos(u64::try_from(wait).unwrap()));
        }
        self.level -= cost;
        Ok(())
    }
}

impl Buckets {
    pub(crate) fn take(&mut self, name: Name, tokens: u64, now: Duration) -> Result<(), Duration> {
        self.0.entry(name).or_insert_with(|| Bucket::full(name.quota, now)).take(tokens, now)
    }
}
