//! What one peer has sent, and what is to become of it.
//!
//! A side reads one byte at a time and keeps what it has read. Nothing goes on of a frame that has
//! to be proved before all of it has come, nor of a message that is inflated.

use postern_engine::{Peer, Reason};

use crate::deflate::Context;
use crate::policy::{Compression, Limits};
use crate::reader::{self, Header, Read};
use crate::rfc1951::{Broken, Inflater};

#[derive(Debug)]
pub(crate) struct Side {
    peer: Peer,
    limits: Limits,
    /// Whether messages may be compressed.
    compresses: bool,
    /// Where compressed messages are inspected.
    inflater: Option<Inflater>,
    /// Whether text is proved.
    utf8: bool,
    /// The bytes of the frame that is open.
    pub(crate) frame: Vec<u8>,
    /// Its header, once it has been let through, and what becomes of the frame.
    pub(crate) judged: Option<(Header, Fate)>,
    pub(crate) message: Option<Message>,
    /// The whole frames of a message that is being inflated.
    withheld: Vec<u8>,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    Withhold,
    Discard,
}

/// A message that is open.
#[derive(Debug, Default)]
pub(crate) struct Message {
    text: bool,
    /// Whether it is compressed and inspected.
    pub(crate) inflated: bool,
    pub(crate) discarded: bool,
    pub(crate) bytes: u64,
    fragments: u64,
    header_bytes: usize,
    /// What it inflates to so far.
    inflated_bytes: u64,
    /// The character that it ends with so far, as far as it has come, where that matters.
    character: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Bytes pass.
    Open,
    /// A Close of Postern's follows at the next boundary.
    Closing,
    /// A Close has passed.
    Closed,
}

/// By how much a message may be longer on the wire than it reads: what does not compress is stored in blocks, each of which
/// costs five bytes, and there are at most so many of them.
pub(crate) fn most_growth(max_message: u64) -> u64 {
    5 * (1024 + max_message / 64)
}

/// How many bytes of headers may be withheld with a message.
const MAX_WITHHELD_HEADERS: usize = 16 * 1024;

impl Side {
    pub(crate) fn new(
        peer: Peer,
        limits: Limits,
        compression: Option<Compression>,
        context: Option<Context>,
    ) -> Self {
        let inspected = context.filter(|_| compression == Some(Compression::Inspect));
        Self {
            peer,
            limits,
            compresses: context.is_some(),
            inflater: inspected.map(|Context { window_bits, takeover }| Inflater::new(window_bits, takeover)),
            utf8: limits.utf8 && compression != Some(Compression::Pass),
            frame: Vec::new(),
            judged: None,
            message: None,
            withheld: Vec::new(),
            end: End::Open,
        }
    }

