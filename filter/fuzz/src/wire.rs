//! WebSocket frames, read by other code than the engine's.

/// A frame as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'b> {
    pub(crate) header: Header,
    /// As far as it has come.
    pub(crate) payload: &'b [u8],
}

/// The header of a frame, allowed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    /// RSV1, RSV2 and RSV3 as the bits 0x40, 0x20 and 0x10.
    pub(crate) rsv: u8,
    pub(crate) opcode: u8,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload_len: u64,
}

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

impl Header {
    pub(crate) fn is_control(&self) -> bool {
        self.opcode >= CLOSE
    }

    /// Whether a message begins here, where a message may begin.
    pub(crate) fn starts_message(&self) -> bool {
        matches!(self.opcode, TEXT | BINARY)
    }

    /// Whether RSV1 says of the message that begins here that it is compressed (RFC 7692 §6).
    pub(crate) fn is_compressed(&self) -> bool {
        self.starts_message() && self.rsv & 0x40 != 0
    }
}

impl Frame<'_> {
    pub(crate) fn is_whole(&self) -> bool {
        self.payload.len() as u64 == self.header.payload_len
    }

    /// What the payload reads as.
    pub(crate) fn plain(&self) -> Vec<u8> {
        masked(self.payload, self.header.mask.unwrap_or_default())
    }
}

/// `bytes` with the key on them, or without it.
pub(crate) fn masked(bytes: &[u8], key: [u8; 4]) -> Vec<u8> {
    bytes.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

/// The whole frames that `bytes` begin with, and what follows them.
pub(crate) fn frames(mut bytes: &[u8]) -> (Vec<Frame<'_>>, &[u8]) {
    let mut frames = Vec::new();
    while let Some((frame, rest)) = frame(bytes).filter(|(frame, _)| frame.is_whole()) {
        frames.push(frame);
        bytes = rest;
    }
    (frames, bytes)
}

/// The frame that `bytes` begin with, as far as it has come, and what follows it. `None` while its
/// header is not whole.
pub(crate) fn frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    let (payload_len, rest) = match second & 0x7f {
        126 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*len), rest)
        }
        len => (u64::from(len), rest),
    };
    let (mask, rest) = if second & 0x80 != 0 {
        let (mask, rest) = rest.split_first_chunk::<4>()?;
        (Some(*mask), rest)
    } else {
        (None, rest)
    };
    let here = usize::try_from(payload_len).unwrap_or(usize::MAX).min(rest.len());
    let (payload, rest) = rest.split_at(here);
    let (fin, rsv, opcode) = (first & 0x80 != 0, first & 0x70, first & 0xf);
    let header = Header { fin, rsv, opcode, mask, payload_len };
    Some((Frame { header, payload }, rest))
}
