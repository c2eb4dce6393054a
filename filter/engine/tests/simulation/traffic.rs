//! What a peer sends: mostly what it may, now and then what it must not.

use postern_engine::Peer;

use crate::numbers::Numbers;
use crate::policy::Limits;
use crate::support::{frame, header};

/// A peer that never runs out of things to say.
#[derive(Debug)]
pub(crate) struct Traffic {
    peer: Peer,
    limits: Limits,
    /// Once in so many messages comes something that is not allowed.
    sins: u64,
    pending: Vec<u8>,
}

const CHARACTERS: [&str; 8] = ["a", "Z", " ", "é", "κ", "€", "𝄞", "\u{10ffff}"];

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

impl Traffic {
    pub(crate) fn new(peer: Peer, limits: Limits, sins: u64) -> Self {
        Self { peer, limits, sins, pending: Vec::new() }
    }

    /// The next bytes, of which there may be none.
    pub(crate) fn chunk(&mut self, numbers: &mut Numbers) -> Vec<u8> {
        while self.pending.is_empty() || numbers.one_in(2) {
            self.say(numbers);
        }
        let len = match numbers.to(9) {
            0 => 0,
            1 | 2 => 1,
            3..=5 => numbers.len_to(16).min(self.pending.len()),
            6 | 7 => numbers.len_to(self.pending.len()),
            _ => self.pending.len(),
        };
        self.pending.drain(..len).collect()
    }

    fn say(&mut self, numbers: &mut Numbers) {
        if numbers.one_in(self.sins) {
            return self.sin(numbers);
        }
        match numbers.to(30) {
            0 => {
                let bodies: [&[u8]; 4] = [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x0f\xa0\xce\xba"];
                let body = numbers.of(&bodies);
                self.frame(numbers, 0x88, body);
            }
            1..=4 => self.control(numbers),
            _ => self.message(numbers),
        }
    }

    fn control(&mut self, numbers: &mut Numbers) {
        let len = numbers.of(&[0, 1, 5, 125]);
        let (first, payload) = (numbers.of(&[0x89, 0x8a]), bytes(numbers, len));
        self.frame(numbers, first, &payload);
    }

    /// A message that the limits allow, in fragments, with control frames between them.
    fn message(&mut self, numbers: &mut Numbers) {
        let text = self.limits.text && (numbers.one_in(2) || !self.limits.binary);
        let fragments =
            if numbers.one_in(2) { 1 } else { 1 + numbers.to(self.limits.max_fragments.min(6) - 1) };
        let most = self.limits.max_message.min(self.limits.max_frame * fragments);
        let most = usize::try_from(most).unwrap();
        let len = match numbers.to(19) {
            0 if !text => most,
            1..=3 => numbers.len_to(most.min(400)),
            _ => numbers.len_to(most.min(20)),
        };
        let payload = if text { characters(numbers, len) } else { bytes(numbers, len) };
        self.fragments(numbers, if text { 1 } else { 2 }, &payload, fragments);
    }

    fn fragments(&mut self, numbers: &mut Numbers, opcode: u8, payload: &[u8], fragments: u64) {
        let (mut opcode, mut rest) = (opcode, payload);
        for left in (0..fragments).rev() {
            let most = usize::try_from(self.limits.max_frame).unwrap_or(usize::MAX);
            // Whatever is left has to fit the frames that are left.
            let least = rest.len().saturating_sub(most.saturating_mul(usize::try_from(left).unwrap()));
            let all = rest.len().min(most);
            let len = if left == 0 { all } else { least + numbers.len_to(all.saturating_sub(least)) };
            let (part, after) = rest.split_at(len);
            self.frame(numbers, opcode | if left == 0 { 0x80 } else { 0 }, part);
            (opcode, rest) = (0, after);
            if left > 0 && numbers.one_in(4) {
                self.control(numbers);
            }
        }
    }

    /// Something that is not allowed, by the protocol or by the limits.
    fn sin(&mut self, numbers: &mut Numbers) {
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

    fn frame(&mut self, numbers: &mut Numbers, first: u8, payload: &[u8]) {
        let mask = self.mask(numbers);
        self.pending.extend(frame(first, payload, mask));
    }

    fn mask(&self, numbers: &mut Numbers) -> Option<[u8; 4]> {
        let key = if numbers.one_in(4) { [0; 4] } else { [(); 4].map(|()| numbers.byte()) };
        (self.peer == Peer::Client).then_some(key)
    }
}

fn bytes(numbers: &mut Numbers, len: usize) -> Vec<u8> {
    let seed = numbers.byte();
    (0..len).map(|i| seed.wrapping_mul(i.to_le_bytes()[0] | 1)).collect()
}

/// At most `len` bytes of UTF-8.
fn characters(numbers: &mut Numbers, len: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let plain = numbers.one_in(2);
    loop {
        let character = if plain { "a" } else { numbers.of(&CHARACTERS) };
        if text.len() + character.len() > len {
            return text;
        }
        text.extend_from_slice(character.as_bytes());
    }
}
