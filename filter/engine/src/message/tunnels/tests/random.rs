//! Bytes at random, which are nobody's opening.

use super::openings::feed;
use super::*;

/// A generator of numbers (xorshift64*), the same in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1 << 40)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

/// Those of `count` first messages, of bytes of `draw`, that are recognised, every third of which the service sends.
fn hits(name: &str, count: u32, draw: impl Fn(&mut Random) -> u8) -> Vec<(Recognition, Vec<u8>)> {
    let mut random = Random::new(47);
    let mut hits = Vec::new();
    for round in 0..count {
        let mut bytes = [0; MOST];
        bytes.fill_with(|| draw(&mut random));
        // Every other message is short, so that its end counts.
        let len = if round % 2 == 0 { MOST } else { 1 + random.below(MOST) };
        let from = if round % 3 == 0 { Peer::Upstream } else { Peer::Client };
        let state = feed(from, &[&bytes[..len]], usize::MAX);
        if matches!(state, Recognition::Tunnel(_)) {
            hits.push((state, bytes[..len].to_vec()));
        }
    }
    println!("{name}: {} of {count} recognised", hits.len());
    hits
}

#[test]
fn no_random_bytes_are_recognised() {
    assert_eq!(hits("any byte", 1_000_000, Random::byte), []);
}

#[test]
fn no_random_text_is_recognised() {
    assert_eq!(hits("printable", 250_000, |random| b' ' + random.byte() % 95), []);
    let letters = b"SHRFBGETPOUAINQ01234 /*$-.\r\n";
    assert_eq!(hits("letters of openings", 250_000, |random| letters[random.below(letters.len())]), []);
}

#[test]
fn of_small_numbers_only_the_few_bytes_of_a_greeting_of_socks5_are_recognised() {
    // Half of the bytes are 0 and none is above 15, as in counters and lengths.
    let hits = hits("small numbers", 250_000, |random| random.byte() % 16 * (random.byte() & 1));
    assert!(hits.len() <= 20, "{hits:?}");
    for (state, bytes) in hits {
        assert_eq!(state, Recognition::Tunnel(Tunnelled::Socks5), "{bytes:?}");
        assert!(bytes.len() <= 6 && usize::from(bytes[1]) + 2 == bytes.len(), "{bytes:?}");
    }
}
