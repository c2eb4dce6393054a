//! Compressed messages (RFC 7692), read by other inflaters than the engine's.
//!
//! What a side sends is turned into what it would have sent without compression, so that a reader
//! that knows no extension can be held against it. That is done by an inflater as plain and as
//! strict as can be; zlib, which is not as strict, reads the same in every message that is one.

use flate2::{Decompress, FlushDecompress, Status};
use postern_engine::Peer;

use crate::reference::{self, End, plainly, tungstenite};
use crate::rfc1951::{Broken, Inflater, TAIL};
use crate::script;
use crate::stream::{Context, StreamPolicy, max_message_bytes};
use crate::wire::{CLOSE, CONTINUATION, frame};

/// What a side sent, as it reads without compression.
#[derive(Debug)]
pub(crate) struct Plain {
    /// Up to the fault, if there is one.
    pub(crate) bytes: Vec<u8>,
    pub(crate) fault: Option<Fault>,
}

/// Why a compressed message is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It cannot be inflated, or does not end as a message.
    Broken,
    /// It inflates to more than a message may have.
    TooLong,
}

/// Holds what has passed of `peer`'s against what may where messages are inspected: tungstenite
/// reads it once it is inflated, and no message is longer than one may be.
pub(crate) fn assert_readable(policy: &StreamPolicy, peer: Peer, context: Context, passed: &[u8]) {
    let Plain { bytes, fault } = plain(peer, context, passed);
    assert_eq!(fault, None, "{peer:?}: what has passed is not inflated");
    let (_, end) = tungstenite(peer, &bytes);
    match end {
        End::Waits | End::Closed => {}
        // Nobody asked for a proof.
        End::Fails(reference::Fault::Utf8) if !policy.proves_text(peer) => {}
        End::Fails(fault) => panic!("{peer:?}: what has passed is refused: {fault:?}"),
    }
    for item in plainly(&bytes) {
        assert!(item.payload.len() as u64 <= max_message_bytes(peer), "{peer:?}: a message is too long");
    }
}

/// Reads `bytes` of `peer`, up to a Close. What is left of a frame that is not whole stays as it is.
pub(crate) fn plain(peer: Peer, context: Context, mut bytes: &[u8]) -> Plain {
    let mut reader = Reader::new(context);
    let mut plain = Plain { bytes: Vec::new(), fault: None };
    // Whether a message is open, and whether it is compressed.
    let (mut within, mut compressed) = (false, false);
    while let Some((frame, rest)) = frame(bytes).filter(|(frame, _)| frame.is_whole()) {
        let header = frame.header;
        let continues = header.opcode == CONTINUATION;
        if !header.is_control() && (continues != within || !continues && !header.starts_message()) {
            // Nobody reads on from here.
            break;
        }
        if header.starts_message() {
            compressed = header.is_compressed();
        }
        if compressed && !header.is_control() {
            let (said, fault) = reader.fragment(&frame.plain(), header.fin, max_message_bytes(peer));
            let mut frame = script::frame(header.opcode, header.fin && fault.is_none(), header.mask, &said);
            // Only what says that it is compressed is taken out.
            frame[0] |= if header.starts_message() { header.rsv & 0x30 } else { header.rsv };
            plain.bytes.extend(frame);
            plain.fault = fault;
        } else {
            plain.bytes.extend_from_slice(&bytes[..bytes.len() - rest.len()]);
        }
        if plain.fault.is_some() || header.opcode == CLOSE {
            return plain;
        }
        within = if header.is_control() { within } else { !header.fin };
        bytes = rest;
    }
    plain.bytes.extend_from_slice(bytes);
    plain
}

/// Reads the compressed messages of one side.
struct Reader {
    context: Context,
    inflater: Inflater,
    /// What messages so far inflated to, as far as one may refer to it.
    history: Vec<u8>,
    /// What the open message has on the wire, and what it inflates to.
    wire: Vec<u8>,
    output: Vec<u8>,
}

