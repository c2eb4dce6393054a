//! The chunk of a body callback, and what is put in its place.

use std::ops::Range;

use postern_engine::cause::HostFault;
use postern_engine::{Blocks, Chunk, Passage, Peer, Piece, Unreadable};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, StreamType};

use super::{abi, resume};
use crate::host::Flow;

/// The chunk that a body callback is about, or what is paused of it. Its bytes stay with the host but for the
/// window that was last looked at.
#[derive(Debug)]
pub(crate) struct HostChunk {
    sender: Peer,
    len: usize,
    window: Vec<u8>,
    window_start: usize,
}

/// The number of bytes that are fetched when fewer are asked for. A call costs as much as the copying of tens
/// of kilobytes, since the host calls back for memory. So many bytes are fetched at once while frames lie
/// close together, and little more than the next header behind a long payload.
const FIRST_WINDOW: usize = 16 * 1024;
const DENSE_WINDOW: usize = 64 * 1024;
const SPARSE_WINDOW: usize = 1024;
const LONG_PAYLOAD: usize = 8 * 1024;

/// The number of bytes that are put into a buffer at a time: bytes that are held in blocks should not be
/// there once more in one piece.
const PART: usize = 64 * 1024;

impl HostChunk {
    /// Creates the view of a chunk of `len` bytes from `sender`.
    pub(crate) fn new(sender: Peer, len: usize) -> Self {
        Self { sender, len, window: Vec::new(), window_start: 0 }
    }

    /// Leaves of the chunk what goes on, and returns what becomes of that: a parked stream is paused with nothing.
    ///
    /// # Errors
    /// Returns the fault of a host that did not let that be done.
    pub(crate) fn let_go(&mut self, passage: &Passage) -> Result<Flow, HostFault> {
        if passage.resume && !resume(self.sender) {
            return Err(HostFault::NotResumed);
        }
        if !self.pass(passage) {
            return Err(HostFault::Chunk);
        }
        Ok(if passage.park || passage.hold { Flow::Pause } else { Flow::Continue })
    }

    /// Lets all of a chunk go on, whose stream is parked and stays so; returns `None` when the host does not.
    pub(crate) fn let_go_parked(&self) -> Option<Flow> {
        resume(self.sender).then_some(Flow::Pause)
    }

    /// Leaves of the chunk what goes on, and returns false when the host did not do that.
    #[must_use]
    fn pass(&mut self, passage: &Passage) -> bool {
        let (buffer, len) = (buffer(self.sender), self.len);
        let Passage { before, keep, rest, park: _, resume: _, hold: _ } = passage;
        // Envoy's buffer takes bytes before all, behind all, or in the place of all.
        match (before.is_empty(), *keep == len, rest.as_slice()) {
            (true, true, []) => true,
            // The chunk need not be read for this.
            (false, true, []) if before.len() <= PART => abi::set_buffer(buffer, 0, 0, &before.to_vec(0)),
            (true, true, [Piece::Other(after)]) => write(buffer, len..len, after.len(), after.iter()),
            (_, _, []) if *keep == 0 => write(buffer, 0..len, before.len(), before.iter()),
            _ => {
                let chunk = self.window(0..len);
                chunk.is_ok_and(|chunk| write(buffer, 0..len, passage.len(), passage.pieces(chunk)))
            }
        }
    }
}

impl Chunk for HostChunk {
    fn len(&self) -> usize {
        self.len
    }

    fn at_hand(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable> {
        let window_end = self.window_start + self.window.len();
        if range.start < self.window_start || range.end > window_end {
            let window = match range.start.saturating_sub(window_end) {
                LONG_PAYLOAD.. => SPARSE_WINDOW,
                _ if window_end == 0 => FIRST_WINDOW,
                _ => DENSE_WINDOW,
            };
            let wanted = range.len().max(window).min(self.len.saturating_sub(range.start));
            let window = hostcalls::get_buffer(buffer(self.sender), range.start, wanted);
            self.window = window.ok().flatten().filter(|window| window.len() == wanted).ok_or(Unreadable)?;
            self.window_start = range.start;
        }
        let start = range.start.saturating_sub(self.window_start);
        self.window.get(start..).filter(|bytes| bytes.len() >= range.len()).ok_or(Unreadable)
    }
}

/// Puts `pieces`, of `len` bytes together, in the place of the bytes of a buffer at `range`, which is all of
/// it, or empty at its end. Returns false when the host did not do that.
fn write<'a>(
    buffer: BufferType,
    range: Range<usize>,
    len: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> bool {
    let (mut start, mut replaced) = (range.start, range.len());
    let mut part = Vec::with_capacity(len.min(PART));
    let mut put = |part: &mut Vec<u8>| {
        let is_put = abi::set_buffer(buffer, start, replaced, part);
        (start, replaced) = (start.saturating_add(part.len()), 0);
        part.clear();
        is_put
    };
    for piece in pieces {
        if part.len().saturating_add(piece.len()) > PART && !part.is_empty() && !put(&mut part) {
            return false;
        }
        part.extend_from_slice(piece);
    }
    put(&mut part)
}

/// Sends `frames` on the stream towards `receiver`, which is paused and empty, and lets it go on. Returns
/// false when the host did not do that.
#[must_use]
pub(crate) fn send_parked(receiver: Peer, frames: &Blocks) -> bool {
    let (buffer, stream) = match receiver {
        Peer::Client => (BufferType::HttpResponseBody, StreamType::HttpResponse),
        Peer::Upstream => (BufferType::HttpRequestBody, StreamType::HttpRequest),
    };
    write(buffer, 0..0, frames.len(), frames.iter()) && abi::continue_stream(stream)
}

fn buffer(sender: Peer) -> BufferType {
    match sender {
        Peer::Client => BufferType::HttpRequestBody,
        Peer::Upstream => BufferType::HttpResponseBody,
    }
}
