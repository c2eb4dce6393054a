//! WebSocket frames (RFC 6455 §5.2) as a test wants them, right or wrong.

use flate2::{Compress, Compression, FlushCompress};

/// The opcodes of RFC 6455 §11.8.
pub mod opcode {
    #![allow(missing_docs, reason = "the names are those of the RFC")]
    pub const CONTINUATION: u8 = 0x0;
    pub const TEXT: u8 = 0x1;
    pub const BINARY: u8 = 0x2;
    pub const CLOSE: u8 = 0x8;
    pub const PING: u8 = 0x9;
    pub const PONG: u8 = 0xA;
}

/// The masking key of [`Frame::masked`]: any will do, a fixed one makes failures repeatable.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The form in which a payload length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthForm {
    /// Seven bits.
    Seven,
    /// 126 and sixteen bits.
    Sixteen,
    /// 127 and sixty-four bits.
    SixtyFour,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The FIN bit.
    pub fin: bool,
    /// RSV1 to RSV3, RSV1 being 4.
    pub rsv: u8,
    /// The opcode, four bits.
    pub opcode: u8,
    /// The masking key, if there is one.
    pub mask: Option<[u8; 4]>,
    /// The payload without the mask.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Returns a final, unmasked frame.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, rsv: 0, opcode, mask: None, payload: payload.into() }
    }

    /// Returns a text message.
    pub fn text(text: &str) -> Self {
        Self::new(opcode::TEXT, text)
    }

    /// Returns a binary message.
    pub fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::BINARY, payload)
    }

    /// Returns the last frame of a fragmented message.
    pub fn continuation(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::CONTINUATION, payload)
    }

    /// Returns a Ping.
    pub fn ping(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::PING, payload)
    }

    /// Returns a Pong.
    pub fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(opcode::PONG, payload)
    }

    /// Returns a Close with code and reason.
    pub fn closing(code: u16, reason: &str) -> Self {
        Self::new(opcode::CLOSE, [&code.to_be_bytes(), reason.as_bytes()].concat())
    }

    /// Returns the frame masked, as a client must.
    #[must_use]
    pub fn masked(mut self) -> Self {
        self.mask = Some(KEY);
        self
    }

    /// Returns the frame without FIN: more fragments follow.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// Returns the frame with reserved bits, RSV1 being 4.
    #[must_use]
    pub fn rsv(mut self, bits: u8) -> Self {
        self.rsv = bits;
        self
    }

    /// Returns the bytes on the wire, with the shortest length.
    pub fn bytes(&self) -> Vec<u8> {
        let length = self.payload.len() as u64;
        let form = match length {
            0..=125 => LengthForm::Seven,
            126..=0xffff => LengthForm::Sixteen,
            _ => LengthForm::SixtyFour,
        };
        self.bytes_claiming(form, length)
    }

    /// Returns the bytes on the wire with `length` written as `form`, whatever the payload's length is.
    pub fn bytes_claiming(&self, form: LengthForm, length: u64) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.fin) << 7 | (self.rsv & 7) << 4 | self.opcode & 0xf];
        let mask_bit = u8::from(self.mask.is_some()) << 7;
        let long = length.to_be_bytes();
        match form {
            LengthForm::Seven => bytes.push(mask_bit | long[7] & 0x7f),
            LengthForm::Sixteen => bytes.extend([mask_bit | 126, long[6], long[7]]),
            LengthForm::SixtyFour => {
                bytes.push(mask_bit | 127);
                bytes.extend(long);
            }
        }
        let key = self.mask.unwrap_or_default();
        bytes.extend(self.mask.iter().flatten());
        bytes.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    /// Parses the first frame in `bytes`, and returns its length too; `None` when it is not complete.
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let (length, mut at) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
            short => (u64::from(short), 2),
        };
        let mask: Option<[u8; 4]> = match second >> 7 {
            0 => None,
            _ => Some(bytes.get(at..at + 4)?.try_into().ok()?),
        };
        at += if mask.is_some() { 4 } else { 0 };
        let end = at.checked_add(usize::try_from(length).ok()?)?;
        let key = mask.unwrap_or_default();
        let payload =
            bytes.get(at..end)?.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        let frame = Self { fin: first >> 7 == 1, rsv: first >> 4 & 7, opcode: first & 0xf, mask, payload };
        Some((frame, end))
    }

    /// Parses every complete frame in `bytes`, and returns the rest behind the last of them too.
    pub fn parse_all(mut bytes: &[u8]) -> (Vec<Self>, &[u8]) {
        let mut frames = Vec::new();
        while let Some((frame, length)) = Self::parse(bytes) {
            frames.push(frame);
            bytes = &bytes[length..];
        }
        (frames, bytes)
    }

    /// Says whether the frame is a Close.
    pub fn is_close(&self) -> bool {
        self.opcode == opcode::CLOSE
    }

    /// Returns the code of a Close; `None` when it has none.
    pub fn code(&self) -> Option<u16> {
        assert!(self.is_close(), "{self:?} is no Close");
        Some(u16::from_be_bytes(self.payload.get(..2)?.try_into().ok()?))
    }

    /// Returns the reason of a Close; empty when it has none.
    pub fn reason(&self) -> String {
        assert!(self.is_close(), "{self:?} is no Close");
        String::from_utf8_lossy(self.payload.get(2..).unwrap_or_default()).into_owned()
    }

    /// Returns the payload as text.
    pub fn as_text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

/// Returns the payloads of the whole data messages among `frames`, fragments joined.
pub fn messages(frames: &[Frame]) -> Vec<Vec<u8>> {
    let mut whole = Vec::new();
    let mut partial = Vec::new();
    for frame in frames.iter().filter(|frame| frame.opcode < opcode::CLOSE) {
        partial.extend_from_slice(&frame.payload);
        if frame.fin {
            whole.push(std::mem::take(&mut partial));
        }
    }
    whole
}

/// Returns `plain` compressed, as the payload of a message that refers to no other (RFC 7692 §7.2.1).
pub fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::with_capacity(plain.len() + 1024);
    let mut compress = Compress::new(Compression::best(), false);
    compress.compress_vec(plain, &mut compressed, FlushCompress::Sync).expect("room for it");
    assert_eq!(compressed.split_off(compressed.len() - 4), [0, 0, 0xff, 0xff]);
    compressed
}
