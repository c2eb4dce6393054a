//! The reader of one direction of an upgraded stream: finds the frames in its bytes and judges their headers.
//!
//! A reader reads each header once, holds back an incomplete one, and decides before a byte of the payload is
//! let through. It reads no payload and knows no time; [`proof`](crate::connection::proof) judges payloads,
//! and [`rates`](crate::connection::rates) how much comes.

mod skim;

use std::ops::Range;

use postern_config::MessageType;

use crate::decision::cause::{FrameFault, LimitExceeded, Measure};
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::peer::Peer;
use crate::websocket::inflate;
use crate::websocket::{Chunk, Unreadable};
use crate::websocket::{FrameHeader, MAX_HEADER_LEN, MalformedHeader, OpCode};
pub(crate) use skim::Run;

/// The payload length of a client's Pong that is read on without a mask, in bytes. Such a Pong may answer a
/// Ping of Postern's own, which has a payload of that length; whoever collects it refuses any other.
pub(crate) const UNMASKED_PONG_LEN: usize = 16;

/// The limits up to which a reader lets frames through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameLimits {
    /// Says whether permessage-deflate was agreed on, so that RSV1 has a meaning (RFC 7692 §6).
    pub(crate) compressible: bool,
    /// Says whether the limit of a compressed message is on the bytes that it inflates to.
    pub(crate) inflated: bool,
    pub(crate) text: bool,
    pub(crate) binary: bool,
    pub(crate) max_frame_bytes: u64,
    pub(crate) max_message_bytes: u64,
    pub(crate) max_fragments: u32,
}

/// The reader of one direction.
#[derive(Clone, Debug)]
pub(crate) struct FrameReader {
    sender: Peer,
    limits: FrameLimits,
    lifted: Lifted,
    held: Held,
    payload_left: u64,
    /// The last message to begin.
    message: Message,
    closed: bool,
}

/// The limits that refuse nothing any more: they are shadowed, and a violation of each has been told.
#[derive(Clone, Copy, Debug, Default)]
struct Lifted {
    types: bool,
    max_frame_bytes: bool,
    max_message_bytes: bool,
    max_fragments: bool,
}

/// A message, as far as its frames have come.
#[derive(Clone, Copy, Debug, Default)]
struct Message {
    /// Says whether not all frames have come.
    is_open: bool,
    bytes: u64,
    fragments: u32,
    compressed: bool,
}

/// Bytes of a header that is not complete yet; always fewer than a whole one.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    bytes: [u8; MAX_HEADER_LEN - 1],
    len: u8,
}

/// The next thing in a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The end of the chunk; what was left of it is held.
    End,
    /// A frame that may pass as far as its header tells. Its payload follows.
    Frame(Frame),
    /// Payload of the last frame.
    Payload(Range<usize>),
    /// A header that may not pass. The reader stands before it.
    Violation(Box<Violation>),
}

/// The header of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) header: FrameHeader,
    pub(crate) starts_message: bool,
    /// Says whether the frame, or its message so far, is beyond a limit that is lifted.
    pub(crate) is_beyond: bool,
    /// The place of the header in the chunk, but for the bytes that [`FrameReader::release_held`] gives.
    pub(crate) range: Range<usize>,
}

impl FrameReader {
    pub(crate) fn new(sender: Peer, limits: FrameLimits) -> Self {
        Self {
            sender,
            limits,
            lifted: Lifted::default(),
            held: Held::default(),
            payload_left: 0,
            message: Message::default(),
            closed: false,
        }
    }

    /// Refuses nothing by the limit that `rule` sets any more.
    pub(crate) fn lift(&mut self, rule: Rule) {
        match rule {
            Rule::Types(_) => self.lifted.types = true,
            Rule::MaxFrameBytes(_) => self.lifted.max_frame_bytes = true,
            Rule::MaxMessageBytes(_) => self.lifted.max_message_bytes = true,
            Rule::MaxFragments(_) => self.lifted.max_fragments = true,
            _ => {}
        }
    }

