//! An open WebSocket whose compressed messages are inspected, held against other inflaters and
//! another codec, tungstenite, on both sides.
//!
//! Input: a byte for the policy and for what was agreed on, and then what the module `deflated`
//! makes of the rest: messages of both peers, mostly sound ones, in fragments and pieces. The frames
//! that pass are those that were sent, in the order in which they go, and inflate to messages that
//! may be. What Postern refuses as a violation of the protocol, as no UTF-8 or as too big a message,
//! the others find to be just that, but where tungstenite is laxer.

use arbitrary::Unstructured;
use postern_engine::{Peer, Reason};

use crate::deflated::script;
use crate::inflated::{self, Plain, assert_readable, plain};
use crate::line::{Line, Seen};
use crate::order::{counted, frames_up_to_a_close, goes_on};
use crate::reference::{End, Fault, completed, laxness, tungstenite};
use crate::stream::{ANSWERS, Context, INSPECTED_POLICIES, StreamPolicy, max_message_bytes};
use crate::wire::{CLOSE, Frame, frame};

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let choice = usize::from(input.arbitrary::<u8>().unwrap_or(0));
    let policy = &INSPECTED_POLICIES[choice % INSPECTED_POLICIES.len()];
    let answer = ANSWERS[choice / INSPECTED_POLICIES.len() % ANSWERS.len()];
    let mut line = Line::open(policy, Some(answer));
    let contexts = [Peer::Client, Peer::Upstream].map(|peer| (peer, line.context(peer)));
    let [(_, client), (_, upstream)] = contexts;
    let script = script(&mut input, client, upstream);

    let (mut from_client, mut from_upstream) = (Vec::new(), Vec::new());
    // How much of `from_client` and `from_upstream` had come when the connection was refused.
    let mut refused_at = None;
    for said in &script {
        line.wait(said.after);
        for chunk in said.bytes.chunks(said.piece) {
            line.send(said.peer, chunk, true);
            let sent = if said.peer == Peer::Client { &mut from_client } else { &mut from_upstream };
            sent.extend_from_slice(chunk);
            if line.seen.closed.is_some() {
                refused_at.get_or_insert((said.peer, sent.len()));
            }
        }
    }
    for (peer, context) in contexts {
        // Where nothing stands open, a Close goes that waits for a chunk to take the place of.
        line.send(peer, b"", false);
        let sent = if peer == Peer::Client { &from_client } else { &from_upstream };
        assert_goes_on(policy, peer, sent, &line.seen);
        assert_readable(policy, peer, context, line.seen.passed(peer));
        if let (Some((offender, at)), Some(reason)) = (refused_at, line.seen.closed)
            && offender == peer
        {
            assert_refused_by_others(policy, peer, context, up_to_a_frame(sent, at), reason);
        }
    }
}

