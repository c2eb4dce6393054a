//! The passage of a chunk: the bytes of it, and of Postern's own, that go on.

use std::ops::Range;

use crate::memory::blocks::Blocks;

/// The bytes that go on: `before`, then the first `keep` bytes of the chunk, then `rest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Bytes that were withheld from earlier chunks.
    pub before: Blocks,
    /// The number of bytes of the chunk that go on as they are.
    pub keep: usize,
    /// The pieces that follow them, in order.
    pub rest: Pieces,
    /// Says whether the stream, which was parked, must be resumed within the callback: what is put into a
    /// paused stream stays there otherwise, also after an earlier frame has gone on from there.
    pub resume: bool,
    /// Says whether the stream must be parked: paused, now that it holds nothing.
    pub park: bool,
    /// Says whether nothing goes on after all: the bytes stay with the host, which pauses the stream and
    /// brings them again with all that follows.
    pub hold: bool,
}

/// Pieces in order, and how long they are together: a chunk may have as many as it has frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    pieces: Vec<Piece>,
    len: usize,
}

/// A part of what goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A range of the chunk.
    Chunk(Range<usize>),
    /// Bytes that are not in the chunk: withheld from earlier ones, or a frame of Postern's own.
    Other(Blocks),
}

impl Passage {
    /// Returns the passage in which all of a chunk of `len` bytes goes on.
    pub(crate) fn whole(len: usize) -> Self {
        Self { keep: len, ..Self::default() }
    }

    /// Says whether a chunk of `len` bytes goes on exactly as it came.
    pub fn is_whole(&self, len: usize) -> bool {
        self.before.is_empty() && self.keep == len && self.rest.pieces.is_empty()
    }

    /// Says whether nothing goes on.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.keep == 0 && self.rest.pieces.is_empty()
    }

    /// Returns the number of bytes that go on.
    pub fn len(&self) -> usize {
        self.before.len() + self.keep + self.rest.len
    }

    /// Returns everything that goes on, in pieces and in order, given the chunk.
    pub fn pieces<'a>(&'a self, chunk: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let kept = chunk.get(..self.keep).unwrap_or(chunk);
        let rest = self.rest.pieces.iter().flat_map(|piece| {
            let (range, other) = match piece {
                Piece::Chunk(range) => (range.clone(), None),
                Piece::Other(other) => (0..0, Some(other)),
            };
            chunk.get(range).into_iter().chain(other.into_iter().flat_map(Blocks::iter))
        });
        self.before.iter().chain([kept]).chain(rest)
    }

    /// Returns everything that goes on, given the chunk.
    pub fn bytes(&self, chunk: &[u8]) -> Vec<u8> {
        self.pieces(chunk).flatten().copied().collect()
    }

    /// Lets a range of the chunk go on; ranges come in order.
    pub(crate) fn pass(&mut self, range: Range<usize>) {
        if self.rest.pieces.is_empty() && range.start == self.keep {
            self.keep = range.end;
        } else {
            self.rest.pass(range);
        }
    }

    /// Lets bytes go on that are not in the chunk.
    pub(crate) fn insert(&mut self, bytes: &[u8]) {
        if self.rest.pieces.is_empty() && self.keep == 0 {
            self.before.push(bytes);
        } else {
            self.rest.insert(bytes);
        }
    }

    /// Lets withheld bytes go on, without copying them.
    pub(crate) fn release(&mut self, bytes: Blocks) {
        if self.is_empty() {
            self.before = bytes;
        } else {
            self.rest.release(bytes);
        }
    }
}

impl Pieces {
    /// Returns the pieces.
    pub fn as_slice(&self) -> &[Piece] {
        &self.pieces
    }

    fn pass(&mut self, range: Range<usize>) {
        self.len += range.len();
        match self.pieces.last_mut() {
            _ if range.is_empty() => {}
            Some(Piece::Chunk(last)) if last.end == range.start => last.end = range.end,
            _ => self.pieces.push(Piece::Chunk(range)),
        }
    }

    fn insert(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        match self.pieces.last_mut() {
            _ if bytes.is_empty() => {}
            Some(Piece::Other(last)) => last.push(bytes),
            _ => self.pieces.push(Piece::Other(bytes.into())),
        }
    }

    fn release(&mut self, bytes: Blocks) {
        self.len += bytes.len();
        self.pieces.push(Piece::Other(bytes));
    }
}

impl IntoIterator for Pieces {
    type Item = Piece;
    type IntoIter = std::vec::IntoIter<Piece>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_passed_is_gone_and_the_rest_keeps_its_order() {
        let chunk = b"0123456789";
        let mut passage = Passage::default();
        passage.insert(b"ab");
        passage.pass(0..3);
        passage.pass(3..4);
        assert_eq!((passage.keep, passage.rest.as_slice()), (4, &[][..]));
        passage.pass(6..7);
        passage.pass(7..8);
        passage.insert(b"!");
        passage.release(b"?"[..].into());
        passage.pass(9..10);
        assert_eq!(passage.bytes(chunk), b"ab012367!?9");
        assert_eq!(passage.rest.as_slice().len(), 4);
        assert_eq!(passage.len(), passage.bytes(chunk).len());
        assert!(!passage.is_whole(chunk.len()));
    }

    #[test]
    fn a_chunk_passed_in_pieces_is_whole() {
        let mut passage = Passage::default();
        passage.pass(0..1);
        passage.pass(1..1);
        passage.pass(1..4);
        assert!(passage.is_whole(4));
    }

    #[test]
    fn withheld_bytes_go_before_the_chunk_without_being_copied() {
        let mut passage = Passage::default();
        let withheld = Blocks::from(&b"ab"[..]);
        let place = withheld.iter().next().map(<[u8]>::as_ptr);
        passage.release(withheld);
        passage.pass(0..2);
        assert_eq!(passage.before.iter().next().map(<[u8]>::as_ptr), place);
        assert_eq!(passage.bytes(b"cd"), b"abcd");
    }
}
