//! A slot of the table of live connections: which VMs count how many of which key.
//!
//! An entry is the tag of its key, the holder that it belongs to, the number of connections, and the times at
//! which the oldest of them were admitted, where that is kept. Several entries of a slot may have one tag: each
//! is the part of another VM.

use std::time::Duration;

use crate::rate::lease::Holder;
use crate::rate::slots::{EntryKey, TAG_LEN, Tag};

/// The most bytes of a slot. A thousand parts find room in it, and a slot takes memory by what is in it.
const MOST: usize = 32 * 1024;

/// The length from which on a slot is rid of the parts of the dead whenever it is written. Most never come to it, so
/// that nobody has to be asked who lives.
const LONG: usize = 4 * 1024;

/// The most times that an entry has: those of the oldest connections.
pub(super) const MOST_TIMES: usize = 64;

/// The length of an entry without times: tag, holder, its slot, the number of times, and of connections.
const FIXED_LEN: usize = TAG_LEN + 8 + 4 + 4 + 8;

/// The part of one VM in the live connections of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) holder: Holder,
    pub(super) count: u64,
    /// The times at which the oldest were admitted, in nanoseconds since the Unix epoch, oldest first.
    pub(super) times: Vec<u64>,
}

/// A slot, looked at for the sake of one key.
#[derive(Debug)]
pub(super) struct LiveSlot {
    tag: Tag,
    /// The parts of the key.
    pub(super) parts: Vec<Part>,
    /// The bytes of the parts of other keys.
    others: Vec<u8>,
}

/// An entry of a slot as it is written.
struct Entry<'s> {
    tag: Tag,
    holder: Holder,
    count: u64,
    times: &'s [u8],
    whole: &'s [u8],
}

impl LiveSlot {
    /// Reads a slot. What is behind bytes that are no entry is forgotten.
    pub(super) fn read(bytes: &[u8], key: EntryKey) -> Self {
        let others = Vec::with_capacity(bytes.len() + FIXED_LEN);
        let mut slot = Self { tag: key.tag(), parts: Vec::new(), others };
        for entry in entries(bytes) {
            match entry.tag == slot.tag {
                true => slot.parts.push(entry.part()),
                false => slot.others.extend_from_slice(entry.whole),
            }
        }
        slot
    }

    /// Returns the number of connections that all parts have.
    pub(super) fn count(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.count))
    }

    /// Returns the part of `holder`.
    pub(super) fn part_of(&self, holder: u64) -> Option<&Part> {
        self.parts.iter().find(|part| part.holder.id == holder)
    }

    /// Puts a part in the place of its holder's; one that has no connections is left out.
    pub(super) fn put(&mut self, part: Part) {
        self.parts.retain(|known| known.holder.id != part.holder.id);
        if part.count > 0 {
            self.parts.push(part);
        }
    }

    /// Forgets the parts of the key whose holders are dead.
    pub(super) fn bury(&mut self, is_alive: &mut dyn FnMut(Holder) -> bool) {
        self.parts.retain(|part| is_alive(part.holder));
    }

    /// Takes the oldest connection whose time is known out of its part, which stays for its holder to see that,
    /// and returns the holder and the time.
    pub(super) fn take_oldest(&mut self) -> Option<(Holder, Duration)> {
        let oldest = self.parts.iter_mut().filter(|part| !part.times.is_empty());
        let part = oldest.min_by_key(|part| part.times.first().copied())?;
        let time = part.times.remove(0);
        part.count = part.count.saturating_sub(1);
        Some((part.holder, Duration::from_nanos(time)))
    }

    /// Returns the slot's bytes, without the parts of the dead if it would be long with them; nothing if it is too
    /// long all the same.
    pub(super) fn write(mut self, is_alive: &mut dyn FnMut(Holder) -> bool) -> Option<Vec<u8>> {
        if self.len() > LONG {
            self.bury(is_alive);
            let others = std::mem::take(&mut self.others);
            let alive = entries(&others).filter(|entry| is_alive(entry.holder));
            self.others = alive.flat_map(|entry| entry.whole).copied().collect();
        }
        (self.len() <= MOST).then(|| self.into_bytes())
    }

    fn len(&self) -> usize {
        let own = self.parts.iter().map(|part| FIXED_LEN + part.times.len().min(MOST_TIMES) * 8);
        own.fold(self.others.len(), usize::saturating_add)
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.others;
        self.parts.iter().for_each(|part| push(&mut bytes, self.tag, part));
        bytes
    }
}

/// Returns the number of connections that all parts of a key have in a slot.
pub(super) fn count(bytes: &[u8], key: EntryKey) -> u64 {
    let own = entries(bytes).filter(|entry| entry.tag == key.tag());
    own.fold(0, |sum, entry| sum.saturating_add(entry.count))
}

