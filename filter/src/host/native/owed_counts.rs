//! The counts that are yet to be told.
//!
//! Envoy keeps, for as long as a stream lasts, the labels of all that the stream has ever counted. So a stream tells at once what it
//! counts of itself, as its handshake and its Close, and no more than a few such things; what workers add up, and all beyond, they
//! leave to the main thread, whose configurations keep nothing. Those of Envoy 1.38 have no functions for counting; there it is told
//! by streams that end, by others as far as each may, and now and then by one that has told as much.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::abi::calls::{Counting, Metric};

/// The values of a metric's labels.
pub(super) type Labels = Arc<[Vec<u8>]>;

/// The time for which streams that have told as much as they may leave to others what is to be told.
const LONGEST: Duration = Duration::from_secs(10);

thread_local! {
    /// Says whether what is counted now may be told later.
    static LATER: Cell<bool> = const { Cell::new(false) };
}

/// What nobody has told yet.
static OWED: Mutex<Option<Owed>> = Mutex::new(None);

/// The changes, one for each series, of which there are as many as configurations have labels for.
#[derive(Default)]
struct Owed {
    changes: HashMap<(Metric, Labels), Change>,
    /// The time when the first of them was made.
    since: Option<Instant>,
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

/// Does `count`, whose counts may be told later.
pub(crate) fn tell_later(count: impl FnOnce()) {
    let before = LATER.replace(true);
    count();
    LATER.set(before);
}

/// Says whether what is counted now may be told later.
pub(super) fn is_told_later() -> bool {
    LATER.get()
}

/// Forgets that what is counted may be told later, as a panic has ended that.
pub(super) fn forget() {
    LATER.set(false);
}

/// Makes a change of a metric at once; a configuration first tells what was left before.
pub(super) fn tell(counting: Counting, metric: Metric, labels: &Labels, change: Change) {
    if matches!(counting, Counting::Config(_)) {
        pay(counting);
    }
    change.make(counting, metric, labels);
}

/// Leaves a change of a metric to whoever is to tell it.
pub(super) fn leave(metric: Metric, labels: &Labels, change: Change) {
    let mut owed = OWED.lock().unwrap_or_else(PoisonError::into_inner);
    let owed = owed.get_or_insert_default();
    owed.since.get_or_insert_with(Instant::now);
    owed.changes
        .entry((metric, Arc::clone(labels)))
        .and_modify(|before| *before = before.then(change))
        .or_insert(change);
}

/// Tells all that is owed, if it is at this place that it is told.
pub(super) fn pay(counting: Counting) {
    if !is_told_by(counting) {
        return;
    }
    let owed = OWED.lock().unwrap_or_else(PoisonError::into_inner).take();
    for ((metric, labels), change) in owed.unwrap_or_default().changes {
        change.make(counting, metric, &labels);
    }
}

/// Returns the number of series of which something is owed, and says whether it is owed for long.
pub(super) fn owed() -> (usize, bool) {
    let owed = OWED.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(owed) = owed.as_ref() else { return (0, false) };
    (owed.changes.len(), owed.since.is_some_and(|since| since.elapsed() >= LONGEST))
}

/// Says whether it is here that things are told: by configurations if they can count, else by streams.
pub(super) fn is_told_by(counting: Counting) -> bool {
    matches!(counting, Counting::Config(_)) == Counting::can_main_count()
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
