//! An open WebSocket: bytes of both peers, in any pieces, and time.
//!
//! Input: a byte for the policy and for what was agreed on, and then steps: a byte that says what
//! happens (who sends, or how much time passes) and in its upper bits into how small pieces the
//! bytes are cut in the second run, a byte for how many bytes, and these. After each step, what went
//! out does not depend on how it was cut, nor on whether somebody looked at each byte; it is what
//! came in but for the frame or the message that is still withheld, whole frames of it, or whole
//! frames and then a Close. A refusal closes both sides, each behind the frame that has begun to
//! pass. A message that is inspected passes whole, and another inflater reads it, too.

use std::time::Duration;

use arbitrary::Unstructured;
use postern_config::Compression;
use postern_engine::{Peer, Reason};

use crate::fixture::MASK;
use crate::inflated::assert_readable;
use crate::line::{Line, Seen};
use crate::order::{Wait, counted, frames_up_to_a_close, goes_on};
use crate::stream::{ANSWERS, INSPECTED_POLICIES, PASSED_POLICY, STREAM_POLICIES, StreamPolicy};
use crate::wire::{CLOSE, Frame, frames, masked};

/// More would only make a run slow.
const MAX_STEPS: usize = 64;

enum Step<'i> {
    Sends(Peer, &'i [u8], usize),
    Passes(Duration),
}

/// How a step's bytes are handed over.
#[derive(Clone, Copy, Debug)]
enum Pieces {
    Whole,
    Cut,
    /// Cut, and handed on unread wherever that is allowed.
    Unread,
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let choice = input.arbitrary::<u8>().unwrap_or(0);
    let (policy, extension) = agreed(choice);
    let open = || Line::open(policy, extension);
    let steps = steps(&mut input);
    let whole = play(open(), &steps, Pieces::Whole);
    for pieces in [Pieces::Cut, Pieces::Unread] {
        for (i, (cut, whole)) in play(open(), &steps, pieces).iter().zip(&whole).enumerate() {
            assert_eq!(cut, whole, "{pieces:?} shows after step {i}");
        }
    }
    let (mut from_client, mut from_upstream) = (Vec::new(), Vec::new());
    for (step, seen) in steps.iter().zip(&whole) {
        match step {
            Step::Sends(Peer::Client, bytes, _) => from_client.extend_from_slice(bytes),
            Step::Sends(Peer::Upstream, bytes, _) => from_upstream.extend_from_slice(bytes),
            Step::Passes(_) => {}
        }
        assert_sound(policy, Peer::Client, &from_client, seen);
        assert_sound(policy, Peer::Upstream, &from_upstream, seen);
    }
    let Some(seen) = whole.last() else { return };
    if policy.compression == Compression::Inspect {
        for peer in [Peer::Client, Peer::Upstream] {
            assert_readable(policy, peer, open().context(peer), seen.passed(peer));
        }
    }
    if let Some(reason) = seen.closed
        && !seen.reset
    {
        for peer in [Peer::Client, Peer::Upstream] {
            let (whole_frames, rest) = frames(seen.passed(peer));
            let peers_own = whole_frames.last().is_some_and(|last| last.header.opcode == CLOSE);
            // Behind a frame that has begun to pass, a Close waits for its end.
            assert!(ends(peer, seen, reason) || peers_own || !rest.is_empty(), "no Close follows");
        }
    }
}

/// The policy that a choice stands for, and the extension that the peers agree on under it.
fn agreed(choice: u8) -> (&'static StreamPolicy, Option<&'static str>) {
    let policies = STREAM_POLICIES.len() + INSPECTED_POLICIES.len() + 1;
    let (answer, policy) = (usize::from(choice) / policies, usize::from(choice) % policies);
    let mut all = STREAM_POLICIES.iter().chain(&INSPECTED_POLICIES);
    let policy = all.nth(policy).unwrap_or(&PASSED_POLICY);
    let compresses = policy.compression != Compression::Strip;
    (policy, compresses.then(|| ANSWERS[answer % ANSWERS.len()]))
}

