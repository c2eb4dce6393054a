//! The buckets that workers share.
//!
//! Input: a byte that says how many of the bytes after it are a slot that somebody else wrote, and
//! then a byte per charge: how long after the last one it comes. A slot never outgrows its room,
//! and of one bucket no more is taken than its quota has.

use arbitrary::Unstructured;
use postern_engine::rate::{Charge, Charged, Outcome, charge};
use postern_engine::slots::SLOTS;
use postern_engine::{Input, Output, Selection};

use crate::fixture::{NOW, ORDINARY, handshake, head, route, with_engine};

/// Thirty-two buckets of thirty-two bytes.
const MAX_SLOT: usize = 1024;

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let slot_len = usize::from(input.arbitrary::<u8>().unwrap_or(0)) * 8;
    let mut slot = input.bytes(slot_len.min(input.len())).unwrap_or_default().to_vec();
    let flags = input.arbitrary::<u8>().unwrap_or(ORDINARY);
    let Some(question) = question(flags) else { return };
    assert!(question.key.slot() < SLOTS);
    // What somebody else wrote may be this bucket's debt, but never its credit.
    let (start, mut now, mut taken) = (NOW, NOW, 0);
    while let Ok(&[later]) = input.bytes(1) {
        now += std::time::Duration::from_millis(u64::from(later) * 10);
        let (outcome, changed) = charge(&slot, &question, now);
        assert_eq!(outcome == Outcome::Charged(Charged::Taken), changed.is_some());
        if let Outcome::Charged(Charged::Wait(wait)) = outcome {
            let (later, _) = charge(&slot, &question, now + wait);
            assert_eq!(later, Outcome::Charged(Charged::Taken), "the wait is too short");
        }
        let Some(changed) = changed else { continue };
        assert!(changed.len() <= MAX_SLOT && changed.len() % 32 == 0, "{}", changed.len());
        slot = changed;
        taken += 1;
        let allowed = 3 + (now - start).as_millis() * 3 / 1000;
        assert!(taken <= allowed, "{taken} of {allowed}");
    }
}

/// The question that a handshake under the policy `chat` asks first.
fn question(flags: u8) -> Option<Charge> {
    // TLS, so that the handshake is judged at all.
    let head = head(handshake(), flags | ORDINARY);
    let Selection::Judge(mut session) = with_engine(|engine| engine.select(&head, &route(0))) else {
        return None;
    };
    session.handle(Input::Request(head), NOW);
    match session.poll_output()? {
        Output::Ask(charge) => Some(charge),
        _ => None,
    }
}
