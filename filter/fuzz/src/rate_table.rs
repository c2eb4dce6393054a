//! The buckets that workers share.
//!
//! Input: a byte that says how many of the bytes after it are a slot that somebody else wrote, and
//! then a byte per charge: how long after the last one it comes. A slot never outgrows its room,
//! and of one bucket no more is taken than its quota has. Where the first byte is [`NEIGHBOURS`],
//! each byte after it says which client of a crowded slot is charged, and by which clock: all that
//! a client has of its neighbours is that there may be no room.

use std::time::Duration;

use arbitrary::Unstructured;
use postern_engine::auth::single_use::{Spent, Ticket};
use postern_engine::rate::slots::{SLOTS, WAYS};
use postern_engine::rate::{BucketRequest, Charged, Outcome, Shared, charge};
use postern_engine::{Input, RequestHead, Selection};

use crate::fixture::{NOW, ORDINARY, handshake, head, route, with_engine};

/// The length of a bucket in its slot.
const ENTRY_LEN: usize = 24;

/// How the input begins where a slot has many clients.
const NEIGHBOURS: u8 = 0xff;

/// As many as are too many for a slot.
const CLIENTS: usize = 64;

thread_local! {
    static QUESTIONS: Vec<BucketRequest> = (0..CLIENTS).filter_map(|i| question_of(u8::try_from(i).ok()?)).collect();
}

/// Runs one input.
pub fn run(input: &[u8]) {
    if let Some((&NEIGHBOURS, charges)) = input.split_first() {
        return QUESTIONS.with(|questions| neighbours(questions, charges));
    }
    let mut input = Unstructured::new(input);
    let slot_len = usize::from(input.arbitrary::<u8>().unwrap_or(0)) * 8;
    let mut slot = input.bytes(slot_len.min(input.len())).unwrap_or_default().to_vec();
    let flags = input.arbitrary::<u8>().unwrap_or(ORDINARY);
    let Some(question) = question(flags) else { return };
    assert!(question.key.slot() < SLOTS);
    // What somebody else wrote may be this bucket's debt, but never its credit.
    let (start, mut now, mut taken) = (NOW, NOW, 0);
    while let Ok(&[later]) = input.bytes(1) {
        now += Duration::from_millis(u64::from(later) * 10);
        let (outcome, changed) = charge(&slot, &question, now);
        assert_eq!(outcome == Outcome::Charged(Charged::Taken), changed.is_some());
        if let Outcome::Charged(Charged::Wait(wait)) = outcome {
            let (later, _) = charge(&slot, &question, now + wait);
            assert_eq!(later, Outcome::Charged(Charged::Taken), "the wait is too short");
        }
        let Some(changed) = changed else { continue };
        assert!(changed.len() <= WAYS * ENTRY_LEN && changed.len() % ENTRY_LEN == 0, "{}", changed.len());
        slot = changed;
        taken += 1;
        let allowed = 3 + (now - start).as_millis() * 3 / 1000;
        assert!(taken <= allowed, "{taken} of {allowed}");
    }
}

/// Charges clients whose buckets share a slot, and beside it each in a slot of its own.
fn neighbours(questions: &[BucketRequest], charges: &[u8]) {
    let mut slot = Vec::new();
    let mut alone = vec![Vec::new(); questions.len()];
    let mut clock = NOW;
    for &charged in charges {
        // Another worker's clock may be read before this one's and asked behind it.
        let (passes, earlier) = [(0, 0), (300, 0), (0, 9_000), (11_000, 0)][usize::from(charged >> 6)];
        clock += Duration::from_millis(passes);
        let now = clock - Duration::from_millis(earlier);
        let client = usize::from(charged) % CLIENTS;
        let (Some(question), Some(own)) = (questions.get(client), alone.get_mut(client)) else { continue };
        let (outcome, changed) = charge(&slot, question, now);
        if outcome == Outcome::Full {
            assert_eq!((slot.len(), changed), (WAYS * ENTRY_LEN, None), "refused where there is room");
            continue;
        }
        let (expected, kept) = charge(own, question, now);
        assert_eq!(outcome, expected, "the neighbours make a difference to client {client}");
        if let (Some(changed), Some(kept)) = (changed, kept) {
            (slot, *own) = (changed, kept);
        }
        assert!(slot.len() <= WAYS * ENTRY_LEN, "{}", slot.len());
    }
}

/// The question that a handshake of one of many clients asks first.
fn question_of(client: u8) -> Option<BucketRequest> {
    let mut head = head(handshake(), ORDINARY);
    head.connection.client = Some([198, 51, 100, client].into());
    asked_first(head)
}

/// The question that a handshake under the policy `chat` asks first.
fn question(flags: u8) -> Option<BucketRequest> {
    // TLS, so that the handshake is judged at all.
    asked_first(head(handshake(), flags | ORDINARY))
}

fn asked_first(head: RequestHead) -> Option<BucketRequest> {
    let Selection::Judge(mut session) = with_engine(|engine| engine.select(&head, &route(0))) else {
        return None;
    };
    let mut asked = First(None);
    session.handle(Input::Request(head), &mut asked, NOW);
    asked.0
}

/// Tables that keep what they were asked first, and grant everything.
struct First(Option<BucketRequest>);

impl Shared for First {
    fn charge(&mut self, request: &BucketRequest, _now: Duration) -> Outcome {
        self.0.get_or_insert(*request);
        Outcome::Charged(Charged::Taken)
    }

    fn spend(&mut self, _ticket: &Ticket, _now: Duration) -> Spent {
        Spent::First
    }
}
