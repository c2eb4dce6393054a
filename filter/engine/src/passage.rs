//! What goes on of one chunk of an upgraded stream.

use std::ops::Range;

use crate::frame::MAX_HEADER_LEN;

/// Bytes of a header that is not complete yet; always fewer than a whole one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    bytes: [u8; MAX_HEADER_LEN - 1],
    len: u8,
}

/// What goes on: `before`, then the first `keep` bytes of the chunk, then `after`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Held back from earlier chunks.
    pub before: Held,
    /// How many bytes of the chunk go on as they are.
    pub keep: usize,
    /// What follows them: a frame of Postern's own, or the rest of the chunk where something was
    /// taken out of its middle.
    pub after: Vec<u8>,
}

impl Held {
    /// The bytes, or `None` when there are more than an incomplete header has.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let mut held = Self { len: u8::try_from(bytes.len()).ok()?, ..Self::default() };
        held.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(held)
    }

    /// The bytes in order.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Passage {
    /// All of `chunk` goes on.
    pub(crate) fn whole(chunk: &[u8]) -> Self {
        Self { keep: chunk.len(), ..Self::default() }
    }

    /// Whether a chunk of `len` bytes goes on exactly as it came.
    pub fn is_whole(&self, len: usize) -> bool {
        self.before.is_empty() && self.keep == len && self.after.is_empty()
    }

    /// Everything that goes on, given the chunk.
    pub fn bytes(&self, chunk: &[u8]) -> Vec<u8> {
        let kept = chunk.get(..self.keep).unwrap_or(chunk);
        [self.before.as_slice(), kept, &self.after].concat()
    }

    /// Lets what was held back go first. Only before anything else has passed.
    pub(crate) fn pass_held(&mut self, held: Held) {
        if !held.is_empty() {
            self.before = held;
        }
    }

    /// Lets a range of the chunk go on; ranges come in order.
    pub(crate) fn pass(&mut self, chunk: &[u8], range: Range<usize>) {
        if self.after.is_empty() && range.start == self.keep {
            self.keep = range.end;
        } else {
            self.after.extend_from_slice(chunk.get(range).unwrap_or_default());
        }
    }

    /// Adds bytes of Postern's own.
    pub(crate) fn insert(&mut self, bytes: &[u8]) {
        self.after.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_passed_is_gone_and_the_rest_keeps_its_order() {
        let chunk = b"0123456789";
        let mut passage = Passage::default();
        passage.pass_held(Held::new(b"ab").unwrap());
        passage.pass(chunk, 0..3);
        passage.pass(chunk, 3..4);
        assert_eq!((passage.keep, passage.after.len()), (4, 0));
        passage.pass(chunk, 6..8);
        passage.insert(b"!");
        passage.pass(chunk, 9..10);
        assert_eq!(passage.bytes(chunk), b"ab012367!9");
        assert!(!passage.is_whole(chunk.len()));
    }

    #[test]
    fn a_chunk_passed_in_pieces_is_whole() {
        let chunk = b"0123";
        let mut passage = Passage::default();
        passage.pass(chunk, 0..1);
        passage.pass(chunk, 1..4);
        assert!(passage.is_whole(chunk.len()));
    }

    #[test]
    fn no_more_is_held_than_an_incomplete_header() {
        assert!(Held::new(&[0; 13]).is_some());
        assert!(Held::new(&[0; 14]).is_none());
    }
}
