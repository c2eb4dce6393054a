//! Frames that are begun and take their time.

use serde_json::{Value, json};

use super::held_up_tests::{own_ping, silence};
use super::tests::{START, close, masked_close};
use super::time_tests::{answer, at, parked};
use super::*;
use crate::session::tests::Trial;
use crate::testing::{from_client, from_upstream};

const SECOND: Duration = Duration::from_secs(1);
const KIB: usize = 1024;

fn policy() -> Value {
    json!({
        "rates": [],
        "messages": {"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB"},
        "liveness": {"idle_timeout": "30s", "ping_interval": "10s", "pong_timeout": "5s"},
    })
}

/// Sends the first bytes at once, and all but the last of the rest one by one, `every` so often. Returns the
/// time from the start to the end of the connection, and its reason.
fn drip(trial: &mut Trial, at_once: usize, bytes: &[u8], every: Duration) -> (Duration, Option<Reason>) {
    let mut now = START;
    trial.bytes(Peer::Client, &bytes[..at_once], now);
    for byte in &bytes[at_once..] {
        let next = now + every;
        while now < next {
            now = next.min(now + SECOND / 4);
            let (sent, reason) = at(trial, now);
            if reason.is_some() {
                return (now - START, reason);
            }
            drop(sent);
        }
        trial.bytes(Peer::Client, &[*byte], now);
        trial.outputs.clear();
    }
    (now - START, None)
}

#[test]
fn a_frame_that_is_begun_has_to_be_whole_in_its_time_whatever_it_is() {
    let cases = [
        ("binary, which passes", from_client(0x82, &[7; 300]), 30),
        ("text, which is held", from_client(0x81, &[b'x'; 300]), 30),
        ("a fragment", from_client(0x02, &[7; 300]), 30),
        ("a header", from_client(0x82, &[7; 300])[..7].to_vec(), 30),
        ("a Pong", from_client(0x8a, &[7; 100]), 30),
        ("a Ping", from_client(0x89, &[7; 100]), 30),
        ("a Close", from_client(0x88, &[&[3, 232][..], &[b'x'; 80]].concat()), 30),
        ("64 KiB", from_client(0x82, &[7; 64 * KIB]), 34),
        ("64 KiB of text", from_client(0x81, &[b'x'; 64 * KIB]), 34),
        ("a MiB", from_client(0x82, &[7; 1024 * KIB]), 94),
    ];
    for (what, frame, seconds) in cases {
        for at_once in [0, 1, 2, 7, 60, frame.len() - 1].into_iter().filter(|len| *len < frame.len()) {
            for every in [SECOND, 9 * SECOND] {
                let (took, reason) = drip(&mut parked(policy()), at_once, &frame, every);
                if usize::try_from((seconds * SECOND).as_secs() / every.as_secs()).unwrap() + at_once
                    > frame.len()
                {
                    assert_eq!(reason, None, "{what}: it is whole in time");
                    continue;
                }
                // Nobody knows the length of a frame whose header does not come in time.
                let header_comes = at_once > 7 || every == SECOND;
                let seconds = if header_comes { seconds } else { 30 };
                // A frame whose first byte drips begins with that byte.
                let from = if at_once == 0 { every } else { Duration::ZERO };
                let late = (took - from).checked_sub(seconds * SECOND);
                assert!(late.is_some_and(|late| late <= SECOND / 4), "{what}: {took:?}");
                assert_eq!(reason, Some(Reason::IdleTimeout), "{what}");
            }
        }
    }
}

#[test]
fn the_time_of_a_frame_begins_with_its_first_byte_wherever_chunks_are_split() {
    let frame = from_client(0x82, &[7; 2000]);
    let before = [frame.clone(), from_client(0x81, b"text"), from_client(0x89, b"")].concat();
    let bytes = [before.clone(), frame.clone()].concat();
    for cut in before.len() + 1..bytes.len() {
        let mut trial = parked(policy());
        // The end of another frame in the same chunk does not count.
        trial.bytes(Peer::Client, &bytes[..before.len() - 3], START);
        assert_eq!(at(&mut trial, START + 9 * SECOND).1, None);
        trial.bytes(Peer::Client, &bytes[before.len() - 3..cut], START + 9 * SECOND);
        let (first, rest) = bytes[cut..].split_at((bytes.len() - cut) / 2);
        let now = START + 28 * SECOND;
        trial.bytes(Peer::Client, first, now);
        trial.session.note_time(now);
        if rest.is_empty() {
            continue;
        }
        assert_eq!(at(&mut trial, START + 39 * SECOND).1, None, "cut at {cut}");
        let (_, reason) = at(&mut trial, START + 40 * SECOND);
        assert_eq!(reason, Some(Reason::IdleTimeout), "cut at {cut}");
    }
}

