//! What a peer sends: mostly what it may, now and then what it must not.

use postern_engine::Peer;

use crate::deflate::{Agreed, Deflater};
use crate::numbers::Numbers;
use crate::policy::{Compression, Limits, Policy};
use crate::side::most_growth;
use crate::support::frame;

/// A peer that never runs out of things to say.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) peer: Peer,
    pub(crate) limits: Limits,
    /// How long a compressed message may be on the wire.
    pub(crate) max_compressed: u64,
    pub(crate) deflater: Option<Deflater>,
    /// Once in so many messages comes something that is not allowed.
    sins: u64,
    pub(crate) pending: Vec<u8>,
}

/// Marks the first frame of a compressed message (RFC 7692 §6).
pub(crate) const RSV1: u8 = 0x40;

const CHARACTERS: [&str; 8] = ["a", "Z", " ", "é", "κ", "€", "𝄞", "\u{10ffff}"];

impl Traffic {
    pub(crate) fn new(peer: Peer, policy: &Policy, agreed: Option<Agreed>, numbers: &mut Numbers) -> Self {
        let (limits, context) = match peer {
            Peer::Client => (policy.client, agreed.map(|agreed| agreed.client)),
            Peer::Upstream => (policy.upstream, agreed.map(|agreed| agreed.upstream)),
        };
        let inspected = policy.compression == Some(Compression::Inspect);
        let max_compressed = limits.max_message + if inspected { most_growth(limits.max_message) } else { 0 };
        let deflater = context.map(|context| Deflater::new(context, numbers));
        let sins = numbers.of(&[10, 40, 200]);
        Self { peer, limits, max_compressed, deflater, sins, pending: Vec::new() }
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
            if self.deflater.is_some() && numbers.one_in(2) {
                return self.sin_compressed(numbers);
            }
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
        let opcode = if text { 1 } else { 2 };
        let longest = self.max_compressed.min(self.limits.max_frame * fragments);
        if let Some(deflater) = self.deflater.as_mut().filter(|_| !numbers.one_in(4)) {
            let compressed = deflater.message(numbers, &payload);
            if compressed.len() as u64 <= longest {
                return self.fragments(numbers, RSV1 | opcode, &compressed, fragments);
            }
            // It is not said.
            deflater.forget();
        }
        self.fragments(numbers, opcode, &payload, fragments);
    }

    pub(crate) fn fragments(&mut self, numbers: &mut Numbers, opcode: u8, payload: &[u8], fragments: u64) {
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

    pub(crate) fn frame(&mut self, numbers: &mut Numbers, first: u8, payload: &[u8]) {
        let mask = self.mask(numbers);
        self.pending.extend(frame(first, payload, mask));
    }

    pub(crate) fn mask(&self, numbers: &mut Numbers) -> Option<[u8; 4]> {
        let key = if numbers.one_in(4) { [0; 4] } else { [(); 4].map(|()| numbers.byte()) };
        (self.peer == Peer::Client).then_some(key)
    }
}

pub(crate) fn bytes(numbers: &mut Numbers, len: usize) -> Vec<u8> {
    let seed = numbers.byte();
    (0..len).map(|i| seed.wrapping_mul(i.to_le_bytes()[0] | 1)).collect()
}

/// At most `len` bytes of UTF-8.
pub(crate) fn characters(numbers: &mut Numbers, len: usize) -> Vec<u8> {
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
