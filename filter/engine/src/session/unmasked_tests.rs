//! Clients that answer Postern's own Pings without a mask, as some do that are never asked otherwise.

use serde_json::json;

use super::tests::{START, Trial, masked_close};
use super::time_tests::{at, parked};
use super::*;
use crate::decision::cause::FrameFault;
use crate::testing::{from_client, from_upstream};

const SECOND: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(10);

fn quiet() -> Trial {
    parked(json!({"liveness": {"idle_timeout": "30s", "ping_interval": "10s", "pong_timeout": "5s"}}))
}

/// Returns the payload of the Ping that goes to the client at `now`.
fn asked(trial: &mut Trial, now: Duration) -> Vec<u8> {
    let (sent, reason) = at(trial, now);
    assert_eq!((sent.len(), reason), (1, None), "{sent:?}");
    sent[0].1[2..].to_vec()
}

/// Returns the reason why the connection ended, and the cause in the log.
fn end(trial: &Trial) -> Option<(Reason, String)> {
    trial.outputs.iter().find_map(|output| match output {
        Output::Tell(Event::Closed { violation, .. }) => {
            let cause = violation.cause.as_ref();
            Some((violation.reason, cause.map(ToString::to_string).unwrap_or_default()))
        }
        _ => None,
    })
}

#[test]
fn an_answer_without_a_mask_is_one_at_every_split_and_goes_no_further() {
    for cut in 0..18 {
        let mut trial = quiet();
        for beat in 1..4 {
            let now = START + beat * INTERVAL;
            let pong = from_upstream(0x8a, &asked(&mut trial, now));
            assert_eq!(trial.bytes(Peer::Client, &pong[..cut], now), b"", "cut at {cut}");
            assert_eq!(trial.bytes(Peer::Client, &pong[cut..], now), b"", "cut at {cut}");
            assert_eq!(at(&mut trial, now + 9 * SECOND), (vec![], None), "it is no silence");
        }
        let hello = from_client(0x82, b"hello");
        assert_eq!(trial.bytes(Peer::Client, &hello, START + 31 * SECOND), hello);
    }
}

#[test]
fn any_other_frame_without_a_mask_ends_the_connection_and_the_log_says_why() {
    let fault = FrameFault::NotMasked.to_string();
    let frames = [
        ("a Pong that nobody asked for", from_upstream(0x8a, &[7; 16])),
        ("an answer and more", from_upstream(0x8a, &[7; 17])),
        ("an empty Pong", from_upstream(0x8a, b"")),
        ("a Ping", from_upstream(0x89, &[7; 16])),
        ("text", from_upstream(0x81, b"sixteen bytes...")),
    ];
    for (name, frame) in &frames {
        for is_asked in [false, true] {
            let mut trial = quiet();
            let now = START + INTERVAL;
            if is_asked {
                asked(&mut trial, now);
            }
            let up = trial.bytes(Peer::Client, frame, now);
            assert_eq!(up, masked_close(Reason::ProtocolError), "{name}");
            assert_eq!(
                end(&trial),
                Some((Reason::ProtocolError, fault.clone())),
                "{name}, asked: {is_asked}"
            );
        }
    }
}

#[test]
fn the_log_says_what_a_frame_breaks() {
    let cases = [
        (from_client(0xc1, b"x"), "a reserved bit is set"),
        (from_client(0x83, b"x"), "the opcode of a frame is reserved"),
        (from_client(0x80, b"x"), "a continuation frame continues no message"),
        (from_client(0x09, b"x"), "a control frame is fragmented"),
        (from_client(0x89, &[b'x'; 126]), "a control frame is longer than 125 bytes"),
        (from_client(0x88, &[3, 0xed]), "the code of a Close is none that may be sent"),
        (from_client(0x88, b"x"), "a Close has half a code"),
        (vec![0x82, 0xfe, 0, 5, 1, 2, 3, 4, 0], "the length of a frame is not written in its shortest form"),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], "the top bit of the length of a frame is set"),
        ([from_client(0x01, b"x"), from_client(0x81, b"x")].concat(), "a message begins within another"),
    ];
    for (frame, detail) in cases {
        let mut trial = quiet();
        trial.bytes(Peer::Client, &frame, START);
        assert_eq!(end(&trial), Some((Reason::ProtocolError, detail.to_owned())));
    }
    let mut trial = quiet();
    trial.bytes(Peer::Upstream, &from_client(0x81, b"x"), START);
    let masked = Some((Reason::ProtocolError, "a frame of the service is masked".to_owned()));
    assert_eq!(end(&trial), masked);
}
