//! What counts as unread by a client: all that has gone to it and all that is on its way, and nothing else.

use serde_json::{Value, json};

use super::compression_tests;
use super::tests::{START, Trial, close};
use super::*;
use crate::testing::from_upstream;

const TEXT: u8 = 0x81;
const OPEN_TEXT: u8 = 0x01;
const BINARY: u8 = 0x82;
const OPEN_BINARY: u8 = 0x02;
const MORE: u8 = 0x00;
const END: u8 = 0x80;
const COMPRESSED: u8 = 0x40;

/// The bytes that may be unread. Frames are so long that Postern's own Pings make no difference.
const LIMIT: usize = 1000;

/// A policy with this limit and `changes`.
fn limited(on_exceed: &str, changes: Value) -> Value {
    let mut policy =
        json!({"rates": [], "backpressure": {"max_backlog_bytes": LIMIT, "on_exceed": on_exceed}});
    policy.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    policy
}

fn content(on_violation: &str) -> Value {
    json!({"upstream_messages": {"max_json_depth": 1, "on_violation": on_violation}})
}

/// A text without a fault, of `len` bytes.
fn sound(len: usize) -> Vec<u8> {
    format!("\"{}\"", "x".repeat(len - 2)).into_bytes()
}

/// A message in fragments of these lengths, of which the first frame begins with `first`.
fn fragments(first: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let parts: Vec<&[u8]> = payload.chunks(size).collect();
    let last = parts.len() - 1;
    let start = |at: usize| (if at == 0 { first } else { MORE }) | if at == last { END } else { 0 };
    parts.iter().enumerate().map(|(at, part)| from_upstream(start(at), part)).collect()
}

/// Every way to cut `frames` that may make a difference.
fn cuts(frames: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let bytes = frames.concat();
    let pieces = |size: usize| bytes.chunks(size).map(<[u8]>::to_vec).collect();
    let mut cuts: Vec<Vec<Vec<u8>>> = [1, 3, 100, 299, bytes.len()].map(pieces).to_vec();
    cuts.push(frames.to_vec());
    // Most of the first frame comes with all that follows it.
    cuts.push(vec![bytes[..20].to_vec(), bytes[20..].to_vec()]);
    cuts
}

/// Has the service send `chunks`, and returns what goes to the client, without Pings, and why that ended.
fn send(trial: &mut Trial, chunks: &[Vec<u8>]) -> (Vec<u8>, Option<Reason>) {
    let mut passed: Vec<u8> =
        chunks.iter().flat_map(|chunk| trial.bytes(Peer::Upstream, chunk, START)).collect();
    while let Some(at) = passed.windows(10).position(|bytes| bytes == b"\x89\x10postern:") {
        passed.drain(at..at + 18);
    }
    let reason = trial.outputs.iter().find_map(|output| match output {
        Output::Tell(Event::Closed { violation, .. }) => Some(violation.reason),
        _ => None,
    });
    (passed, reason)
}

/// A connection under these changes, with compressed messages where they are inspected.
fn open(changes: &Value) -> Trial {
    match changes.get("compression") {
        Some(_) => compression_tests::open(changes.clone(), b"permessage-deflate"),
        None => Trial::open(changes.clone()),
    }
}

/// The payload of a compressed message that is longer than what it inflates to: one block that is stored (RFC 1951 §3.2.4).
fn stored(plain: &[u8]) -> Vec<u8> {
    let len = u16::try_from(plain.len()).unwrap();
    [&[0][..], &len.to_le_bytes(), &(!len).to_le_bytes(), plain, &[0]].concat()
}

#[test]
fn what_is_withheld_of_a_message_counts_while_it_comes() {
    let inspect = json!({"compression": "inspect"});
    for (changes, is_compressed) in [(content("close"), false), (inspect, true)] {
        for (len, ends) in [(900, false), (1100, true), (3000, true)] {
            let message = match is_compressed {
                false => fragments(OPEN_TEXT, &sound(len), 250),
                true => fragments(OPEN_TEXT | COMPRESSED, &stored(&sound(len)), 250),
            };
            for cut in cuts(&message) {
                let (passed, reason) = send(&mut open(&limited("close", changes.clone())), &cut);
                let what = format!("{len} bytes in {} chunks, {changes}", cut.len());
                assert_eq!(reason, ends.then_some(Reason::BacklogExceeded), "{what}");
                let expected = if ends { close(Reason::BacklogExceeded) } else { message.concat() };
                assert!(passed == expected, "{what}");
            }
        }
    }
}

#[test]
fn what_goes_no_further_takes_no_room() {
    let deep = from_upstream(TEXT, format!("[{:300}[]]", "").as_bytes());
    let deep_in_fragments = fragments(OPEN_TEXT, format!("[{:900}[]]", "").as_bytes(), 400);
    let too_much = fragments(OPEN_BINARY, &[7; 2 * LIMIT], LIMIT + 1);
    for (what, goes_no_further) in [
        ("one that there is no room for", too_much),
        ("messages that are dropped for what they say", vec![deep; 9]),
        ("one in fragments", deep_in_fragments),
    ] {
        let sound = [from_upstream(BINARY, &[7; 400]), from_upstream(TEXT, &sound(400))];
        let frames = [&goes_no_further[..], &sound].concat();
        for cut in cuts(&frames) {
            let mut trial = Trial::open(limited("drop", content("drop")));
            let (passed, reason) = send(&mut trial, &cut);
            assert_eq!(reason, None, "{what}, in {} chunks", cut.len());
            assert!(passed == sound.concat(), "{what}, in {} chunks: {}", cut.len(), passed.len());
        }
    }
}

#[test]
fn what_waits_for_the_clients_token_counts() {
    let auth = json!({"auth": {"providers": ["edge"], "from": [{"first_message": "/token"}]}});
    for (messages, ends) in [(2, None), (3, Some(Reason::BacklogExceeded))] {
        for cut in cuts(&vec![from_upstream(BINARY, &[7; 400]); messages]) {
            let mut trial = Trial::open(limited("close", auth.clone()));
            let (_, reason) = send(&mut trial, &cut);
            assert_eq!(reason, ends, "{messages} messages, in {} chunks", cut.len());
        }
    }
}
