//! The inflater of compressed messages (RFC 7692 §7.2.2), whose payloads come piece by piece.
//!
//! Owns the history of one direction and knows nothing of frames, limits and rules: what comes out goes to a
//! sink, whose error ends it. Never holds more than the window that was agreed on and, while a message is
//! open, the tables of one block.
//!
//! Strict, so that nobody who inflates the same bytes reads something else in them:
//! - a distance reaches back to what was put out since the history began, and no further than the
//!   window;
//! - a message with the four octets that its sender took off ends at the end of a block and of an
//!   octet. A receiver that keeps its decompressor would read the next message in the middle of a
//!   block, where this one would begin a new one. So no octet at all is no message either: an empty
//!   one is the octet 00 (§7.2.3.6);
//! - a message has few blocks for what it puts out, and few with codes for its length: the tables of a code cost far more
//!   than the ten bits that a block takes.
//!
//! Not strict: blocks may follow one with BFINAL set, from the next octet and with the same history
//! (§7.2.3.4). There are receivers that stop there, and so read the beginning of what is put out
//! here. Nor need anything be coded as short as it could be.

use std::fmt;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use crate::decision::cause::FrameFault;

/// The parameters by which one direction compresses (RFC 7692 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The base-two logarithm of the window, 8 to 15 (RFC 7692 §7.1.2).
    pub window_bits: u8,
    /// Says whether a message may refer to earlier ones (RFC 7692 §7.1.1).
    pub takeover: bool,
}

/// The inflater of the messages of one direction.
pub struct Inflater {
    context: Context,
    history: History,
    message: Option<Message>,
}

/// The last bytes that were put out, in a ring.
#[derive(Default)]
struct History {
    /// The ring; empty until there is a message, then of the window's size.
    ring: Vec<u8>,
    /// The place where the next byte goes; before the end of the ring.
    position: usize,
    /// Says whether all of the ring is history, and not only the part before `position`.
    full: bool,
}

/// A message that is open.
struct Message {
    decompressor: Box<DecompressorOxide>,
    blocks: u64,
    /// The number of blocks with a code, for which tables are made: all but stored ones.
    coded: u64,
    /// Says whether the next input begins a block.
    starts_block: bool,
    consumed: u64,
    produced: u64,
}

/// The place where the decompressor stands once it has read its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind a block, and at the end of an octet.
    Boundary,
    /// Any other place.
    Unknown,
}

/// The octets that the sender took off (RFC 7692 §7.2.1): the lengths of an empty stored block.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The number of blocks that a message may have however little it puts out. A message of a few fragments,
/// each flushed, has few.
const BLOCKS: u64 = 1024;
/// The number of bytes put out for which a message may have one block more. The smallest blocks of zlib hold
/// 127 symbols, each of which puts out a byte at least.
const BYTES_PER_BLOCK: u64 = 64;

/// The number of blocks with a code that a message may have however short it is, as one of a few fragments
/// has. The tables of each take some 2 µs.
const CODED: u64 = 8;
/// The number of bytes, of input and output together, for which a message may have one block with a code
/// more.
const BYTES_PER_CODED: u64 = 128;

/// Returns the number of blocks that a message may have which inflates to `len` bytes.
fn max_blocks(len: u64) -> u64 {
    BLOCKS + len / BYTES_PER_BLOCK
}

/// Returns the most bytes that a message may have on the wire which inflates to `len` bytes. Bytes that do
/// not compress are stored in blocks, each of which costs five bytes.
pub(crate) fn max_wire_bytes(len: u64) -> u64 {
    len.saturating_add(max_blocks(len).saturating_mul(5))
}

impl Context {
    /// Returns the length of the window, in bytes.
    fn window(self) -> usize {
        1 << self.window_bits.clamp(8, 15)
    }
}

impl Inflater {
    /// The most memory that an inflater takes, in bytes.
    pub(crate) const MOST_HELD: u64 = (1 << 15) + size_of::<DecompressorOxide>() as u64;

    /// Creates an inflater for what a direction with this context sends. Nothing is allocated before the
    /// first message.
    pub fn new(context: Context) -> Self {
        Self { context, history: History::default(), message: None }
    }

    /// Takes the next unmasked payload bytes of a message, in any pieces. The bytes that they inflate to go
    /// to `sink` in pieces of at most the window's size; its error is passed on at once.
    pub fn push<E: From<FrameFault>>(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let inflated = self.inflate(input, sink);
        if inflated.is_err() {
            self.reset();
        }
        inflated.map(|_| ())
    }