#[test]
fn a_slow_sender_whose_frames_are_whole_in_time_is_left_alone() {
    let mut trial = parked(policy());
    let bytes = from_client(0x82, &[7; 64 * KIB]).repeat(20);
    let mut now = START;
    let mut sent = Vec::new();
    // A frame takes 16 s at 4 KiB a second.
    for chunk in bytes.chunks(4 * KIB) {
        trial.bytes(Peer::Client, chunk, now);
        now += SECOND;
        let (more, reason) = at(&mut trial, now);
        assert_eq!(reason, None);
        sent.extend(more);
    }
    answer(&mut trial, &sent, now);
    assert_eq!(at(&mut trial, now).1, None);
}

#[test]
fn an_answer_that_is_due_waits_for_the_frame_and_no_longer() {
    let mut trial = parked(policy());
    let (sent, _) = at(&mut trial, START + 10 * SECOND);
    let frame = from_client(0x82, &[7; 1000]);
    trial.bytes(Peer::Client, &frame[..500], START + 11 * SECOND);
    assert_eq!(at(&mut trial, START + 40 * SECOND).1, None, "long after the answer was due");
    trial.bytes(Peer::Client, &frame[500..], START + 40 * SECOND);
    assert_eq!(at(&mut trial, START + 44 * SECOND).1, None);
    assert_eq!(at(&mut trial, START + 45 * SECOND).1, Some(Reason::PongTimeout));
    drop(sent);
}

#[test]
fn a_frame_that_the_service_holds_up_has_the_time_that_the_client_had_not() {
    let frame = from_client(0x82, &[7; 60_000]);
    let mut trial = parked(policy());
    let mut now = START;
    let mut ping = Vec::new();
    for _ in 0..3 {
        for _ in 0..20 {
            trial.bytes(Peer::Client, &frame[..30_000], now);
            let up = trial.bytes(Peer::Client, &frame[30_000..], now);
            ping = own_ping(&up).map_or(ping, |own| own);
        }
        trial.session.note_time(now);
        now += SECOND;
        trial.outputs.clear();
        if now < START + 3 * SECOND {
            trial.bytes(Peer::Upstream, &from_upstream(0x8a, &ping), now);
        }
    }
    trial.bytes(Peer::Client, &frame[..30_000], now);
    for _ in 0..200 {
        now += SECOND;
        assert_eq!(at(&mut trial, now).1, None, "{:?}", now - START);
    }
    trial.bytes(Peer::Upstream, &from_upstream(0x8a, &ping), now);
    let (took, _, reason) = silence(&mut trial, now, true);
    assert_eq!(reason, Some(Reason::IdleTimeout));
    assert!(took >= 30 * SECOND, "{took:?}");
}

#[test]
fn a_connection_that_ends_within_what_is_held_of_a_frame_ends_with_a_close_for_both() {
    let held = [
        ("a header", from_client(0x82, &[7; 300]), 8),
        ("a Close", from_client(0x88, &[&[3, 232][..], &[b'x'; 100]].concat()), 108),
        ("a text", from_client(0x81, &[b'x'; 200]), 208),
    ];
    let before = from_client(0x82, b"before");
    for (what, frame, upto) in held {
        for cut in 1..upto {
            for (with_others, by_service) in [(false, false), (true, false), (false, true), (true, true)] {
                let mut trial = parked(policy());
                let said =
                    if with_others { [&before[..], &frame[..cut]].concat() } else { frame[..cut].to_vec() };
                let up = trial.client(&said);
                assert_eq!(up, if with_others { &before[..] } else { b"" }, "{what} cut at {cut}");
                let (reason, sent) = match by_service {
                    // A frame that the service gets wrong ends the connection, too.
                    true => {
                        assert_eq!(trial.upstream(b"\x83\x00"), close(Reason::ProtocolError));
                        let sent = trial.outputs.drain(..).filter_map(|output| match output {
                            Output::Send(receiver, frame) => Some((receiver, frame)),
                            _ => None,
                        });
                        (Reason::ProtocolError, sent.collect())
                    }
                    false => (Reason::IdleTimeout, at(&mut trial, START + 31 * SECOND).0),
                };
                let told = (Peer::Upstream, masked_close(reason));
                assert!(sent.contains(&told), "{what} cut at {cut}: {sent:?}");
                assert_eq!(trial.client(&frame[cut..]), b"", "nothing follows a Close");
            }
        }
    }
}
