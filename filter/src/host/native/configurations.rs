//! The configurations of the process, which its threads make ready each for itself.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::abi::calls::{FilterConfig, Scheduler};
use super::callouts::Request;
use super::metrics;
use super::series::{self, Keeping};
use super::worker::{CALLS, SERIES};

/// The configurations that Envoy has not destroyed, by their numbers, and the number that was given out last.
static CONFIGURATIONS: Mutex<(BTreeMap<u64, Arc<Configuration>>, u64)> = Mutex::new((BTreeMap::new(), 0));

/// A configuration as Envoy has handed it over.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) number: u64,
    /// The filter's name, which is the same over all its configurations.
    pub(super) name: Vec<u8>,
    /// The policies, as JSON.
    pub(super) text: Vec<u8>,
    /// The calls that the main thread is to make.
    requests: Mutex<Vec<Request>>,
    /// The means by which the main thread is called, for as long as the configuration is there.
    scheduler: Mutex<Option<Arc<Scheduler>>>,
    /// The series that it keeps, once it is known to be valid.
    keeping: Mutex<Option<Keeping>>,
    /// Says whether the event is on its way in which it keeps those that have come.
    keeps_soon: AtomicBool,
}

/// Adds a configuration, and defines its metrics: Envoy lets that be done only when it hands one over.
pub(super) fn add(config: FilterConfig, name: Vec<u8>, text: Vec<u8>) -> Arc<Configuration> {
    metrics::define_all(config);
    let mut all = lock(&CONFIGURATIONS);
    let number = all.1.wrapping_add(1).max(1);
    let configuration = Arc::new(Configuration {
        number,
        name,
        text,
        requests: Mutex::default(),
        scheduler: Mutex::default(),
        keeping: Mutex::default(),
        keeps_soon: AtomicBool::new(false),
    });
    all.0.insert(number, Arc::clone(&configuration));
    all.1 = number;
    configuration
}

/// Returns the configuration of this number, unless it is gone.
pub(super) fn get(number: u64) -> Option<Arc<Configuration>> {
    lock(&CONFIGURATIONS).0.get(&number).cloned()
}

/// Returns the configurations that came after all of `known`, of the same filters.
pub(super) fn successors(known: &[Arc<Configuration>]) -> Vec<Arc<Configuration>> {
    let Some(last) = known.iter().map(|known| known.number).max() else { return Vec::new() };
    let is_of_one = |new: &Arc<Configuration>| known.iter().any(|known| known.name == new.name);
    let all = lock(&CONFIGURATIONS);
    all.0.range(last.saturating_add(1)..).map(|(_, new)| new).filter(|new| is_of_one(new)).cloned().collect()
}

/// Does `call` for each configuration that is there. Nothing is locked meanwhile: a call into Envoy may destroy a configuration.
pub(super) fn each(call: impl Fn(&Configuration)) {
    let all: Vec<_> = lock(&CONFIGURATIONS).0.values().cloned().collect();
    all.iter().for_each(|configuration| call(configuration));
}

/// Returns what calls the main thread for some configuration that is there.
pub(super) fn scheduler() -> Option<Arc<Scheduler>> {
    let all = lock(&CONFIGURATIONS);
    all.0.values().rev().find_map(|configuration| lock(&configuration.scheduler).clone())
}

/// Forgets a configuration, and the series of its policies that no other has.
pub(super) fn remove(number: u64) {
    let removed = lock(&CONFIGURATIONS).0.remove(&number);
    if let Some(removed) = removed {
        removed.set_scheduler(None);
    }
    let all: Vec<_> = lock(&CONFIGURATIONS).0.values().cloned().collect();
    let keeps = |configuration: &Arc<Configuration>, policy: Option<&str>| {
        lock(&configuration.keeping).as_ref().is_some_and(|keeping| keeping.has(policy))
    };
    let is_kept = |policy: Option<&str>| policy.is_none() || all.iter().any(|one| keeps(one, policy));
    series::forget_all_but(is_kept);
}

impl Configuration {
    /// Sets what calls the main thread.
    pub(super) fn set_scheduler(&self, scheduler: Option<Scheduler>) {
        *lock(&self.scheduler) = scheduler.map(Arc::new);
    }

    /// Has the main thread make a call.
    pub(super) fn request(&self, request: Request) {
        lock(&self.requests).push(request);
        self.commit(CALLS);
    }

    /// Notes that the configuration is to keep the series of these policies, unless it does.
    pub(super) fn keep_series_of(&self, policies: HashSet<String>) {
        lock(&self.keeping).get_or_insert_with(|| Keeping::of(policies));
    }

    /// Has the main thread keep the series that have come.
    pub(super) fn keep_series_soon(&self) {
        if !self.keeps_soon.swap(true, Ordering::AcqRel) {
            self.commit(SERIES);
        }
    }

    /// Keeps the series that have come, on the main thread.
    pub(super) fn keep_series(&self, config: FilterConfig) {
        self.keeps_soon.store(false, Ordering::Release);
        if let Some(keeping) = lock(&self.keeping).as_mut() {
            keeping.catch_up(config);
        }
    }

    /// Has an event come to the main thread. Nothing is locked meanwhile: Envoy may destroy a configuration within the call.
    fn commit(&self, event: u64) {
        let scheduler = lock(&self.scheduler).clone();
        if let Some(scheduler) = scheduler {
            scheduler.commit(event);
        }
    }

    /// Takes the calls that are to be made.
    pub(super) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *lock(&self.requests))
    }
}

/// Locks what no panic can leave half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