/// Returns the number of connections that the parts of a key have in a slot, but for the part of `holder`.
pub(super) fn count_of_others(bytes: &[u8], key: EntryKey, holder: u64) -> u64 {
    let others = entries(bytes).filter(|entry| entry.tag == key.tag() && entry.holder.id != holder);
    others.fold(0, |sum, entry| sum.saturating_add(entry.count))
}

/// Brings the part of `holder` in a slot to `count` connections, of which it keeps no times, and says whether that
/// changed anything; `None` for a slot that has to be read and written whole, since it is long, or has in it what is no
/// entry.
pub(super) fn set_count(bytes: &mut Vec<u8>, key: EntryKey, holder: Holder, count: u64) -> Option<bool> {
    let (mut at, mut own) = (0, None);
    for entry in entries(bytes) {
        let len = entry.whole.len();
        if entry.tag == key.tag() && entry.holder.id == holder.id {
            let is_plain = entry.times.is_empty() && entry.holder == holder;
            if own.is_some() || !(is_plain || count == 0) {
                return None;
            }
            own = Some((at..at + len, entry.count));
        }
        at += len;
    }
    if at != bytes.len() || at + FIXED_LEN > LONG {
        return None;
    }
    match own {
        Some((own, _)) if count == 0 => drop(bytes.drain(own)),
        // The count is the last field of an entry without times.
        Some((own, known)) => {
            *bytes.get_mut(own)?.last_chunk_mut()? = count.to_le_bytes();
            return Some(known != count);
        }
        None if count == 0 => return Some(false),
        None => push(bytes, key.tag(), &Part { holder, count, times: Vec::new() }),
    }
    Some(true)
}

/// Writes an entry behind the others.
fn push(bytes: &mut Vec<u8>, tag: Tag, part: &Part) {
    let times = part.times.get(..MOST_TIMES).unwrap_or(&part.times);
    bytes.extend_from_slice(&tag);
    bytes.extend_from_slice(&part.holder.id.to_le_bytes());
    bytes.extend_from_slice(&part.holder.slot.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(times.len()).unwrap_or(0).to_le_bytes());
    bytes.extend_from_slice(&part.count.to_le_bytes());
    times.iter().for_each(|time| bytes.extend_from_slice(&time.to_le_bytes()));
}

/// Returns the entries of a slot, up to bytes that are none.
fn entries(mut rest: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || {
        let entry = Entry::read(rest)?;
        rest = rest.get(entry.whole.len()..)?;
        Some(entry)
    })
}

impl<'s> Entry<'s> {
    fn read(bytes: &'s [u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first_chunk::<TAG_LEN>()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (slot, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?.checked_mul(8)?;
        Some(Self {
            tag: *tag,
            holder: Holder { id: u64::from_le_bytes(*id), slot: u32::from_le_bytes(*slot) },
            count: u64::from_le_bytes(*count),
            times: rest.get(..len)?,
            whole: bytes.get(..FIXED_LEN.checked_add(len)?)?,
        })
    }

