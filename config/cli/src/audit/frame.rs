//! Frames (RFC 6455 §5.2) as an attacker writes them, right or wrong, and as a lenient reader takes them. Judges none.

/// The opcodes of RFC 6455 §11.8.
pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0x0;
    pub(crate) const TEXT: u8 = 0x1;
    pub(crate) const BINARY: u8 = 0x2;
    pub(crate) const CLOSE: u8 = 0x8;
    pub(crate) const PING: u8 = 0x9;
    pub(crate) const PONG: u8 = 0xA;
}

/// The longest payload of a frame that is read, in bytes; the longest that comes back is one of ours.
const LONGEST: u64 = 8 << 20;

/// The masking key of all frames. Nothing here needs one that nobody can guess.
const KEY: [u8; 4] = [0x5a, 0x13, 0xc6, 0x71];

/// The form in which a length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// The shortest form of the true length.
    True,
    /// This length in sixteen bits.
    Sixteen(u16),
    /// This length in sixty-four bits.
    SixtyFour(u64),
}

/// A frame to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    fin: bool,
    reserved: u8,
    opcode: u8,
    is_masked: bool,
    length: Length,
    payload: Vec<u8>,
}

impl Frame {
    /// Creates a final, masked frame, as a client must send it.
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            fin: true,
            reserved: 0,
            opcode,
            is_masked: true,
            length: Length::True,
            payload: payload.into(),
        }
    }

    /// Takes FIN away: more fragments follow.
    pub(crate) fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// Sets reserved bits, RSV1 being 4.
    pub(crate) fn reserved(mut self, bits: u8) -> Self {
        self.reserved = bits;
        self
    }

    /// Takes the mask away.
    pub(crate) fn unmasked(mut self) -> Self {
        self.is_masked = false;
        self
    }

    /// Writes another length, or the true one in another form.
    pub(crate) fn length(mut self, length: Length) -> Self {
        self.length = length;
        self
    }

    /// Returns the bytes on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.fin) << 7 | (self.reserved & 7) << 4 | self.opcode & 0xf];
        let mask_bit = u8::from(self.is_masked) << 7;
        let short = u16::try_from(self.payload.len());
        match (self.length, short) {
            (Length::Sixteen(length), _) => {
                bytes.push(mask_bit | 126);
                bytes.extend(length.to_be_bytes());
            }
            (Length::True, Ok(length @ 126..)) => {
                bytes.push(mask_bit | 126);
                bytes.extend(length.to_be_bytes());
            }
            (Length::True, Ok(length)) => bytes.extend(u8::try_from(length).map(|length| mask_bit | length)),
            (Length::SixtyFour(length), _) => {
                bytes.push(mask_bit | 127);
                bytes.extend(length.to_be_bytes());
            }
            (Length::True, Err(_)) => {
                bytes.push(mask_bit | 127);
                bytes.extend(u64::try_from(self.payload.len()).unwrap_or(u64::MAX).to_be_bytes());
            }
        }
        if self.is_masked {
            bytes.extend(KEY);
            bytes.extend(masked(&self.payload, KEY));
        } else {
            bytes.extend_from_slice(&self.payload);
        }
        bytes
    }
}

fn masked(payload: &[u8], key: [u8; 4]) -> impl Iterator<Item = u8> {
    payload.iter().zip(key.into_iter().cycle()).map(|(byte, key)| byte ^ key)
}

/// A frame that was received, whatever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Received {
    /// Says whether this is part of a message.
    pub(crate) fn is_data(&self) -> bool {
        self.opcode < opcode::CLOSE
    }

    /// Returns the code of a Close, if it has one.
    pub(crate) fn code(&self) -> Option<u16> {
        self.payload.first_chunk().map(|code| u16::from_be_bytes(*code))
    }

    /// Returns the reason of a Close, which is empty where there is none.
    pub(crate) fn reason(&self) -> String {
        String::from_utf8_lossy(self.payload.get(2..).unwrap_or_default()).into_owned()
    }
}

/// The thing at the beginning of received bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// A frame that is not whole yet.
    Incomplete,
    /// A frame, and the number of its bytes.
    Whole(Received, usize),
    /// A frame that is longer than any answer would be.
    TooLong,
}

/// Reads the first frame in `bytes`, whatever its reserved bits, opcode and mask are.
pub(crate) fn read(bytes: &[u8]) -> Reading {
    parse(bytes).unwrap_or(Reading::Incomplete)
}

fn parse(bytes: &[u8]) -> Option<Reading> {
    let (first, rest) = bytes.split_first()?;
    let (second, rest) = rest.split_first()?;
    let (length, rest) = match second & 0x7f {
        126 => {
            rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?
        }
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        short => (u64::from(short), rest),
    };
    if length > LONGEST {
        return Some(Reading::TooLong);
    }
    let (key, rest) = match second >> 7 {
        0 => ([0; 4], rest),
        _ => rest.split_first_chunk().map(|(key, rest)| (*key, rest))?,
    };
    let header = bytes.len().checked_sub(rest.len())?;
    let length = usize::try_from(length).ok()?;
    let payload = masked(rest.get(..length)?, key).collect();
    Some(Reading::Whole(Received { opcode: first & 0xf, payload }, header.checked_add(length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_in_every_form_of_length_and_at_every_cut() {
        for length in [0, 1, 125, 126, 0xffff, 0x1_0000] {
            let payload = vec![b'x'; length];
            for frame in
                [Frame::new(opcode::BINARY, payload.clone()), Frame::new(3, payload.clone()).unmasked()]
            {
                let bytes = frame.bytes();
                let received = Received { opcode: frame.opcode, payload: payload.clone() };
                assert_eq!(read(&bytes), Reading::Whole(received, bytes.len()), "{length}");
                for cut in (0..bytes.len()).step_by(1 + length / 8) {
                    assert_eq!(read(&bytes[..cut]), Reading::Incomplete, "{length} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn a_length_is_written_as_it_is_asked_for() {
        let frame = Frame::new(opcode::TEXT, *b"ab").unmasked();
        for (length, header) in [
            (Length::True, &[0x81, 2][..]),
            (Length::Sixteen(2), &[0x81, 126, 0, 2]),
            (Length::SixtyFour(1 << 63), &[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(frame.clone().length(length).bytes(), [header, b"ab"].concat());
        }
        assert_eq!(read(&frame.length(Length::SixtyFour(1 << 63)).bytes()), Reading::TooLong);
    }

    #[test]
    fn a_close_has_a_code_and_a_reason_where_they_are_there() {
        let close = |payload: &[u8]| Received { opcode: opcode::CLOSE, payload: payload.to_vec() };
        assert_eq!((close(b"").code(), close(b"\x03").code()), (None, None));
        let whole = close(b"\x03\xeaprotocol_error");
        assert_eq!((whole.code(), whole.reason()), (Some(1002), "protocol_error".to_owned()));
    }
}
