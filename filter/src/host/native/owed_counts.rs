//! What Envoy's main thread has counted and cannot say: configurations of Envoy 1.38 have no functions for that, as streams have.
//! So a stream says it, with the next tick of its worker; with no stream there at all it stays unsaid until one comes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::abi::calls::{Counting, Filter, Metric};

/// A metric and the values of its labels.
type Series = (Metric, Vec<Vec<u8>>);

/// The changes that no stream has said yet, one for each series, of which there are as many as a configuration has labels for.
static OWED: Mutex<Option<HashMap<Series, Change>>> = Mutex::new(None);

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

/// Makes a change of a metric, or owes it if nothing at this place can.
pub(super) fn change(counting: Counting, metric: Metric, labels: &[Vec<u8>], change: Change) {
    if counting.can_count() {
        change.make(counting, metric, labels);
        return;
    }
    let mut owed = OWED.lock().unwrap_or_else(PoisonError::into_inner);
    owed.get_or_insert_default()
        .entry((metric, labels.to_vec()))
        .and_modify(|before| *before = before.then(change))
        .or_insert(change);
}

/// Says by a stream all that is owed.
pub(super) fn pay(filter: Filter) {
    let owed = OWED.lock().unwrap_or_else(PoisonError::into_inner).take();
    for ((metric, labels), change) in owed.into_iter().flatten() {
        change.make(Counting::Filter(filter), metric, &labels);
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
