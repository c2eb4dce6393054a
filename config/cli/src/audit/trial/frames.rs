//! Frames and messages that are wrong, on an honest WebSocket.

use flate2::{Compress, Compression, FlushCompress};

use super::handshake::{DEFLATE, EXTENSIONS, agrees};
use super::{Field, seconds};
use crate::audit::attack::Verdict;
use crate::audit::client::{Event, Opened};
use crate::audit::frame::{Frame, opcode};

impl Field {
    pub(super) fn frames(&self, bytes: &[u8]) -> Verdict {
        let mut socket = match self.honest_socket() {
            Ok(socket) => socket,
            Err(verdict) => return verdict,
        };
        socket.send(bytes);
        let seen = self.probe(&mut socket, None, self.client.deadline());
        self.judge_ended(&seen)
    }

    pub(super) fn content(&self, opcode: u8, payload: Vec<u8>) -> Verdict {
        let mut socket = match self.honest_socket() {
            Ok(socket) => socket,
            Err(verdict) => return verdict,
        };
        socket.send(&Frame::new(opcode, payload.clone()).bytes());
        let seen = self.probe(&mut socket, Some(&payload), self.client.deadline());
        self.judge_passed(&seen)
    }

    pub(super) fn close(&self, payload: &[u8]) -> Verdict {
        let mut socket = match self.honest_socket() {
            Ok(socket) => socket,
            Err(verdict) => return verdict,
        };
        socket.send(&Frame::new(opcode::CLOSE, payload).bytes());
        let deadline = self.client.deadline();
        loop {
            return match socket.next(deadline) {
                Event::Frame(frame) if frame.opcode != opcode::CLOSE => continue,
                Event::Frame(frame) if frame.payload == payload => {
                    Verdict::Open("answered by a Close with the same payload".to_owned())
                }
                Event::Frame(frame) => Verdict::Closed(self.seen_close(&frame)),
                Event::End(end) => Verdict::Closed(end.seen().to_owned()),
                Event::Nothing => self.unanswered(),
            };
        }
    }

    pub(super) fn bomb(&self, length: usize) -> Verdict {
        let request = self.client.honest.request().field(EXTENSIONS, DEFLATE);
        let mut socket = match self.client.open(&request) {
            Opened::Socket(socket, answer) if agrees(&answer, EXTENSIONS, DEFLATE) => socket,
            Opened::Socket(..) => return Verdict::Closed(format!("answered by 101 without {DEFLATE}")),
            Opened::Refused(answer) if answer.is_for_now() => {
                return Verdict::Undetermined(format!("the handshake before it: {}", self.seen_in(&answer)));
            }
            other => return Verdict::Closed(format!("{DEFLATE} offered: {}", self.seen_of(&other))),
        };
        let Some(payload) = deflated(length) else {
            return Verdict::NotTried("the message could not be compressed".to_owned());
        };
        socket.send(&Frame::new(opcode::BINARY, payload.clone()).reserved(4).bytes());
        let seen = self.probe(&mut socket, Some(&payload), self.client.deadline());
        // A service that inflates it sends something else back.
        let passed = seen.end.is_none() && seen.message;
        if passed {
            Verdict::Open("a message behind it came back".to_owned())
        } else {
            self.judge_passed(&seen)
        }
    }

    pub(super) fn endless(&self, bytes: &[u8]) -> Verdict {
        let mut socket = match self.honest_socket() {
            Ok(socket) => socket,
            Err(verdict) => return verdict,
        };
        socket.send(bytes);
        match self.watch(&mut socket, self.client.deadline()) {
            Some(end) => Verdict::Closed(end),
            None => Verdict::Open(format!("still open after {}", seconds(self.client.timeout))),
        }
    }
}

/// Returns `length` zeros as the payload of a compressed message (RFC 7692 §7.2.1).
pub(crate) fn deflated(length: usize) -> Option<Vec<u8>> {
    const END: [u8; 4] = [0, 0, 0xff, 0xff];
    let mut compressed = Vec::with_capacity(length / 500 + 1024);
    let mut compress = Compress::new(Compression::best(), false);
    compress.compress_vec(&vec![0; length], &mut compressed, FlushCompress::Sync).ok()?;
    let is_whole = compress.total_in() == u64::try_from(length).ok()?;
    compressed.strip_suffix(&END).filter(|_| is_whole).map(<[u8]>::to_vec)
}
