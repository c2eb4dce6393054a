//! The places of a session: which it takes, when it makes way, and that they come back.

use crate::decision::Rule;
use crate::decision::cause::HostFault;
use crate::http::request::RequestHead;
use serde_json::{Value, json};

use super::tests::{START, Trial, close};
use super::*;
use crate::auth::single_use::Spent;
use crate::rate::{Charged, Outcome};
use crate::testing::{SECRET, Tables, from_client, request, with};

const SECOND: Duration = Duration::from_secs(1);

fn caps(changes: Value) -> Value {
    let auth =
        json!({"providers": ["edge"], "from": [{"header": "authorization"}, {"first_message": "/token"}]});
    let caps = json!({
        "per_ip": 10, "per_policy": 10, "per_user": 1, "unauthenticated_per_ip": 10, "on_full": "replace",
    });
    let mut policy = json!({"auth": auth, "connections": caps});
    for (key, value) in changes.as_object().unwrap() {
        policy["auth"][key] = value.clone();
    }
    policy
}

fn token() -> Vec<u8> {
    let claims =
        json!({"iss": "edge", "aud": "chat", "sub": "alice", "jti": "1", "exp": START.as_secs() + 300});
    crate::testing::token(SECRET, &claims)
}

fn bearing() -> RequestHead {
    with(&request(), "authorization", &[b"Bearer ".as_slice(), &token()].concat())
}

fn first_message() -> Vec<u8> {
    from_client(0x81, json!({ "token": String::from_utf8(token()).unwrap() }).to_string().as_bytes())
}

fn counted(trial: &Trial) -> u64 {
    trial.tables.live.values().sum()
}

fn declined() -> Input {
    Input::Response(vec![(":status".to_owned(), b"404".to_vec())])
}

fn is_refused_for(outputs: &[Output], reason: Reason) -> bool {
    matches!(outputs, [Output::Tell(Event::Refused { violation, .. }), Output::Reply(_, reply)]
        if violation.reason == reason && reply.reason == reason)
}

