//! An open WebSocket: bytes of both peers, in any pieces, and time.
//!
//! Input: a byte for the policy, and then steps: a byte that says what happens (who sends, or how
//! much time passes) and in its upper bits into how small pieces the bytes are cut in the second
//! run, a byte for how many bytes, and these. After each step, what went out does not depend on
//! how it was cut, nor on whether somebody looked at each byte; it is what came in but for the
//! frame that is still withheld, whole frames of it, or whole frames and then a Close. A refusal
//! closes both sides, each behind the frame that has begun to pass.

use std::time::Duration;

use arbitrary::Unstructured;
use postern_engine::{Peer, Reason};

use crate::fixture::{MASK, STREAM_POLICIES, StreamPolicy};
use crate::line::{Line, Seen};
use crate::wire::{BINARY, CLOSE, Frame, TEXT, frame, frames, masked};

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
    let policy = &STREAM_POLICIES[usize::from(choice) % STREAM_POLICIES.len()];
    let steps = steps(&mut input);
    let whole = play(policy, &steps, Pieces::Whole);
    for pieces in [Pieces::Cut, Pieces::Unread] {
        for (i, (cut, whole)) in play(policy, &steps, pieces).iter().zip(&whole).enumerate() {
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
    if let Some(seen) = whole.last()
        && let Some(reason) = seen.closed
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
fn play(policy: &StreamPolicy, steps: &[Step<'_>], pieces: Pieces) -> Vec<Seen> {
    let mut line = Line::open(policy);
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
    let (whole_frames, rest) = frames(passed);
    let close = whole_frames.iter().position(|frame| frame.header.opcode == CLOSE);
    if let Some(close) = close {
        assert!(close + 1 == whole_frames.len() && rest.is_empty(), "bytes follow a Close");
    }
    let own_close = seen.closed.is_some_and(|reason| ends(peer, seen, reason));
    let (as_sent, _) = passed.split_at(passed.len() - if own_close { own_close_len(peer, seen) } else { 0 });
    if !policy.discards(peer) {
        assert!(sent.starts_with(as_sent), "it changes");
        if close.is_none() && seen.closed.is_none() && !seen.reset {
            assert_eq!(as_sent.len(), passes_so_far(policy, peer, sent), "it is withheld for no reason");
        }
    }
    assert!(as_sent.len() <= sent.len(), "it grows");
    // What stands open towards a receiver is the payload of a frame that nobody proves.
    let proved = open_frame_is_proved(policy, peer, passed);
    assert!(rest.is_empty() || proved == Some(false), "what is not proved has passed");
}

/// How many of the bytes `sent` go on while nothing is refused: all but an incomplete header, or
/// the frame that is being proved.
fn passes_so_far(policy: &StreamPolicy, peer: Peer, sent: &[u8]) -> usize {
    let (_, rest) = frames(sent);
    match open_frame_is_proved(policy, peer, sent) {
        Some(false) => sent.len(),
        Some(true) | None => sent.len() - rest.len(),
    }
}

/// Whether the frame that `bytes` end with has to be proved; `None` while its header is not whole.
fn open_frame_is_proved(policy: &StreamPolicy, peer: Peer, bytes: &[u8]) -> Option<bool> {
    let (whole_frames, rest) = frames(bytes);
    let (open, _) = frame(rest)?;
    let mut opcodes = whole_frames.iter().chain([&open]).map(|frame| frame.header.opcode);
    let message = opcodes.rfind(|opcode| matches!(*opcode, TEXT | BINARY));
    let text = open.header.opcode < CLOSE && message == Some(TEXT);
    Some(open.header.opcode == CLOSE || (text && policy.proves_text(peer)))
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
