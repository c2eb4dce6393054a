//! Sessions that wait for a fetched document, and sessions that one ends.

use crate::connection::Passage;
use serde_json::{Value, json};

use super::*;
use crate::auth::minting::{ISSUER, encode, issuer_keys, key, sign};
use crate::engine::{Engine, RouteFacts, Selection};
use crate::http::request::RequestHead;
use crate::remote::{Answer, Kind, Outcome as Fetch, Settled, Step};
use crate::testing::{Tables, agreement, compile, request, with};
use crate::websocket::close;
use jsonwebtoken::Algorithm;

const START: Duration = Duration::from_secs(1_800_000_000);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A policy with keys and a list that are both fetched.
pub(super) fn engine(changes: Value) -> Engine {
    let mut policy = json!({
        "origins": {"allow": ["https://app.example.com"]},
        "auth": {
            "providers": ["main"],
            "from": [{"header": "authorization"}],
            "require": [{"claim": "scope", "contains": "chat"}],
            "revocation": {"cluster": "auth", "path": "/revoked.json"},
        },
        "rates": [
            {"count": "handshakes", "per": "ip", "limit": 9, "window": "1m"},
            {"count": "handshakes", "per": "user", "limit": 9, "window": "1m"},
        ],
    });
    policy.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    compile(json!({
        "providers": {"main": {
            "issuer": ISSUER,
            "audiences": ["chat"],
            "jwks": {"remote": {"cluster": "auth", "uri": "https://auth.example.com/jwks.json", "timeout": "3s"}},
        }},
        "policies": {"chat": policy},
        "default_policy": "chat",
    }))
}

/// Begins and ends the fetch of `kind`: with this document, or in failure.
pub(super) fn fetch(
    engine: &Engine,
    shared: &mut Vec<u8>,
    kind: Kind,
    document: Option<&Value>,
    now: Duration,
) {
    let source = engine.sources().into_iter().find(|source| source.spec().kind == kind).unwrap();
    let Step::Claim(claimed) = source.look(shared, 1, now) else { panic!("it is not due") };
    source.look(&claimed, 1, now);
    let body = document.map(Value::to_string).unwrap_or_default();
    let answer = Answer { status: b"200", len: body.len(), body: body.as_bytes() };
    let outcome = source.judge(&answer).unwrap_or(Fetch::FAILED);
    let Settled::Swap { document, record } = source.settle(&claimed, outcome, body.as_bytes(), 1, now) else {
        panic!("the lease is not lost");
    };
    *shared = record;
    if source.look(shared, 1, now) == Step::Read {
        assert!(source.take_up(&document.unwrap()));
    }
}

pub(super) fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "chat", "sub": "alice", "jti": "t1", "scope": "chat", "exp": START.as_secs() + 600,
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

pub(super) fn minted(kid: &str, claims: &Value) -> String {
    let header = json!({"alg": "EdDSA", "kid": kid}).to_string();
    sign(&header, &claims.to_string(), &key(Algorithm::EdDSA), Algorithm::EdDSA)
}

pub(super) fn bearing(kid: &str, claims: &Value) -> RequestHead {
    with(&request(), "authorization", format!("Bearer {}", minted(kid, claims)).as_bytes())
}

/// The state of a handshake.
#[derive(Debug, PartialEq)]
enum Now {
    Held,
    Nothing,
    Admitted,
    Refused(Reason),
}

/// A handshake, and the number of buckets that it has charged.
struct Attempt {
    session: Box<Session>,
    charges: usize,
}

impl Attempt {
    fn new(engine: &Engine, head: RequestHead) -> (Self, Now) {
        let Selection::Judge(session) = engine.select(&head, &RouteFacts::default()) else {
            panic!("judged")
        };
        let mut attempt = Self { session, charges: 0 };
        let now = attempt.after(Input::Request(head), START);
        (attempt, now)
    }

    fn after(&mut self, input: Input, now: Duration) -> Now {
        let mut tables = Tables::default();
        self.session.handle(input, &mut tables, now);
        self.charges += tables.charged.len();
        let mut found = Now::Nothing;
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::HoldHandshake(edits) => {
                    assert!(edits.iter().all(|edit| edit.name() == "authorization"), "{edits:?}");
                    found = Now::Held;
                }
                Output::Admit(_) => found = Now::Admitted,
                Output::Reply(edits, reply) => {
                    let is_out = edits.iter().any(|edit| edit.name() == "authorization");
                    assert!(is_out || reply.reason == Reason::TokenMissing, "the token stays in");
                    found = Now::Refused(reply.reason);
                }
                Output::ResumeRequest => {
                    assert_eq!(found, Now::Admitted, "the request goes on before it may")
                }
                Output::Tell(_) => {}
                output => panic!("{output:?}"),
            }
        }
        found
    }
}

