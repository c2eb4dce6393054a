//! The slots that were looked at and are likely to be swapped soon: a handshake looks for a place first, and takes it when
//! everything else is settled.

/// The most slots that are kept. A handshake looks at two; those of handshakes that wait for a document meanwhile are read
/// again.
const MOST: usize = 4;

/// The bytes of slots as they were read, with the numbers by which they can be swapped. What somebody else has swapped since
/// is told by the number.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<(u32, Vec<u8>, Option<u32>)>);

impl Seen {
    /// Keeps what a slot was seen to be, in the place of what was seen there before, or longest ago.
    pub(super) fn keep(&mut self, slot: u32, bytes: Vec<u8>, number: Option<u32>) {
        self.forget(slot);
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push((slot, bytes, number));
    }

    /// Takes what a slot was seen to be, if it is kept.
    pub(super) fn take(&mut self, slot: u32) -> Option<(Vec<u8>, Option<u32>)> {
        let index = self.0.iter().position(|(seen, _, _)| *seen == slot)?;
        let (_, bytes, number) = self.0.remove(index);
        Some((bytes, number))
    }

    /// Forgets a slot, which is about to change.
    pub(super) fn forget(&mut self, slot: u32) {
        self.0.retain(|(seen, _, _)| *seen != slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_kept_as_it_was_seen_last_until_it_is_taken_or_changes_or_others_were_seen_since() {
        let mut seen = Seen::default();
        for (slot, byte) in [(7, 1), (8, 2), (7, 3), (9, 4)] {
            seen.keep(slot, vec![byte], Some(u32::from(byte)));
        }
        assert_eq!(seen.take(7), Some((vec![3], Some(3))));
        assert_eq!(seen.take(7), None);
        seen.forget(8);
        assert_eq!(seen.take(8), None);
        for slot in 10..14 {
            seen.keep(slot, Vec::new(), None);
        }
        assert_eq!((seen.take(9), seen.take(10)), (None, Some((Vec::new(), None))));
    }
}
