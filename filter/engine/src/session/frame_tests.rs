//! Payloads that must prove something, and the amounts that a client may send.

use serde_json::json;

use super::tests::{START, Trial, close, masked_close};
use super::*;
use crate::connection::Passage;
use crate::rate::Outcome;
use crate::testing::{Tables, from_client, from_upstream};
use crate::websocket::{Chunk, Unreadable};

const TEXT: u8 = 0x81;
const OPEN_TEXT: u8 = 0x01;
const MORE: u8 = 0x00;
const END: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Sends `bytes` in pieces of every size, and compares what goes on with `expected`.
fn assert_passes(changes: &serde_json::Value, peer: Peer, bytes: &[u8], expected: &[u8], what: &str) {
    for size in 1..=bytes.len() {
        let mut trial = Trial::open(changes.clone());
        let passed: Vec<u8> = bytes.chunks(size).flat_map(|chunk| trial.bytes(peer, chunk, START)).collect();
        assert_eq!(passed, expected, "{what}, pieces of {size}");
    }
}

#[test]
fn a_text_that_is_utf8_passes_whatever_its_fragments_and_its_pieces_are() {
    let text = "κόσμε 𝄞".as_bytes();
    for cut in 0..=text.len() {
        let bytes = [
            from_client(OPEN_TEXT, &text[..cut]),
            from_client(PING, b"\xff not text"),
            from_client(MORE, b""),
            from_client(END, &text[cut..]),
            from_client(0x82, b"\xff binary"),
            from_client(TEXT, b"plain"),
        ]
        .concat();
        let changes = json!({"messages": {"tunnels": "pass"}});
        assert_passes(&changes, Peer::Client, &bytes, &bytes, "a text");
    }
}

#[test]
fn a_frame_of_text_that_is_not_utf8_does_not_pass_and_the_frames_before_it_do() {
    let cases: [(&str, Vec<u8>, Vec<u8>); 5] = [
        ("at once", vec![], from_client(TEXT, b"abc\xff")),
        ("at its end", vec![], from_client(TEXT, b"abc\xce")),
        ("in a later fragment", from_client(OPEN_TEXT, b"abc\xce"), from_client(END, b"\x20")),
        ("in an empty last fragment", from_client(OPEN_TEXT, b"abc\xce"), from_client(END, b"")),
        ("behind a Ping", from_client(PING, b"ping"), from_client(TEXT, b"\xed\xa0\x80")),
    ];
    for (what, good, bad) in cases {
        let bytes = [good.clone(), bad, from_client(TEXT, b"late")].concat();
        let expected = [good, masked_close(Reason::InvalidUtf8)].concat();
        assert_passes(&json!({}), Peer::Client, &bytes, &expected, what);
    }
}

#[test]
fn a_text_is_refused_before_its_frame_is_complete() {
    let mut trial = Trial::open(json!({}));
    let bad = from_client(TEXT, b"abc\xff and much more to come");
    assert_eq!(trial.client(&bad[..9]), b"", "withheld");
    assert_eq!(trial.client(&bad[9..10]), masked_close(Reason::InvalidUtf8));
}

#[test]
fn text_is_proved_only_where_the_policy_says_so() {
    let bad = from_client(TEXT, b"\xff");
    assert_passes(&json!({"messages": {"utf8": false}}), Peer::Client, &bad, &bad, "from the client");
    let bad = from_upstream(TEXT, b"\xff");
    assert_passes(&json!({}), Peer::Upstream, &bad, &bad, "from the upstream");
    let refused = close(Reason::InvalidUtf8);
    assert_passes(&json!({"upstream_messages": {"utf8": true}}), Peer::Upstream, &bad, &refused, "proved");
}

#[test]
fn a_text_frame_is_withheld_until_its_end_so_that_a_close_may_follow_at_any_time() {
    let mut trial = Trial::open(json!({}));
    let text = from_client(TEXT, b"a text that does not end");
    assert_eq!(trial.client(&text[..20]), b"");
    trial.upstream(&from_client(TEXT, b"masked"));
    assert_eq!(trial.client(&text[20..]), masked_close(Reason::ProtocolError));
}

