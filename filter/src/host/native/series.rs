//! The series of the process, each a metric with the values of its labels, and the configurations that keep them.
//!
//! Envoy forgets a series, and what it has counted, with the last configuration that has counted it. So a configuration counts, by
//! nothing, each series of its policies and each that is no policy's, whichever configuration's streams count by it. Those of Envoy
//! 1.38 cannot count.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::abi::calls::{Counting, FilterConfig, Metric};
use super::configurations::{self, Configuration};
use super::owed_counts::Labels;

/// The most series that configurations keep: there are the names of policies in them, which come and go.
const MOST: usize = 100_000;

/// A series, with the name of its policy if it is one's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Series {
    metric: Metric,
    labels: Labels,
    policy: Option<Vec<u8>>,
}

/// The series that any thread has counted, in their order and each once.
static ALL: Mutex<(Vec<Series>, Option<HashSet<Series>>)> = Mutex::new((Vec::new(), None));

/// The series that a configuration keeps.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// The names of its policies.
    policies: HashSet<Vec<u8>>,
    /// The number of series that it has looked at.
    seen: usize,
}

impl Keeping {
    /// Returns the series of `policies`, none of which is kept yet.
    pub(super) fn of<'p>(policies: impl Iterator<Item = &'p str>) -> Self {
        Self { policies: policies.map(|policy| policy.as_bytes().to_vec()).collect(), seen: 0 }
    }

    /// Keeps the series that have come since.
    pub(super) fn catch_up(&mut self, config: FilterConfig) {
        let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        for Series { metric, labels, policy } in all.0.iter().skip(self.seen) {
            if policy.as_ref().is_none_or(|policy| self.policies.contains(policy)) {
                Counting::Config(config).add(*metric, labels, 0);
            }
        }
        self.seen = all.0.len();
    }
}

/// Has all configurations keep a series if nobody has counted by it before.
pub(super) fn add(metric: Metric, labels: Labels, policy: Option<&str>) {
    if !Counting::can_main_count() {
        return;
    }
    let series = Series { metric, labels, policy: policy.map(|policy| policy.as_bytes().to_vec()) };
    let is_new = {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = all.0.len() < MOST && all.1.get_or_insert_default().insert(series.clone());
        if is_new {
            all.0.push(series);
        }
        is_new
    };
    if is_new {
        configurations::each(Configuration::keep_series_soon);
    }
}
