//! What two peers say to each other, made of an input: frames, mostly as they may be.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use postern_engine::Peer;

use crate::wire::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, masked};

/// Bytes that a peer sends after a while, and into how large pieces they are cut.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) after: Duration,
    pub(crate) peer: Peer,
    pub(crate) bytes: Vec<u8>,
    pub(crate) piece: usize,
}

/// More would only make a run slow.
const MAX_FRAMES: usize = 40;

/// About where the form of a length changes, and a policy's limits lie.
pub(crate) const LENGTHS: [usize; 8] = [64, 65, 96, 125, 126, 256, 300, 301];

const CHARACTERS: [&str; 8] = ["a", "Z", " ", "é", "κόσμε", "€", "𝄞", "\u{10ffff}"];

const NO_TEXT: [&[u8]; 8] = [
    b"\xff",
    b"\x80",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\xf0\x9d\x84",
    b"\xce",
];

const CODES: [u16; 16] =
    [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999, 0, 999, 1004, 1005, 1006, 1015, 5000];

/// The script that an input stands for.
pub(crate) fn script(input: &mut Unstructured<'_>) -> Vec<Said> {
    let mut script = Vec::new();
    // Whether a message is open, of the client and of the upstream.
    let mut open = [false; 2];
    while script.len() < MAX_FRAMES && !input.is_empty() {
        match said(input, &mut open) {
            Ok(said) => script.push(said),
            Err(_) => break,
        }
    }
    script
}

fn said(input: &mut Unstructured<'_>, open: &mut [bool; 2]) -> Result<Said> {
    let [how, piece] = input.arbitrary::<[u8; 2]>()?;
    let (peer, open) = match (how & 3, open) {
        (3, [_, upstream]) => (Peer::Upstream, upstream),
        (_, [client, _]) => (Peer::Client, client),
    };
    let ends = how & 4 == 0;
    let (opcode, fin, payload) = match how >> 4 {
        0 => (PING, true, raw(input, 125)?),
        1 => (PONG, true, raw(input, 125)?),
        2 => (CLOSE, true, close_body(input)?),
        3..=8 => (TEXT, ends, text(input)?),
        9 => (TEXT, ends, no_text(input)?),
        10..=13 => (BINARY, ends, raw(input, 255)?),
        14 => {
            let which = input.arbitrary::<u8>()?;
            // Few are long, since they are slow.
            let len = if which == u8::MAX { 1 << 16 } else { LENGTHS[usize::from(which % 8)] };
            (BINARY, ends, vec![how; len])
        }
        // Anything at all.
        _ => return Ok(Said::new(peer, raw(input, 255)?, piece)),
    };
    let opcode = if opcode < CLOSE && *open { CONTINUATION } else { opcode };
    if opcode < CLOSE {
        *open = !fin;
    }
    let key = (peer == Peer::Client).then_some([piece, how, piece.rotate_left(3), 0]);
    let mut bytes = frame(opcode, fin, key, &payload);
    if how & 8 != 0 {
        mutate(input, &mut bytes)?;
    }
    Ok(Said::new(peer, bytes, piece))
}

impl Said {
    pub(crate) fn new(peer: Peer, bytes: Vec<u8>, how: u8) -> Self {
        let after = Duration::from_millis(u64::from(how >> 6) * 150);
        let piece = (usize::from(how % 64) + 1).max(bytes.len() / 64);
        Self { after, peer, bytes, piece }
    }
}

/// Makes of a frame something that is not allowed, in most ways that there are.
pub(crate) fn mutate(input: &mut Unstructured<'_>, frame: &mut Vec<u8>) -> Result<()> {
    let [what, by] = input.arbitrary::<[u8; 2]>()?;
    match what {
        // Most frames stay as they are.
        ..128 => {}
        128..144 => frame[0] ^= 0x10 << (by % 3),
        144..160 => frame[0] = frame[0] & 0xf0 | by & 0x0f,
        160..176 => frame[0] ^= 0x80,
        176..192 => frame[1] ^= 0x80,
        192..208 => frame[1] = frame[1] & 0x80 | by & 0x7f,
        208..224 => {
            // The same length in a longer form.
            let short = frame[1] & 0x7f;
            if short < 126 {
                let (form, bytes) = if by & 1 == 0 { (126, 1) } else { (127, 7) };
                frame[1] = frame[1] & 0x80 | form;
                frame.splice(2..2, std::iter::repeat_n(0, bytes).chain([short]));
            }
        }
        224..240 => {
            let at = usize::from(by) % frame.len();
            frame[at] ^= what << 4 | 1;
        }
        _ => frame.truncate(usize::from(by) % frame.len()),
    }
    Ok(())
}

pub(crate) fn raw(input: &mut Unstructured<'_>, most: u8) -> Result<Vec<u8>> {
    let len = usize::from(input.arbitrary::<u8>()?.min(most)).min(input.len());
    Ok(input.bytes(len)?.to_vec())
}

pub(crate) fn text(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let choices = raw(input, 80)?;
    let text: String = choices.iter().map(|choice| CHARACTERS[usize::from(choice % 8)]).collect();
    // Where the message goes on, a fragment may end within a character.
    let cut = choices.first().map_or(0, |choice| usize::from(choice >> 6));
    Ok(text.as_bytes()[cut.min(text.len())..].to_vec())
}

pub(crate) fn no_text(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut bytes = text(input)?;
    let [which, at] = input.arbitrary::<[u8; 2]>()?;
    let at = usize::from(at).min(bytes.len());
    bytes.splice(at..at, NO_TEXT[usize::from(which % 8)].iter().copied());
    Ok(bytes)
}

pub(crate) fn close_body(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let which = input.arbitrary::<u8>()?;
    let code = CODES[usize::from(which & 15)].to_be_bytes();
    let reason = match which >> 4 {
        0..=3 => Vec::new(),
        4 => return Ok(Vec::new()),
        5 => return Ok(code[..1].to_vec()),
        6 => no_text(input)?,
        _ => text(input)?,
    };
    let mut body = [&code[..], &reason].concat();
    body.truncate(125);
    Ok(body)
}

/// A frame as its sender writes it.
pub(crate) fn frame(opcode: u8, fin: bool, key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![opcode | if fin { 0x80 } else { 0 }];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..126), _) => frame.push(mask_bit | len),
        (_, Ok(len)) => {
            frame.push(mask_bit | 126);
            frame.extend(len.to_be_bytes());
        }
        _ => {
            frame.push(mask_bit | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(key.iter().flatten());
    frame.extend(masked(payload, key.unwrap_or_default()));
    frame
}
