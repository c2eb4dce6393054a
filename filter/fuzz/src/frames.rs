//! An open WebSocket: bytes of both peers, in any pieces, and time.
//!
//! Input: a byte for the policy, and then steps: a byte that says what happens (who sends, or how
//! much time passes) and in its upper bits into how small pieces the bytes are cut in the second
//! run, a byte for how many bytes, and these. What goes out does not depend on how it was cut; it
//! is what came in, whole frames of it, or whole frames and then a Close.

use std::time::Duration;

use arbitrary::Unstructured;
use postern_engine::{Event, Input, Output, Peer, Reason, Session, Tally};

use crate::fixture::{MASK, NOW, admitted, agreement};
use crate::wire::{Frame, frames};

/// Two bytes, a masking key, a code and the longest reason.
const MAX_CLOSE: usize = 2 + 4 + 125;

/// The most that is held back: a header without its last byte.
const MAX_HELD: usize = 13;

enum Step<'i> {
    Sends(Peer, &'i [u8], usize),
    Passes(Duration),
}

/// What became of a script.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    to_upstream: Vec<u8>,
    to_client: Vec<u8>,
    closed: Option<Reason>,
    reset: bool,
    tally: Tally,
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let choice = input.arbitrary::<u8>().unwrap_or(0);
    let steps = steps(&mut input);
    let Some(whole) = play(choice, &steps, false) else { return };
    let cut = play(choice, &steps, true);
    assert_eq!(Some(&whole), cut.as_ref(), "the pieces show");

    let sent = |peer: Peer| -> Vec<u8> {
        let of = |step: &Step<'_>| match step {
            Step::Sends(sender, bytes, _) if *sender == peer => bytes.to_vec(),
            _ => Vec::new(),
        };
        steps.iter().flat_map(of).collect()
    };
    let mut closes = 0;
    for (peer, passed) in [(Peer::Client, &whole.to_upstream), (Peer::Upstream, &whole.to_client)] {
        let sent = sent(peer);
        assert!(passed.len() <= sent.len() + MAX_CLOSE, "it grows");
        let drops = choice % 6 == 3;
        if whole.closed.is_none() && !drops {
            assert!(sent.starts_with(passed), "it changes");
            let ended = frames(passed).0.iter().any(|frame| frame.opcode == 8);
            assert!(ended || whole.reset || sent.len() - passed.len() <= MAX_HELD, "it holds back");
        }
        closes += usize::from(whole.closed.is_some_and(|reason| ends(peer, passed, reason)));
        let whole_frames = frames(passed).0;
        let first_close = whole_frames.iter().position(|frame| frame.opcode == 8);
        assert!(first_close.is_none_or(|i| i + 1 == whole_frames.len()), "a frame follows a Close");
    }
    // A refusal because of bytes closes at least the side that sent them; one by time, whichever
    // side has something to put it in the place of.
    assert!(closes > 0 || whole.closed.is_none_or(|reason| reason == Reason::TokenExpired));
}

fn steps<'i>(input: &mut Unstructured<'i>) -> Vec<Step<'i>> {
    let mut steps = Vec::new();
    while let Ok(&[what, len]) = input.bytes(2) {
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

/// Plays a script as the filter would, chunks whole or cut into pieces.
fn play(choice: u8, steps: &[Step<'_>], cut: bool) -> Option<Outcome> {
    let mut session = admitted(choice)?;
    let mut outcome = Outcome {
        to_upstream: Vec::new(),
        to_client: Vec::new(),
        closed: None,
        reset: false,
        tally: Tally::default(),
    };
    let mut now = NOW;
    session.handle(Input::Response(agreement()), now);
    outcome.perform(&mut session);
    session.handle(Input::ResponseStart, now);
    outcome.perform(&mut session);
    for step in steps {
        if outcome.reset {
            break;
        }
        match step {
            Step::Sends(peer, bytes, piece) => {
                let piece = if cut { *piece } else { bytes.len().max(1) };
                for chunk in bytes.chunks(piece) {
                    outcome.send(&mut session, *peer, chunk, now, cut);
                }
            }
            Step::Passes(time) => {
                now += *time;
                if session.deadline().is_some_and(|deadline| deadline <= now) {
                    session.handle(Input::Timer, now);
                    outcome.perform(&mut session);
                }
            }
        }
    }
    Some(outcome)
}

impl Outcome {
    fn send(&mut self, session: &mut Session, peer: Peer, chunk: &[u8], now: Duration, unread: bool) {
        let passed = if unread && session.pass_unread(peer, chunk.len()) {
            chunk.to_vec()
        } else {
            let passage = session.judge(peer, chunk, now);
            let passed = passage.bytes(chunk);
            assert!(!passage.is_whole(chunk.len()) || passed == chunk);
            passed
        };
        match peer {
            Peer::Client => self.to_upstream.extend(passed),
            Peer::Upstream => self.to_client.extend(passed),
        }
        self.perform(session);
    }

    fn perform(&mut self, session: &mut Session) {
        while let Some(output) = session.poll_output() {
            match output {
                Output::SendToClient(frame) => self.to_client.extend(frame),
                Output::Reset => self.reset = true,
                Output::Tell(Event::Closed { reason, .. }) => {
                    assert!(self.closed.replace(reason).is_none(), "closed twice");
                }
                Output::AdmitResponse(_) | Output::Park | Output::Tell(Event::Opened) => {}
                other => panic!("on an open connection: {other:?}"),
            }
        }
        self.tally.add(&session.take_tally());
    }
}

/// Whether `passed` is whole frames and then Postern's Close for `reason`.
fn ends(peer: Peer, passed: &[u8], reason: Reason) -> bool {
    let (frames, rest) = frames(passed);
    let Some(Frame { opcode: 8, mask, payload }) = frames.last() else { return false };
    let expected_mask = (peer == Peer::Client).then_some(MASK);
    let key = mask.unwrap_or_default();
    let read: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    let consequence = reason.consequence();
    let own = [&consequence.close.to_be_bytes(), consequence.id.as_bytes()].concat();
    *mask == expected_mask && read == own && rest.is_empty()
}
