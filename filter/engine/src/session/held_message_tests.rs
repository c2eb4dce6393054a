//! Messages that are kept back until they are whole, and take their time; and frames behind bytes that a
//! service does not read.

use serde_json::{Value, json};

use super::compression_tests::{Deflater, open};
use super::held_up_tests::own_ping;
use super::tests::{START, Trial, close, masked_close};
use super::time_tests::{at, parked};
use super::*;
use crate::testing::{from_client, from_upstream};

const SECOND: Duration = Duration::from_secs(1);
const KIB: usize = 1024;
const DEFLATE: &[u8] = b"permessage-deflate";

/// A policy under which a frame, or a message that is kept back, has thirty seconds.
fn policy() -> Value {
    let limits = json!({"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB", "max_fragments": 100_000});
    let upstream = json!({"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB", "utf8": true});
    json!({
        "rates": [], "compression": "inspect", "messages": limits, "upstream_messages": upstream,
        "liveness": {"idle_timeout": "30s", "ping_interval": "10s", "pong_timeout": "5s"},
    })
}

/// Opens a connection with compressed messages whose streams are both parked.
fn compressed() -> Trial {
    let mut trial = open(policy(), DEFLATE);
    assert!(trial.parks(Peer::Upstream, b""));
    trial
}

fn frame(peer: Peer, first: u8, payload: &[u8]) -> Vec<u8> {
    match peer {
        Peer::Client => from_client(first, payload),
        Peer::Upstream => from_upstream(first, payload),
    }
}

/// Returns a message of this type in fragments of `size` bytes.
fn fragments(peer: Peer, first: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(size);
    let of = |(i, part): (usize, &[u8])| {
        let opcode = if i == 0 { first & 0x7f } else { 0 };
        frame(peer, opcode | if i + 1 == count { 0x80 } else { 0 }, part)
    };
    payload.chunks(size).enumerate().map(of).collect()
}

/// Returns bytes that nobody can compress.
fn incompressible(len: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b'0' + u8::try_from(state >> 59).unwrap()
    };
    Deflater::new().message(&(0..len).map(|_| next()).collect::<Vec<_>>())
}

/// Answers the Pings in `sent` that go to one of `peers`.
fn answer(trial: &mut Trial, sent: Vec<(Peer, Vec<u8>)>, peers: &[Peer], now: Duration) {
    for (receiver, bytes) in sent.into_iter().filter(|(receiver, _)| peers.contains(receiver)) {
        let payload = match receiver {
            Peer::Client => {
                bytes.get(2..18).filter(|payload| payload.starts_with(b"postern:")).map(<[u8]>::to_vec)
            }
            Peer::Upstream => own_ping(&bytes),
        };
        if let Some(payload) = payload {
            say(trial, receiver, &frame(receiver, 0x8a, &payload), peers, now);
        }
    }
}

/// Sends `bytes` of a peer, answers the Pings that follow them, and returns the number of bytes that go on.
fn say(trial: &mut Trial, peer: Peer, bytes: &[u8], peers: &[Peer], now: Duration) -> usize {
    let mut went = trial.bytes(peer, bytes, now);
    trial.outputs.clear();
    let ping = match peer {
        Peer::Client => own_ping(&went).map(|_| went.len() - 22..went.len()),
        Peer::Upstream => went.windows(8).position(|bytes| bytes == b"postern:").map(|at| at - 2..at + 16),
    };
    if let Some(range) = ping {
        let ping = went.drain(range).collect();
        answer(trial, vec![(peer.other(), ping)], peers, now);
    }
    went.len()
}

/// The outcome of pieces that one of the peers sends so far apart while both answer their Pings: the time to
/// the end of the connection, its reason, the frames that told of it, and the number of bytes that passed.
struct Drip {
    took: Duration,
    reason: Option<Reason>,
    told: Vec<(Peer, Vec<u8>)>,
    passed: usize,
}