    /// Ends the message. The next bytes begin another one.
    pub fn finish(&mut self) -> Result<(), FrameFault> {
        // The tail is nothing of the message: the sender took off lengths.
        let place = self.inflate(&TAIL, &mut |_| Err(FrameFault::DeflateUnfinished));
        let whole = place == Ok(Place::Boundary);
        if !whole || !self.context.takeover {
            self.reset();
        }
        self.message = None;
        match place {
            Ok(Place::Boundary) => Ok(()),
            // The tail is none of the sender's: a message that it breaks had not ended.
            Ok(Place::Unknown) | Err(FrameFault::Deflate) => Err(FrameFault::DeflateUnfinished),
            Err(fault) => Err(fault),
        }
    }

    /// Forgets the message that is open, and all history: no other message could refer to what a message
    /// without its end put out.
    pub fn reset(&mut self) {
        self.history = History::default();
        self.message = None;
    }

    /// Returns the memory that is taken, in bytes, or will be by the first message and then kept.
    pub fn held(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |_| size_of::<DecompressorOxide>());
        let kept = if self.context.takeover { self.context.window() } else { 0 };
        self.history.ring.capacity().max(kept) + message
    }

    /// Returns the part of [`Inflater::held`] that is for messages to come: all, between two of them.
    pub fn held_at_rest(&self) -> usize {
        if self.message.is_none() { self.held() } else { 0 }
    }

    fn inflate<E: From<FrameFault>>(
        &mut self,
        mut input: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Place, E> {
        let history = &mut self.history;
        if history.ring.is_empty() {
            history.ring = vec![0; self.context.window()];
        }
        let message = self.message.get_or_insert_with(Message::new);
        loop {
            message.begin_block(input)?;
            let (start, flags) = (history.position, history.flags());
            let (status, consumed, produced) =
                decompress(&mut message.decompressor, input, &mut history.ring, start, flags);
            input = input.get(consumed..).unwrap_or_default();
            message.consumed += consumed as u64;
            let output = history.advance(produced);
            message.produced += output.len() as u64;
            if !output.is_empty() {
                sink(output)?;
            }
            match status {
                TINFLStatus::HasMoreOutput if produced > 0 => continue,
                TINFLStatus::NeedsMoreInput if input.is_empty() => return Ok(Place::Unknown),
                TINFLStatus::BlockBoundary => message.end_block()?,
                TINFLStatus::Done => {
                    message.end_block()?;
                    message.decompressor.init();
                }
                _ => return Err(FrameFault::Deflate.into()),
            }
            if input.is_empty() {
                return Ok(message.place(status));
            }
        }
    }
}

impl fmt::Debug for Inflater {
    /// Shows nothing of the history, since it is what peers said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("context", &self.context).finish_non_exhaustive()
    }
}

impl History {
    /// Returns the flags for the next input. Until the ring is full, a distance is held against what is
    /// before `position`; then against the size of the ring.
    fn flags(&self) -> u32 {
        let flags = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;
        if self.full { flags } else { flags | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF }
    }

    /// Counts the next `len` bytes of the ring as written, and returns them.
    fn advance(&mut self, len: usize) -> &[u8] {
        let start = self.position;
        self.position += len;
        if self.position >= self.ring.len() {
            self.position = 0;
            self.full = true;
        }
        self.ring.get(start..start + len).unwrap_or_default()
    }
}

impl Message {
    fn new() -> Self {
        Self {
            decompressor: Box::default(),
            blocks: 0,
            coded: 0,
            starts_block: true,
            consumed: 0,
            produced: 0,
        }
    }

    /// Counts the block that begins with `input`, if one does, ahead of its tables. Its second and third bit
    /// say whether it has a code (RFC 1951 §3.2.3); the last octet before may have some of these bits.
    fn begin_block(&mut self, input: &[u8]) -> Result<(), FrameFault> {
        let (true, Some(first)) = (self.starts_block, input.first()) else { return Ok(()) };
        self.starts_block = false;
        let state = self.decompressor.block_boundary_state().unwrap_or_default();
        let bits = u16::from(state.bit_buf) | u16::from(*first) << state.num_bits;
        if bits >> 1 & 3 == 0 {
            return Ok(());
        }
        self.coded += 1;
        let most = CODED + (self.consumed + self.produced) / BYTES_PER_CODED;
        if self.coded <= most { Ok(()) } else { Err(FrameFault::DeflateBlocks) }
    }

    fn end_block(&mut self) -> Result<(), FrameFault> {
        self.starts_block = true;
        self.blocks += 1;
        if self.blocks <= max_blocks(self.produced) { Ok(()) } else { Err(FrameFault::DeflateBlocks) }
    }

    /// Returns the place where the decompressor stands, all input read. Bits left of an octet belong to the
    /// next block.
    fn place(&self, status: TINFLStatus) -> Place {
        match status {
            TINFLStatus::Done => Place::Boundary,
            TINFLStatus::BlockBoundary
                if self.decompressor.block_boundary_state().is_some_and(|state| state.num_bits == 0) =>
            {
                Place::Boundary
            }
            _ => Place::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