fn steps<'i>(input: &mut Unstructured<'i>) -> Vec<Step<'i>> {
    let mut steps = Vec::new();
    while steps.len() < MAX_STEPS
        && let Ok(&[what, len]) = input.bytes(2)
    {
        let piece = usize::from(what >> 2) + 1;
        let peer = match what & 3 {
            0 | 1 => Peer::Client,
            2 => Peer::Upstream,
            _ => {
                steps.push(Step::Passes(Duration::from_millis(u64::from(len) * 20)));
                continue;
            }
        };
        let len = usize::from(len).min(input.len());
        steps.push(Step::Sends(peer, input.bytes(len).unwrap_or_default(), piece));
    }
    steps
}

/// Plays a script, and says what could be seen after each step, and at the end.
fn play(mut line: Line, steps: &[Step<'_>], pieces: Pieces) -> Vec<Seen> {
    let play = |step: &Step<'_>| {
        match step {
            Step::Sends(peer, [], _) => line.send(*peer, b"", false),
            Step::Sends(peer, bytes, piece) => {
                let (piece, unread) = match pieces {
                    Pieces::Whole => (bytes.len(), false),
                    Pieces::Cut => (*piece, false),
                    Pieces::Unread => (*piece, true),
                };
                bytes.chunks(piece).for_each(|chunk| line.send(*peer, chunk, unread));
            }
            Step::Passes(time) => line.wait(*time),
        }
        line.seen.clone()
    };
    let mut seen: Vec<_> = steps.iter().map(play).collect();
    // Where nothing stands open, a Close goes that waits for a chunk to take the place of.
    [Peer::Client, Peer::Upstream].iter().for_each(|peer| line.send(*peer, b"", false));
    seen.push(line.seen);
    seen
}

/// Holds what went on of `sent`, and what came in its place, against what may.
fn assert_sound(policy: &StreamPolicy, peer: Peer, sent: &[u8], seen: &Seen) {
    let passed = seen.passed(peer);
    let passed_frames = frames_up_to_a_close(policy, peer, passed);
    let read: usize = passed_frames.iter().map(|(_, _, bytes)| bytes.len()).sum();
    assert_eq!(read, passed.len(), "bytes follow a Close, or a part of a header has passed");
    let own_close = seen.closed.is_some_and(|reason| ends(peer, seen, reason));
    let (as_sent, _) = passed.split_at(passed.len() - if own_close { own_close_len(peer, seen) } else { 0 });
    if !policy.discards(peer) {
        let goes_on = goes_on(policy, peer, sent);
        assert!(goes_on.starts_with(as_sent), "it changes");
        if seen.closed.is_none() && !seen.reset {
            assert_eq!(as_sent.len(), goes_on.len(), "it is withheld for no reason");
        }
    }
    assert!(as_sent.len() <= sent.len(), "it grows");
    let messages = seen.messages(peer);
    let passed_headers = passed_frames.iter().map(|(_, frame, _)| frame);
    assert_eq!((messages.allowed, messages.bytes), counted(passed_headers), "it is not counted");
    let mut part_of_a_message = false;
    for (wait, frame, _) in passed_frames {
        assert!(frame.is_whole() || wait == Wait::Header, "what is not proved has passed");
        let compressed = policy.compression != Compression::Strip && frame.header.is_compressed();
        assert_eq!(frame.header.rsv, if compressed { 0x40 } else { 0 }, "bits pass that mean nothing");
        assert!(!part_of_a_message || wait == Wait::Message, "a part of a message passes");
        part_of_a_message = wait == Wait::Message && !frame.header.fin;
    }
    assert!(!part_of_a_message, "a part of a message has passed");
}

/// Whether what went on of `peer`'s bytes is whole frames and then Postern's Close for `reason`.
fn ends(peer: Peer, seen: &Seen, reason: Reason) -> bool {
    let (frames, rest) = frames(seen.passed(peer));
    let Some(Frame { header, payload }) = frames.last() else { return false };
    let expected_mask = (peer == Peer::Client).then_some(MASK);
    let consequence = reason.consequence();
    let own = [&consequence.close.to_be_bytes(), consequence.id.as_bytes()].concat();
    let read = masked(payload, header.mask.unwrap_or_default());
    header.opcode == CLOSE && header.mask == expected_mask && read == own && rest.is_empty()
}

/// How long Postern's own Close is, which ends what went on of `peer`'s bytes.
fn own_close_len(peer: Peer, seen: &Seen) -> usize {
    let (frames, _) = frames(seen.passed(peer));
    let payload = frames.last().map_or(0, |close| close.payload.len());
    2 + payload + if peer == Peer::Client { MASK.len() } else { 0 }
}
