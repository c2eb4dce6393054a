//! Judging whole frames allocates nothing: not per frame, not per chunk.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::time::Duration;

use postern_engine::auth::single_use::{Spent, Ticket};
use postern_engine::rate::{BucketRequest, Charged, Outcome, Shared};
use postern_engine::{Input, Output, Peer, Session};
use serde_json::{Value, json};

use counting::{ALLOCATIONS, HELD};
use support::{MASK, START, Tables, admitted, agreement, engine, frame};

/// Tables whose every bucket has what is asked of it.
struct Plenty;

impl Shared for Plenty {
    fn charge(&mut self, _request: &BucketRequest, _now: Duration) -> Outcome {
        Outcome::Charged(Charged::Taken)
    }

    fn spend(&mut self, ticket: &Ticket, _now: Duration) -> Spent {
        panic!("not to be spent: {ticket:?}")
    }
}

fn open(policy: Value) -> Session {
    let mut policy = policy;
    policy["origins"] = json!({"allow": ["https://app.example.com"]});
    policy["auth"] = json!("none");
    let mut session = admitted(&engine(&policy), [198, 51, 100, 7].into(), &[]);
    session.handle(Input::Response(agreement(&[])), &mut Tables, START);
    while session.poll_output().is_some() {}
    session
}

/// How often judging `chunk` allocates; all of it is to pass.
fn allocations(session: &mut Session, peer: Peer, chunk: &[u8]) -> u64 {
    let before = ALLOCATIONS.get();
    if session.pass_plain(peer, &mut &chunk[..]).unwrap() {
        return ALLOCATIONS.get() - before;
    }
    let passage = session.judge(peer, &mut &chunk[..], &mut Plenty, START).unwrap();
    let whole = passage.is_whole(chunk.len()) && session.poll_output().is_none();
    let after = ALLOCATIONS.get();
    assert!(whole, "it does not pass: {passage:?}");
    after - before
}

#[test]
fn whole_frames_are_judged_without_allocating() {
    let rate = |count: &str, per: &str| json!({"count": count, "per": per, "limit": 1 << 30, "window": "1s"});
    let own = ["messages", "bytes", "control_frames"].map(|count| rate(count, "connection"));
    let shared = ["messages", "bytes", "control_frames"].map(|count| rate(count, "ip"));
    // A Ping of Postern's own behind them takes room.
    let policy = |rates: Value| json!({"rates": rates, "upstream_messages": {"utf8": true}, "liveness": {"ping_interval": "none"}});
    let policies = [
        ("no rates", policy(json!([]))),
        ("rates of its own", policy(json!(own))),
        ("shared rates", policy(json!(shared))),
    ];
    let ascii = "plain ASCII, and more of it than a block has room for. ".repeat(50);
    let greek = "κόσμε 𝄞 ".repeat(200);
    let frames: [(&str, &[(u8, &[u8])]); 6] = [
        ("binary", &[(0x82, &[0xff; 4_000])]),
        ("an empty message", &[(0x82, b"")]),
        ("ASCII", &[(0x81, ascii.as_bytes())]),
        ("other text", &[(0x81, greek.as_bytes())]),
        (
            "fragments cut within a character",
            &[(0x01, &greek.as_bytes()[..501]), (0x80, &greek.as_bytes()[501..])],
        ),
        ("control frames in a message", &[(0x02, b"a"), (0x89, b"ping"), (0x8a, b""), (0x80, b"b")]),
    ];
    for (rates, policy) in &policies {
        for (what, frames) in frames {
            for peer in [Peer::Client, Peer::Upstream] {
                let mask = (peer == Peer::Client).then_some(MASK);
                let frames: Vec<_> =
                    frames.iter().map(|(first, payload)| frame(*first, payload, mask)).collect();
                let mut session = open(policy.clone());
                // The first takes the room to count in.
                for chunk in &frames {
                    allocations(&mut session, peer, chunk);
                }
                for chunk in frames.iter().cycle().take(64 * frames.len()) {
                    let allocations = allocations(&mut session, peer, chunk);
                    assert_eq!(allocations, 0, "{what} from {peer:?}, one by one, {rates}");
                }
                let batch = frames.concat().repeat(8);
                let allocations = allocations(&mut session, peer, &batch);
                assert_eq!(allocations, 0, "{what} from {peer:?}, many in a chunk, {rates}");
            }
        }
    }
}

#[test]
fn a_payload_that_nobody_reads_costs_no_allocation_in_any_pieces() {
    let mut session = open(json!({"rates": []}));
    let binary = frame(0x82, &[7; 5_000], Some(MASK));
    // The first message takes the room to count in.
    allocations(&mut session, Peer::Client, &frame(0x82, b"first", Some(MASK)));
    // From where its header is whole; what is held of one goes on from a copy.
    let (header, payload) = binary.split_at(8);
    assert_eq!(allocations(&mut session, Peer::Client, header), 0);
    let (within, end) = payload.split_at(payload.len() - 100);
    for piece in within.chunks(100) {
        let before = ALLOCATIONS.get();
        let unread = session.pass_unread(Peer::Client, piece.len());
        assert_eq!(ALLOCATIONS.get(), before);
        assert!(unread);
    }
    // Behind the last something of Postern's own may follow.
    assert!(!session.pass_unread(Peer::Client, end.len()));
    assert_eq!(allocations(&mut session, Peer::Client, end), 0);
}

#[test]
fn a_session_at_rest_holds_little() {
    // Pointers and lengths are twice as wide here as in the module.
    const MOST: i64 = 1220;
    let policy = json!({
        "rates": [], "origins": {"allow": ["https://app.example.com"]}, "auth": "none",
    });
    let engine = engine(&policy);
    let before = HELD.get();
    let sessions: Vec<_> = (0..100)
        .map(|_| {
            let mut session = admitted(&engine, [198, 51, 100, 7].into(), &[]);
            session.handle(Input::Response(agreement(&[])), &mut Tables, START);
            // The start of the response, and then the first beat: a Ping, and its answer.
            while session.poll_output().is_some() {}
            let _ = session.judge(Peer::Upstream, &mut &[][..], &mut Tables, START).unwrap();
            session.handle(Input::Timer, &mut Tables, session.deadline().unwrap());
            let Some(Output::Send(Peer::Client, ping)) = session.poll_output() else { panic!("no Ping") };
            let pong = frame(0x8a, &ping[2..], Some(MASK));
            let _ = session
                .judge(Peer::Client, &mut &pong[..], &mut Tables, session.deadline().unwrap())
                .unwrap();
            while session.poll_output().is_some() {}
            session
        })
        .collect();
    let each = (HELD.get() - before) / 100;
    println!("{each} bytes a session");
    assert!(each > 100 && each < MOST, "{each} bytes");
    drop(sessions);
}

#[test]
fn the_count_counts_what_is_withheld_beyond_its_chunk() {
    let mut session = open(json!({"rates": []}));
    let text = frame(0x81, b"in two pieces", Some(MASK));
    let before = ALLOCATIONS.get();
    let _ = session.judge(Peer::Client, &mut &text[..10], &mut Tables, START).unwrap();
    assert!(ALLOCATIONS.get() > before);
}
