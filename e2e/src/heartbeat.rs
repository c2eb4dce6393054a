//! Postern's own Pings on the wire, which most tests do not want to see.

use crate::frames::{Frame, opcode};

/// What their payloads begin with.
const MARK: &[u8] = b"postern:";

/// A whole one without a mask, and with.
const LENGTHS: [usize; 2] = [18, 22];

impl Frame {
    /// Whether this is one of Postern's own Pings.
    pub fn is_heartbeat(&self) -> bool {
        self.opcode == opcode::PING && self.payload.len() == 16 && self.payload.starts_with(MARK)
    }
}

/// Takes every whole Ping of Postern's own out of `bytes`, wherever it is: nothing a test sends looks like one.
pub(crate) fn take_out(bytes: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|&byte| byte == 0x89) {
        at += found;
        match Frame::parse(&bytes[at..]) {
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
    }
}