    /// Judges by other limits from here on. What was agreed on of compression stays.
    pub(crate) fn set_limits(&mut self, limits: FrameLimits) {
        let FrameLimits { compressible, inflated, .. } = self.limits;
        self.limits = FrameLimits { compressible, inflated, ..limits };
    }

    /// Says whether the reader stands between two frames, or in a header that was held back, so that a frame
    /// of Postern's own may follow what went on.
    pub(crate) fn at_boundary(&self) -> bool {
        self.payload_left == 0
    }

    /// Says whether no byte of a frame has come that is not whole.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.payload_left == 0 && self.held.is_empty()
    }

    /// Says whether a Close has passed, payload and all.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed && self.payload_left == 0
    }

    /// Returns the number of bytes that are held of the start of a header.
    pub(crate) fn held(&self) -> usize {
        self.held.as_slice().len()
    }

    /// Returns the number of bytes of the open frame's payload that have not come yet.
    pub(crate) fn payload_left(&self) -> u64 {
        self.payload_left
    }

    /// Returns the number of payload bytes of the last message to begin, as far as headers have come.
    pub(crate) fn message_bytes(&self) -> u64 {
        self.message.bytes
    }

    /// Says whether the next `len` bytes are all payload of a judged frame, and do not end it.
    pub(crate) fn within_payload(&self, len: usize) -> bool {
        self.payload_left > len as u64
    }

    /// Goes past `len` bytes of payload that nobody read.
    pub(crate) fn skip_payload(&mut self, len: usize) {
        self.payload_left = self.payload_left.saturating_sub(len as u64);
    }

    /// Gives the first bytes of the last header to `take`, if earlier chunks brought any. Must be called once
    /// for each frame, before the next step.
    pub(crate) fn release_held(&mut self, take: impl FnOnce(&[u8])) {
        // A copy of so few bytes costs more than all else that is done for a frame.
        if !self.held.is_empty() {
            take(self.held.as_slice());
            self.held.len = 0;
        }
    }

    /// Returns to a boundary after a frame of which nothing passed.
    pub(crate) fn forget_frame(&mut self) {
        self.payload_left = 0;
        self.closed = false;
        self.held.len = 0;
    }

    /// Returns what comes at `position` of `chunk`. The next position is the end of the range that is
    /// returned. Held bytes come before the first chunk that is asked about.
    pub(crate) fn step(&mut self, chunk: &mut impl Chunk, position: usize) -> Result<Step, Unreadable> {
        let available = chunk.len().saturating_sub(position);
        if available == 0 {
            return Ok(Step::End);
        }
        if self.payload_left > 0 {
            return Ok(Step::Payload(position..position + self.take_payload(available)));
        }
        let rest = chunk.window(position..position + available.min(MAX_HEADER_LEN))?;
        let mut joined;
        let bytes = if self.held.is_empty() {
            rest
        } else {
            joined = [0; 2 * MAX_HEADER_LEN];
            join(&mut joined, self.held.as_slice(), rest)
        };
        let header = match FrameHeader::parse(bytes) {
            Ok(Some(header)) => header,
            Ok(None) => {
                if let Err(fault) = self.judge_start(bytes) {
                    return Ok(self.broken(fault));
                }
                // An incomplete header is shorter than a whole one, so it is always held.
                return Ok(match Held::new(bytes) {
                    Some(held) => {
                        self.held = held;
                        Step::End
                    }
                    None => Step::Violation(Box::new(Violation::new(Rule::Protocol, Reason::Internal))),
                });
            }
            Err(MalformedHeader::LengthNotMinimal) => {
                return Ok(self.broken(FrameFault::LengthNotMinimal));
            }
            Err(MalformedHeader::LengthTopBit) => return Ok(self.broken(FrameFault::LengthTopBit)),
        };
        if let Err(fault) = self.judge_start(bytes) {
            return Ok(self.broken(fault));
        }
        let Judged { starts_message, is_beyond } = match self.judge(&header) {
            Ok(judged) => judged,
            Err(violation) => return Ok(Step::Violation(violation)),
        };
        let end = position + header.len.saturating_sub(self.held.as_slice().len());
        self.payload_left = header.payload_len;
        self.closed = header.opcode == OpCode::CLOSE;
        Ok(Step::Frame(Frame { header, starts_message, is_beyond, range: position..end }))
    }

    /// Goes past as much of `available` as is payload of the last frame, and says how much that is.
    pub(crate) fn take_payload(&mut self, available: usize) -> usize {
        // The payload that is left fits a usize whenever it is the smaller of the two.
        let taken = usize::try_from(self.payload_left).map_or(available, |left| left.min(available));
        self.payload_left -= taken as u64;
        taken
    }

    /// Judges the first two bytes of a header as soon as they are there (RFC 6455 §5.2, §5.4, §5.5). A Pong
    /// of a client's passes without a mask if it is as long as an answer to a Ping of Postern's own; whether
    /// it is one is settled later.
    fn judge_start(&self, header: &[u8]) -> Result<(), FrameFault> {
        let Some(first) = header.first() else { return Ok(()) };
        let opcode = OpCode::of(*first);
        let fin = first & 0x80 != 0;
        let continues = opcode == OpCode::CONTINUATION;
        // RSV1 marks a compressed message at its first frame, and nothing else (RFC 7692 §6).
        let rsv1 = self.limits.compressible && (opcode == OpCode::TEXT || opcode == OpCode::BINARY);
        let reserved_bits = first & if rsv1 { 0x30 } else { 0x70 };
        match (opcode.is_control(), continues, self.message.is_open) {
            _ if reserved_bits != 0 => return Err(FrameFault::ReservedBit),
            _ if opcode.is_reserved() => return Err(FrameFault::ReservedOpcode),
            (true, ..) if !fin => return Err(FrameFault::FragmentedControl),
            (false, true, false) => return Err(FrameFault::Continuation),
            (false, false, true) => return Err(FrameFault::Interrupted),
            _ => {}
        }
        let Some(second) = header.get(1) else { return Ok(()) };
        let masked = second & 0x80 != 0;
        let length = second & 0x7f;
        let may_be_an_answer = opcode == OpCode::PONG && usize::from(length) == UNMASKED_PONG_LEN;
        match (self.sender, masked) {
            (Peer::Client, false) if !may_be_an_answer => Err(FrameFault::NotMasked),
            (Peer::Upstream, true) => Err(FrameFault::Masked),
            _ if opcode.is_control() && length > 125 => Err(FrameFault::ControlTooLong),
            _ if opcode == OpCode::CLOSE && length == 1 => Err(FrameFault::HalfACode),
            _ => Ok(()),
        }
    }

    /// Judges a header that is well formed against the limits.
    fn judge(&mut self, header: &FrameHeader) -> Result<Judged, Box<Violation>> {
        if header.opcode.is_control() {
            return Ok(Judged::default());
        }
        let lifted = self.lifted;
        let denied = (header.opcode == OpCode::TEXT && !self.limits.text)
            || (header.opcode == OpCode::BINARY && !self.limits.binary);
        let sender = self.sender;
        if denied && !lifted.types {
            return Err(Box::new(Violation::by(sender, Rule::Types(sender), Reason::TypeDenied)));
        }
        let (len, most) = (header.payload_len, self.limits.max_frame_bytes);
        let mut is_beyond = len > most;
        if is_beyond && !lifted.max_frame_bytes {
            let violation = Violation::by(sender, Rule::MaxFrameBytes(sender), Reason::FrameTooBig);
            return Err(exceeds(violation, Measure::FrameBytes, len, most));
        }
        let compressed = header.is_compressed();
        let starts_message = !self.message.is_open;
        let so_far = if starts_message { Message { compressed, ..Message::default() } } else { self.message };
        let bytes = so_far.bytes.saturating_add(header.payload_len);
        let most = self.limits.max_wire_bytes(so_far.compressed);
        is_beyond |= bytes > most;
        if bytes > most && !lifted.max_message_bytes {
            let violation = Violation::by(sender, Rule::MaxMessageBytes(sender), Reason::MessageTooBig);
            return Err(exceeds(violation, Measure::MessageBytes, bytes, most));
        }
        let fragments = so_far.fragments.saturating_add(1);
        let most = self.limits.max_fragments;
        is_beyond |= fragments > most;
        if fragments > most && !lifted.max_fragments {
            let violation = Violation::by(sender, Rule::MaxFragments(sender), Reason::TooManyFragments);
            return Err(exceeds(violation, Measure::Fragments, fragments.into(), most.into()));
        }
        self.message = Message { is_open: !header.fin, bytes, fragments, ..so_far };
        Ok(Judged { starts_message, is_beyond })
    }

    #[cold]
    fn broken(&self, fault: FrameFault) -> Step {
        let violation = Violation::by(self.sender, Rule::Protocol, fault.reason());
        Step::Violation(Box::new(violation.because(fault)))
    }
}

