//! Frames of WebSocket, sound ones and others.

use crate::random::Random;
use crate::stream::Peer;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// Returns a frame of this peer's.
fn frame(random: &mut Random, from: Peer, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if from == Peer::Client { 0x80 } else { 0 };
    let mut frame = vec![first];
    let len = payload.len();
    match u16::try_from(len) {
        Ok(short @ 0..=125) => frame.push(mask_bit | short.to_be_bytes()[1]),
        Ok(long) => {
            frame.push(mask_bit | 126);
            frame.extend(long.to_be_bytes());
        }
        Err(_) => {
            frame.push(mask_bit | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    if from == Peer::Upstream {
        frame.extend(payload);
        return frame;
    }
    let [a, b, c, d, ..] = random.next().to_be_bytes();
    let key = [a, b, c, d];
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Returns a message, which may be in fragments with a Ping between.
pub(crate) fn message(random: &mut Random, from: Peer) -> Vec<u8> {
    let len = match random.below(100) {
        0 => 1000 + random.below(30_000),
        1..=9 => random.below(2000),
        _ => random.below(120),
    };
    let opcode = *random.choose(&[TEXT, BINARY]);
    let payload: Vec<u8> = match opcode {
        TEXT => "sound täxt 例 ".bytes().cycle().take(len).collect(),
        _ => (0..len).map(|byte| byte.to_be_bytes()[7]).collect(),
    };
    // No character is cut off.
    let payload = if opcode == TEXT {
        String::from_utf8_lossy(&payload).trim_end_matches('\u{fffd}').as_bytes().to_vec()
    } else {
        payload
    };
    if !random.one_in(8) {
        return frame(random, from, 0x80 | opcode, &payload);
    }
    let (first, second) = payload.split_at(payload.len() / 2);
    let begun = frame(random, from, opcode, first);
    let ping = if random.one_in(2) { frame(random, from, 0x80 | 9, b"between") } else { Vec::new() };
    let ended = frame(random, from, 0x80, second);
    [begun, ping, ended].concat()
}

/// Returns a short message in one frame.
pub(crate) fn short_message(random: &mut Random, from: Peer) -> Vec<u8> {
    frame(random, from, 0x80 | BINARY, b"short")
}

/// Returns a Close.
pub(crate) fn close(random: &mut Random, from: Peer) -> Vec<u8> {
    frame(random, from, 0x80 | CLOSE, &1000_u16.to_be_bytes())
}

/// Returns bytes that no peer may send.
pub(crate) fn broken(random: &mut Random, from: Peer) -> Vec<u8> {
    let other = if from == Peer::Client { Peer::Upstream } else { Peer::Client };
    match random.below(6) {
        0 => frame(random, other, 0x82, b"masked as only the other side may"),
        1 => frame(random, from, 0x83, b"no such opcode"),
        2 => frame(random, from, 0xc1, b"a reserved bit"),
        3 => frame(random, from, 0x09, b"a Ping in fragments"),
        4 => frame(random, from, 0x80, b"a continuation of nothing"),
        _ => frame(random, from, 0x88, &1005_u16.to_be_bytes()),
    }
}

/// Takes the whole frames of these bytes apart: what they are, and where each begins and ends.
pub(crate) fn parse(bytes: &[u8]) -> Vec<(u8, std::ops::Range<usize>)> {
    let (mut frames, mut at) = (Vec::new(), 0);
    while let Some(end) = end_of_frame(bytes, at) {
        frames.push((bytes[at] & 0xf, at..end));
        at = end;
    }
    frames
}

fn end_of_frame(bytes: &[u8], at: usize) -> Option<usize> {
    let second = *bytes.get(at + 1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (len, header) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(bytes.get(at + 2..at + 4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(at + 2..at + 10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let end = at.checked_add(header + mask)?.checked_add(len)?;
    (end <= bytes.len()).then_some(end)
}

/// Says whether these bytes are whole frames of a client's that carry no message.
pub(crate) fn are_of_control(bytes: &[u8]) -> bool {
    let frames = parse(bytes);
    let is_masked = |range: &std::ops::Range<usize>| bytes[range.start + 1] & 0x80 != 0;
    frames.last().is_some_and(|(_, range)| range.end == bytes.len())
        && frames.iter().all(|(opcode, range)| *opcode >= CLOSE && is_masked(range))
}

/// Says whether the whole frames of these bytes, but for Pings, are the first of `sent`.
pub(crate) fn have_begun(passed: &[u8], sent: &[u8]) -> bool {
    let whole = parse(passed).last().map_or(0, |(_, range)| range.end);
    without_pings(sent).starts_with(&without_pings(&passed[..whole]))
}

/// Says whether these bytes end with a Close.
pub(crate) fn end_with_close(bytes: &[u8]) -> bool {
    parse(bytes).last().is_some_and(|(opcode, range)| *opcode == CLOSE && range.end == bytes.len())
}

/// Returns these bytes without the Pings, whole or not, which `sent` has none of: those are the module's.
pub(crate) fn without_pings(bytes: &[u8]) -> Vec<u8> {
    let frames = parse(bytes);
    let whole = frames.last().map_or(0, |(_, range)| range.end);
    let kept = frames.into_iter().filter(|(opcode, _)| *opcode != 9);
    let mut rest: Vec<u8> = kept.flat_map(|(_, range)| bytes[range].to_vec()).collect();
    rest.extend(&bytes[whole..]);
    rest
}