#[test]
fn a_handshake_waits_for_keys_and_then_for_the_list_and_is_charged_once() {
    let (engine, mut keys, mut list) = (engine(json!({})), Vec::new(), Vec::new());
    let (mut attempt, now) = Attempt::new(&engine, bearing("ed", &claims(json!({}))));
    assert_eq!((now, attempt.charges), (Now::Held, 1));
    assert!(attempt.session.is_waiting());
    assert_eq!(attempt.session.deadline(), Some(START + s(3)));
    // Inputs of other kinds do not put the end of the wait off.
    assert_eq!(attempt.after(Input::Fetched, START + s(1)), Now::Nothing);
    assert_eq!(attempt.session.deadline(), Some(START + s(3)));

    fetch(&engine, &mut keys, Kind::Keys, Some(&issuer_keys()), START + s(1));
    assert_eq!(attempt.after(Input::Fetched, START + s(1)), Now::Nothing);
    assert_eq!(attempt.session.deadline(), Some(START + s(3)), "two seconds for the list");
    fetch(&engine, &mut list, Kind::Revocation, Some(&json!({})), START + s(2));
    assert_eq!(attempt.after(Input::Fetched, START + s(2)), Now::Admitted);
    assert_eq!(attempt.charges, 2, "by address and by user, each once");
    assert!(!attempt.session.is_waiting());
    assert_eq!(attempt.session.deadline(), None);
    assert_eq!(attempt.after(Input::Timer, START + s(9)), Now::Nothing);

    // Fetched keys are at hand, so nobody waits any more.
    let (_, now) = Attempt::new(&engine, bearing("ed", &claims(json!({}))));
    assert_eq!(now, Now::Admitted);
}

#[test]
fn what_does_not_come_in_time_is_not_there() {
    let (engine, mut keys) = (engine(json!({})), Vec::new());
    let (mut attempt, _) = Attempt::new(&engine, bearing("ed", &claims(json!({}))));
    assert_eq!(attempt.after(Input::Timer, START + s(3) - Duration::from_millis(1)), Now::Nothing);
    assert_eq!(attempt.after(Input::Timer, START + s(3)), Now::Refused(Reason::KeysUnavailable));
    assert_eq!(attempt.charges, 1);
    assert_eq!(attempt.after(Input::Fetched, START + s(4)), Now::Nothing, "it is over");

    fetch(&engine, &mut keys, Kind::Keys, Some(&issuer_keys()), START);
    let (mut attempt, now) = Attempt::new(&engine, bearing("ed", &claims(json!({}))));
    assert_eq!((now, attempt.session.deadline()), (Now::Held, Some(START + s(2))));
    assert_eq!(attempt.after(Input::Timer, START + s(2)), Now::Refused(Reason::RevocationUnavailable));
}

#[test]
fn a_failed_fetch_with_none_to_follow_soon_ends_the_wait() {
    let (engine, mut keys) = (engine(json!({})), Vec::new());
    for i in 0..4 {
        fetch(&engine, &mut keys, Kind::Keys, None, START + s(20 * i));
    }
    // The next try is eight seconds away.
    let now = START + s(60);
    let Selection::Judge(session) = engine.select(&request(), &RouteFacts::default()) else {
        panic!("judged")
    };
    let mut attempt = Attempt { session, charges: 0 };
    let head = bearing("ed", &claims(json!({})));
    assert_eq!(attempt.after(Input::Request(head), now), Now::Refused(Reason::KeysUnavailable));
}

