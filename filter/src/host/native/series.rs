//! The series of the process, each a metric with the values of its labels, and the configurations that keep them.
//!
//! Envoy forgets a series, and what it has counted, with the last configuration that has counted it. So a configuration counts, by
//! nothing, each series of its policies and each that is no policy's, whichever configuration's streams count by it. Those of Envoy
//! 1.38 cannot count.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::abi::calls::{Counting, FilterConfig, Metric};
use super::configurations::{self, Configuration};
use super::owed_counts::Labels;

/// A series, with the name of its policy if it is one's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Series {
    pub(super) metric: Metric,
    pub(super) labels: Labels,
    pub(super) policy: Option<Arc<str>>,
}

/// The series that any thread has counted and that are no policy's, or that of a configuration which is there.
static ALL: Mutex<All> = Mutex::new(All { known: None, in_order: BTreeMap::new(), last: 0 });

/// The series, each once, and by the numbers in whose order they came.
struct All {
    known: Option<HashSet<Series>>,
    in_order: BTreeMap<u64, Series>,
    last: u64,
}

/// The series that a configuration keeps.
#[derive(Debug)]
pub(super) struct Keeping {
    /// The names of its policies.
    policies: HashSet<String>,
    /// The number of the last series that it has looked at.
    seen: u64,
}

impl Keeping {
    /// Returns the series of `policies`, none of which is kept yet.
    pub(super) fn of(policies: HashSet<String>) -> Self {
        Self { policies, seen: 0 }
    }

    /// Says whether a series is one of those.
    pub(super) fn has(&self, policy: Option<&str>) -> bool {
        policy.is_none_or(|policy| self.policies.contains(policy))
    }

    /// Keeps the series that have come since.
    pub(super) fn catch_up(&mut self, config: FilterConfig) {
        let new: Vec<_> = {
            let all = lock();
            let new = all.in_order.range(self.seen.saturating_add(1)..);
            let new = new.filter(|(_, series)| self.has(series.policy.as_deref()));
            let new = new.map(|(_, series)| series.clone()).collect();
            self.seen = all.last;
            new
        };
        for Series { metric, labels, .. } in new {
            Counting::Config(config).add(metric, &labels, 0);
        }
    }
}

/// Has all configurations keep these series, but for those that they know.
pub(super) fn add(series: impl IntoIterator<Item = Series>) {
    if !Counting::can_main_count() {
        return;
    }
    let mut is_any_new = false;
    {
        let mut all = lock();
        for series in series {
            if all.known.get_or_insert_default().insert(series.clone()) {
                all.last = all.last.saturating_add(1);
                let number = all.last;
                all.in_order.insert(number, series);
                is_any_new = true;
            }
        }
    }
    if is_any_new {
        configurations::each(Configuration::keep_series_soon);
    }
}

/// Forgets the series of policies that no configuration has any more. A thread that counts by one again adds it again.
pub(super) fn forget_all_but(is_kept: impl Fn(Option<&str>) -> bool) {
    let mut all = lock();
    all.in_order.retain(|_, series| is_kept(series.policy.as_deref()));
    if let Some(known) = &mut all.known {
        known.retain(|series| is_kept(series.policy.as_deref()));
    }
}

fn lock() -> MutexGuard<'static, All> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}