#[test]
fn every_place_is_given_back_once_whatever_ends_the_stream() {
    type End = (&'static str, fn(&mut Trial));
    let ends: [End; 9] = [
        ("a reset", |_| {}),
        ("another route", |trial| trial.input(Input::Rerouted, START)),
        ("a host that fails", |trial| trial.input(Input::HostFailed(HostFault::Chunk), START)),
        ("no memory", |trial| trial.input(Input::MemoryExceeded, START)),
        ("a newer one", |trial| trial.input(Input::Replaced, START)),
        ("trailers", |trial| trial.input(Input::Trailers(Peer::Client), START)),
        ("time", |trial| trial.input(Input::Timer, START + 1000 * SECOND)),
        ("a response", |trial| trial.input(declined(), START)),
        ("bytes that are none", |trial| _ = trial.client(&[0xff; 20_000])),
    ];
    let phases: [(&str, fn() -> Trial, u64); 4] = [
        ("awaiting", || Trial::new(caps(json!({})), bearing()), 3),
        ("open", || open(bearing()), 3),
        ("unauthenticated", || open(request()), 3),
        ("by first message", authenticated, 3),
    ];
    for (phase, begin, places) in phases {
        for (end, act) in &ends {
            let mut trial = begin();
            assert_eq!(counted(&trial), places, "{phase}, {end}");
            act(&mut trial);
            assert_eq!(counted(&trial), places, "{phase}, {end}: the stream is not over");
            act(&mut trial);
            trial.input(Input::Ended, START);
            assert_eq!(counted(&trial), 0, "{phase}, {end}");
            trial.input(Input::Ended, START);
            assert_eq!(counted(&trial), 0, "{phase}, {end}");
        }
    }
}

fn open(head: RequestHead) -> Trial {
    let mut trial = Trial::new(caps(json!({})), head);
    trial.agree();
    trial
}

fn authenticated() -> Trial {
    let mut trial = open(request());
    trial.client(&first_message());
    assert_eq!(trial.outputs, []);
    trial
}

#[test]
fn a_handshake_that_makes_way_is_closed_with_its_response_or_refused_without_one() {
    for wait in [Duration::ZERO, SECOND / 5] {
        let mut trial = Trial::new(caps(json!({})), bearing());
        trial.input(Input::Replaced, START);
        trial.input(Input::Timer, START + wait);
        trial.agree_at(START + wait);
        let told = |output: &Output| matches!(output, Output::Tell(Event::Closed { violation, .. }) if violation.reason == Reason::ConnectionReplaced);
        assert!(trial.outputs.iter().any(told), "{:?}", trial.outputs);
        assert_eq!(trial.upstream(b""), close(Reason::ConnectionReplaced));
    }
    let mut trial = Trial::new(caps(json!({})), bearing());
    trial.outputs.clear();
    assert_eq!(trial.session.deadline(), None);
    trial.input(Input::Replaced, START);
    let at = trial.session.deadline().unwrap();
    assert!(at <= START + SECOND / 2, "the contract has a second for all of it");
    trial.input(Input::Timer, at);
    assert!(is_refused_for(&trial.outputs, Reason::ConnectionLimit), "{:?}", trial.outputs);
}

#[test]
fn a_stream_that_the_service_has_declined_makes_way_at_once() {
    let mut trial = Trial::new(caps(json!({})), bearing());
    trial.input(declined(), START);
    trial.outputs.clear();
    trial.input(Input::Replaced, START);
    assert_eq!(trial.outputs, [Output::Reset]);
}

#[test]
fn a_token_that_was_used_before_has_nobody_make_way() {
    let policy = caps(json!({"single_use": true}));
    let spent = || Tables { spent: Spent::Again, ..Tables::default() };
    let mut trial = Trial::with_tables(policy.clone(), bearing(), spent());
    assert!(is_refused_for(&trial.outputs, Reason::TokenReplayed), "{:?}", trial.outputs);
    assert_eq!(trial.tables.admitted, 0);
    let mut trial_by_message = Trial::with_tables(policy, request(), spent());
    trial_by_message.agree();
    let before = trial_by_message.tables.admitted;
    trial_by_message.client(&first_message());
    let told = &trial_by_message.outputs;
    assert!(
        matches!(&told[..], [Output::Tell(Event::Closed { violation, .. }), ..] if violation.reason == Reason::TokenReplayed),
        "{told:?}"
    );
    assert_eq!(trial_by_message.tables.admitted, before);
    trial.input(Input::Ended, START);
    assert_eq!(counted(&trial), 0);
}

#[test]
fn of_first_messages_that_were_under_way_no_more_are_told_what_was_wrong_than_there_are_tokens() {
    let rates = json!([{"count": "messages", "per": "ip", "limit": 9, "window": "1h"},
        {"count": "refusals", "per": "ip", "limit": 1, "window": "1h"}]);
    let guess = from_client(0x81, br#"{"token":"guessed"}"#);
    for (left, reason) in [(true, Reason::TokenInvalid), (false, Reason::RefusalRate)] {
        let mut policy = caps(json!({}));
        policy["rates"] = rates.clone();
        let mut trial = Trial::new(policy, request());
        trial.agree();
        trial.tables.charge = Box::new(move |asked, _| match asked == 0 || left {
            true => Outcome::Charged(Charged::Taken),
            false => Outcome::Charged(Charged::Wait(SECOND)),
        });
        trial.client(&guess);
        let [Output::Tell(Event::Closed { violation, .. }), ..] = &trial.outputs[..] else {
            panic!("{:?}", trial.outputs)
        };
        let rule = if left { Rule::Auth } else { Rule::Rates(1) };
        assert_eq!((violation.reason, violation.rule), (reason, rule));
        assert_eq!(trial.tables.charged.len(), 2, "the message, and one refusal");
    }
}

#[test]
fn an_address_that_was_refused_too_often_is_told_nothing_else_of_its_first_message() {
    let rates = json!([{"count": "refusals", "per": "ip", "limit": 1, "window": "1h"}]);
    for message in [first_message(), from_client(0x81, br#"{"token":"guessed"}"#)] {
        let mut policy = caps(json!({}));
        policy["rates"] = rates.clone();
        let mut trial = Trial::new(policy, request());
        trial.agree();
        trial.tables.look = Box::new(|_| Outcome::Charged(Charged::Wait(SECOND)));
        trial.client(&message);
        let told = &trial.outputs;
        assert!(
            matches!(&told[..], [Output::Tell(Event::Closed { violation, .. }), ..] if violation.reason == Reason::RefusalRate),
            "{told:?}"
        );
        assert_eq!(trial.tables.charged, [], "that is no refusal which counts");
    }
}