#[test]
fn a_close_passes_with_a_body_that_a_close_may_have() {
    for body in [&b""[..], b"\x03\xe8", b"\x03\xe8bye", b"\x13\x87\xce\xba"] {
        for (peer, own) in
            [(Peer::Client, from_client(CLOSE, body)), (Peer::Upstream, from_upstream(CLOSE, body))]
        {
            let bytes = [&own[..], b"nothing follows a Close"].concat();
            assert_passes(&json!({}), peer, &bytes, &own, "a Close");
        }
    }
}

#[test]
fn a_close_with_another_body_becomes_one_of_posterns() {
    let cases: [(&[u8], Reason); 4] = [
        (b"\x03\xed", Reason::ProtocolError),
        (b"\x00\x00bye", Reason::ProtocolError),
        (b"\x03\xe8\xff", Reason::InvalidUtf8),
        (b"\x03\xe8\xce", Reason::InvalidUtf8),
    ];
    for (body, reason) in cases {
        let own = from_client(CLOSE, body);
        assert_passes(&json!({}), Peer::Client, &own, &masked_close(reason), "from the client");
        let own = from_upstream(CLOSE, body);
        assert_passes(&json!({}), Peer::Upstream, &own, &close(reason), "from the upstream");
    }
}

#[test]
fn a_withheld_message_counts_when_it_passes_or_is_refused() {
    let mut trial = Trial::open(json!({}));
    let text = from_client(TEXT, b"text");
    trial.client(&text[..8]);
    assert!(trial.session.take_tally().is_empty());
    trial.client(&text[8..]);
    let tally = trial.session.take_tally().client;
    assert_eq!((tally.allowed, tally.refused, tally.bytes), (1, 0, 4));
    trial.client(&from_client(TEXT, b"\xff"));
    let tally = trial.session.take_tally().client;
    assert_eq!((tally.allowed, tally.refused, tally.bytes), (0, 1, 0));
}

fn rate(rule: serde_json::Value) -> serde_json::Value {
    json!({"rates": [rule]})
}

#[test]
fn bytes_over_their_rate_close_before_their_frame_passes() {
    let changes = rate(json!({"count": "bytes", "per": "connection", "limit": 10, "window": "10s"}));
    let good = [from_client(0x82, b"12345"), from_client(PING, b"1234567890")].concat();
    let bad = from_client(0x82, b"123456");
    let expected = [good.clone(), masked_close(Reason::ByteRate)].concat();
    assert_passes(&changes, Peer::Client, &[good, bad].concat(), &expected, "eleven bytes");
}

#[test]
fn control_frames_over_their_rate_close_and_a_close_does_not_count() {
    let changes = rate(json!({"count": "control_frames", "per": "connection", "limit": 2, "window": "10s"}));
    let good = [from_client(PING, b"1"), from_client(PONG, b"")].concat();
    let one_more = [&good[..], &from_client(PONG, b"")].concat();
    let expected = [&good[..], &masked_close(Reason::ControlRate)].concat();
    assert_passes(&changes, Peer::Client, &one_more, &expected, "a third");
    let bye = [&good[..], &from_client(CLOSE, b"")].concat();
    assert_passes(&changes, Peer::Client, &bye, &bye, "a Close");
    let pings = from_upstream(PING, b"").repeat(5);
    assert_passes(&changes, Peer::Upstream, &pings, &pings, "the upstream's");
}

#[test]
fn a_shared_rate_is_asked_for_each_message_and_its_answer_decides() {
    let rule = |count: &str, on_exceed: &str| {
        rate(json!({"count": count, "per": "ip", "limit": 2, "window": "10s", "on_exceed": on_exceed}))
    };
    let wait = Outcome::Charged(crate::rate::Charged::Wait(Duration::from_secs(1)));
    let sent = [from_client(PING, b""), from_client(0x82, b"message"), from_client(PING, b"")].concat();
    let pings = from_client(PING, b"").repeat(2);
    for (count, reason) in [("messages", Reason::MessageRate), ("bytes", Reason::ByteRate)] {
        assert_eq!(Trial::open(rule(count, "close")).client(&sent), sent, "{count}: taken");
        let mut trial = Trial { tables: Tables::all(wait), ..Trial::open(rule(count, "close")) };
        let refused = [from_client(PING, b""), masked_close(reason)].concat();
        assert_eq!(trial.client(&sent), refused, "{count}: closed");
        let mut trial = Trial { tables: Tables::all(Outcome::Full), ..Trial::open(rule(count, "close")) };
        assert_eq!(trial.client(&sent), refused, "{count}: no room");
        let mut trial = Trial { tables: Tables::all(wait), ..Trial::open(rule(count, "drop")) };
        assert_eq!(trial.client(&sent), pings, "{count}: discarded");
    }
}

