//! The record of a lease as the bytes of its slot: the holder's number, the number of its renewals, and then
//! each part: the length of its name, the name, and its amount. An empty slot is a free one.

use super::Parts;

/// The most bytes of a record.
const MOST: usize = 64 * 1024;

/// The record in a slot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeaseRecord {
    pub(crate) holder: u64,
    /// The serial number, another one after each renewal.
    pub(crate) serial: u64,
    pub(crate) parts: Parts,
}

impl LeaseRecord {
    /// Reads a slot; bytes that are no record count as none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (holder, rest) = number(bytes)?;
        let (serial, mut rest) = number(rest)?;
        let mut parts = Parts::new();
        while !rest.is_empty() {
            let (len, behind) = rest.split_first_chunk()?;
            let (name, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
            let (part, behind) = number(behind)?;
            parts.insert(String::from_utf8(name.to_vec()).ok()?, part);
            rest = behind;
        }
        Some(Self { holder, serial, parts })
    }

    /// Returns the bytes of the slot, and the parts that are in them: as many as there is room for.
    pub(crate) fn write(self) -> (Vec<u8>, Parts) {
        let mut bytes = [self.holder.to_be_bytes(), self.serial.to_be_bytes()].concat();
        let mut written = self.parts;
        written.retain(|name, part| {
            let Ok(len) = u16::try_from(name.len()) else { return false };
            let entry = [&len.to_be_bytes(), name.as_bytes(), &part.to_be_bytes()].concat();
            let has_room = bytes.len().saturating_add(entry.len()) <= MOST;
            if has_room {
                bytes.extend(entry);
            }
            has_room
        });
        (bytes, written)
    }
}

/// Returns the holder's number of the record in a slot.
pub(super) fn holder(bytes: &[u8]) -> Option<u64> {
    number(bytes).map(|(holder, _)| holder)
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(names: impl IntoIterator<Item = String>) -> LeaseRecord {
        LeaseRecord { holder: u64::MAX, serial: 7, parts: names.into_iter().zip(1..).collect() }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_cut_short_is_no_record() {
        for names in [vec![], vec!["a".to_owned()], vec![String::new(), "ä".to_owned(), "b".repeat(300)]] {
            let (bytes, parts) = record(names.clone()).write();
            assert_eq!(parts, record(names.clone()).parts);
            assert_eq!(LeaseRecord::read(&bytes), Some(record(names)));
            for len in 0..bytes.len() {
                let read = LeaseRecord::read(&bytes[..len]).map(|record| record.parts.len());
                assert!(read.is_none_or(|count| count < parts.len()), "{len} of {} bytes", bytes.len());
            }
        }
        assert_eq!(LeaseRecord::read(&[0; 16][..]).map(|record| record.parts.len()), Some(0));
        assert_eq!(
            LeaseRecord::read(&[[0; 16].as_slice(), &[0, 1, 0xff], &[0; 8]].concat()),
            None,
            "no UTF-8"
        );
    }

    #[test]
    fn a_record_is_bounded_and_says_what_it_has_no_room_for() {
        let long = "l".repeat(usize::from(u16::MAX) + 1);
        let names = (0..10_000).map(|i| format!("postern_connections.policy=policy-{i};"));
        let (bytes, parts) = record(names.chain([long.clone()])).write();
        assert!(bytes.len() <= MOST && parts.len() > 1000 && parts.len() < 10_000, "{}", parts.len());
        assert!(!parts.contains_key(&long));
        assert_eq!(LeaseRecord::read(&bytes).map(|record| record.parts), Some(parts));
    }
}
