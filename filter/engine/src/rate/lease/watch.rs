//! The watch over the leases of all VMs, which finds those that are renewed no more.

use super::{LeaseRecord, Parts, SLOTS};

/// The number of times that a record is found as it was before its holder counts as dead. A VM looks at
/// records as often as it renews its own, and so finds each changed every time but for one that was late.
const UNCHANGED: u32 = 3;

/// The leases of all as one VM has seen them.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    slots: Vec<Option<Seen>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    holder: u64,
    serial: u64,
    unchanged: u32,
}

impl Watch {
    /// Looks at a slot, about once in the time in which a lease is renewed. Returns the parts to give back if
    /// the record must be taken from a holder that is dead.
    pub(crate) fn look(&mut self, slot: u32, bytes: &[u8]) -> Option<Parts> {
        let index = usize::try_from(slot.min(SLOTS)).ok()?;
        if self.slots.len() <= index {
            self.slots.resize(index.saturating_add(1), None);
        }
        let record = LeaseRecord::read(bytes);
        let seen = self.slots.get_mut(index)?;
        let before = seen.take();
        let record = record?;
        let is_unchanged = before.is_some_and(|b| (b.holder, b.serial) == (record.holder, record.serial));
        let unchanged = if is_unchanged { before.map_or(0, |b| b.unchanged.saturating_add(1)) } else { 0 };
        *seen = Some(Seen { holder: record.holder, serial: record.serial, unchanged });
        (unchanged >= UNCHANGED).then_some(record.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(holder: u64, serial: u64) -> Vec<u8> {
        LeaseRecord { holder, serial, parts: Parts::from([("a".to_owned(), holder)]) }.write().0
    }

    #[test]
    fn a_lease_is_dead_that_was_found_unchanged_three_times_in_a_row() {
        let dead = |holder| Some(Parts::from([("a".to_owned(), holder)]));
        let story = [
            (slot(7, 1), None),
            (slot(7, 2), None),
            (slot(7, 2), None),
            (slot(7, 2), None),
            (slot(7, 3), None),
            (slot(7, 3), None),
            (slot(7, 3), None),
            (slot(8, 3), None),
            (slot(8, 3), None),
            (slot(8, 3), None),
            (slot(8, 3), dead(8)),
            (slot(8, 3), dead(8)),
            (Vec::new(), None),
            (slot(8, 3), None),
        ];
        let mut watch = Watch::default();
        for (step, (bytes, expected)) in story.into_iter().enumerate() {
            assert_eq!(watch.look(5, &bytes), expected, "step {step}");
            assert_eq!(watch.look(4, b""), None);
        }
        assert!(watch.slots.len() == 6 && watch.look(u32::MAX, b"").is_none());
    }
}
