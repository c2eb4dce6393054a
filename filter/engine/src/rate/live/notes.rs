//! The notes by which VMs tell one another where connections have made way: the holder's number, and the key.

use crate::rate::lease::Holder;
use crate::rate::slots::{EntryKey, KEY_LEN};

/// The most notes that wait for one VM, which reads them several times a second.
const MOST: usize = 1024;

const NOTE_LEN: usize = 8 + KEY_LEN;

/// Adds a note for `holder` to those that wait, unless it is there; nothing if there are too many. Those for
/// other holders, which have the slot no more or not yet, are the first to go.
pub(super) fn add(notes: &[u8], holder: Holder, key: EntryKey) -> Option<Vec<u8>> {
    let note = [holder.id.to_le_bytes().as_slice(), &key.bytes()].concat();
    let added = |is_kept: &dyn Fn(&[u8]) -> bool| -> Option<Vec<u8>> {
        let kept = notes.chunks_exact(NOTE_LEN).filter(|known| **known != note && is_kept(known));
        let all: Vec<u8> = kept.chain([note.as_slice()]).flatten().copied().collect();
        (all.len() <= MOST * NOTE_LEN).then_some(all)
    };
    added(&|_| true).or_else(|| added(&|known| is_for(known, holder)))
}

/// Returns the notes for other holders than `holder`.
pub(super) fn of_others(notes: &[u8], holder: Holder) -> Vec<u8> {
    let others = notes.chunks_exact(NOTE_LEN).filter(|note| !is_for(note, holder));
    others.flatten().copied().collect()
}

fn is_for(note: &[u8], holder: Holder) -> bool {
    note.starts_with(&holder.id.to_le_bytes())
}

/// Returns the keys in the notes for `holder`.
pub(super) fn read(notes: &[u8], holder: Holder) -> Vec<EntryKey> {
    let own = notes.chunks_exact(NOTE_LEN).filter_map(|note| note.split_first_chunk::<8>());
    let own = own.filter(|(id, _)| u64::from_le_bytes(**id) == holder.id);
    own.filter_map(|(_, key)| Some(EntryKey::of_bytes(key.try_into().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_for_one_holder_comes_once_and_too_many_are_refused() {
        let [old, new] = [1, 2].map(|id| Holder { id, slot: 0 });
        let key = |n: u32| EntryKey::of_bytes(std::array::from_fn(|i| n.to_le_bytes()[i % 4]));
        let mut notes = add(&[], old, key(0)).unwrap();
        for n in [1, 2, 1] {
            notes = add(&notes, new, key(n)).unwrap();
        }
        assert_eq!(read(&notes, new), [key(2), key(1)]);
        assert_eq!(read(&notes, old), [key(0)]);
        assert_eq!(read(&of_others(&notes, new), old), [key(0)]);
        assert_eq!(read(&of_others(&notes, new), new), []);
        for n in 0..u32::try_from(MOST).unwrap() {
            notes = add(&notes, new, key(n)).unwrap();
        }
        assert_eq!(read(&notes, old), []);
        assert_eq!(add(&notes, new, key(u32::MAX)), None);
        assert_eq!(read(b"no notes", new), []);
    }
}
