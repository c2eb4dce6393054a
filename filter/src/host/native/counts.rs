//! The counts of the threads, each of its own: the main thread takes them from all, also from those that have no stream and
//! so are not called. On Envoy 1.38, whose main thread cannot count, whichever thread has a stream does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::callback;
use super::owed_counts;
use crate::host::random_number;
use crate::metrics::Counts;

/// The counts of all threads that have ever counted: Envoy keeps its threads until it ends.
static ALL: Mutex<Vec<Arc<Mutex<Counts>>>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: Arc<Mutex<Counts>> = {
        let own = Arc::new(Mutex::new(Counts::new(random_number().unwrap_or(1))));
        lock(&ALL).push(Arc::clone(&own));
        own
    };
}

/// Says whether a worker can die while others live on. A thread does not.
pub(crate) const WORKERS_DIE_ALONE: bool = false;

/// Does `change`, which counts nothing by itself, to what this thread has counted.
pub(crate) fn with_counts<T>(change: impl FnOnce(&mut Counts) -> T) -> T {
    OWN.with(|own| change(&mut lock(own)))
}

/// Does `take` to what each thread has counted, if it is here that it is told.
pub(crate) fn each_counts(mut take: impl FnMut(&mut Counts)) {
    if callback::current().is_some_and(|current| owed_counts::is_told_by(current.counting)) {
        let all = lock(&ALL).clone();
        all.iter().for_each(|counts| take(&mut lock(counts)));
    }
}

/// Locks counts. Of those at hand in a panic some may not be told, and all others are.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
