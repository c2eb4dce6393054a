//! The masking of RFC 6455 §5.3, at any point of a payload.

/// The masking key, turned so that its first byte is for the next byte of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mask([u8; 4]);

impl Mask {
    /// Returns the key at the start of a payload; the default one is that of a payload that is not masked.
    pub(crate) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Returns the key for the bytes behind the next `len`.
    #[must_use]
    pub(crate) fn after(mut self, len: usize) -> Self {
        self.0.rotate_left(len % 4);
        self
    }

    /// Says whether the payload reads as it stands.
    pub(crate) fn is_none(self) -> bool {
        self.0 == [0; 4]
    }

    /// Returns the key for the next eight bytes.
    pub(crate) fn word(self) -> u64 {
        let [a, b, c, d] = self.0;
        u64::from_ne_bytes([a, b, c, d, a, b, c, d])
    }

    /// Returns the key byte by byte, for ever.
    pub(crate) fn bytes(self) -> impl Iterator<Item = u8> {
        self.0.into_iter().cycle()
    }

    /// Writes `masked` without its mask to the start of `plain`, as far as there is room, and returns what
    /// was written.
    pub(crate) fn remove<'a>(self, masked: &[u8], plain: &'a mut [u8]) -> &'a [u8] {
        let len = masked.len().min(plain.len());
        let (Some(plain), Some(masked)) = (plain.get_mut(..len), masked.get(..len)) else { return &[] };
        let key = self.word();
        let (words, tail) = masked.as_chunks::<8>();
        let (plain_words, plain_tail) = plain.as_chunks_mut::<8>();
        for (plain, word) in plain_words.iter_mut().zip(words) {
            *plain = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
        }
        for ((plain, byte), key) in plain_tail.iter_mut().zip(tail).zip(self.bytes()) {
            *plain = byte ^ key;
        }
        plain
    }

    /// Takes the mask off `payload` in its place.
    pub(crate) fn remove_in_place(self, payload: &mut [u8]) {
        let (words, tail) = payload.as_chunks_mut::<8>();
        let key = self.word();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
        }
        for (byte, key) in tail.iter_mut().zip(self.bytes()) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_reads_the_same_in_any_pieces() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        // RFC 6455 §5.7.
        let masked = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(Mask::new(key).remove(&masked, &mut [0; 5]), b"Hello");
        let payload: Vec<u8> = (0..100).collect();
        let mut scratch = [0; 100];
        let masked = Mask::new(key).remove(&payload, &mut scratch).to_vec();
        for cut in 0..=payload.len() {
            let (mut one, mut two) = ([0; 100], [0; 100]);
            let one = Mask::new(key).remove(&masked[..cut], &mut one);
            let two = Mask::new(key).after(cut).remove(&masked[cut..], &mut two);
            assert_eq!([one, two].concat(), payload, "cut at {cut}");
        }
    }

    #[test]
    fn no_more_is_written_than_there_is_room_for() {
        assert_eq!(Mask::default().remove(b"abc", &mut [0; 2]), b"ab");
        assert!(Mask::default().is_none());
    }
}