    /// Whether what went on ends with a whole frame.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.judged.is_none_or(|(_, fate)| fate != Fate::Pass)
    }

    /// How much of the open frame has not come.
    pub(crate) fn bytes_left(&self) -> u64 {
        self.judged.map_or(0, |(header, _)| header.len as u64 + header.payload_len - self.frame.len() as u64)
    }

    /// Judges what has come of a header.
    pub(crate) fn judge_start(&self) -> Result<(), Reason> {
        let broken = || Err(Reason::ProtocolError);
        let Some(first) = self.frame.first() else { return Ok(()) };
        let (opcode, fin) = (first & 0x0f, first & 0x80 != 0);
        let in_place = match opcode {
            0 => self.message.is_some(),
            1 | 2 => self.message.is_none(),
            8..=10 => fin,
            _ => false,
        };
        let rsv1 = self.compresses && matches!(opcode, 1 | 2);
        if first & (if rsv1 { 0x30 } else { 0x70 }) != 0 || !in_place {
            return broken();
        }
        let Some(second) = self.frame.get(1) else { return Ok(()) };
        if (second & 0x80 != 0) != (self.peer == Peer::Client) {
            return broken();
        }
        let short_len = second & 0x7f;
        if opcode >= 8 && (short_len > 125 || (opcode == 8 && short_len == 1)) {
            return broken();
        }
        if let Read::NotMinimal = reader::read(&self.frame) {
            return broken();
        }
        Ok(())
    }

    /// Judges a whole header by the limits, and opens its message.
    pub(crate) fn judge(&mut self, header: &Header) -> Result<(), Reason> {
        if header.is_control() {
            return Ok(());
        }
        let limits = self.limits;
        if (header.opcode == 1 && !limits.text) || (header.opcode == 2 && !limits.binary) {
            return Err(Reason::TypeDenied);
        }
        if header.payload_len > limits.max_frame {
            return Err(Reason::FrameTooBig);
        }
        let inflated = header.compressed && self.inflater.is_some();
        let message = self.message.get_or_insert_with(|| Message {
            text: header.opcode == 1,
            inflated,
            ..Message::default()
        });
        message.bytes += header.payload_len;
        message.fragments += 1;
        let growth = if message.inflated { most_growth(limits.max_message) } else { 0 };
        if message.bytes > limits.max_message + growth {
            return Err(Reason::MessageTooBig);
        }
        if message.fragments > limits.max_fragments {
            return Err(Reason::TooManyFragments);
        }
        Ok(())
    }

    /// Whether, and of what, a frame waits that may pass by its header.
    pub(crate) fn withholds(&mut self, header: &Header) -> Result<bool, Reason> {
        if header.is_close() {
            // What is withheld of a message will never be whole.
            self.withheld.clear();
            return Ok(true);
        }
        let Some(message) = self.message.as_mut().filter(|_| !header.is_control()) else { return Ok(false) };
        if message.inflated {
            message.header_bytes += header.len;
            if message.header_bytes > MAX_WITHHELD_HEADERS {
                return Err(Reason::TooManyFragments);
            }
        }
        Ok(message.inflated || (self.utf8 && message.text))
    }

    /// Reads the last byte of the payload, where it has to be proved.
    pub(crate) fn prove(&mut self) -> Result<(), Reason> {
        let Some((header, Fate::Withhold)) = self.judged else { return Ok(()) };
        if header.is_close() {
            let body = header.plain(&self.frame);
            let begins = |code: u16| code.to_be_bytes().iter().zip(&body).all(|(byte, came)| byte == came);
            if !(1000..=1003).chain(1007..=1014).chain(3000..=4999).any(begins) {
                return Err(Reason::ProtocolError);
            }
            if is_hopeless(body.get(2..).unwrap_or_default()) {
                return Err(Reason::InvalidUtf8);
            }
            return Ok(());
        }
        let (Some(message), Some(byte)) = (&mut self.message, header.last(&self.frame)) else {
            return Ok(());
        };
        let inflater = self.inflater.as_mut().filter(|_| message.inflated);
        let Some(inflater) = inflater else { return message.read(byte) };
        let (said, inflated) = inflater.push(byte);
        for byte in said {
            message.inflated_bytes += 1;
            if message.inflated_bytes > self.limits.max_message {
                return Err(Reason::MessageTooBig);
            }
            if self.utf8 && message.text {
                message.read(byte)?;
            }
        }
        inflated.map_err(|Broken| Reason::ProtocolError)
    }

    /// Ends a frame that was withheld, and gives what goes on with it.
    pub(crate) fn prove_end(&mut self, header: &Header) -> Result<Vec<u8>, Reason> {
        if header.is_close() {
            let body = header.plain(&self.frame);
            let reason = std::str::from_utf8(body.get(2..).unwrap_or_default());
            return reason.map(|_| self.frame.clone()).map_err(|_| Reason::InvalidUtf8);
        }
        self.withheld.extend_from_slice(&self.frame);
        let Some(message) = &self.message else { return Ok(Vec::new()) };
        if message.inflated && !header.fin {
            return Ok(Vec::new());
        }
        if let Some(inflater) = self.inflater.as_mut().filter(|_| message.inflated) {
            inflater.finish().map_err(|Broken| Reason::ProtocolError)?;
        }
        if header.fin && !message.character.is_empty() {
            return Err(Reason::InvalidUtf8);
        }
        Ok(std::mem::take(&mut self.withheld))
    }

    /// How much of what came may neither go on nor be forgotten, in bytes.
    pub(crate) fn held(&self) -> usize {
        let withheld = self.judged.is_some_and(|(_, fate)| fate == Fate::Withhold);
        let frame = if withheld { self.frame.len() } else { 0 };
        if self.end == End::Closed { 0 } else { self.withheld.len() + frame }
    }

    /// Forgets all of that. The frame that is open goes on only if it has begun to.
    pub(crate) fn give_back(&mut self) {
        self.withheld.clear();
        if self.is_at_boundary() {
            self.frame.clear();
            self.judged = None;
        }
    }

    /// Whether a message waits to be inflated to its end.
    pub(crate) fn withholds_a_message(&self) -> bool {
        !self.withheld.is_empty()
    }
}

impl Message {
    /// Reads the next byte of a text.
    fn read(&mut self, byte: u8) -> Result<(), Reason> {
        self.character.push(byte);
        if is_hopeless(&self.character) {
            return Err(Reason::InvalidUtf8);
        }
        if std::str::from_utf8(&self.character).is_ok() {
            self.character.clear();
        }
        Ok(())
    }
}

/// Whether no more bytes can make this UTF-8.
fn is_hopeless(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_err_and(|error| error.error_len().is_some())
}
