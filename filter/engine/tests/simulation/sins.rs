//! What a peer must not send, by the protocol or by the limits of its policy.

use postern_engine::Peer;

use crate::deflate::Deflater;
use crate::numbers::Numbers;
use crate::support::{frame, header};
use crate::traffic::{RSV1, Traffic, bytes, characters};

/// What is no UTF-8, or begins a character and does not end it.
const NO_TEXT: [&[u8]; 8] = [
    b"\xff",
    b"\x80",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\xf0\x9d\x84",
    b"\xce\x20",
];

/// What no Close may carry.
const NO_CODES: [u16; 10] = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535];

/// "Hello" in a last block, behind which others may follow (RFC 7692 §7.2.3.4).
const LAST_BLOCK: &[u8] = b"\xf3\x48\xcd\xc9\xc9\x07\x00";

/// Three bytes from 1, 513 and 32768 bytes back, in fixed codes (RFC 1951 §3.2.6).
const BACK_REFERENCES: [&[u8]; 3] = [b"\x02\x02\0\0", b"\x02\x26\0\0\0", b"\x02\xde\xff\x0f\0"];

impl Traffic {
    /// Something that is not allowed, by the protocol or by the limits.
    pub(crate) fn sin(&mut self, numbers: &mut Numbers) {
        let mask = self.mask(numbers);
        let plain = bytes(numbers, 5);
        match numbers.to(16) {
            0 => {
                let bits = numbers.of(&[0x10, 0x20, 0x40, 0x70]);
                self.frame(numbers, 0x82 | bits, &plain);
            }
            1 => {
                let opcode = numbers.of(&[3, 7, 11, 15]);
                self.frame(numbers, 0x80 | opcode, &plain);
            }
            2 => {
                let wrong = if mask.is_some() { None } else { Some([1, 2, 3, 4]) };
                self.pending.extend(frame(0x82, &plain, wrong));
            }
            3 => {
                let mut long = header(0x82, numbers.of(&[126, 70_000]), mask);
                let place = if long[1] & 0x7f == 126 { 2..4 } else { 2..10 };
                long[place].fill(0);
                self.pending.extend(long);
            }
            4 => self.pending.extend(header(0x82, u64::MAX - numbers.to(9), mask)),
            5 => self.frame(numbers, 0x09, &plain),
            6 => self.pending.extend(header(numbers.of(&[0x88, 0x89, 0x8a]), 126 + numbers.to(9), mask)),
            7 => self.frame(numbers, 0x80, &plain),
            8 => {
                self.frame(numbers, 0x02, &plain[..1]);
                self.frame(numbers, 0x82, &plain[..1]);
            }
            9 => {
                let len = self.limits.max_frame.saturating_add(1);
                self.pending.extend(header(numbers.of(&[0x81, 0x82, 0x01]), len, mask));
            }
            10 | 11 => {
                let mut text = characters(numbers, 12);
                let at = numbers.of(&[0, text.len()]);
                let bad = numbers.of(&NO_TEXT);
                text.splice(at..at, bad.iter().copied());
                let fragments = 1 + numbers.to(2);
                self.fragments(numbers, 1, &text, fragments);
            }
            12 => {
                let code: u16 = numbers.of(&NO_CODES);
                let bodies = [
                    vec![3],
                    code.to_be_bytes().to_vec(),
                    [&code.to_be_bytes()[..], b"why"].concat(),
                    b"\x03\xe8\xff".to_vec(),
                    b"\x03\xe8ok\xe2\x82".to_vec(),
                ];
                let body = numbers.of(&bodies);
                self.frame(numbers, 0x88, &body);
            }
            13 => {
                self.frame(numbers, 0x02, b"");
                for _ in 0..self.limits.max_fragments.min(130) {
                    self.frame(numbers, 0x00, b"");
                }
            }
            14 => {
                self.frame(numbers, 0x02, b"x");
                self.pending.extend(header(0x80, self.limits.max_frame, mask));
            }
            15 => {
                let opcode = if numbers.one_in(2) { 1 } else { 2 };
                self.frame(numbers, 0x80 | opcode, b"x");
            }
            _ => {
                let len = numbers.len_to(20);
                self.pending.extend(bytes(numbers, len));
            }
        }
    }

