//! Close frames (RFC 6455 §5.5.1): those of Postern's own, and the bodies of the peers'.

use crate::decision::cause::FrameFault;
use crate::decision::reason::Reason;
use crate::websocket::mask::Mask;
use crate::websocket::short_frame::short_frame;
use crate::websocket::utf8::{InvalidUtf8, Utf8};

/// The body of a peer's Close, judged as it comes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloseBody {
    /// The first byte of the code, while the second is missing.
    half_a_code: Option<u8>,
    code: Option<u16>,
    reason: Utf8,
}

impl CloseBody {
    /// Reads more of the body, which is masked with `mask`.
    pub(crate) fn push(&mut self, masked: &[u8], mask: Mask) -> Result<(), FrameFault> {
        let mut code_bytes = 0;
        for (byte, key) in masked.iter().zip(mask.bytes()) {
            if self.code.is_some() {
                break;
            }
            code_bytes += 1;
            match self.half_a_code.take() {
                None if may_begin_a_code(byte ^ key) => self.half_a_code = Some(byte ^ key),
                Some(high) => {
                    let code = u16::from_be_bytes([high, byte ^ key]);
                    self.code = Some(code).filter(|code| may_be_sent(*code));
                    self.code.ok_or(FrameFault::CloseCode)?;
                }
                None => return Err(FrameFault::CloseCode),
            }
        }
        let reason = masked.get(code_bytes..).unwrap_or_default();
        self.reason.push(reason, mask.after(code_bytes)).map_err(|InvalidUtf8| FrameFault::CloseReason)
    }

    /// Returns the code, once it has come.
    pub(crate) fn code(&self) -> Option<u16> {
        self.code
    }

    /// Judges the body once all of it has come.
    pub(crate) fn end(&self) -> Result<(), FrameFault> {
        match (self.half_a_code, self.reason.is_complete()) {
            (Some(_), _) => Err(FrameFault::HalfACode),
            (None, false) => Err(FrameFault::CloseReason),
            (None, true) => Ok(()),
        }
    }
}

/// Says whether a Close may carry this code: one that RFC 6455 §7.4.1 and IANA's registry give a meaning on
/// the wire, or one of the ranges of RFC 6455 §7.4.2 for libraries and applications.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Says whether a code that may be sent begins with this byte.
fn may_begin_a_code(high: u8) -> bool {
    matches!(high, 0x03 | 0x0b..=0x13)
}

/// Returns a Close frame towards the client: code and text of `reason`, not masked.
pub(crate) fn to_client(reason: Reason) -> Vec<u8> {
    frame(reason, None)
}

/// Returns a Close frame towards the upstream: code and text of `reason`, masked with `key` as a client must
/// (RFC 6455 §5.3).
pub(crate) fn to_upstream(reason: Reason, key: [u8; 4]) -> Vec<u8> {
    frame(reason, Some(key))
}

fn frame(reason: Reason, key: Option<[u8; 4]>) -> Vec<u8> {
    let consequence = reason.consequence();
    short_frame(0x88, &[&consequence.close.to_be_bytes(), consequence.id.as_bytes()].concat(), key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(body: &[u8], piece: usize) -> Result<(), FrameFault> {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let mut masked = vec![0; body.len()];
        Mask::new(key).remove(body, &mut masked);
        let mut judged = CloseBody::default();
        for (i, bytes) in masked.chunks(piece).enumerate() {
            judged.push(bytes, Mask::new(key).after(i * piece))?;
        }
        judged.end()
    }

    #[test]
    fn a_body_is_empty_or_a_code_that_may_be_sent_and_a_reason_in_utf8() {
        let body = |code: u16, reason: &[u8]| [&code.to_be_bytes(), reason].concat();
        for piece in [1, 2, 3, 200] {
            assert_eq!(judge(b"", piece), Ok(()), "no body");
            assert_eq!(judge(&[3], piece), Err(FrameFault::HalfACode), "half a code");
            for code in 0..=u16::MAX {
                let defined = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
                let expected = if defined { Ok(()) } else { Err(FrameFault::CloseCode) };
                assert_eq!(judge(&body(code, b"bye"), piece), expected, "{code}");
            }
            assert_eq!(judge(&body(1000, "ἀντίο".as_bytes()), piece), Ok(()));
            assert_eq!(judge(&body(1000, b"\xce"), piece), Err(FrameFault::CloseReason), "an end too soon");
            assert_eq!(judge(&body(1000, b"\xce\x20"), piece), Err(FrameFault::CloseReason));
        }
    }

    #[test]
    fn a_code_is_refused_at_its_first_byte_where_that_decides() {
        for high in 0..=u8::MAX {
            let hopeless = (0..=u8::MAX).all(|low| !may_be_sent(u16::from_be_bytes([high, low])));
            let expected = if hopeless { Err(FrameFault::CloseCode) } else { Ok(()) };
            assert_eq!(CloseBody::default().push(&[high], Mask::default()), expected, "{high:#04x}");
        }
    }

    #[test]
    fn the_client_reads_code_and_reason() {
        let frame = to_client(Reason::FrameTooBig);
        assert_eq!(frame[..4], [0x88, 15, 0x03, 0xf1]);
        assert_eq!(&frame[4..], b"frame_too_big");
    }

    #[test]
    fn the_upstream_reads_the_same_under_its_mask() {
        let key = [0xa5, 0x5a, 0x01, 0xff];
        let frame = to_upstream(Reason::FrameTooBig, key);
        assert_eq!(frame[..6], [0x88, 0x80 | 15, 0xa5, 0x5a, 0x01, 0xff]);
        let payload: Vec<u8> =
            frame[6..].iter().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(payload, to_client(Reason::FrameTooBig)[2..]);
    }
}
