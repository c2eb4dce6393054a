//! The counts of a worker that nobody has told its host yet.
//!
//! Owns which of that is added up, and how it is taken. The host says where it lies and who tells it: a VM tells its own, and of a
//! process the main thread that of all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postern_engine::metrics::gauges::{Gauges, SharedSums, Ticked};

use super::by_policy::OfPolicy;
use crate::host::MetricKind;
use crate::{gauges, host};

/// The counts of one worker.
pub(crate) struct Counts {
    /// The counts of each policy under which anything happened since they were last taken.
    pub(super) policies: BTreeMap<String, OfPolicy>,
    /// The part of the worker in the gauges that are sums over all workers.
    pub(crate) gauges: Gauges,
    /// The roots of the worker. Without any it has given back its part.
    pub(crate) roots: BTreeSet<u32>,
    /// Says whether the others had taken the worker for dead since it last asked.
    was_lost: bool,
}

/// The counts that were taken of any number of workers.
#[derive(Default)]
pub(crate) struct Taken {
    pub(super) policies: BTreeMap<String, OfPolicy>,
    /// The changes of the sums that have not been made at once.
    pub(super) sums: BTreeMap<String, i64>,
    /// The number of workers that were found dead.
    pub(super) dead: u32,
}

impl Counts {
    /// Creates the counts of a worker, whose number nobody else has.
    pub(crate) fn new(id: u64) -> Self {
        let (policies, roots) = (BTreeMap::new(), BTreeSet::new());
        Self { policies, gauges: Gauges::new(id), roots, was_lost: false }
    }

    /// Adds all that there is to `taken`, and renews the worker's lease.
    pub(crate) fn take(&mut self, taken: &mut Taken, now: Duration) {
        for (policy, counts) in std::mem::take(&mut self.policies) {
            counts.change_gauges(&policy, &mut self.gauges);
            match taken.policies.get_mut(&policy) {
                Some(sum) => sum.add(&counts),
                None => _ = taken.policies.insert(policy, counts),
            }
        }
        if self.roots.is_empty() {
            return;
        }
        let Ticked { dead, was_lost } = self.gauges.tick(taken, now);
        taken.dead = taken.dead.saturating_add(dead);
        self.was_lost |= was_lost;
    }

    /// Says whether the others had taken the worker for dead since this was last asked.
    pub(super) fn take_was_lost(&mut self) -> bool {
        std::mem::take(&mut self.was_lost)
    }
}

impl SharedSums for Taken {
    fn read(&mut self, slot: u32) -> (Vec<u8>, Option<u32>) {
        gauges::read_lease(slot)
    }

    fn swap(&mut self, slot: u32, bytes: &[u8], number: Option<u32>) -> bool {
        gauges::swap_lease(slot, bytes, number)
    }

    fn add(&mut self, name: &str, by: i64) {
        if host::WORKERS_DIE_ALONE {
            // A worker that dies before it has told a sum must not have it in its record.
            super::add(MetricKind::Gauge, name.to_owned(), by);
            return;
        }
        let sum = self.sums.entry(name.to_owned()).or_default();
        *sum = sum.saturating_add(by);
    }
}