#[test]
fn whoever_is_refused_in_any_case_does_not_wait() {
    let engine = engine(json!({}));
    let good = bearing("ed", &claims(json!({})));
    let expired = claims(json!({"exp": 1}));
    let cases = [
        (with(&good, "origin", b"https://evil.example"), Reason::OriginDenied),
        (request(), Reason::TokenMissing),
        (with(&request(), "authorization", b"Bearer x.y.z"), Reason::TokenInvalid),
        (bearing("ed", &claims(json!({"iss": "somebody"}))), Reason::TokenInvalid),
    ];
    for (head, reason) in cases {
        let (attempt, now) = Attempt::new(&engine, head);
        assert_eq!(now, Now::Refused(reason));
        assert_eq!(attempt.charges, 1);
    }
    // Only a key can tell whether the token is genuine, so the handshake waits for one.
    let (mut attempt, now) = Attempt::new(&engine, bearing("ed", &expired));
    assert_eq!(now, Now::Held);
    fetch(&engine, &mut Vec::new(), Kind::Keys, Some(&issuer_keys()), START);
    assert_eq!(attempt.after(Input::Fetched, START), Now::Refused(Reason::TokenExpired));
}

#[test]
fn an_unknown_key_waits_for_a_refetch_that_is_due_and_for_no_other() {
    let (engine, mut keys, mut list) = (engine(json!({})), Vec::new(), Vec::new());
    let without = json!({"keys": [issuer_keys()["keys"][0]]});
    fetch(&engine, &mut keys, Kind::Keys, Some(&without), START - s(5));
    fetch(&engine, &mut list, Kind::Revocation, Some(&json!({})), START);
    let head = || bearing("ed", &claims(json!({})));
    let (_, now) = Attempt::new(&engine, head());
    assert_eq!(now, Now::Refused(Reason::TokenInvalid), "five seconds after the last fetch");

    fetch_again(&engine, &mut keys, &without, START - s(10));
    let (mut waits, now) = Attempt::new(&engine, head());
    assert_eq!((now, waits.session.deadline()), (Now::Held, Some(START + s(3))));
    let (mut late, now) = Attempt::new(&engine, head());
    assert_eq!(now, Now::Held);
    assert_eq!(late.after(Input::Timer, START + s(3)), Now::Refused(Reason::TokenInvalid));
    fetch(&engine, &mut keys, Kind::Keys, Some(&issuer_keys()), START + s(1));
    assert_eq!(waits.after(Input::Fetched, START + s(1)), Now::Admitted);

    // The key has come; another has not, and was looked for just now.
    let (_, now) = Attempt::new(&engine, bearing("other", &claims(json!({}))));
    assert_eq!(now, Now::Refused(Reason::TokenInvalid));
}

/// Begins the last fetch anew, at `now`.
fn fetch_again(engine: &Engine, shared: &mut Vec<u8>, document: &Value, now: Duration) {
    shared.clear();
    let source = engine.sources().into_iter().find(|source| source.spec().kind == Kind::Keys).unwrap();
    source.look(&[], 1, now);
    fetch(engine, shared, Kind::Keys, Some(document), now);
}

#[test]
fn a_refetch_that_brings_nothing_new_ends_the_wait() {
    for document in [Some(json!({"keys": [issuer_keys()["keys"][0]]})), None] {
        let (engine, mut keys) = (engine(json!({})), Vec::new());
        let without = json!({"keys": [issuer_keys()["keys"][0]]});
        fetch(&engine, &mut keys, Kind::Keys, Some(&without), START - s(10));
        let (mut attempt, now) = Attempt::new(&engine, bearing("ed", &claims(json!({}))));
        assert_eq!(now, Now::Held);
        fetch(&engine, &mut keys, Kind::Keys, document.as_ref(), START + s(1));
        assert_eq!(attempt.after(Input::Fetched, START + s(1)), Now::Refused(Reason::TokenInvalid));
    }
}

#[test]
fn what_the_list_names_is_refused_before_its_claims_are_looked_at() {
    let (engine, mut keys, mut list) = (engine(json!({})), Vec::new(), Vec::new());
    fetch(&engine, &mut keys, Kind::Keys, Some(&issuer_keys()), START);
    let named = json!({"jti": ["t9"], "sub": {"bob": START.as_secs()}, "sid": ["s9"]});
    fetch(&engine, &mut list, Kind::Revocation, Some(&named), START);
    let iat = START.as_secs() - 1;
    let cases = [
        (json!({"jti": "t9", "scope": "mail"}), Now::Refused(Reason::TokenRevoked)),
        (json!({"sid": "s9"}), Now::Refused(Reason::TokenRevoked)),
        (json!({"sub": "bob"}), Now::Refused(Reason::TokenRevoked)),
        (json!({"sub": "bob", "iat": iat}), Now::Refused(Reason::TokenRevoked)),
        (json!({"sub": "bob", "iat": iat + 1}), Now::Admitted),
        (json!({"scope": "mail"}), Now::Refused(Reason::ClaimsDenied)),
        (json!({}), Now::Admitted),
    ];
    for (changes, expected) in cases {
        let (_, now) = Attempt::new(&engine, bearing("ed", &claims(changes.clone())));
        assert_eq!(now, expected, "{changes}");
    }
}

