//! What a client sends behind its first message while that cannot be judged yet.
//!
//! It stays with the host, which pauses the stream and has it next to all that follows; so it is
//! judged once, as if it had come when the wait is over. Until then nothing of it is looked at but
//! where its frames begin: a client that closes need not be waited for.

use crate::websocket::{Chunk, Unreadable};
use crate::websocket::{FrameHeader, MAX_HEADER_LEN, OpCode};

/// How many bytes of it there may be, whatever the policy allows: a host that has to hold much more
/// than it reads at a time cuts the stream, which nobody tells.
pub(super) const MAX_LEN: usize = 16 * 1024;

/// The client's bytes that the host holds.
#[derive(Debug, Default)]
pub(super) struct QueuedInput {
    pub(super) len: usize,
    /// The place where in them the next frame begins, as far as is known.
    next: usize,
    /// Says whether they are to be judged now.
    pub(super) due: bool,
    /// Says whether they are the client's next chunk, with nothing new to them.
    pub(super) released: bool,
}

impl QueuedInput {
    /// Says whether there is a whole Close among them; they are what `chunk` has from `start` on.
    pub(super) fn closes(&mut self, chunk: &mut impl Chunk, start: usize) -> Result<bool, Unreadable> {
        let end = chunk.len();
        loop {
            let at = start.saturating_add(self.next);
            if at >= end {
                return Ok(false);
            }
            let bytes = chunk.window(at..end.min(at.saturating_add(MAX_HEADER_LEN)))?;
            // What is no frame is refused in its turn.
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