    fn part(&self) -> Part {
        let times = self.times.chunks_exact(8).filter_map(|time| time.try_into().ok());
        let times = times.map(u64::from_le_bytes).collect();
        Part { holder: self.holder, count: self.count, times }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> EntryKey {
        EntryKey::of_bytes([byte; 16])
    }

    fn part(id: u64, times: &[u64]) -> Part {
        Part { holder: Holder { id, slot: 7 }, count: times.len() as u64, times: times.to_vec() }
    }

    #[test]
    fn parts_keep_their_key_their_holder_and_their_neighbours() {
        let mut bytes = Vec::new();
        for (byte, id, times) in [(1, 5, &[3, 4][..]), (2, 5, &[9]), (1, 6, &[2, 8])] {
            let mut slot = LiveSlot::read(&bytes, key(byte));
            slot.put(part(id, times));
            bytes = slot.write(&mut |_| true).unwrap();
        }
        let first = LiveSlot::read(&bytes, key(1));
        assert_eq!((first.count(), first.part_of(6)), (4, Some(&part(6, &[2, 8]))));
        assert_eq!(LiveSlot::read(&bytes, key(2)).parts, [part(5, &[9])]);
        assert_eq!(LiveSlot::read(&bytes, key(3)).count(), 0);
    }

    #[test]
    fn a_count_is_set_in_its_place_as_if_the_slot_had_been_read_and_written() {
        let plain = |id: u64, count: u64| Part { holder: Holder { id, slot: 7 }, count, times: Vec::new() };
        let mut bytes = Vec::new();
        for (byte, part) in [(1, part(5, &[3, 4])), (2, plain(5, 2)), (1, plain(6, 3))] {
            push(&mut bytes, key(byte).tag(), &part);
        }
        for (byte, id, count) in [(2, 5, 9), (1, 6, 0), (1, 5, 0), (3, 5, 1), (1, 8, 1), (2, 5, u64::MAX)] {
            let mut read = LiveSlot::read(&bytes, key(byte));
            read.put(plain(id, count));
            let expected = (byte, read.count(), read.others.len());
            let before = count_of_others(&bytes, key(byte), id);
            assert_eq!(
                set_count(&mut bytes, key(byte), plain(id, 0).holder, count),
                Some(true),
                "{byte} {id}"
            );
            let slot = LiveSlot::read(&bytes, key(byte));
            assert_eq!((byte, slot.count(), slot.others.len()), expected);
            assert_eq!(slot.part_of(id).map_or(0, |part| part.count), count);
            assert_eq!(count_of_others(&bytes, key(byte), id), before);
        }
        let before = bytes.clone();
        for (byte, id, count) in [(2, 5, u64::MAX), (9, 5, 0), (1, 7, 0)] {
            assert_eq!(set_count(&mut bytes, key(byte), plain(id, 0).holder, count), Some(false));
        }
        assert_eq!(bytes, before);
    }

    #[test]
    fn a_count_is_not_set_where_a_slot_has_to_be_read_whole() {
        let holder = part(5, &[]).holder;
        let slot = |parts: &[Part]| {
            let mut bytes = Vec::new();
            parts.iter().for_each(|part| push(&mut bytes, key(1).tag(), part));
            bytes
        };
        let moved = Part { holder: Holder { id: 5, slot: 8 }, count: 1, times: Vec::new() };
        let long: Vec<Part> = (6..6 + (LONG / FIXED_LEN) as u64).map(|id| part(id, &[])).collect();
        let rows: [(&str, Vec<u8>); 5] = [
            ("ages are kept", slot(&[part(5, &[3])])),
            ("the holder has another slot now", slot(std::slice::from_ref(&moved))),
            ("a part twice", slot(&[moved.clone(), moved])),
            ("bytes that are no entry", [slot(&[part(6, &[])]), vec![1, 2, 3]].concat()),
            ("long", slot(&long)),
        ];
        for (name, bytes) in rows {
            let mut changed = bytes.clone();
            assert_eq!(set_count(&mut changed, key(1), holder, 2), None, "{name}");
            assert_eq!(changed, bytes, "{name}");
        }
    }

    #[test]
    fn the_oldest_of_all_holders_is_taken_first_and_its_part_stays() {
        let mut slot = LiveSlot::read(&[], key(1));
        slot.put(part(5, &[3, 4]));
        slot.put(part(6, &[1]));
        let mut taken = Vec::new();
        while let Some((holder, time)) = slot.take_oldest() {
            taken.push((holder.id, time.as_nanos()));
        }
        assert_eq!(taken, [(6, 1), (5, 3), (5, 4)]);
        assert_eq!((slot.count(), slot.parts.len()), (0, 2));
    }

    #[test]
    fn a_slot_that_is_long_is_rid_of_the_dead_and_one_that_is_too_long_takes_no_more() {
        let mut slot = LiveSlot::read(&[], key(1));
        let many = LONG / FIXED_LEN;
        for id in 0..many as u64 {
            slot.put(Part { holder: Holder { id, slot: 0 }, count: 1, times: Vec::new() });
        }
        let mut full = LiveSlot::read(&slot.write(&mut |_| panic!("nobody is asked")).unwrap(), key(2));
        full.put(part(9, &[1]));
        let odd = full.write(&mut |holder| holder.id % 2 == 1).unwrap();
        assert_eq!(LiveSlot::read(&odd, key(1)).parts.len(), many / 2);
        assert_eq!(LiveSlot::read(&odd, key(2)).parts, [part(9, &[1])]);
        let mut slot = LiveSlot::read(&odd, key(2));
        for id in 0..(MOST / FIXED_LEN) as u64 {
            slot.put(part(id, &[1]));
        }
        assert_eq!(slot.write(&mut |_| true), None);
    }

    #[test]
    fn bytes_that_are_no_slot_are_read_as_far_as_they_are_one() {
        let mut slot = LiveSlot::read(&[], key(1));
        slot.put(part(5, &[3, 4]));
        let bytes = slot.write(&mut |_| true).unwrap();
        for len in 0..bytes.len() {
            assert_eq!(LiveSlot::read(&bytes[..len], key(1)).count(), 0, "{len}");
        }
        let mut long = bytes;
        long[TAG_LEN + 12..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(LiveSlot::read(&long, key(1)).count(), 0);
    }
}
