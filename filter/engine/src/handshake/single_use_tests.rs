//! Tokens that open one connection: when one is spent, and when it is not.

use serde_json::{Value, json};

use super::*;
use crate::auth::single_use::Spent;
use crate::engine::{Engine, RouteFacts, Selection};
use crate::rate::{Charged, Outcome};
use crate::session::{Input, Output, Session};
use crate::testing::{SECRET, Tables, compile, engine, request, token, with};

const START: Duration = Duration::from_secs(1_800_000_000);
const TAKEN: Outcome = Outcome::Charged(Charged::Taken);

fn policy(changes: Value) -> Engine {
    let mut policy = json!({
        "auth": {"providers": ["edge"], "from": [{"header": "authorization"}], "single_use": true},
        "rates": [
            {"count": "handshakes", "per": "ip", "limit": 1, "window": "1h"},
            {"count": "handshakes", "per": "user", "limit": 1, "window": "1h"},
        ],
    });
    for (key, value) in changes.as_object().unwrap() {
        policy["auth"][key] = value.clone();
    }
    engine(policy)
}

fn claims(jti: Value) -> Value {
    json!({"iss": "edge", "aud": "chat", "sub": "alice", "exp": START.as_secs() + 60, "jti": jti})
}

fn head(claims: &Value) -> RequestHead {
    let value = [b"Bearer ".as_slice(), &token(SECRET, claims)].concat();
    with(&request(), "authorization", &value)
}

fn session(engine: &Engine, head: RequestHead, tables: &mut Tables) -> Box<Session> {
    let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else {
        panic!("the policy judges every request");
    };
    session.handle(Input::Request(head), tables, START);
    session
}

/// Returns the outputs until the end, and the reason if that is a refusal.
fn run(engine: &Engine, head: RequestHead, charged: &[Outcome], spent: Spent) -> (String, Option<Reason>) {
    let mut tables = Tables { spent, ..Tables::in_turn(charged.to_vec()) };
    let mut session = session(engine, head, &mut tables);
    let buckets = tables.charged.len();
    assert!(
        tables.tickets.iter().all(|(_, asked_before)| *asked_before == buckets),
        "it is the last question"
    );
    let asked = "c".repeat(buckets) + &"s".repeat(tables.tickets.len());
    loop {
        match session.poll_output().expect("a handshake ends in a reply or goes up") {
            Output::Admit(_) => return (asked, None),
            Output::Reply(_, reply) => return (asked, Some(reply.reason)),
            _ => {}
        }
    }
}

#[test]
fn a_token_is_spent_last_and_lets_in_only_the_first() {
    let engine = policy(json!({}));
    let cases = [
        (Spent::First, None),
        (Spent::Again, Some(Reason::TokenReplayed)),
        (Spent::Full, Some(Reason::HandshakeRate)),
    ];
    for (spent, refusal) in cases {
        assert_eq!(run(&engine, head(&claims(json!("1"))), &[], spent), ("ccs".to_owned(), refusal));
    }
}

#[test]
fn what_is_refused_for_anything_else_leaves_the_token_unspent() {
    let wait = Outcome::Charged(Charged::Wait(Duration::from_secs(1)));
    let scoped = || policy(json!({"require": [{"claim": "scope", "contains": "chat"}]}));
    let sound = || head(&claims(json!("1")));
    let mut expired = claims(json!("1"));
    expired["exp"] = json!(START.as_secs() - 31);
    let cases = [
        ("origin", policy(json!({})), with(&sound(), "origin", b"https://evil.example"), vec![], "c"),
        ("expired", policy(json!({})), head(&expired), vec![], "c"),
        ("claims", scoped(), sound(), vec![], "cc"),
        ("rate by address", policy(json!({})), sound(), vec![wait], "c"),
        ("rate by user", policy(json!({})), sound(), vec![TAKEN, wait], "cc"),
    ];
    for (name, engine, head, charged, asked) in cases {
        let (all, refusal) = run(&engine, head, &charged, Spent::First);
        assert_eq!((all.as_str(), refusal.is_some()), (asked, true), "{name}: {refusal:?}");
    }
}

#[test]
fn a_token_without_a_name_is_not_valid_where_it_opens_one_connection() {
    for jti in [json!(null), json!(""), json!(1)] {
        let (asked, refusal) = run(&policy(json!({})), head(&claims(jti.clone())), &[], Spent::First);
        assert_eq!((asked.contains('s'), refusal), (false, Some(Reason::TokenInvalid)), "{jti}");
        let mut none = claims(json!("1"));
        none.as_object_mut().unwrap().remove("jti");
        assert_eq!(run(&policy(json!({})), head(&none), &[], Spent::First).1, Some(Reason::TokenInvalid));
        assert_eq!(run(&policy(json!({"single_use": false})), head(&none), &[], Spent::Again).1, None);
    }
}

#[test]
fn a_token_is_known_again_by_name_and_issuer_whatever_else_it_says() {
    let ticket = |claims: &Value| {
        let mut tables = Tables::default();
        session(&policy(json!({})), head(claims), &mut tables);
        tables.tickets[0].0.slot()
    };
    let mut renewed = claims(json!("1"));
    renewed["exp"] = json!(START.as_secs() + 600);
    renewed["sub"] = json!("mallory");
    assert_eq!(ticket(&claims(json!("1"))), ticket(&renewed));
    assert_ne!(ticket(&claims(json!("1"))), ticket(&claims(json!("2"))));
}

/// Two policies may take tokens of one issuer by providers that differ in the skew of clocks that they allow.
#[test]
fn a_spent_token_is_remembered_for_as_long_as_any_provider_accepts_it() {
    let provider = |skew: &str| {
        json!({"issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"inline": SECRET},
            "clock_skew": skew})
    };
    let providers = json!({"strict": provider("0s"), "lenient": provider("60s")});
    let ticket = |provider: &str| {
        let from = json!([{"header": "authorization"}]);
        let auth = json!({"providers": [provider], "from": from, "single_use": true});
        let policy = json!({"origins": {"allow": ["https://app.example.com"]}, "auth": auth, "rates": []});
        let document =
            json!({"providers": providers, "policies": {"chat": policy}, "default_policy": "chat"});
        let mut tables = Tables::default();
        session(&compile(document), head(&claims(json!("1"))), &mut tables);
        tables.tickets[0].0
    };
    assert_eq!(ticket("strict"), ticket("lenient"));
}
