//! Which frames of a peer go on when, while nothing is refused.

use postern_config::Compression;
use postern_engine::Peer;

use crate::stream::StreamPolicy;
use crate::wire::{CLOSE, Frame, Header, TEXT, frame};

/// What has to be there before a frame goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Its header.
    Header,
    /// All of it.
    Frame,
    /// All of its message; control frames go ahead.
    Message,
}

/// The frames of a peer up to and with its Close, each with its bytes and what it waits for. Only
/// the last may not be whole.
pub(crate) fn frames_up_to_a_close<'b>(
    policy: &StreamPolicy,
    peer: Peer,
    mut bytes: &'b [u8],
) -> Vec<(Wait, Frame<'b>, &'b [u8])> {
    let mut frames = Vec::new();
    let mut message = Wait::Header;
    while let Some((frame, rest)) = frame(bytes) {
        if frame.header.starts_message() {
            message = Wait::of_message(policy, peer, &frame.header);
        }
        let wait = match frame.header {
            header if header.opcode == CLOSE => Wait::Frame,
            header if header.is_control() => Wait::Header,
            _ => message,
        };
        frames.push((wait, frame, &bytes[..bytes.len() - rest.len()]));
        if !frame.is_whole() || frame.header.opcode == CLOSE {
            break;
        }
        bytes = rest;
    }
    frames
}

/// What is counted of frames that have passed, the last perhaps in part: how many messages they
/// begin, and how many bytes of payload those have.
pub(crate) fn counted<'b>(frames: impl IntoIterator<Item = &'b Frame<'b>>) -> (u64, u64) {
    let (mut messages, mut bytes) = (0, 0);
    for Frame { header, .. } in frames {
        messages += u64::from(header.starts_message());
        bytes += if header.is_control() { 0 } else { header.payload_len };
    }
    (messages, bytes)
}

/// What goes on of what `peer` has sent, in the order in which it goes. Of more bytes goes on what
/// goes on of fewer, and then more.
pub(crate) fn goes_on(policy: &StreamPolicy, peer: Peer, sent: &[u8]) -> Vec<u8> {
    let (mut on, mut withheld) = (Vec::new(), Vec::new());
    for (wait, frame, bytes) in frames_up_to_a_close(policy, peer, sent) {
        match wait {
            Wait::Header => on.extend_from_slice(bytes),
            _ if !frame.is_whole() => {}
            Wait::Frame => on.extend_from_slice(bytes),
            Wait::Message => {
                withheld.extend_from_slice(bytes);
                if frame.header.fin {
                    on.append(&mut withheld);
                }
            }
        }
    }
    on
}

impl Wait {
    fn of_message(policy: &StreamPolicy, peer: Peer, first: &Header) -> Self {
        if policy.compression == Compression::Inspect && first.is_compressed() {
            Self::Message
        } else if policy.proves_text(peer) && first.opcode == TEXT {
            Self::Frame
        } else {
            Self::Header
        }
    }
}