/// Returns an engine with keys and an empty list at hand, and the shared list.
fn ready() -> (Engine, Vec<u8>) {
    let (engine, mut list) = (engine(json!({})), Vec::new());
    fetch(&engine, &mut Vec::new(), Kind::Keys, Some(&issuer_keys()), START);
    fetch(&engine, &mut list, Kind::Revocation, Some(&json!({})), START);
    (engine, list)
}

#[test]
fn a_list_that_comes_before_the_agreement_takes_it_back() {
    let (engine, mut list) = ready();
    let (mut attempt, now) = Attempt::new(&engine, bearing("ed", &claims(json!({}))));
    assert_eq!(now, Now::Admitted);
    fetch(&engine, &mut list, Kind::Revocation, Some(&json!({"jti": ["t1"]})), START + s(10));
    assert_eq!(attempt.after(Input::Fetched, START + s(10)), Now::Nothing);
    attempt.session.handle(Input::Response(agreement()), &mut Tables::default(), START + s(10));
    let outputs: Vec<_> = std::iter::from_fn(|| attempt.session.poll_output()).collect();
    assert!(
        matches!(&outputs[..], [Output::Tell(_), Output::Reply(_, reply)] if reply.reason == Reason::TokenRevoked),
        "{outputs:?}"
    );
    assert!(!attempt.session.was_opened());
}

#[test]
fn an_open_connection_ends_when_a_new_list_names_it_and_only_then() {
    let (engine, mut list) = ready();
    let source = engine.sources().into_iter().find(|source| source.spec().kind == Kind::Revocation).unwrap();
    let (mut attempt, _) = Attempt::new(&engine, bearing("ed", &claims(json!({}))));
    let session = &mut attempt.session;
    assert!(!session.is_revocable_by(&source), "it is not open yet");
    session.handle(Input::Response(agreement()), &mut Tables::default(), START);
    while session.poll_output().is_some() {}
    assert!(session.is_revocable_by(&source));
    let judged = session.judge(Peer::Upstream, &mut &b""[..], &mut Tables::default(), START).unwrap();
    assert!(judged.park, "the stream to the client is parked");

    fetch(&engine, &mut list, Kind::Revocation, Some(&json!({"jti": ["t2"]})), START + s(10));
    session.handle(Input::Fetched, &mut Tables::default(), START + s(10));
    assert!(!session.has_outputs());
    fetch(&engine, &mut list, Kind::Revocation, Some(&json!({"sub": {"alice": 1}})), START + s(20));
    session.handle(Input::Fetched, &mut Tables::default(), START + s(20));
    let outputs: Vec<_> = std::iter::from_fn(|| session.poll_output()).collect();
    let closed = outputs.iter().any(
        |output| matches!(output, Output::Tell(Event::Closed { violation, .. }) if violation.reason == Reason::TokenRevoked),
    );
    let sent = Output::Send(Peer::Client, close::to_client(Reason::TokenRevoked));
    assert!(closed && outputs.contains(&sent), "{outputs:?}");
    // The end is told once.
    session.handle(Input::Fetched, &mut Tables::default(), START + s(21));
    assert!(!session.has_outputs());
}

#[test]
fn bytes_that_come_while_a_handshake_waits_never_go_on() {
    let engine = engine(json!({}));
    let (mut attempt, now) = Attempt::new(&engine, bearing("ed", &claims(json!({}))));
    assert_eq!(now, Now::Held);
    let parked = Passage { park: true, ..Passage::default() };
    assert_eq!(attempt.session.judge(Peer::Client, &mut &b""[..], &mut Tables::default(), START), Ok(parked));
    assert!(attempt.session.is_waiting());
    let parked = Passage { park: true, ..Passage::default() };
    assert_eq!(
        attempt.session.judge(Peer::Client, &mut &b"early"[..], &mut Tables::default(), START),
        Ok(parked)
    );
    assert_eq!(attempt.after(Input::Timer, START), Now::Refused(Reason::MalformedHandshake));
}

