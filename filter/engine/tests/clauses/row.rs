//! What a row of the tables says, and the words to write one with.

use postern_engine::Peer;

use crate::support;

/// One clause, something that it allows or forbids, and what is to come of it.
pub(crate) struct Row {
    /// RFC, section and what it demands.
    pub(crate) clause: &'static str,
    /// Where a clause has several rows, what tells this one from the others.
    pub(crate) which: String,
    /// Who may say this.
    pub(crate) peers: &'static [Peer],
    pub(crate) terms: Terms,
    /// What passes, whole and unchanged.
    pub(crate) good: Says,
    pub(crate) end: End,
}

/// The bytes of a row, as the peer that sends them has to write them.
pub(crate) type Says = Box<dyn Fn(Sender) -> Vec<u8>>;

/// What comes of the bytes.
pub(crate) enum End {
    /// More may follow.
    Open,
    /// They ended with a Close: nothing of this sender passes any more.
    Closed,
    /// `bad`, behind what passes, ends the connection at its last byte and not before. Both sides
    /// get a Close of this code and reason.
    Refused { bad: Says, code: u16, reason: &'static str },
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The policy's `compression`.
    pub(crate) compression: &'static str,
    /// The upstream's Sec-WebSocket-Extensions.
    pub(crate) answer: Option<&'static str>,
}

/// Nothing is compressed.
pub(crate) const PLAIN: Terms = Terms { compression: "strip", answer: None };

pub(crate) const BOTH: &[Peer] = &[Peer::Client, Peer::Upstream];

/// Who writes the bytes of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender(pub(crate) Peer);

/// A row whose bytes pass.
pub(crate) fn passes(clause: &'static str, good: impl Fn(Sender) -> Vec<u8> + 'static) -> Row {
    Row { clause, which: String::new(), peers: BOTH, terms: PLAIN, good: Box::new(good), end: End::Open }
}

/// A row whose bytes are refused as a violation of the protocol, at the last of them.
pub(crate) fn refused(clause: &'static str, bad: impl Fn(Sender) -> Vec<u8> + 'static) -> Row {
    let end = End::Refused { bad: Box::new(bad), code: 1002, reason: "protocol_error" };
    Row { end, ..passes(clause, |_| Vec::new()) }
}

impl Row {
    /// Tells rows of one clause apart.
    pub(crate) fn which(self, which: impl Into<String>) -> Self {
        Self { which: which.into(), ..self }
    }

    /// Behind these bytes, which pass.
    pub(crate) fn behind(self, good: impl Fn(Sender) -> Vec<u8> + 'static) -> Self {
        Self { good: Box::new(good), ..self }
    }

    pub(crate) fn only(self, peers: &'static [Peer]) -> Self {
        Self { peers, ..self }
    }

    pub(crate) fn under(self, terms: Terms) -> Self {
        Self { terms, ..self }
    }

    /// With a Close at the end.
    pub(crate) fn and_closes(self) -> Self {
        Self { end: End::Closed, ..self }
    }

    /// As no UTF-8.
    pub(crate) fn not_text(self) -> Self {
        let end = match self.end {
            End::Refused { bad, .. } => End::Refused { bad, code: 1007, reason: "invalid_utf8" },
            end => end,
        };
        Self { end, ..self }
    }
}

impl Sender {
    fn key(self) -> Option<[u8; 4]> {
        (self.0 == Peer::Client).then_some([0x37, 0xfa, 0x21, 0x3d])
    }

    /// A frame with so much of its payload missing; none unless it is said.
    pub(crate) fn frame_without(self, first: u8, came: &[u8], missing: u64) -> Vec<u8> {
        let mut bytes = support::header(first, came.len() as u64 + missing, self.key());
        let key = self.key().unwrap_or_default();
        bytes.extend(came.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    pub(crate) fn frame(self, first: u8, payload: &[u8]) -> Vec<u8> {
        self.frame_without(first, payload, 0)
    }

    /// The first byte of a header, its seven bits of length behind the right mask bit, and more.
    pub(crate) fn start(self, first: u8, length: u8, more: &[u8]) -> Vec<u8> {
        let mask_bit = if self.0 == Peer::Client { 0x80 } else { 0 };
        [&[first, mask_bit | length], more].concat()
    }

    /// The first two bytes of a frame masked as only the other peer's may be.
    pub(crate) fn start_of_the_other(self, first: u8, length: u8) -> Vec<u8> {
        let [first, second] = [first, self.start(first, length, &[])[1] ^ 0x80];
        vec![first, second]
    }
}
