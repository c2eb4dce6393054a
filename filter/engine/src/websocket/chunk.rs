//! One chunk of an upgraded stream, seen through windows.
//!
//! A chunk lies in the host's memory, and most of it is payload that no rule reads. So it is looked at
//! through windows: headers always, payload if a rule asks for it.

use std::ops::Range;

/// A piece of what one peer sent.
pub trait Chunk {
    /// The length of the longest payload that is worth having in one piece, in bytes; of a longer one it costs less to have the
    /// pieces, one after the other.
    const LONGEST_WHOLE: usize = PAYLOAD_WINDOW;

    /// Returns the number of bytes.
    fn len(&self) -> usize;

    /// Says whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes from the start of `range` on, which lies within the chunk: those at `range`, and as
    /// many of those behind as are at hand.
    ///
    /// # Errors
    /// Returns [`Unreadable`] when the bytes cannot be had, and for a range that lies outside.
    fn at_hand(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable>;

    /// Returns the bytes at `range`, which lies within the chunk.
    ///
    /// # Errors
    /// Returns [`Unreadable`] as [`Chunk::at_hand`] does.
    fn window(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable> {
        let len = range.len();
        self.at_hand(range)?.get(..len).ok_or(Unreadable)
    }

    /// Returns the first of the bytes at `range`, which lies within the chunk: as many as are had at once, and one at least unless
    /// there are none.
    ///
    /// # Errors
    /// Returns [`Unreadable`] as [`Chunk::at_hand`] does.
    fn piece(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable> {
        let end = range.end.min(range.start.saturating_add(PAYLOAD_WINDOW));
        self.window(range.start..end)
    }
}

/// The most bytes of payload that are read at a time.
pub(crate) const PAYLOAD_WINDOW: usize = 64 * 1024;

/// The error of bytes that are there and cannot be looked at, so that nothing can be said of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunk cannot be read")]
pub struct Unreadable;

impl Chunk for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn at_hand(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable> {
        self.get(range.start..).filter(|bytes| bytes.len() >= range.len()).ok_or(Unreadable)
    }
}

/// The first `len` bytes of a chunk.
#[derive(Debug)]
pub(crate) struct Start<'c, C> {
    chunk: &'c mut C,
    len: usize,
}

impl<'c, C: Chunk> Start<'c, C> {
    pub(crate) fn new(chunk: &'c mut C, len: usize) -> Self {
        let len = len.min(chunk.len());
        Self { chunk, len }
    }
}

impl<C: Chunk> Chunk for Start<'_, C> {
    const LONGEST_WHOLE: usize = C::LONGEST_WHOLE;

    fn len(&self) -> usize {
        self.len
    }

    fn at_hand(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable> {
        if range.end > self.len { Err(Unreadable) } else { self.chunk.at_hand(range) }
    }

    fn piece(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable> {
        if range.end > self.len { Err(Unreadable) } else { self.chunk.piece(range) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_cannot_be_read() {
        let mut chunk = &b"0123456789"[..];
        assert_eq!(chunk.at_hand(4..6), Ok(&b"456789"[..]));
        assert_eq!(chunk.window(4..6), Ok(&b"45"[..]));
        assert_eq!(chunk.window(10..10), Ok(&b""[..]));
        for range in [8..11, 10..11, 11..11] {
            assert_eq!(chunk.at_hand(range.clone()), Err(Unreadable), "{range:?}");
            assert_eq!(chunk.window(range.clone()), Err(Unreadable), "{range:?}");
        }
    }

    #[test]
    fn the_start_of_a_chunk_ends_before_it() {
        let mut chunk = &b"0123456789"[..];
        let mut start = Start::new(&mut chunk, 6);
        assert_eq!((start.len(), start.window(4..6)), (6, Ok(&b"45"[..])));
        assert_eq!(start.window(5..7), Err(Unreadable));
        assert_eq!(start.piece(5..7), Err(Unreadable));
        assert_eq!(start.piece(4..6), Ok(&b"45"[..]));
        assert_eq!(Start::new(&mut chunk, 60).len(), 10);
    }

    #[test]
    fn a_piece_is_no_longer_than_what_is_read_at_a_time() {
        let bytes = vec![0; PAYLOAD_WINDOW + 7];
        let mut chunk = &bytes[..];
        assert_eq!(chunk.piece(3..PAYLOAD_WINDOW + 5).map(<[u8]>::len), Ok(PAYLOAD_WINDOW));
        assert_eq!(chunk.piece(5..PAYLOAD_WINDOW + 5).map(<[u8]>::len), Ok(PAYLOAD_WINDOW));
        assert_eq!(chunk.piece(7..9).map(<[u8]>::len), Ok(2));
        assert_eq!(chunk.piece(7..7), Ok(&[][..]));
        assert_eq!(chunk.piece(7..PAYLOAD_WINDOW + 8).map(<[u8]>::len), Ok(PAYLOAD_WINDOW));
    }
}
