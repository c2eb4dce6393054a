//! Random frames of a peer, sound ones for the most part.

use serde_json::json;

use crate::frames::{BINARY, CLOSE, PING, PONG, TEXT, frame};
use crate::host::Worker;
use crate::numbers::Numbers;
use crate::requests::any_token;

/// "Hello" in a raw deflate stream, as a message of RFC 7692 has it, and in a stored block.
const DEFLATED: [&[u8]; 4] = [
    b"\xf2\x48\xcd\xc9\xc9\x07\x00",
    b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
    b"\x02\x00",
    b"\xff\xff\xff",
];

/// Who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Upstream,
}

/// One to three frames.
pub(crate) fn some(sender: Sender, worker: &Worker, numbers: &mut Numbers) -> Vec<u8> {
    (0..=numbers.to(2)).flat_map(|_| any(sender, worker, numbers)).collect()
}

fn any(sender: Sender, worker: &Worker, numbers: &mut Numbers) -> Vec<u8> {
    let mask = (sender == Sender::Client).then(|| [1, 2, 3, numbers.byte()]);
    let make = |first, payload: &[u8]| frame(first, mask, payload);
    let long = numbers.of(&[1_000, 1_000, 3_000, 70_000]);
    let len = numbers.of(&[0, 1, 5, 5, 5, 40, 40, 125, 126, 300, 300, 500, 500, long]);
    let payload = vec![b'a' + numbers.byte() % 26; len];
    let text = "é€😀x".repeat(len / 10).into_bytes();
    if numbers.one_in(30) {
        return odd(sender, &payload, numbers);
    }
    match numbers.to(49) {
        0 | 1 => make(0x80 | PING, b"ping"),
        2 => make(0x80 | PONG, b"pong"),
        3 | 4 => [make(TEXT, &text), make(0x80 | PING, b""), make(0x80, b"end")].concat(),
        5 => [make(BINARY, &payload), make(0x00, b""), make(0x80, b"end")].concat(),
        6 if numbers.one_in(4) => make(0xc0 | TEXT, numbers.of(&DEFLATED)),
        7..=11 => {
            let token = any_token(worker, numbers);
            make(0x80 | TEXT, json!({"token": token}).to_string().as_bytes())
        }
        12..=15 => {
            let token = any_token(worker, numbers);
            make(0x80 | TEXT, json!({"auth": {"token": token}, "more": 1}).to_string().as_bytes())
        }
        16..=27 => make(0x80 | TEXT, &text),
        28..=37 => make(0x80 | TEXT, &payload),
        _ => make(0x80 | BINARY, &payload),
    }
}

/// What ends a connection, or might.
fn odd(sender: Sender, payload: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mask = (sender == Sender::Client).then_some([9, 8, 7, 6]);
    let make = |first, payload: &[u8]| frame(first, mask, payload);
    match numbers.to(11) {
        0 | 1 => make(0x80 | CLOSE, &[3, 232]),
        2 => make(
            0x80 | CLOSE,
            numbers.of::<&[u8]>(&[b"", b"\x03", b"\x03\xed", b"\x03\xe8\xff", b"\x0b\xb8bye"]),
        ),
        3 => make(0x80 | TEXT, numbers.of::<&[u8]>(&[b"\xff", b"a\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82"])),
        4 => [make(TEXT, b"\xe2\x82"), make(0x80, numbers.of::<&[u8]>(&[b"\xac", b"x"]))].concat(),
        5 => make(numbers.of(&[0xa2, 0x92, 0xc9, 0x83, 0x8b, 0x09, 0x80, 0x00]), b"odd"),
        6 => frame(0x80 | BINARY, if mask.is_some() { None } else { Some([9; 4]) }, b"mask"),
        7 => odd_length(numbers, mask.is_some()),
        8 => make(0x80 | PING, &[b'p'; 126]),
        9 => make(0x80 | TEXT, br#"{"auth": {"token": 7}}"#),
        10 => [make(BINARY, payload), make(0, b""), make(0, b""), make(0, b""), make(0x80, b"end")].concat(),
        _ => make(0xc0 | BINARY, numbers.of(&DEFLATED)),
    }
}

fn odd_length(numbers: &mut Numbers, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut header = vec![0x80 | BINARY];
    match numbers.to(2) {
        0 => header.extend([bit | 126, 0, 5]),
        1 => header.extend([&[bit | 127][..], &[0, 0, 0, 0, 0, 0, 1, 0]].concat()),
        _ => header.extend([&[bit | 127][..], &[0xff; 8]].concat()),
    }
    header.extend_from_slice(if masked { &[1, 2, 3, 4] } else { &[] });
    header
}

/// The last Ping of Postern's own among what a peer has got since, answered by it.
pub(crate) fn answer(sender: Sender, got: &[u8]) -> Option<Vec<u8>> {
    let payload = match sender {
        Sender::Client => {
            let at = got.windows(10).rposition(|w| w[0] == 0x89 && w[2..].starts_with(b"postern:"))?;
            got.get(at + 2..at + 2 + usize::from(got[at + 1]))?.to_vec()
        }
        Sender::Upstream => {
            let unmasked = |at: usize| {
                let len = usize::from(got.get(at + 1)? & 0x7f);
                let (key, masked) = got.get(at + 2..at + 6 + len)?.split_at(4);
                Some(masked.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect::<Vec<_>>())
            };
            let is_ping = |at: &usize| got[*at] == 0x89 && got.get(at + 1).is_some_and(|len| len & 0x80 != 0);
            let mut pings = (0..got.len()).rev().filter(is_ping).filter_map(unmasked);
            pings.find(|payload| payload.starts_with(b"postern:"))?
        }
    };
    let mask = (sender == Sender::Client).then_some([5, 6, 7, 8]);
    Some(frame(0x80 | PONG, mask, &payload))
}
