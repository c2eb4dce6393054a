//! What a peer hears, held against what the other has said.

use std::collections::VecDeque;

use postern_config::Compression;
use postern_engine::{Peer, Reason};

use super::policy::{FIRST, Policy, REFRESH};
use crate::fixture::MASK;
use crate::wire::{CLOSE, CONTINUATION, Frame, PING, PONG, TEXT, frame, frames, masked};

/// A frame and its bytes.
type Read<'b> = (Frame<'b>, &'b [u8]);

/// What has been said of one direction, and has not been heard yet.
struct Said<'b> {
    policy: &'b Policy,
    peer: Peer,
    /// Control frames, by their places among all frames.
    control: VecDeque<(usize, Read<'b>)>,
    /// Messages as far as they have come, likewise.
    messages: VecDeque<Vec<(usize, Read<'b>)>>,
    /// Whether the client's first message may be Postern's.
    first: bool,
}

/// Holds what has `gone` of what `peer` has `sent` against that. `first` says whether the client has to authenticate itself
/// by a message, `closed` why Postern has ended the connection.
pub(crate) fn assert_sound(
    policy: &Policy,
    peer: Peer,
    (sent, gone): (&[u8], &[u8]),
    first: bool,
    closed: Option<Reason>,
) {
    let gone = read(gone);
    let mut said = Said::new(policy, peer, sent, first);
    let (mut last, mut rest) = (None, &gone[..]);
    // Of the message that is open what is still to come.
    let mut open: VecDeque<(usize, Read<'_>)> = VecDeque::new();
    let mut held_whole = false;
    while let Some(((heard, bytes), after)) = rest.split_first() {
        rest = after;
        if closed.is_some_and(|reason| is_own_close(peer, heard, reason)) {
            assert!(rest.is_empty(), "{peer:?}: bytes follow the Close");
            break;
        }
        if is_own_ping(peer, heard) {
            continue;
        }
        if is_own_text(policy, peer, heard) {
            assert!(open.is_empty(), "Postern speaks within a message");
            continue;
        }
        if heard.header.is_control() {
            let frame = said.control(heard, bytes, last);
            assert!(heard.header.opcode != CLOSE || frame.is_whole(), "a Close is not proved");
            assert!(heard.header.opcode != CLOSE || rest.is_empty(), "{peer:?}: bytes follow a Close");
            continue;
        }
        if open.is_empty() {
            open = said.message(bytes).into();
            held_whole = said.is_withheld_whole(&open);
        }
        let Some((at, (frame, came))) = open.pop_front() else { panic!("{peer:?}: nobody said it") };
        assert!(came.starts_with(bytes), "{peer:?}: it is not as it was said");
        assert!(heard.is_whole() || rest.is_empty(), "{peer:?}: frames within a frame");
        assert!(heard.is_whole() || !(held_whole || said.is_withheld(&frame)), "it is not proved");
        last = Some(at);
    }
    assert!(open.is_empty() || !held_whole, "{peer:?}: a part of a message that is judged whole has gone");
}

/// Holds what has gone since trailers came against what may: Postern's own Close.
pub(crate) fn assert_nothing_but_a_close(peer: Peer, gone: &[u8], closed: Option<Reason>) {
    let (frames, rest) = frames(gone);
    let own = frames.iter().all(|heard| closed.is_some_and(|reason| is_own_close(peer, heard, reason)));
    assert!(own && frames.len() <= 1 && rest.is_empty(), "{peer:?}: it goes on with trailers: {gone:02x?}");
}

/// The payloads of the own Pings that have gone among what `sender` says.
pub(crate) fn own_pings(sender: Peer, gone: &[u8]) -> Vec<Vec<u8>> {
    let (frames, _) = frames(gone);
    frames.iter().filter(|heard| is_own_ping(sender, heard)).map(Frame::plain).collect()
}

impl<'b> Said<'b> {
    fn new(policy: &'b Policy, peer: Peer, sent: &'b [u8], first: bool) -> Self {
        let (mut control, mut messages) = (VecDeque::new(), VecDeque::<Vec<_>>::new());
        for (at, read) in read_all(sent).enumerate() {
            match read.0.header {
                header if header.is_control() => control.push_back((at, read)),
                header if header.starts_message() => messages.push_back(vec![(at, read)]),
                header if header.opcode == CONTINUATION => match messages.back_mut() {
                    Some(message) if message.last().is_some_and(|(_, (last, _))| !last.header.fin) => {
                        message.push((at, read));
                    }
                    // What continues nothing is refused, as other opcodes are.
                    _ => {}
                },
                _ => {}
            }
        }
        Self { policy, peer, control, messages, first: first && peer == Peer::Client }
    }

    /// The control frame that is heard behind the `last` data frame. One goes ahead of what is withheld, and never falls
    /// behind.
    fn control(&mut self, heard: &Frame<'_>, bytes: &[u8], last: Option<usize>) -> Frame<'b> {
        while let Some((at, (frame, came))) = self.control.pop_front() {
            if came.starts_with(bytes) && last.is_none_or(|last| at > last) {
                return frame;
            }
            let may_answer = frame.header.opcode == PONG && frame.payload.len() == 16;
            // Of whoever is not authenticated only a Close goes on, and of what waits for him as well.
            let shut = self.policy.first_message;
            assert!(may_answer || shut, "{:?}: {frame:?} is swallowed", self.peer);
        }
        panic!("{:?}: nobody said {heard:?}", self.peer);
    }

    /// The message that begins to be heard.
    fn message(&mut self, bytes: &[u8]) -> Vec<(usize, Read<'b>)> {
        while let Some(message) = self.messages.pop_front() {
            let (_, (_, came)) = message[0];
            let first = std::mem::take(&mut self.first);
            if came.starts_with(bytes) && !first {
                return message;
            }
            let may_go = self.policy.discards(self.peer) || first || self.is_for_postern(&message);
            assert!(may_go, "{:?}: a message is swallowed: {message:?}", self.peer);
        }
        panic!("{:?}: nobody said it", self.peer);
    }

    fn is_for_postern(&self, message: &[(usize, Read<'_>)]) -> bool {
        let (_, (start, _)) = &message[0];
        let plain = message.iter().flat_map(|(_, (frame, _))| frame.plain()).collect::<Vec<_>>();
        let names = |name: &str| plain.windows(name.len()).any(|window| window == name.as_bytes());
        let hears = self.policy.refreshes && names(REFRESH);
        let is_text = start.header.opcode == TEXT && self.peer == Peer::Client;
        // A stored block may be split by whatever stands in it.
        is_text && (hears || self.policy.refreshes && start.header.is_compressed() || names(FIRST))
    }

    /// Whether nothing of this message goes on before all of it has come.
    fn is_withheld_whole(&self, message: &VecDeque<(usize, Read<'_>)>) -> bool {
        let Some((_, (start, _))) = message.front() else { return false };
        let inspects = self.policy.compression == Compression::Inspect && start.header.is_compressed();
        let hears = self.policy.refreshes && self.peer == Peer::Client && start.header.opcode == TEXT;
        inspects || hears
    }

    /// Whether a frame that begins a message goes on only once it has come.
    fn is_withheld(&self, frame: &Frame<'_>) -> bool {
        self.policy.proves_text(self.peer) && frame.header.opcode == TEXT
    }
}

/// The frames of what has gone. Only the last may not be whole, and the header of that is.
fn read(gone: &[u8]) -> Vec<Read<'_>> {
    let read: Vec<_> = read_all(gone).collect();
    let len: usize = read.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(len, gone.len(), "a part of a header has gone");
    read
}

fn read_all(mut bytes: &[u8]) -> impl Iterator<Item = Read<'_>> {
    std::iter::from_fn(move || {
        let (frame, rest) = frame(bytes)?;
        let read = (frame, &bytes[..bytes.len() - rest.len()]);
        bytes = rest;
        Some(read)
    })
}

fn is_own_ping(sender: Peer, heard: &Frame<'_>) -> bool {
    heard.header.opcode == PING && heard.header.mask.is_some() == (sender == Peer::Client) && {
        let plain = heard.plain();
        plain.len() == 16 && plain.starts_with(b"postern:")
    }
}

fn is_own_text(policy: &Policy, sender: Peer, heard: &Frame<'_>) -> bool {
    let speaks = policy.has_tokens() && sender == Peer::Upstream;
    speaks
        && heard.header.opcode == TEXT
        && heard.is_whole()
        && heard.payload.starts_with(br#"{"postern":"token_"#)
}

fn is_own_close(sender: Peer, heard: &Frame<'_>, reason: Reason) -> bool {
    let consequence = reason.consequence();
    let own = [&consequence.close.to_be_bytes(), consequence.id.as_bytes()].concat();
    let mask = own_mask(sender);
    heard.header.opcode == CLOSE
        && heard.header.mask == mask
        && masked(heard.payload, mask.unwrap_or_default()) == own
}

fn own_mask(sender: Peer) -> Option<[u8; 4]> {
    (sender == Peer::Client).then_some(MASK)
}
