//! Postern's own Pings on the wire, which most tests do not want to see.

use crate::frames::{Frame, opcode};

/// The beginning of their payloads.
const MARK: &[u8] = b"postern:";

/// The lengths of a whole one without a mask, and with, in bytes.
const LENGTHS: [usize; 2] = [18, 22];

impl Frame {
    /// Says whether the frame is one of Postern's own Pings.
    pub fn is_heartbeat(&self) -> bool {
        self.opcode == opcode::PING && self.payload.len() == 16 && self.payload.starts_with(MARK)
    }
}

/// Takes every whole Ping of Postern's own out of `bytes`, wherever it is: nothing a test sends looks like
/// one.
pub(crate) fn take_out(bytes: &mut Vec<u8>) {
    take_out_behind(bytes, 0);
}

/// Takes the Pings out of `bytes` that end behind `looked`, up to which none is left. A mebibyte comes in
/// many pieces, and to look through all of it for each takes longer than tests wait.
pub(crate) fn take_out_behind(bytes: &mut Vec<u8>, looked: usize) {
    let mut at = looked.saturating_sub(LENGTHS[1] - 1);
    while let Some(found) = bytes[at..].iter().position(|&byte| byte == 0x89) {
        at += found;
        // Any other byte of this value need not be read as a frame, which may be long.
        let of_length = bytes.get(at + 1).is_some_and(|length| length & 0x7f == 16);
        match of_length.then(|| Frame::parse(&bytes[at..])).flatten() {
            Some((frame, length)) if LENGTHS.contains(&length) && frame.is_heartbeat() => {
                bytes.drain(at..at + length);
            }
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_pings_are_taken_out_and_nothing_else() {
        let own = Frame::ping("postern:01234567");
        let others =
            [Frame::ping("postern?12345678"), Frame::ping("postern:"), Frame::pong("postern:12345678")];
        let kept: Vec<u8> = others.iter().flat_map(Frame::bytes).collect();
        let mut mixed = Vec::new();
        for other in &others {
            mixed.extend([own.bytes(), other.bytes(), own.clone().masked().bytes()].concat());
        }
        take_out(&mut mixed);
        assert_eq!(mixed, kept);
        let mut partial = own.bytes()[..17].to_vec();
        take_out(&mut partial);
        assert_eq!(partial.len(), 17);
        for whole in [own.bytes(), own.masked().bytes()] {
            for cut in 0..whole.len() {
                let mut bytes = [b"before", &whole[..cut]].concat();
                take_out(&mut bytes);
                let looked = bytes.len();
                bytes.extend([&whole[cut..], b"behind"].concat());
                take_out_behind(&mut bytes, looked);
                assert_eq!(bytes, b"beforebehind", "cut at {cut}");
            }
        }
    }
}