fn drip(trial: &mut Trial, peer: Peer, pieces: &[Vec<u8>], every: Duration) -> Drip {
    // Nobody can answer within a frame.
    let are_frames =
        pieces.iter().all(|piece| piece.len() > 1 && piece[0] & 0x30 == 0 && piece[0] & 0x0f <= 2);
    let peers = if are_frames { &[Peer::Client, Peer::Upstream][..] } else { &[peer.other()] };
    let (mut now, mut passed) = (START, 0);
    for piece in pieces {
        passed += say(trial, peer, piece, peers, now);
        let next = now + every;
        while now < next {
            now = next.min(now + SECOND / 4);
            let (sent, reason) = at(trial, now);
            if reason.is_some() {
                return Drip { took: now - START, reason, told: sent, passed };
            }
            answer(trial, sent, peers, now);
        }
    }
    Drip { took: now - START, reason: None, told: Vec::new(), passed }
}

fn assert_ends(ended: &Drip, after: Duration, what: &str) {
    assert_eq!(ended.reason, Some(Reason::IdleTimeout), "{what} after {:?}", ended.took);
    assert!(ended.took >= after && ended.took <= after + 2 * SECOND, "{what}: {:?}", ended.took);
}

#[test]
fn a_message_that_is_kept_back_has_to_be_whole_in_its_time_however_whole_its_fragments_are() {
    let payload = incompressible(4000);
    for peer in [Peer::Client, Peer::Upstream] {
        for first in [0xc1, 0xc2] {
            for every in [SECOND / 2, SECOND, 9 * SECOND] {
                let mut trial = compressed();
                let ended = drip(&mut trial, peer, &fragments(peer, first, &payload, 10), every);
                let what = format!("{first:x} of {peer:?} every {every:?}");
                assert_ends(&ended, 30 * SECOND, &what);
                assert_eq!(ended.passed, 0, "{what}");
                // A stream of which much is withheld is not parked, and told of the end with the next chunk
                // on it.
                let close = close(Reason::IdleTimeout);
                let told = ended.told.contains(&(Peer::Client, close.clone()));
                assert!(told || trial.bytes(peer, &from_upstream(0x8a, b""), START) == close, "{what}");
                if peer == Peer::Client && every > SECOND {
                    // Little is withheld, so that the client's service can be told, too.
                    assert!(
                        ended.told.contains(&(Peer::Upstream, masked_close(Reason::IdleTimeout))),
                        "{what}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_first_message_and_one_that_may_be_a_refresh_have_to_be_whole_too() {
    let auth = json!({
        "providers": ["edge"], "from": [{"first_message": "/token"}], "first_message_timeout": "1h",
        "max_unauthenticated_bytes": "64KiB",
    });
    let mut changes = policy();
    (changes["auth"], changes["compression"]) = (auth, json!("strip"));
    let text = format!("{{\"token\":\"{}\"}}", "x".repeat(3000));
    let ended =
        drip(&mut parked(changes), Peer::Client, &fragments(Peer::Client, 0x81, text.as_bytes(), 10), SECOND);
    assert_ends(&ended, 30 * SECOND, "a first message");
}

#[test]
fn what_is_kept_has_a_second_more_for_every_16_kib() {
    for (peer, size) in [(Peer::Client, 16 * KIB), (Peer::Upstream, 16 * KIB), (Peer::Client, 3 * KIB)] {
        let pieces = fragments(peer, 0xc1, &incompressible(400 * KIB), size);
        let len: usize = pieces.iter().map(Vec::len).sum();
        let ended = drip(&mut compressed(), peer, &pieces, SECOND);
        let what = format!("{} fragments of {peer:?}", pieces.len());
        match size {
            // Only the last fragment tells the whole length, at 16 KiB a second.
            16_384 => assert!(ended.reason.is_none() && ended.passed >= len, "{what}: {:?}", ended.took),
            // The message has 30 s, and a second for each 16 KiB that have come: 36 s at 3 KiB a second.
            _ => assert_ends(&ended, 36 * SECOND, &what),
        }
    }
}

#[test]
fn a_message_that_passes_frame_by_frame_takes_as_long_as_it_likes() {
    let binary = fragments(Peer::Client, 0x82, &[7; 500], 1);
    let text = fragments(Peer::Client, 0x81, "κόσμος".repeat(40).as_bytes(), 1);
    let down = fragments(Peer::Upstream, 0x81, "κόσμος".repeat(40).as_bytes(), 1);
    for (peer, pieces) in [(Peer::Client, binary), (Peer::Client, text), (Peer::Upstream, down)] {
        let len: usize = pieces.iter().map(Vec::len).sum();
        let ended = drip(&mut compressed(), peer, &pieces, 5 * SECOND);
        assert!(ended.reason.is_none() && ended.passed >= len, "{peer:?} {:?}", ended.took);
    }
}

#[test]
fn the_time_of_a_message_begins_with_its_first_byte_wherever_chunks_are_split() {
    for peer in [Peer::Client, Peer::Upstream] {
        let mut trial = compressed();
        let payload = Deflater::new().message(b"a text that is kept back until it is whole");
        let message = fragments(peer, 0xc1, &payload, payload.len() / 2 + 1).concat();
        // Each message takes twenty seconds; the start of the next comes with its end.
        let (start, rest) = message.split_at(3);
        let rest = [rest, start].concat();
        let (one, two) = rest.split_at(rest.len() / 2);
        let mut pieces = vec![start.to_vec()];
        pieces.extend([one, two].into_iter().cycle().take(40).map(<[u8]>::to_vec));
        let ended = drip(&mut trial, peer, &pieces, 10 * SECOND);
        assert_eq!(ended.reason, None, "{peer:?}: {:?}", ended.took);
    }
}

#[test]
fn a_text_of_the_services_that_is_kept_back_has_to_be_whole_in_its_time() {
    let text = from_upstream(0x81, "x".repeat(600).as_bytes());
    for every in [SECOND, 9 * SECOND] {
        // The service sends nothing but the payload.
        let mut trial = compressed();
        trial.bytes(Peer::Upstream, &text[..5], START);
        let pieces: Vec<_> = text[5..].chunks(1).map(<[u8]>::to_vec).collect();
        let ended = drip(&mut trial, Peer::Upstream, &pieces, every);
        assert_ends(&ended, 30 * SECOND, &format!("every {every:?}"));
    }
}

#[test]
fn a_message_of_the_services_that_its_slow_client_holds_up_is_waited_for() {
    let mut trial = compressed();
    let news = from_upstream(0x82, &[7; 1000]);
    let mut asked = Vec::new();
    // Four MiB lie before the client, and the host has stopped reading within a message.
    for _ in 0..4 * KIB {
        let down = trial.bytes(Peer::Upstream, &news, START);
        asked.extend(
            down.windows(8).position(|bytes| bytes == b"postern:").map(|at| down[at..at + 16].to_vec()),
        );
    }
    trial.outputs.clear();
    let payload = incompressible(4000);
    let pieces = fragments(Peer::Upstream, 0xc1, &payload, payload.len() / 2 + 1);
    trial.bytes(Peer::Upstream, &pieces[0], START);
    trial.outputs.clear();
    let mut now = START;
    let mut asked = asked.into_iter();
    // The client answers a Ping every ten seconds, and the others besides.
    for _ in 0..asked.len() {
        for _ in 0..40 {
            now += SECOND / 4;
            let (sent, reason) = at(&mut trial, now);
            assert_eq!(reason, None, "after {:?}", now - START);
            answer(&mut trial, sent, &[Peer::Upstream], now);
        }
        let payload = asked.next().unwrap();
        trial.bytes(Peer::Client, &from_client(0x8a, &payload), now);
        trial.outputs.clear();
    }
    assert!(now >= START + 40 * SECOND, "{:?}", now - START);
    // The service may go on then, and has the time that it had not.
    now += 4 * SECOND;
    assert_eq!(at(&mut trial, now).1, None);
    assert!(trial.bytes(Peer::Upstream, &pieces[1], now).len() > payload.len());
}

/// Opens a connection and has the client send a burst that its service does not read. The service has never
/// answered a Ping.
fn behind_a_burst(bytes: usize) -> Trial {
    let mut trial = compressed();
    let message = from_client(0x82, &[7; 1000]).repeat(16);
    for _ in 0..bytes / message.len() {
        trial.bytes(Peer::Client, &message, START);
    }
    trial.outputs.clear();
    trial.session.note_time(START);
    trial
}

/// Sends these pieces of the client's so far apart, and answers Pings to it; the service neither reads nor
/// answers.
fn drip_to_the_mute(trial: &mut Trial, pieces: &[Vec<u8>], every: Duration) -> (Duration, Option<Reason>) {
    let mut now = START;
    for piece in pieces {
        trial.bytes(Peer::Client, piece, now);
        trial.outputs.clear();
        let next = now + every;
        while now < next {
            now = next.min(now + SECOND / 4);
            let (sent, reason) = at(trial, now);
            if reason.is_some() {
                return (now - START, reason);
            }
            answer(trial, sent, if pieces[0].len() > 1 { &[Peer::Client] } else { &[] }, now);
        }
    }
    (now - START, None)
}

#[test]
fn what_drips_behind_a_burst_is_not_held_up_by_the_service() {
    let payload = incompressible(4000);
    let bytes = |frame: Vec<u8>| frame.chunks(1).map(<[u8]>::to_vec).collect::<Vec<_>>();
    for burst in [0, 128 * KIB, 8 * KIB * KIB] {
        for (what, pieces) in [
            ("binary", bytes(from_client(0x82, &[7; 900]))),
            ("text", bytes(from_client(0x81, &[b'x'; 900]))),
            ("a message in fragments", fragments(Peer::Client, 0xc1, &payload, 4)),
        ] {
            for every in [SECOND, 3 * SECOND, 9 * SECOND, 25 * SECOND] {
                let (took, reason) = drip_to_the_mute(&mut behind_a_burst(burst), &pieces, every);
                let what = format!("{what} behind {burst} bytes every {every:?}: {took:?}");
                assert_eq!(reason, Some(Reason::IdleTimeout), "{what}");
                assert!(took >= 30 * SECOND && took <= 32 * SECOND + every, "{what}");
            }
        }
    }
}

#[test]
fn what_a_service_does_hold_up_comes_in_lumps_and_is_waited_for() {
    // A host that may read on takes all that the client has said meanwhile, in whatever pieces.
    let frame = from_client(0x82, &[7; 500 * KIB]);
    for piece in [1400, 16 * KIB, 64 * KIB] {
        let mut trial = behind_a_burst(8 * KIB * KIB);
        let mut now = START;
        for lump in frame[..400 * KIB].chunks(64 * KIB) {
            for chunk in lump.chunks(piece) {
                trial.bytes(Peer::Client, chunk, now);
                trial.outputs.clear();
            }
            for _ in 0..40 * 4 {
                now += SECOND / 4;
                assert_eq!(at(&mut trial, now).1, None, "in pieces of {piece} after {:?}", now - START);
            }
        }
    }
    // The wait for such a service has an end as well.
    let mut trial = behind_a_burst(8 * KIB * KIB);
    let lumps: Vec<_> = from_client(0x82, &[7; 1000 * KIB]).chunks(16 * KIB).map(<[u8]>::to_vec).collect();
    let (took, reason) = drip_to_the_mute(&mut trial, &lumps[..60], 25 * SECOND);
    assert_eq!(reason, Some(Reason::IdleTimeout));
    assert!(took <= 420 * SECOND, "{took:?}");
}
