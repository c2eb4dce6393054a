//! One chunk of an upgraded stream, as it can be looked at.
//!
//! A chunk lies in the host's memory, and most of it is payload that no rule reads. So it is
//! looked at through windows: headers always, payload where a rule asks for it.

use std::ops::Range;

/// Bytes that one peer sent, in one piece.
pub trait Chunk {
    /// How many bytes there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes at `range`, which lies within the chunk.
    ///
    /// # Errors
    /// [`Unreadable`] when they cannot be had, and for a range that lies outside.
    fn window(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable>;
}

/// Bytes that are there cannot be looked at, so nothing can be said of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunk cannot be read")]
pub struct Unreadable;

impl Chunk for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn window(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable> {
        self.get(range).ok_or(Unreadable)
    }
}
