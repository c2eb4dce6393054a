//! The tables that all workers of an Envoy share, and the keys of their entries.
//!
//! The host keeps a fixed number of slots for each table, each a short list of entries; this module decides
//! which slot an entry is in and which bytes that slot has next. Whoever drives the module swaps them in by
//! compare-and-swap. Each table knows what the numbers of an entry mean and when one may be forgotten.
//!
//! An entry has one slot and never another, so that no order of reads and swaps of any workers can make two
//! of it. An entry for which its slot has no room has no other place; so there are so many slots, with so
//! much more room than entries on average, that a million live entries all find theirs. The first to find its
//! slot full comes at about 1.6 million, and one in a hundred at 2.2 million; three million are all there is
//! room for, however many clients come. A slot takes memory by what is in it, and none before its first
//! entry.

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher24};

/// The number of slots that the host keeps for each table.
pub const SLOTS: u32 = 1 << 16;

/// The number of entries that a slot has room for.
pub const WAYS: usize = 48;

/// The longest time by which the times at which workers ask a table may be out of order: each has read the
/// clock first, and then may have waited for the processor and for the others.
pub(crate) const DISORDER: Duration = Duration::from_secs(10);

pub(crate) const KEY_LEN: usize = 16;
pub(crate) const TAG_LEN: usize = 8;
const NUMBER_LEN: usize = 8;

/// A key space names entries so that nobody outside can tell, or choose, which share a slot.
#[derive(Clone)]
pub struct KeySpace {
    seed: [u8; 16],
}

/// The name of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryKey([u8; KEY_LEN]);

/// The tag that tells an entry from the others of its slot. Together with the number of the slot it has 80
/// bits that nobody outside can foresee: with a million live entries one chance in 10^12 that any two of them
/// share a name.
pub(crate) type Tag = [u8; TAG_LEN];

/// A slot, looked at for the sake of one entry of `N` numbers.
#[derive(Debug)]
pub(crate) struct Slot<const N: usize> {
    tag: Tag,
    found: Option<[u64; N]>,
    /// The bytes of the entries that are kept beside it.
    others: Vec<u8>,
}

impl KeySpace {
    /// Creates a key space of the secret `seed`, on which all workers of an Envoy must agree.
    pub fn new(seed: [u8; 16]) -> Self {
        Self { seed }
    }

    /// Returns a key space apart from this one, for what is counted and not enforced.
    pub(crate) fn in_shadow(&self) -> Self {
        Self { seed: self.seed.map(|byte| !byte) }
    }

    /// Returns the name of the entry that these parts and numbers identify.
    pub(crate) fn entry<'p>(&self, parts: impl IntoIterator<Item = &'p [u8]>, numbers: &[u64]) -> EntryKey {
        let mut hasher = SipHasher24::new_with_key(&self.seed);
        for part in parts {
            // The length keeps neighbouring parts apart.
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        for number in numbers {
            hasher.write(&number.to_le_bytes());
        }
        EntryKey(hasher.finish128().as_bytes())
    }
}

impl std::fmt::Debug for KeySpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySpace(…)")
    }
}

impl EntryKey {
    /// Returns the slot that the entry is in; less than [`SLOTS`].
    pub fn slot(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_le_bytes([a, b, c, d]) % SLOTS
    }

    pub(crate) fn tag(&self) -> Tag {
        // The tag has other bytes than the number of the slot.
        let [.., a, b, c, d, e, f, g, h] = self.0;
        [a, b, c, d, e, f, g, h]
    }

    /// Returns the bytes of the name, by which another VM finds the entry.
    pub(crate) fn bytes(&self) -> [u8; KEY_LEN] {
        self.0
    }