/// Holds the frames that have passed against those that were sent.
fn assert_goes_on(policy: &StreamPolicy, peer: Peer, sent: &[u8], seen: &Seen) {
    let goes_on = goes_on(policy, peer, sent);
    let frames = |bytes| {
        let frames = frames_up_to_a_close(policy, peer, bytes);
        frames.into_iter().map(|(_, frame, bytes)| (frame, bytes)).collect::<Vec<_>>()
    };
    let (mut passed, goes_on) = (frames(seen.passed(peer)), frames(&goes_on));
    let read: usize = passed.iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(read, seen.passed(peer).len(), "{peer:?}: bytes follow a Close, or a part of a header passes");
    if let Some(reason) = seen.closed
        && passed.last().is_some_and(|(frame, _)| is_close_for(frame, reason))
    {
        passed.pop();
    }
    let messages = seen.messages(peer);
    let headers = passed.iter().map(|(frame, _)| frame);
    assert_eq!((messages.allowed, messages.bytes), counted(headers), "{peer:?}: it is not counted");
    let mut left = goes_on.iter();
    for (_, bytes) in &passed {
        let found = if policy.discards(peer) {
            left.any(|(_, other)| other.starts_with(bytes))
        } else {
            left.next().is_some_and(|(_, other)| other.starts_with(bytes))
        };
        assert!(found, "{peer:?}: not as it was sent: {bytes:02x?}");
    }
    if seen.closed.is_none() && !seen.reset {
        let messages = |frames: &[(Frame<'_>, &[u8])]| {
            frames.iter().filter(|(frame, _)| frame.header.starts_message()).count() as u64
        };
        let missing = messages(&goes_on) - messages(&passed);
        let dropped = if policy.discards(peer) { seen.tally.client.dropped } else { 0 };
        // A message of which not all was sent may have been discarded, too.
        assert!(dropped == missing || dropped == missing + 1, "{missing} missing, {dropped} dropped");
        assert!(policy.discards(peer) || passed == goes_on, "{peer:?}: it is withheld for no reason");
    }
}

fn is_close_for(frame: &Frame<'_>, reason: Reason) -> bool {
    let consequence = reason.consequence();
    frame.header.opcode == CLOSE
        && frame.plain() == [&consequence.close.to_be_bytes(), consequence.id.as_bytes()].concat()
}

/// Lets the others find in `bytes`, which Postern refused, why they are refused.
fn assert_refused_by_others(
    policy: &StreamPolicy,
    peer: Peer,
    context: Context,
    bytes: Vec<u8>,
    reason: Reason,
) {
    let judged = matches!(reason, Reason::ProtocolError | Reason::InvalidUtf8 | Reason::MessageTooBig);
    // What is discarded is not inflated, and others would find something in it.
    if !judged || policy.discards(peer) {
        return;
    }
    let Plain { bytes: plain, fault } = plain(peer, context, &bytes);
    let (_, end) = tungstenite(peer, &plain);
    let found = match (end, fault) {
        // In a text that was not Postern's to prove: nothing can be said of what follows it.
        (End::Fails(Fault::Utf8), _) if !policy.proves_text(peer) => return,
        (End::Fails(Fault::Utf8), _) => Some(Reason::InvalidUtf8),
        (End::Fails(Fault::Protocol(_)), _) => Some(Reason::ProtocolError),
        // Longer than any frame may be, which is the first thing that tungstenite looks at.
        (End::Fails(Fault::Capacity), _) => return,
        (End::Waits | End::Closed, Some(inflated::Fault::Broken)) => Some(Reason::ProtocolError),
        (End::Waits | End::Closed, Some(inflated::Fault::TooLong)) => Some(Reason::MessageTooBig),
        (End::Waits | End::Closed, None) => None,
    };
    let excused = is_lax(&bytes) || (reason == Reason::MessageTooBig && is_long(peer, &bytes));
    if found == Some(reason) || excused {
        return;
    }
    panic!("{peer:?}: {reason:?}, and others find {found:?} in {bytes:02x?}");
}

/// Whether tungstenite may let a frame pass that Postern refuses.
fn is_lax(mut bytes: &[u8]) -> bool {
    while let Some((_, rest)) = frame(bytes) {
        if laxness(bytes).is_some() {
            return true;
        }
        bytes = rest;
    }
    false
}

/// Whether a message in `bytes` is longer on the wire than one may be: as long as any, or, where
/// it is compressed, so much longer as it grows that does not compress.
fn is_long(peer: Peer, mut bytes: &[u8]) -> bool {
    let (mut most, mut len) = (0, 0);
    while let Some((frame, rest)) = frame(bytes) {
        if frame.header.starts_message() {
            let growth =
                if frame.header.is_compressed() { 5 * (1024 + max_message_bytes(peer) / 64) } else { 0 };
            (most, len) = (max_message_bytes(peer) + growth, 0);
        }
        len += if frame.header.is_control() { 0 } else { frame.header.payload_len };
        if len > most {
            return true;
        }
        bytes = rest;
    }
    false
}

/// What has come with the first `at` bytes of `sent`, and the rest of the frame that they end in.
fn up_to_a_frame(sent: &[u8], at: usize) -> Vec<u8> {
    let mut rest = sent;
    while let Some((_, after)) =
        frame(rest).filter(|(frame, after)| frame.is_whole() && sent.len() - after.len() < at)
    {
        rest = after;
    }
    [&sent[..sent.len() - rest.len()], &completed(rest)].concat()
}