#[test]
fn an_override_by_route_has_a_list_of_its_own() {
    use prost::Message as _;
    let engine = engine(json!({}));
    assert_eq!(engine.sources().len(), 2);
    let text = |text: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.to_owned())),
    };
    let object = |fields: Vec<(&str, prost_types::Value)>| {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        prost_types::Struct { fields }
    };
    let nested =
        |fields| prost_types::Value { kind: Some(prost_types::value::Kind::StructValue(object(fields))) };
    let postern = object(vec![
        ("policy", text("chat")),
        ("auth", nested(vec![("revocation", nested(vec![("path", text("/other.json"))]))])),
    ]);
    // envoy.config.core.v3.Metadata: filter_metadata is a map, field 1, of name and Struct.
    let value = postern.encode_to_vec();
    let mut entry = vec![0x0a, 7];
    entry.extend(b"postern");
    entry.extend([0x12, u8::try_from(value.len()).unwrap()]);
    entry.extend(value);
    let mut metadata = vec![0x0a, u8::try_from(entry.len()).unwrap()];
    metadata.extend(entry);
    let route = RouteFacts { name: None, metadata: Some(metadata) };
    for _ in 0..2 {
        assert!(matches!(engine.select(&request(), &route), Selection::Judge(_)));
        assert_eq!(engine.sources().len(), 3);
    }
}

#[test]
fn nobody_is_shown_in_debug_output() {
    let (engine, mut list) = ready();
    fetch(&engine, &mut list, Kind::Revocation, Some(&json!({"jti": ["secret id"]})), START + s(10));
    let (attempt, _) = Attempt::new(&engine, bearing("ed", &claims(json!({"sid": "secret session"}))));
    let shown = format!("{engine:?} {:?}", attempt.session);
    for secret in ["secret id", "secret session"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
        assert!(!shown.contains(&encode(&secret.as_bytes()[..6])));
    }
}

#[test]
fn a_handshake_waits_no_longer_for_a_clock_that_is_set_back() {
    let (engine, back) = (engine(json!({})), s(3600));
    let (mut attempt, _) = Attempt::new(&engine, bearing("ed", &claims(json!({}))));
    assert_eq!(attempt.after(Input::SetBack(back), START - back), Now::Nothing);
    assert_eq!(attempt.session.deadline(), Some(START - back + s(3)));
    assert_eq!(attempt.after(Input::Timer, START - back + s(3)), Now::Refused(Reason::KeysUnavailable));
}

#[test]
fn in_shadow_nothing_waits_for_keys_and_what_came_meanwhile_is_judged_when_they_do() {
    let rules = json!({"schema": {"type": "number"}});
    let changes = json!({"mode": "shadow", "rates": [], "messages": rules});
    let frame = |text: &[u8]| crate::testing::from_client(0x81, text);
    for (len, told) in [
        (1, vec!["opened", "messages.schema schema_violation"]),
        // So much is not kept.
        (70_000, vec!["memory.budget memory_exceeded", "opened in shadow"]),
    ] {
        let (engine, mut keys) = (engine(changes.clone()), Vec::new());
        let head = bearing("ed", &claims(json!({})));
        let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else { panic!() };
        let mut tables = Tables::default();
        session.handle(Input::Request(head), &mut tables, START);
        assert_eq!(session.poll_output(), Some(Output::Admit(Vec::new())), "the token stays in");
        session.handle(Input::Response(agreement()), &mut tables, START);
        assert_eq!(session.poll_output(), Some(Output::AdmitResponse(Vec::new())));
        let bytes = [frame(b"7"), frame(&vec![b'x'; len])].concat();
        for chunk in bytes.chunks(9_000) {
            let passage = session.judge(Peer::Client, &mut &chunk[..], &mut tables, START).unwrap();
            assert_eq!(passage.bytes(chunk), chunk);
        }
        assert!(session.held() < 128 * 1024);
        fetch(&engine, &mut keys, Kind::Keys, Some(&issuer_keys()), START + s(1));
        session.handle(Input::Fetched, &mut tables, START + s(1));
        let outputs = std::iter::from_fn(|| session.poll_output()).map(|output| match output {
            Output::Tell(Event::Opened) => "opened".to_owned(),
            Output::Tell(Event::OpenedInShadow(_)) => "opened in shadow".to_owned(),
            Output::Tell(Event::Found { violation, .. }) => {
                format!("{} {}", violation.rule, violation.reason.id())
            }
            output => panic!("{output:?}"),
        });
        assert_eq!(outputs.collect::<Vec<_>>(), told);
        assert!(session.was_opened());
    }
}