    /// Returns the name that has these bytes.
    pub(crate) fn of_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> Slot<N> {
    /// The length of an entry in bytes.
    pub(crate) const ENTRY_LEN: usize = TAG_LEN + N * NUMBER_LEN;

    /// Reads `slot` for the entry `key`, and keeps those of the others that may not be forgotten. Bytes that
    /// are no slot count as an empty one.
    pub(crate) fn read(slot: &[u8], key: EntryKey, may_forget: impl Fn(&[u64; N]) -> bool) -> Self {
        let (tag, mut found) = (key.tag(), None);
        let mut others = Vec::with_capacity(slot.len() + Self::ENTRY_LEN);
        for entry in slot.chunks_exact(Self::ENTRY_LEN) {
            match parse(entry) {
                Some((other, numbers)) if other == tag => found = Some(numbers),
                Some((_, numbers)) if !may_forget(&numbers) => others.extend_from_slice(entry),
                _ => {}
            }
        }
        Self { tag, found, others }
    }

    /// Returns the numbers of the entry, if it is there.
    pub(crate) fn found(&self) -> Option<[u64; N]> {
        self.found
    }

    /// Says whether there is a place for the entry.
    pub(crate) fn has_room(&self) -> bool {
        self.others.len() < WAYS * Self::ENTRY_LEN
    }

    /// Returns the slot's new bytes, in which the entry has these numbers.
    pub(crate) fn put(mut self, numbers: [u64; N]) -> Vec<u8> {
        self.others.extend_from_slice(&self.tag);
        for number in numbers {
            self.others.extend_from_slice(&number.to_le_bytes());
        }
        self.others
    }
}

fn parse<const N: usize>(entry: &[u8]) -> Option<(Tag, [u64; N])> {
    let (tag, mut rest) = entry.split_first_chunk::<TAG_LEN>()?;
    let mut numbers = [0; N];
    for number in &mut numbers {
        let (bytes, behind) = rest.split_first_chunk::<NUMBER_LEN>()?;
        *number = u64::from_le_bytes(*bytes);
        rest = behind;
    }
    Some((*tag, numbers))
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_name_do_not_run_together() {
        let keys = KeySpace::new([1; 16]);
        let name = |parts: &[&[u8]]| keys.entry(parts.iter().copied(), &[]);
        assert_ne!(name(&[b"ab", b"c"]), name(&[b"a", b"bc"]));
        assert_ne!(name(&[b"ab", b""]), name(&[b"ab"]));
        assert_eq!(name(&[b"ab", b"c"]), name(&[b"ab", b"c"]));
        assert_ne!(name(&[b"a"]), KeySpace::new([2; 16]).entry([b"a".as_slice()], &[]));
    }

    #[test]
    fn an_entry_keeps_its_numbers_and_its_neighbours() {
        let key = |byte| EntryKey::of_bytes([byte; 16]);
        let mut slot = Vec::new();
        for byte in 0..4 {
            let read = Slot::<2>::read(&slot, key(byte), |_| false);
            assert_eq!(read.found(), None);
            slot = read.put([u64::from(byte), u64::MAX]);
        }
        assert_eq!(slot.len(), 4 * Slot::<2>::ENTRY_LEN);
        let read = Slot::<2>::read(&slot, key(1), |[first, _]| *first == 3);
        assert_eq!(read.found(), Some([1, u64::MAX]));
        assert!(read.has_room());
        let slot = read.put([7, 7]);
        for (byte, numbers) in [(0, Some([0, u64::MAX])), (1, Some([7, 7])), (3, None)] {
            assert_eq!(Slot::<2>::read(&slot, key(byte), |_| false).found(), numbers, "{byte}");
        }
    }

    #[test]
    fn a_slot_has_room_for_so_many_others_and_no_more() {
        let others = |count: usize| {
            let entries = (1..=count)
                .map(|i| [&[1, 2, 3, 4, 5, 6, 7, u8::try_from(i).unwrap()], &[0; 16][..]].concat());
            Slot::<2>::read(&entries.collect::<Vec<_>>().concat(), EntryKey::of_bytes([0; 16]), |_| false)
        };
        assert!(others(WAYS - 1).has_room() && !others(WAYS).has_room());
    }
}
