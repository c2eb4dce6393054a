//! The frame header of RFC 6455 §5.2, byte by byte.
//!
//! Reads only; [`reader`](crate::websocket::frame_reader) judges whether a well-formed header is allowed
//! where it stands.

/// The length of the longest header, in bytes: two bytes, a 64-bit length and a masking key.
pub const MAX_HEADER_LEN: usize = 14;

/// The four bits of an opcode, known or reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpCode(u8);

impl OpCode {
    /// A fragment of the message that is open.
    pub const CONTINUATION: Self = Self(0x0);
    /// A text message.
    pub const TEXT: Self = Self(0x1);
    /// A binary message.
    pub const BINARY: Self = Self(0x2);
    /// The end of what this direction sends.
    pub const CLOSE: Self = Self(0x8);
    /// A question whether the other direction is there.
    pub const PING: Self = Self(0x9);
    /// The answer to a Ping.
    pub const PONG: Self = Self(0xa);

    /// Returns the opcode in the first byte of a frame.
    pub fn of(first: u8) -> Self {
        Self(first & 0x0f)
    }

    /// Says whether the opcode is that of a control frame (RFC 6455 §5.5), reserved opcodes included.
    pub fn is_control(self) -> bool {
        self.0 & 0x8 != 0
    }

    /// Says whether RFC 6455 reserves the opcode.
    pub fn is_reserved(self) -> bool {
        matches!(self.0, 0x3..=0x7 | 0xb..=0xf)
    }
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Says whether the frame ends its message.
    pub fin: bool,
    /// RSV1, RSV2 and RSV3 as the bits 0x40, 0x20 and 0x10.
    pub rsv: u8,
    /// The opcode of the frame.
    pub opcode: OpCode,
    /// The masking key; present when the payload is masked.
    pub mask: Option<[u8; 4]>,
    /// The length of the payload, in bytes.
    pub payload_len: u64,
    /// The length of the header, in bytes, at most [`MAX_HEADER_LEN`].
    pub len: usize,
}

/// The error of a header that no sender may write (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedHeader {
    /// The length would have fitted a shorter form.
    LengthNotMinimal,
    /// The top bit of a 64-bit length is set.
    LengthTopBit,
}

impl FrameHeader {
    /// Says whether RSV1 is set, which starts a compressed message if permessage-deflate was agreed on (RFC
    /// 7692 §6).
    pub fn is_compressed(&self) -> bool {
        self.rsv & 0x40 != 0
    }

    /// Reads the header that `bytes` begin with; returns `None` while bytes are missing. A length that no
    /// sender may write is an error as soon as no byte can make it good.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, MalformedHeader> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (payload_len, length_len) = match second & 0x7f {
            0x7e => {
                let Some(length) = rest.first_chunk::<2>() else { return Ok(None) };
                let length = u64::from(u16::from_be_bytes(*length));
                if length <= 0x7d {
                    return Err(MalformedHeader::LengthNotMinimal);
                }
                (length, 2)
            }
            0x7f => {
                // Neither fault has to wait for all eight bytes.
                if rest.first().is_some_and(|first| first & 0x80 != 0) {
                    return Err(MalformedHeader::LengthTopBit);
                }
                if rest.starts_with(&[0; 6]) {
                    return Err(MalformedHeader::LengthNotMinimal);
                }
                let Some(length) = rest.first_chunk::<8>() else { return Ok(None) };
                (u64::from_be_bytes(*length), 8)
            }
            short => (u64::from(short), 0),
        };
        let (mask, mask_len) = if second & 0x80 != 0 {
            let Some(mask) = rest.get(length_len..).and_then(|rest| rest.first_chunk::<4>()) else {
                return Ok(None);
            };
            (Some(*mask), 4)
        } else {
            (None, 0)
        };
        Ok(Some(Self {
            fin: first & 0x80 != 0,
            rsv: first & 0x70,
            opcode: OpCode::of(*first),
            mask,
            payload_len,
            len: 2 + length_len + mask_len,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_once_its_last_byte_is_there() {
        let cases: [(&str, &[u8], bool, u64, bool); 6] = [
            ("shortest", &[0x82, 0x05], true, 5, false),
            ("masked", &[0x01, 0x85, 1, 2, 3, 4], false, 5, true),
            ("16-bit length", &[0x82, 0x7e, 0x00, 0x7e], true, 126, false),
            ("16-bit length, masked", &[0x82, 0xfe, 0xff, 0xff, 9, 9, 9, 9], true, 0xffff, true),
            ("64-bit length", &[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], true, 0x1_0000, false),
            (
                "64-bit length, masked",
                &[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
                true,
                u64::MAX >> 1,
                true,
            ),
        ];
        for (name, bytes, fin, payload_len, masked) in cases {
            for short in 0..bytes.len() {
                assert_eq!(FrameHeader::parse(&bytes[..short]), Ok(None), "{name} cut to {short}");
            }
            let header = FrameHeader::parse(bytes).unwrap().unwrap();
            assert_eq!(
                (header.fin, header.payload_len, header.mask.is_some(), header.len),
                (fin, payload_len, masked, bytes.len()),
                "{name}"
            );
        }
    }

    #[test]
    fn a_length_must_be_minimal_and_without_its_top_bit_which_is_told_at_the_byte_that_decides() {
        // A case is the bytes up to the one that decides, and what may follow it.
        let cases: [(&[u8], &[u8], MalformedHeader); 6] = [
            (&[0x82, 0x7e, 0x00, 0x7d], &[], MalformedHeader::LengthNotMinimal),
            (&[0x82, 0xfe, 0x00, 0x00], &[1, 2, 3, 4], MalformedHeader::LengthNotMinimal),
            (&[0x82, 0x7f, 0, 0, 0, 0, 0, 0], &[0xff, 0xff], MalformedHeader::LengthNotMinimal),
            (&[0x82, 0xff, 0, 0, 0, 0, 0, 0], &[0, 5, 1, 2, 3, 4], MalformedHeader::LengthNotMinimal),
            (&[0x82, 0xff, 0x80], &[0; 11], MalformedHeader::LengthTopBit),
            (&[0x82, 0x7f, 0xff], &[0xff; 7], MalformedHeader::LengthTopBit),
        ];
        for (bytes, rest, error) in cases {
            for short in 0..bytes.len() {
                assert_eq!(FrameHeader::parse(&bytes[..short]), Ok(None), "{bytes:02x?} cut to {short}");
            }
            for more in 0..=rest.len() {
                let bytes = [bytes, &rest[..more]].concat();
                assert_eq!(FrameHeader::parse(&bytes), Err(error), "{bytes:02x?}");
            }
        }
    }
}
