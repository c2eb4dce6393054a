//! The bytes that a client sends behind its first message while that cannot be judged yet.
//!
//! The host keeps them, since it pauses the stream and brings them again with all that follows. So they are
//! judged once, as if they had come when the wait is over. Until then nothing of them is looked at but where
//! the frames begin: a client that closes need not be waited for.

use crate::websocket::{Chunk, Unreadable};
use crate::websocket::{FrameHeader, MAX_HEADER_LEN, OpCode};

/// The most bytes that may wait, whatever the policy allows: a host that has to hold much more than it reads
/// at a time cuts the stream, which nobody tells.
pub(super) const MAX_LEN: usize = 16 * 1024;

/// The client's bytes that the host holds.
#[derive(Debug, Default)]
pub(super) struct QueuedInput {
    pub(super) len: usize,
    /// The place in the bytes where the next frame begins, as far as is known.
    next: usize,
    /// Says whether the bytes must be judged now.
    pub(super) due: bool,
    /// Says whether the bytes are the client's next chunk, with nothing new behind them.
    pub(super) released: bool,
}

impl QueuedInput {
    /// Says whether there is a whole Close among the bytes, which are what `chunk` has from `start` on.
    pub(super) fn closes(&mut self, chunk: &mut impl Chunk, start: usize) -> Result<bool, Unreadable> {
        let end = chunk.len();
        loop {
            let at = start.saturating_add(self.next);
            if at >= end {
                return Ok(false);
            }
            let bytes = chunk.window(at..end.min(at.saturating_add(MAX_HEADER_LEN)))?;
            // Bytes that are no frame are refused in their turn.
            let Ok(Some(header)) = FrameHeader::parse(bytes) else { return Ok(false) };
            let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
            let next = self.next.saturating_add(header.len).saturating_add(payload_len);
            if header.opcode == OpCode::CLOSE {
                return Ok(start.saturating_add(next) <= end);
            }
            self.next = next;
        }
    }
}
