//! The events by which the module calls itself back, from any thread on the one where it asked for a scheduler.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use crate::abi::Handle;

/// The receiver of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Stream(Handle),
    Configuration(Handle),
}

type Queue = Arc<Mutex<VecDeque<(Target, u64)>>>;

thread_local! {
    static QUEUE: RefCell<Queue> = RefCell::default();
}

/// The schedulers that the module has not deleted.
static SCHEDULERS: AtomicI64 = AtomicI64::new(0);

/// The means of the module to have an event come. Its receiver may be gone: then none does.
#[derive(Debug)]
pub(crate) struct Scheduler {
    queue: Queue,
    target: Target,
}

impl Scheduler {
    /// Creates a scheduler whose events come on this thread.
    pub(crate) fn of_this_thread(target: Target) -> Self {
        SCHEDULERS.fetch_add(1, Ordering::Relaxed);
        Self { queue: QUEUE.with_borrow(Arc::clone), target }
    }

    /// Has an event come.
    pub(crate) fn commit(&self, event: u64) {
        self.queue.lock().expect("a queue").push_back((self.target, event));
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        SCHEDULERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes the next event of this thread.
pub(crate) fn next() -> Option<(Target, u64)> {
    QUEUE.with_borrow(|queue| queue.lock().expect("a queue").pop_front())
}

/// Returns how many schedulers the module has.
pub(crate) fn schedulers() -> i64 {
    SCHEDULERS.load(Ordering::Relaxed)
}
