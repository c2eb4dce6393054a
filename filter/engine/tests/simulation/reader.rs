//! Reads a frame's header (RFC 6455 §5.2) from bytes that begin with one.

/// What the bytes begin with.
#[derive(Debug)]
pub(crate) enum Read {
    /// A part of a header.
    Part,
    /// A length that a shorter form has room for, or that has its top bit set.
    NotMinimal,
    Whole(Header),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    /// Whether RSV1 is set.
    pub(crate) compressed: bool,
    pub(crate) payload_len: u64,
    /// Where the payload begins.
    pub(crate) len: usize,
    mask: [u8; 4],
}

pub(crate) fn read(bytes: &[u8]) -> Read {
    let (Some(first), Some(second)) = (bytes.first(), bytes.get(1)) else { return Read::Part };
    let (length_bytes, least) = match second & 0x7f {
        126 => (2, 126),
        127 => (8, 65_536),
        _ => (0, 0),
    };
    // The smallest and the largest number that begins like this.
    let [low, high] = [0x00, 0xff].map(|missing| {
        let length = bytes[2..].iter().copied().chain([missing; 8]).take(length_bytes);
        length.fold(0, |number: u64, byte| number << 8 | u64::from(byte))
    });
    let payload_len = if length_bytes == 0 { u64::from(second & 0x7f) } else { low };
    if (length_bytes > 0 && high < least) || low > u64::MAX / 2 {
        return Read::NotMinimal;
    }
    if bytes.len() < 2 + length_bytes {
        return Read::Part;
    }
    let mut header = Header {
        fin: first & 0x80 != 0,
        opcode: first & 15,
        compressed: first & 0x40 != 0,
        payload_len,
        len: 2 + length_bytes,
        mask: [0; 4],
    };
    if second & 0x80 != 0 {
        let Some(mask) = bytes.get(header.len..header.len + 4) else { return Read::Part };
        header.mask.copy_from_slice(mask);
        header.len += 4;
    }
    Read::Whole(header)
}

impl Header {
    pub(crate) fn is_control(&self) -> bool {
        self.opcode >= 8
    }

    pub(crate) fn is_close(&self) -> bool {
        self.opcode == 8
    }

    pub(crate) fn starts_message(&self) -> bool {
        matches!(self.opcode, 1 | 2)
    }

    /// What the last byte in `frame`, which is one of the payload, reads as.
    pub(crate) fn last(&self, frame: &[u8]) -> Option<u8> {
        let at = frame.len().checked_sub(self.len + 1)?;
        Some(frame[self.len + at] ^ self.mask[at % 4])
    }

    /// What the payload in `frame` reads as, as far as it has come.
    pub(crate) fn plain(&self, frame: &[u8]) -> Vec<u8> {
        let payload = frame.get(self.len..).unwrap_or_default();
        payload.iter().zip(self.mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
    }
}