/// A chunk that counts the looks at its bytes.
struct Watched<'a> {
    bytes: &'a [u8],
    looks: u32,
}

impl Chunk for Watched<'_> {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn at_hand(&mut self, range: std::ops::Range<usize>) -> Result<&[u8], Unreadable> {
        self.looks += 1;
        self.bytes.at_hand(range)
    }
}

#[test]
fn whole_messages_that_lie_together_are_gone_past_at_one_look_where_none_is_charged() {
    let rates = json!([{"count": "messages", "per": "connection", "limit": 1000, "window": "1s"}]);
    for (peer, make) in
        [(Peer::Client, from_client as fn(u8, &[u8]) -> Vec<u8>), (Peer::Upstream, from_upstream)]
    {
        let bytes = [make(0x82, b"binary"), make(TEXT, b"text")].concat().repeat(50);
        // Rates look at every header, and the proof at the payload of every text.
        for (rates, looks) in [(json!([]), 1), (rates.clone(), if peer == Peer::Client { 150 } else { 1 })] {
            let mut trial = Trial::open(json!({"rates": rates, "messages": {"tunnels": "pass"}}));
            let mut chunk = Watched { bytes: &bytes, looks: 0 };
            let judged = trial.session.judge(peer, &mut chunk, &mut Tables::default(), START).unwrap();
            assert_eq!(judged.keep, bytes.len());
            assert_eq!(chunk.looks, looks, "{peer:?}, {rates}");
            let tally = trial.session.take_tally();
            let sent = if peer == Peer::Client { tally.client } else { tally.upstream };
            assert_eq!((sent.allowed, sent.bytes), (100, 500), "{peer:?}, {rates}");
        }
    }
}

/// A chunk whose bytes lie in slices of this many, none of which is copied but for what is asked for as a whole.
struct Sliced<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl Chunk for Sliced<'_> {
    const LONGEST_WHOLE: usize = 16;

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn at_hand(&mut self, range: std::ops::Range<usize>) -> Result<&[u8], Unreadable> {
        let end = (range.start + 1).next_multiple_of(self.size).max(range.end).min(self.bytes.len());
        self.bytes.get(range.start..end).ok_or(Unreadable)
    }

    fn piece(&mut self, range: std::ops::Range<usize>) -> Result<&[u8], Unreadable> {
        let end = (range.start + 1).next_multiple_of(self.size).min(range.end);
        self.bytes.get(range.start..end).ok_or(Unreadable)
    }
}

#[test]
fn a_chunk_in_slices_is_judged_as_one_in_a_piece() {
    let long = "κόσμε 𝄞 and plain text. ".repeat(9);
    let broken = [long.as_bytes(), b"\xff", long.as_bytes()].concat();
    for (peer, make) in
        [(Peer::Client, from_client as fn(u8, &[u8]) -> Vec<u8>), (Peer::Upstream, from_upstream)]
    {
        for last in [long.as_bytes(), &broken] {
            let bytes = [make(TEXT, long.as_bytes()), make(TEXT, b"short"), make(TEXT, last)].concat();
            let judge = |chunk: &mut dyn FnMut(&mut Session) -> Passage| {
                let mut trial = Trial::open(json!({"messages": {"tunnels": "pass"}}));
                let passage = chunk(&mut trial.session);
                (passage, trial.session.take_tally(), trial.session.deadline())
            };
            let tables = || Tables::default();
            let whole = judge(&mut |session| {
                session.judge(peer, &mut &bytes[..], &mut tables(), START).expect("bytes to read")
            });
            for size in 1..=bytes.len() {
                let sliced = judge(&mut |session| {
                    let mut chunk = Sliced { bytes: &bytes, size };
                    session.judge(peer, &mut chunk, &mut tables(), START).expect("bytes to read")
                });
                assert_eq!(sliced, whole, "{peer:?}, slices of {size}");
            }
        }
    }
}
