//! The skim past whole messages that are plainly fine, many of them at a time.
//!
//! A message that is plainly fine needs no verdict: it is one frame that lies wholly in the chunk, with
//! nothing open before it, every limit kept, and nothing to inflate. Anything else is left where it stands to
//! [`FrameReader::step`], so that refusals, splits and fragments are decided in one place.

use super::{FrameReader, Peer};
use crate::metrics::Sizes;
use crate::websocket::mask::Mask;
use crate::websocket::{Chunk, FrameHeader, MAX_HEADER_LEN, Unreadable};

/// A run of frames that follow each other and may pass as they are, payload and all. Each is a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// The place in the chunk where the last of them ends.
    pub(crate) end: usize,
    /// The number of messages.
    pub(crate) messages: u64,
    /// The number of bytes of their payloads.
    pub(crate) payload_bytes: u64,
    /// The sizes of the payloads.
    pub(crate) sizes: Sizes,
}

/// The test of frames that are plainly fine.
struct Plain<F> {
    text: bool,
    binary: bool,
    /// The bit RSV1, if a compressed message passes as it is (RFC 7692 §6).
    ignored: u8,
    masked: bool,
    max_payload_len: u64,
    /// The most bytes that are worth having in one piece for a text.
    longest_whole: usize,
    /// Says whether a payload, under its mask, is text; absent if nobody asks.
    is_text: Option<F>,
}

/// The outcome of a look at the next frame.
enum Look {
    /// The frame is plainly fine.
    Fine { len: usize, payload_len: u64 },
    /// Nothing is known before this number of bytes can be seen from the frame's start on.
    TooShort { wanted: usize },
    /// The frame must be judged.
    Other,
}

/// The first byte of a message of one frame (RFC 6455 §5.2), but for RSV: FIN and the opcode.
const WHOLE_TEXT: u8 = 0x81;
const WHOLE_BINARY: u8 = 0x82;
const RSV1: u8 = 0x40;

impl FrameReader {
    /// Says whether neither a message nor a frame is open.
    pub(crate) fn is_between_messages(&self) -> bool {
        !self.message.is_open && self.payload_left == 0
    }

    /// Returns the run of frames from `position` of `chunk` on that are plainly fine, up to the first that is
    /// not. The reader stands behind them as it stood before them. `is_text` judges the payload of a text,
    /// under its mask; without it nobody reads one.
    pub(crate) fn skim<C: Chunk>(
        &self,
        chunk: &mut C,
        position: usize,
        is_text: Option<impl Fn(&[u8], Mask) -> bool>,
    ) -> Result<Run, Unreadable> {
        let mut run = Run { end: position, ..Run::default() };
        let limits = &self.limits;
        if !self.is_between_messages() || !self.held.is_empty() || self.closed || limits.max_fragments == 0 {
            return Ok(run);
        }
        let plain = Plain {
            text: limits.text,
            binary: limits.binary,
            ignored: if limits.compressible && !limits.inflated { RSV1 } else { 0 },
            masked: self.sender == Peer::Client,
            max_payload_len: limits.max_frame_bytes.min(limits.max_message_bytes),
            longest_whole: C::LONGEST_WHOLE,
            is_text,
        };
        let mut left = chunk.len().saturating_sub(position);
        let mut wanted = MAX_HEADER_LEN;
        while left > 0 {
            let mut bytes = chunk.at_hand(run.end..run.end + wanted.min(left))?;
            wanted = loop {
                match plain.look(bytes, left) {
                    Look::Fine { len, payload_len } => {
                        bytes = bytes.get(len..).unwrap_or_default();
                        left -= len;
                        run.end += len;
                        run.messages += 1;
                        run.payload_bytes += payload_len;
                        run.sizes.count(payload_len);
                    }
                    Look::TooShort { wanted } if bytes.len() < wanted.min(left) => break wanted,
                    Look::TooShort { .. } | Look::Other => return Ok(run),
                }
            };
        }
        Ok(run)
    }
}

impl<F: Fn(&[u8], Mask) -> bool> Plain<F> {
    /// Looks at the frame that begins where `bytes` do, and where the chunk has `left` bytes.
    fn look(&self, bytes: &[u8], left: usize) -> Look {
        let is_text = match bytes.first().map(|first| first & !self.ignored) {
            Some(WHOLE_BINARY) if self.binary => None,
            Some(WHOLE_TEXT) if self.text => self.is_text.as_ref(),
            Some(_) => return Look::Other,
            None => return Look::TooShort { wanted: MAX_HEADER_LEN },
        };
        let FrameHeader { mask, payload_len, len: header_len, .. } = match FrameHeader::parse(bytes) {
            Ok(Some(header)) => header,
            Ok(None) => return Look::TooShort { wanted: MAX_HEADER_LEN },
            Err(_) => return Look::Other,
        };
        let in_chunk = left.saturating_sub(header_len);
        let fits = payload_len <= self.max_payload_len && payload_len <= in_chunk as u64;
        if !fits || mask.is_some() != self.masked {
            return Look::Other;
        }
        // A payload that fits the chunk fits a usize.
        let len = header_len + usize::try_from(payload_len).unwrap_or(in_chunk);
        if let Some(is_text) = is_text {
            match bytes.get(header_len..len) {
                Some(payload) if is_text(payload, mask.map(Mask::new).unwrap_or_default()) => {}
                None if len <= self.longest_whole => return Look::TooShort { wanted: len },
                Some(_) | None => return Look::Other,
            }
        }
        Look::Fine { len, payload_len }
    }
}

#[cfg(test)]
mod tests;
