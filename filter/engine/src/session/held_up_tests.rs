//! Excuses for a client's silence: bytes that move, and bytes that the service holds up.

use serde_json::{Value, json};

use super::tests::START;
use super::time_tests::{answer, at, parked};
use super::*;
use crate::session::tests::Trial;
use crate::testing::{from_client, from_upstream};

const SECOND: Duration = Duration::from_secs(1);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A policy under which a silent client is asked after ten seconds, gone after fifteen, and idle after
/// thirty.
fn policy() -> Value {
    json!({
        "rates": [],
        "messages": {"max_frame_bytes": "16MiB", "max_message_bytes": "16MiB"},
        "liveness": {"idle_timeout": "30s", "ping_interval": "10s", "pong_timeout": "5s"},
    })
}

/// Returns the payload of an own Ping to the upstream at the end of `bytes`.
pub(super) fn own_ping(bytes: &[u8]) -> Option<Vec<u8>> {
    let frame = &bytes[bytes.len().checked_sub(22)?..];
    let payload: Vec<_> = frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(a, b)| a ^ b).collect();
    (frame[0] == 0x89 && payload.starts_with(b"postern:")).then_some(payload)
}

/// Returns the length of a message of `size` bytes on the wire.
fn whole(size: usize) -> usize {
    from_client(0x82, &vec![7; size]).len()
}

/// Sends so many bytes of the client's in messages, after which its host reads it no more. Returns the Pings
/// that the service got.
fn flood(trial: &mut Trial, bytes: usize, size: usize, piece: usize, now: Duration) -> Vec<Vec<u8>> {
    let message = from_client(0x82, &vec![7; size]);
    let all = message.repeat(bytes / size + 1);
    let mut asked = Vec::new();
    for chunk in all[..bytes].chunks(piece) {
        let up = trial.bytes(Peer::Client, chunk, now);
        asked.extend(own_ping(&up));
        trial.outputs.clear();
    }
    asked
}

/// Returns the time until the connection is over if nothing comes of the client from `now` on, and the Pings
/// that the upstream got meanwhile. The service answers them as long as it `reads`.
pub(super) fn silence(
    trial: &mut Trial,
    mut now: Duration,
    reads: bool,
) -> (Duration, Vec<Vec<u8>>, Option<Reason>) {
    let (start, mut asked) = (now, Vec::new());
    while now < start + 3600 * SECOND {
        let (sent, reason) = at(trial, now);
        for (receiver, frame) in sent {
            if let Some(payload) = own_ping(&frame).filter(|_| receiver == Peer::Upstream) {
                if reads {
                    trial.bytes(Peer::Upstream, &from_upstream(0x8a, &payload), now);
                }
                asked.push(payload);
            }
        }
        if reason.is_some() {
            return (now - start, asked, reason);
        }
        now += SECOND / 4;
    }
    (now - start, asked, None)
}

#[test]
fn a_client_whose_bytes_the_service_does_not_read_is_not_silent() {
    for (size, piece) in [(1000, 16 * KIB), (1000, 1001), (60 * KIB, 16 * KIB), (MIB, 16 * KIB)] {
        let mut trial = parked(policy());
        // The service answers once, and so is known to.
        for ping in flood(&mut trial, 4 * whole(size), size, piece, START) {
            trial.bytes(Peer::Upstream, &from_upstream(0x8a, &ping), START);
        }
        trial.session.note_time(START + SECOND);
        flood(&mut trial, 2 * MIB, size, piece, START + 2 * SECOND);
        let (took, _, reason) = silence(&mut trial, START + 2 * SECOND, false);
        assert!(took >= 100 * SECOND, "messages of {size} in pieces of {piece}: {took:?} {reason:?}");
        assert!(took <= 311 * SECOND, "nor does it live for ever: {took:?}");
        assert!(reason.is_some());
    }
}

#[test]
fn a_service_that_never_answers_is_taken_to_read_so_that_a_dead_client_is_found() {
    for (messages, longest) in [(60, 15), (520, 32), (60_000, 300)] {
        let bytes = messages * whole(1000);
        let mut trial = parked(policy());
        flood(&mut trial, bytes, 1000, 16 * KIB, START);
        let (took, _, reason) = silence(&mut trial, START, false);
        assert!(took <= longest * SECOND + SECOND, "{bytes}: {took:?} {reason:?}");
        assert!(took + SECOND > longest * SECOND, "{bytes}: {took:?} {reason:?}");
    }
    // A client that says little at a time is found silent as soon as before, however much that comes to.
    let mut trial = parked(policy());
    let mut now = START;
    for _ in 0..2000 {
        flood(&mut trial, 8 * whole(1000), 1000, 16 * KIB, now);
        now += SECOND;
        trial.session.note_time(now);
        assert_eq!(at(&mut trial, now).1, None);
    }
    let (took, _, reason) = silence(&mut trial, now, false);
    assert!(took <= 16 * SECOND, "{took:?} {reason:?}");
}