impl Reader {
    fn new(context: Context) -> Self {
        let inflater = Inflater::new(context.window_bits, context.takeover);
        Self { context, inflater, history: Vec::new(), wire: Vec::new(), output: Vec::new() }
    }

    /// What the next fragment of a message says, and whether it ends in a fault.
    fn fragment(&mut self, payload: &[u8], fin: bool, most: u64) -> (Vec<u8>, Option<Fault>) {
        let most = usize::try_from(most).unwrap_or(usize::MAX) - self.output.len();
        let mut said = Vec::new();
        for byte in payload {
            let (more, sound) = self.inflater.push(*byte);
            said.extend(more);
            if said.len() > most {
                said.truncate(most);
                return (said, Some(Fault::TooLong));
            }
            if sound == Err(Broken) {
                return (said, Some(Fault::Broken));
            }
        }
        self.wire.extend_from_slice(payload);
        self.output.extend_from_slice(&said);
        if fin {
            if self.inflater.finish() == Err(Broken) {
                return (said, Some(Fault::Broken));
            }
            self.wire.extend(TAIL);
            assert_eq!(zlib(&self.history, &self.wire), self.output, "zlib reads something else");
            self.wire.clear();
            self.history.append(&mut self.output);
            let kept = if self.context.takeover { 1 << self.context.window_bits } else { 0 };
            self.history.drain(..self.history.len().saturating_sub(kept));
        }
        (said, None)
    }
}

/// What zlib inflates a message to that may refer to this.
fn zlib(history: &[u8], mut message: &[u8]) -> Vec<u8> {
    let mut said = history.to_vec();
    loop {
        let mut zlib = Decompress::new(false);
        zlib.set_dictionary(&said).expect("raw streams take one");
        // All that a message may have, and more.
        said.reserve(4096);
        let status = zlib.decompress_vec(message, &mut said, FlushDecompress::Sync);
        message = &message[usize::try_from(zlib.total_in()).expect("no more than there is")..];
        match status {
            // Blocks may follow a last one, with the same history (RFC 7692 §7.2.3.4).
            Ok(Status::StreamEnd) if !message.is_empty() => {}
            Ok(_) if message.is_empty() => return said.split_off(history.len()),
            _ => panic!("zlib does not read it: {status:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    /// RFC 7692 §7.2.3.2: the second message refers to the first.
    const AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];

    fn read(takeover: bool, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, Fault>> {
        let mut reader = Reader::new(Context { window_bits: 9, takeover });
        let mut read = |payload: &&[u8]| {
            let (said, fault) = reader.fragment(payload, true, 600);
            fault.map_or(Ok(said), Err)
        };
        messages.iter().map(&mut read).collect()
    }

    #[test]
    fn messages_read_as_the_rfc_says_and_not_beyond_what_may_be_referred_to() {
        let hello = || Ok(b"Hello".to_vec());
        assert_eq!(read(true, &[&HELLO, &AGAIN]), [hello(), hello()]);
        assert_eq!(read(false, &[&HELLO, &AGAIN]), [hello(), Err(Fault::Broken)]);
        // Two blocks, and one that is the last (§7.2.3.4, §7.2.3.5).
        let blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        assert_eq!(read(true, &[&blocks, &last, &AGAIN]), [hello(), hello(), hello()]);
        let stored = [&[0, 0x58, 0x02, 0xa7, 0xfd][..], &[b'x'; 600], &[0]].concat();
        let (from_512, from_513) = ([0x02, 0xc6, 0x3f, 0x00], [0x02, 0x26, 0x00, 0x00, 0x00]);
        let read = read(true, &[&stored, &from_512, &from_513]);
        assert_eq!(read, [Ok(vec![b'x'; 600]), Ok(b"xxx".to_vec()), Err(Fault::Broken)]);
    }

    #[test]
    fn what_does_not_end_as_a_message_is_none() {
        for payload in [&b""[..], b"\xf2\x48", b"\xff", &[&HELLO[..], &TAIL].concat()] {
            assert_eq!(read(true, &[payload]), [Err(Fault::Broken)], "{payload:02x?}");
        }
    }
}
