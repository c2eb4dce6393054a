//! The counts that another thread tells Envoy of.
//!
//! What a worker counts as it begins to rest is told by the main thread: each call for a metric with labels costs Envoy more than all
//! that a handshake costs Postern, and other handshakes may come at once. What the main thread counts on Envoy 1.38, whose
//! configurations have no functions for it, is told by a stream, with the next tick of its worker.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::abi::calls::{Counting, Metric};

/// The values of a metric's labels.
pub(super) type Labels = Arc<[Vec<u8>]>;

/// The changes that nobody has told yet, one for each series, of which there are as many as configurations have labels for.
static OWED: Mutex<Option<HashMap<(Metric, Labels), Change>>> = Mutex::new(None);

thread_local! {
    /// Says whether counters of this worker are left to the main thread.
    static LEAVES: Cell<bool> = const { Cell::new(false) };
}

/// A change of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Add(i64),
    Set(u64),
}

impl Change {
    /// Returns the change that is this one, and then another.
    fn then(self, next: Self) -> Self {
        match (self, next) {
            (_, Self::Set(_)) => next,
            (Self::Add(before), Self::Add(by)) => Self::Add(before.saturating_add(by)),
            (Self::Set(value), Self::Add(by)) => Self::Set(value.saturating_add_signed(by)),
        }
    }

    /// Makes the change at a place where it can be counted.
    fn make(self, counting: Counting, metric: Metric, labels: &[Vec<u8>]) {
        match self {
            Self::Add(by) => counting.add(metric, labels, by),
            Self::Set(value) => counting.set(metric, labels, value),
        }
    }
}

/// Does `count` with what it counts left to the main thread, if that can tell it. A gauge has one value, whoever sets it last.
pub(super) fn leave_to_main(count: impl FnOnce()) {
    LEAVES.set(Counting::can_main_count());
    count();
    leave_no_more();
}

/// Forgets that counters are left to the main thread, as a panic has ended that.
pub(super) fn leave_no_more() {
    LEAVES.set(false);
}

/// Makes a change of a metric, or owes it if it is not to be told here.
pub(super) fn change(counting: Counting, metric: Metric, labels: &Labels, change: Change) {
    let is_left = LEAVES.get() && matches!((metric, change), (Metric::Counter(_), Change::Add(_)));
    if counting.can_count() && !is_left {
        change.make(counting, metric, labels);
        return;
    }
    let mut owed = OWED.lock().unwrap_or_else(PoisonError::into_inner);
    owed.get_or_insert_default()
        .entry((metric, Arc::clone(labels)))
        .and_modify(|before| *before = before.then(change))
        .or_insert(change);
}

/// Tells all that is owed, if it is at this place that it is told.
pub(super) fn pay(counting: Counting) {
    if matches!(counting, Counting::Config(_)) != Counting::can_main_count() {
        return;
    }
    let owed = OWED.lock().unwrap_or_else(PoisonError::into_inner).take();
    for ((metric, labels), change) in owed.into_iter().flatten() {
        change.make(counting, metric, &labels);
    }
}

#[cfg(test)]
mod tests {
    use super::Change::{Add, Set};

    #[test]
    fn changes_of_a_metric_that_is_owed_are_one() {
        for (changes, one) in [
            (vec![Add(1), Add(2)], Add(3)),
            (vec![Add(1), Set(7)], Set(7)),
            (vec![Set(7), Add(-2)], Set(5)),
            (vec![Set(1), Add(-2)], Set(0)),
            (vec![Add(i64::MAX), Add(1)], Add(i64::MAX)),
        ] {
            let made = changes.iter().copied().reduce(super::Change::then);
            assert_eq!(made, Some(one), "{changes:?}");
        }
    }
}