#[test]
fn a_dead_client_is_found_as_soon_as_ever_where_the_service_reads() {
    for size in [1000, 60 * KIB] {
        let mut trial = parked(policy());
        for ping in flood(&mut trial, 1024 * whole(size), size, 16 * KIB, START) {
            trial.bytes(Peer::Upstream, &from_upstream(0x8a, &ping), START);
        }
        let (took, _, reason) = silence(&mut trial, START, true);
        assert_eq!(reason, Some(Reason::PongTimeout), "{size}");
        assert!(took <= 16 * SECOND, "{size}: {took:?}");
    }
}

#[test]
fn a_client_that_was_held_up_has_its_whole_time_once_the_service_reads_on() {
    let mut trial = parked(policy());
    let mut asked: Vec<Vec<u8>> = Vec::new();
    for second in 0..3 {
        let now = START + second * SECOND;
        for ping in asked.drain(..) {
            trial.bytes(Peer::Upstream, &from_upstream(0x8a, &ping), now);
        }
        asked = flood(&mut trial, 1000 * whole(1000), 1000, 16 * whole(1000), now);
        asked.extend(at(&mut trial, now).0.iter().filter_map(|(_, frame)| own_ping(frame)));
    }
    let mut now = START + 2 * SECOND;
    let ping = asked.first().expect("it is asked what it has read").clone();
    let mut clients = Vec::new();
    while now < START + 200 * SECOND {
        let (sent, reason) = at(&mut trial, now);
        assert_eq!(reason, None, "after {:?}", now - START);
        clients.extend(sent.into_iter().filter(|(to, _)| *to == Peer::Client));
        now += SECOND / 4;
    }
    assert_eq!(clients.len(), 1, "it is asked once");
    trial.bytes(Peer::Upstream, &from_upstream(0x8a, &ping), now);
    // The answer of the service comes behind what waited.
    now += 4 * SECOND;
    assert_eq!(at(&mut trial, now).1, None);
    flood(&mut trial, 1008, 1000, 1008, now);
    now += 4 * SECOND;
    assert_eq!(at(&mut trial, now).1, None);
    answer(&mut trial, &clients, now);
    assert_eq!(at(&mut trial, now + 9 * SECOND).1, None);
}

#[test]
fn an_answer_is_waited_for_while_bytes_move() {
    let mut trial = parked(policy());
    let (sent, _) = at(&mut trial, START + 10 * SECOND);
    let mut now = START + 10 * SECOND;
    for _ in 0..20 {
        flood(&mut trial, 1008, 1000, 1008, now);
        now += 3 * SECOND;
        trial.session.note_time(now);
        assert_eq!(at(&mut trial, now).1, None);
    }
    answer(&mut trial, &sent, now);
}

#[test]
fn a_client_that_only_listens_is_not_idle_while_a_long_frame_is_under_way_to_it() {
    let mut trial = parked(policy());
    let long = from_upstream(0x82, &vec![7; 900 * KIB]);
    let mut now = START;
    let mut asked = Vec::new();
    for piece in long.chunks(10 * KIB) {
        asked = trial.bytes(Peer::Upstream, piece, now);
        now += SECOND;
        let (sent, reason) = at(&mut trial, now);
        assert_eq!(reason, None, "after {:?}", now - START);
        answer(&mut trial, &sent, now);
    }
    // The client could not be asked before the frame was whole, and is now.
    for _ in 0..8 {
        asked.extend(trial.bytes(Peer::Upstream, &from_upstream(0x82, b"news"), now));
        now += SECOND / 2;
        let (sent, reason) = at(&mut trial, now);
        assert_eq!(reason, None);
        asked.extend(sent.into_iter().flat_map(|(_, frame)| frame));
    }
    assert!(asked.windows(8).any(|bytes| bytes == b"postern:"));
    // A service that stops in the middle of a frame is not waited for.
    let mut trial = parked(policy());
    trial.bytes(Peer::Upstream, &long[..100 * KIB], START);
    let (took, _, reason) = silence(&mut trial, START, true);
    assert_eq!((took, reason), (30 * SECOND, Some(Reason::IdleTimeout)));
}
