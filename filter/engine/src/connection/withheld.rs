//! The bytes that do not go on before they are proved: the frame whose payload is being read, or the message.
//!
//! As long as bytes are withheld, the stream towards the receiver stands at a frame boundary. The
//! reader's limits bound them. Bytes are copied only when their chunk ends before the proof does.

use std::ops::Range;

use crate::connection::Passage;
use crate::memory::blocks::Blocks;
use crate::websocket::FrameHeader;
use crate::websocket::mask::Mask;
use crate::websocket::{Chunk, Unreadable};

/// Bytes of one direction, in order. Its `Debug` does not show them: there may be a token in them.
#[derive(Default)]
pub(crate) struct Withheld {
    /// Bytes from earlier chunks, or from before a frame that went ahead.
    earlier: Blocks,
    /// Bytes in the chunk that is being judged; they follow the others.
    staged: Range<usize>,
    /// The number of payload bytes in the frames, and whether a message starts there: both count when the
    /// bytes pass.
    pub(crate) payload_bytes: u64,
    pub(crate) starts_message: bool,
    /// Says whether a message ends there.
    pub(crate) ends_message: bool,
}

impl Withheld {
    /// Returns the number of bytes that are no payload. Meant to be called where a payload begins, before it
    /// counts.
    pub(crate) fn header_bytes(&self) -> u64 {
        (self.len() as u64).saturating_sub(self.payload_bytes)
    }

    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.earlier.len() + self.staged.len()
    }

    /// Says whether nothing is withheld.
    pub(crate) fn is_empty(&self) -> bool {
        self.earlier.is_empty() && self.staged.is_empty()
    }

    /// Takes bytes that came before the chunk.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.earlier.push(bytes);
    }

    /// Takes the next bytes of the chunk, which follow those that have been taken of it.
    pub(crate) fn stage(&mut self, range: Range<usize>) {
        if self.staged.is_empty() {
            self.staged = range;
        } else {
            self.staged.end = range.end;
        }
    }

    /// Copies what is in the chunk, which is about to end or to be passed by another frame.
    pub(crate) fn stash(&mut self, chunk: &mut impl Chunk) -> Result<(), Unreadable> {
        let staged = std::mem::take(&mut self.staged);
        if !staged.is_empty() {
            self.earlier.push(chunk.window(staged)?);
        }
        Ok(())
    }

    /// Returns the memory that is taken, in bytes; bytes in the chunk at hand take none.
    pub(crate) fn held(&self) -> usize {
        self.earlier.held()
    }

    /// Returns the payload of the whole frames that are withheld, unmasked.
    pub(crate) fn payload(&self, chunk: &mut impl Chunk) -> Result<Vec<u8>, Unreadable> {
        let staged = if self.staged.is_empty() { &[][..] } else { chunk.window(self.staged.clone())? };
        let mut bytes = self.earlier.to_vec(staged.len());
        bytes.extend_from_slice(staged);
        // Each payload is moved to the end of those before it, which is never behind its own place.
        let (mut next, mut len) = (0, 0);
        while let Some(Ok(Some(header))) = bytes.get(next..).map(FrameHeader::parse) {
            let start = next.saturating_add(header.len);
            let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
            let end = start.saturating_add(payload_len).min(bytes.len());
            bytes.copy_within(start.min(end)..end, len);
            let moved = len..len.saturating_add(end.saturating_sub(start));
            if let Some(payload) = bytes.get_mut(moved.clone()) {
                header.mask.map(Mask::new).unwrap_or_default().remove_in_place(payload);
            }
            (next, len) = (end, moved.end);
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Lets all of it go on.
    pub(crate) fn release(&mut self, passage: &mut Passage) {
        if !self.earlier.is_empty() {
            passage.release(std::mem::take(&mut self.earlier));
        }
        if !self.staged.is_empty() {
            passage.pass(std::mem::take(&mut self.staged));
        }
        (self.payload_bytes, self.starts_message, self.ends_message) = (0, false, false);
    }

    /// Forgets all of it.
    pub(crate) fn discard(&mut self) {
        *self = Self::default();
    }
}

impl std::fmt::Debug for Withheld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Withheld(…)")
    }
}