    /// Something that is not allowed where messages are compressed and inspected; some of it is
    /// elsewhere, and some with what was said before.
    pub(crate) fn sin_compressed(&mut self, numbers: &mut Numbers) {
        let text = self.limits.text && !(self.limits.binary && numbers.one_in(4));
        let first = RSV1 | if text { 1 } else { 2 };
        match numbers.to(15) {
            0 => {
                self.frame(numbers, first, b"");
                self.frame(numbers, 0x80 | RSV1, b"");
            }
            1 => {
                let control = numbers.of(&[0x88, 0x89, 0x8a]);
                self.frame(numbers, RSV1 | control, b"");
            }
            2 => {
                // A message that is never whole.
                self.frame(numbers, first, b"\0");
                self.frame(numbers, 0x88, b"");
            }
            3 => {
                // As long as a message may be on the wire, or longer.
                let mask = self.mask(numbers);
                self.frame(numbers, first, b"\0");
                let rest = (self.max_compressed - numbers.to(1)).min(self.limits.max_frame);
                self.pending.extend(header(0x80, rest, mask));
            }
            4 => {
                // As many headers as may be, or one more; no rule counts an upstream's frames.
                let most = if self.peer == Peer::Upstream { 8 * 1024 - numbers.to(2) } else { 130 };
                self.frame(numbers, first, b"");
                for _ in 1..self.limits.max_fragments.min(most) {
                    self.frame(numbers, 0x00, b"");
                }
                let end: &[u8] = numbers.of(&[b"\0", b"\0\0\0\xff\xff\0"]);
                self.frame(numbers, 0x80, end);
            }
            _ => {
                let payload = self.no_message(numbers);
                let fragments = numbers.of(&[1, 1, 2, 3]);
                self.fragments(numbers, first, &payload, fragments);
            }
        }
    }

    /// The payload of a message that may be none, or none that may be sent.
    fn no_message(&mut self, numbers: &mut Numbers) -> Vec<u8> {
        let Self { deflater: Some(deflater), limits, .. } = self else { return Vec::new() };
        let mut text = characters(numbers, 12);
        match numbers.to(7) {
            0 => {
                let mut cut = deflater.message(numbers, &text);
                cut.truncate(numbers.len_to(cut.len()));
                cut
            }
            1 | 2 => {
                let at = numbers.of(&[0, text.len()]);
                text.splice(at..at, numbers.of(&NO_TEXT).iter().copied());
                deflater.message(numbers, &text)
            }
            3 => {
                let most = usize::try_from(limits.max_message).unwrap();
                let mut long = vec![b'x'; most + numbers.of(&[1, 1, 20])];
                if numbers.one_in(2) {
                    // Which of both comes first?
                    let at = most.saturating_sub(numbers.len_to(3));
                    long.splice(at..at, numbers.of(&NO_TEXT).iter().copied());
                }
                deflater.message(numbers, &long)
            }
            4 | 5 => refers_back(numbers, limits.max_frame),
            _ => garbage(numbers, deflater),
        }
    }
}

/// A message that refers to what may not be there: to earlier ones, to what is beyond the window,
/// or to what comes before a last block.
fn refers_back(numbers: &mut Numbers, max_frame: u64) -> Vec<u8> {
    let [from_1, from_513, _] = BACK_REFERENCES;
    match numbers.to(2) {
        0 => [LAST_BLOCK, from_1].concat(),
        1 if max_frame > 600 => [b"\0\x01\x02\xfe\xfd", &[b'x'; 513][..], from_513].concat(),
        _ => numbers.of(&BACK_REFERENCES).to_vec(),
    }
}

/// What no compressor says, or what one says with a bit turned over.
fn garbage(numbers: &mut Numbers, deflater: &mut Deflater) -> Vec<u8> {
    if numbers.one_in(2) {
        let len = numbers.len_to(60);
        return (0..len).map(|_| numbers.byte()).collect();
    }
    let len = numbers.len_to(300);
    let text = characters(numbers, len);
    let mut message = deflater.message(numbers, &text);
    let at = numbers.len_to(message.len() - 1);
    message[at] ^= 1 << numbers.to(7);
    message
}