/// A header that may pass.
#[derive(Clone, Copy, Debug, Default)]
struct Judged {
    starts_message: bool,
    /// Says whether it is beyond a limit that is lifted.
    is_beyond: bool,
}

impl Frame {
    /// Says whether the frame is a client's without a mask: no frame at all, unless it answers a Ping of
    /// Postern's own.
    pub(crate) fn lacks_mask(&self, sender: Peer) -> bool {
        sender == Peer::Client && self.header.mask.is_none()
    }
}

impl FrameLimits {
    pub(crate) fn client(messages: &postern_config::Messages) -> Self {
        Self {
            compressible: false,
            inflated: false,
            text: messages.types.contains(&MessageType::Text),
            binary: messages.types.contains(&MessageType::Binary),
            max_frame_bytes: messages.max_frame_bytes,
            max_message_bytes: messages.max_message_bytes,
            max_fragments: messages.max_fragments,
        }
    }

    pub(crate) fn upstream(messages: &postern_config::UpstreamMessages) -> Self {
        Self {
            compressible: false,
            inflated: false,
            text: true,
            binary: true,
            max_frame_bytes: messages.max_frame_bytes,
            max_message_bytes: messages.max_message_bytes,
            max_fragments: u32::MAX,
        }
    }

    /// Returns the most bytes that a message may have on the wire.
    fn max_wire_bytes(&self, compressed: bool) -> u64 {
        if compressed && self.inflated {
            inflate::max_wire_bytes(self.max_message_bytes)
        } else {
            self.max_message_bytes
        }
    }
}

impl Held {
    /// Takes the bytes; returns `None` when they are more than an incomplete header has.
    fn new(bytes: &[u8]) -> Option<Self> {
        let mut held = Self { len: u8::try_from(bytes.len()).ok()?, ..Self::default() };
        held.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(held)
    }

    /// Returns the bytes in order.
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cold]
fn exceeds(violation: Violation, measure: Measure, value: u64, limit: u64) -> Box<Violation> {
    Box::new(violation.because(LimitExceeded { measure, value, limit }))
}

/// Joins the held bytes and as many of the chunk's as any header needs.
fn join<'a>(joined: &'a mut [u8; 2 * MAX_HEADER_LEN], held: &[u8], rest: &[u8]) -> &'a [u8] {
    let rest = rest.get(..MAX_HEADER_LEN).unwrap_or(rest);
    let mut len = 0;
    for (place, byte) in joined.iter_mut().zip(held.iter().chain(rest)) {
        *place = *byte;
        len += 1;
    }
    joined.get(..len).unwrap_or_default()
}

#[cfg(test)]
mod tests;
