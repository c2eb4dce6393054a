//! The payload of a frame as a case writes it: its bytes on the wire, and the bytes that they stand for.
//!
//! Payloads are compressed by RFC 7692 §7.2.1: a sync flush, whose last four octets are taken off.

use flate2::{Compress, Compression, FlushCompress};
use serde::Deserialize;

/// The octets that a sender takes off (RFC 7692 §7.2.1).
pub(crate) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The largest window, as its base-two logarithm (RFC 7692 §7.1.2).
const MAX_WINDOW_BITS: u8 = 15;

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Payload {
    Text(String),
    /// The list stands before the other variants: it could also be read as the members of one of them, in
    /// order.
    Joined(Vec<Payload>),
    Hex {
        hex: String,
    },
    Repeat {
        repeat: Box<Payload>,
        times: usize,
    },
    Deflate(Deflate),
    Deflated(Deflated),
}

/// A message to be compressed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deflate {
    deflate: Box<Payload>,
    /// The messages whose context is taken over: this message refers to them.
    #[serde(default)]
    after: Vec<Payload>,
    /// The window's base-two logarithm, 9 to 15: with 8, zlib compresses nothing but streams of its own
    /// format.
    #[serde(default = "largest_window")]
    window_bits: u8,
    /// The level of compression, 0 to 9; 0 means stored blocks.
    #[serde(default = "best")]
    level: u32,
}

/// Compressed bytes that a case gives as they are, instead of having them made here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deflated {
    deflated: Box<Payload>,
    inflates_to: Box<Payload>,
}

fn largest_window() -> u8 {
    MAX_WINDOW_BITS
}

fn best() -> u32 {
    9
}

impl Payload {
    /// Returns the bytes on the wire, without the mask.
    pub(crate) fn wire(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Hex { hex } => unhex(hex),
            Self::Repeat { repeat, times } => repeat.wire().repeat(*times),
            Self::Deflate(message) => message.wire(),
            Self::Deflated(message) => message.deflated.wire(),
            Self::Joined(parts) => parts.iter().flat_map(Self::wire).collect(),
        }
    }

    /// Returns the bytes that the wire stands for.
    pub(crate) fn plain(&self) -> Vec<u8> {
        match self {
            Self::Deflate(message) => message.deflate.plain(),
            Self::Deflated(message) => message.inflates_to.plain(),
            Self::Text(_) | Self::Hex { .. } | Self::Repeat { .. } | Self::Joined(_) => self.wire(),
        }
    }

    /// Says whether the payload stands for other bytes than its own.
    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self, Self::Deflate(_) | Self::Deflated(_))
    }
}

impl Deflate {
    fn wire(&self) -> Vec<u8> {
        let fresh = || Compress::new_with_window_bits(Compression::new(self.level), false, self.window_bits);
        let plain = self.deflate.plain();
        let mut compress = fresh();
        for earlier in &self.after {
            message(&mut compress, &earlier.plain());
        }
        let wire = message(&mut compress, &plain);
        let refers = self.after.is_empty() || wire != message(&mut fresh(), &plain);
        assert!(refers, "{:?} refers to nothing of what is before it", self.deflate);
        wire
    }
}

fn message(compress: &mut Compress, plain: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(plain.len() + plain.len() / 8 + 1024);
    let start = compress.total_in();
    compress.compress_vec(plain, &mut wire, FlushCompress::Sync).expect("room for it");
    assert_eq!(compress.total_in() - start, plain.len() as u64, "bytes compressed");
    assert_eq!(wire.split_off(wire.len() - TAIL.len()), TAIL, "the end of a sync flush");
    wire
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    assert!(digits.len().is_multiple_of(2), "{hex:?} is half a byte short");
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("hex digits")).collect()
}
