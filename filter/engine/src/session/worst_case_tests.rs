//! The most memory that sessions hold, against what is told of their policies.

use serde_json::{Value, json};

use super::tests::{START, Trial};
use super::*;
use crate::most_held;
use crate::testing::{SECRET, from_client, from_upstream, token};

fn policy(changes: Value) -> Value {
    let auth = json!({
        "providers": ["edge"], "from": [{"first_message": "/token"}], "max_unauthenticated_bytes": "100KiB",
        "refresh": "/token",
    });
    let mut policy = json!({
        "auth": auth, "rates": [],
        "messages": {"max_message_bytes": "64KiB", "max_fragments": 1},
        "upstream_messages": {"utf8": true, "max_frame_bytes": 1000, "max_message_bytes": 1000},
    });
    policy.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    policy
}

/// Opens a connection whose upstream greets with `messages` of a thousand bytes, and is about to say more.
/// The host does not let the greeting go before that.
fn greeted(changes: Value, messages: usize) -> Trial {
    let mut trial = Trial::open(policy(changes));
    trial.upstream(b"");
    trial.input(Input::NotParked, START);
    for _ in 0..messages {
        trial.upstream(&from_upstream(0x82, &[7; 1000]));
    }
    trial.upstream(&from_upstream(0x81, &[b'a'; 900])[..800]);
    trial
}

fn with_token() -> Vec<u8> {
    let claims = json!({"iss": "edge", "aud": "chat", "sub": "alice", "exp": START.as_secs() + 300});
    let token = String::from_utf8(token(SECRET, &claims)).unwrap();
    from_client(0x81, json!({ "token": token }).to_string().as_bytes())
}

#[test]
fn a_session_never_holds_more_than_the_worst_case_of_its_policy() {
    let text = from_client(0x81, &[b'a'; 64 * 1024]);
    let in_pieces = |trial: &mut Trial, bytes: &[u8]| {
        bytes.chunks(999).for_each(|piece| drop(trial.client(piece)));
    };
    let waiting = |trial: &mut Trial| in_pieces(trial, &from_client(0x81, &[b'a'; 9_000])[..8_990]);
    let entered = |trial: &mut Trial| {
        trial.client(&with_token());
        in_pieces(trial, &text[..text.len() - 1]);
    };
    let small = json!({"messages": {"max_frame_bytes": 9000, "max_message_bytes": 9000, "max_fragments": 1}});
    let cases: [(&str, Value, usize, &dyn Fn(&mut Trial)); 2] = [
        ("a first message behind a greeting", small, 91, &waiting),
        ("a text beside a greeting that has not gone", json!({}), 99, &entered),
    ];
    for (name, changes, greeting, play) in cases {
        let mut trial = greeted(changes, greeting);
        play(&mut trial);
        let (held, most) = (trial.session.held(), most_held(&trial.session.ruleset.policy));
        assert!(held > 90_000, "{name}: {held} bytes");
        assert!(held <= most, "{name}: {held} bytes, and no more than {most} may be");
    }
}
