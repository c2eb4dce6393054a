//! Summaries: what the access log is told of a stream.

use crate::decision::cause::HostFault;
use crate::http::request::RequestHead;
use serde_json::{Value, json};

use super::tests::{START, Trial};
use super::*;
use crate::metrics::Passed;
use crate::testing::{SECRET, from_client, from_upstream, request, token, with, without};

const CLOSE: u8 = 0x88;

fn auth() -> Value {
    json!({"auth": {
        "providers": ["edge"], "from": [{"header": "authorization"}, {"first_message": "/token"}],
        "require": [{"claim": "scope", "contains": "chat"}], "refresh": "/auth/token",
    }})
}

fn token_of(subject: Option<&str>, scope: &str, issued_for: &str) -> String {
    let claims = json!({
        "iss": "edge", "aud": issued_for, "sub": subject, "scope": scope, "exp": START.as_secs() + 300,
    });
    String::from_utf8(token(SECRET, &claims)).unwrap()
}

fn bearer(token: &str) -> RequestHead {
    with(&request(), "authorization", format!("Bearer {token}").as_bytes())
}

fn subject(trial: &Trial) -> Option<String> {
    trial.session.summary().unwrap().subject.map(|subject| subject.to_string())
}

/// Returns the hash of `subject` as a session of its own has it.
fn hash(subject_name: &str) -> Option<String> {
    let hash = subject(&Trial::new(auth(), bearer(&token_of(Some(subject_name), "chat", "chat"))));
    assert!(hash.is_some());
    hash
}

fn passed(messages: u64, bytes: u64) -> Passed {
    Passed { messages, bytes }
}

#[test]
fn what_has_passed_is_counted_to_the_end_however_often_a_tick_takes_the_counts() {
    let mut trial = Trial::open(json!({"messages": {"max_message_bytes": 100, "max_frame_bytes": 100}}));
    for taken in [false, true, false, true] {
        trial.client(
            &[from_client(0x81, b"hello"), from_client(0x02, b"in "), from_client(0x80, b"two")].concat(),
        );
        trial.upstream(&from_upstream(0x82, &[7; 300]));
        if taken {
            assert!(!trial.session.take_tally().is_empty());
        }
    }
    trial.client(&from_client(0x82, &[0; 101]));
    let expected = |trial: &Trial| {
        let summary = trial.session.summary().unwrap();
        assert_eq!((summary.client, summary.upstream), (passed(8, 44), passed(4, 1200)));
        assert_eq!(summary.close, Some(FirstClose { by: None, code: 1009 }));
    };
    expected(&trial);
    trial.session.take_last_tally();
    expected(&trial);
    trial.input(Input::Ended, START);
    expected(&trial);
}

#[test]
fn the_first_close_is_named_with_its_sender_and_its_code() {
    let of_client = |body: &[u8]| (Peer::Client, from_client(CLOSE, body));
    let of_upstream = |body: &[u8]| (Peer::Upstream, from_upstream(CLOSE, body));
    let cases = [
        (vec![of_client(b"\x03\xe9bye"), of_upstream(b"\x03\xe8")], Some((Some(Peer::Client), 1001))),
        (vec![of_upstream(b"\x0f\xa5"), of_client(b"\x03\xe8")], Some((Some(Peer::Upstream), 4005))),
        (vec![of_client(b"")], Some((Some(Peer::Client), 1005))),
        (vec![of_client(b"\x03\xee")], Some((None, 1002))),
        // A frame that breaks the rules behind the Close is no second one.
        (
            vec![of_client(b"\x03\xe8"), (Peer::Upstream, from_client(0x82, b"masked"))],
            Some((Some(Peer::Client), 1000)),
        ),
        (vec![], None),
    ];
    for (frames, expected) in cases {
        for cut in 0..12 {
            let mut trial = Trial::open(json!({}));
            for (peer, frame) in &frames {
                let (start, end) = frame.split_at(cut.min(frame.len()));
                trial.bytes(*peer, start, START);
                trial.bytes(*peer, end, START);
            }
            let close = trial.session.summary().unwrap().close.map(|close| (close.by, close.code));
            assert_eq!(close, expected, "{frames:?}, cut at {cut}");
        }
    }
}

#[test]
fn a_user_is_known_by_one_hash_wherever_the_token_comes_from_and_for_as_long_as_the_stream_is_there() {
    let alice = hash("alice");
    assert_ne!(alice, hash("bob"));

    let good = token_of(Some("alice"), "chat", "chat");
    let mut trial = Trial::new(auth(), bearer(&good));
    assert_eq!(subject(&trial), alice);
    trial.agree();
    assert_eq!(subject(&trial), alice);
    let refresh = json!({"auth": {"token": good}}).to_string();
    trial.client(&from_client(0x81, refresh.as_bytes()));
    assert_eq!(subject(&trial), alice);
    trial.input(Input::HostFailed(HostFault::Chunk), START);
    assert_eq!(subject(&trial), alice, "a stream that was cut is still the user's");

    let mut trial = Trial::open(auth());
    assert_eq!(subject(&trial), None);
    trial.client(&from_client(0x81, json!({"token": good}).to_string().as_bytes()));
    assert_eq!(subject(&trial), alice);
}

#[test]
fn a_refused_user_is_known_only_by_a_genuine_token() {
    let of = |token: &str| subject(&Trial::new(auth(), bearer(token)));
    assert_eq!(of(&token_of(Some("alice"), "none", "chat")), hash("alice"), "the claims are not enough");
    assert_eq!(of(&token_of(Some("alice"), "chat", "others")), None);
    assert_eq!(of(&token_of(None, "none", "chat")), None);
    let good = token_of(Some("alice"), "chat", "chat");
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(of(&format!("{signed}.AAAA")), None);

    let mut trial = Trial::open(auth());
    let denied = token_of(Some("alice"), "none", "chat");
    trial.client(&from_client(0x81, json!({"token": denied}).to_string().as_bytes()));
    assert_eq!(subject(&trial), hash("alice"));
    assert_eq!(trial.session.summary().unwrap().close, Some(FirstClose { by: None, code: 3003 }));
}

#[test]
fn ordinary_requests_have_no_summary() {
    let trial = Trial::new(json!({}), without(&request(), "upgrade"));
    assert_eq!(trial.session.summary(), None);
    let other = with(&without(&request(), "upgrade"), "upgrade", b"tus");
    assert_eq!(Trial::new(json!({"other_upgrades": "pass"}), other).session.summary(), None);
}
