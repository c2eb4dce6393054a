//! The tokens that a handshake must show under a policy with `csrf`, and that they leave the request.

use serde_json::{Value, json};

use super::*;
use crate::csrf::CsrfKey;
use crate::decision::Cause;
use crate::decision::cause::CsrfError;
use crate::engine::{Engine, RouteFacts, Selection};
use crate::session::{Event, Input, Output};
use crate::testing::{SECRET, Tables, engine, request, token, with, without};

const NOW: Duration = Duration::from_secs(1_800_000_000);

/// The outcome of a handshake: the reason, the cause in the log, and the request afterwards.
struct End {
    reason: Option<Reason>,
    cause: Option<Cause>,
    left: RequestHead,
}

fn run(engine: &Engine, head: &RequestHead) -> End {
    let Selection::Judge(mut session) = engine.select(head, &RouteFacts::default()) else {
        panic!("the policy judges every request");
    };
    session.handle(Input::Request(head.clone()), &mut Tables::default(), NOW);
    let mut cause = None;
    let (reason, edits) = loop {
        match session.poll_output().expect("a handshake ends in a reply or goes up") {
            Output::Tell(Event::Refused { violation, .. }) => cause = violation.cause,
            Output::Admit(edits) => break (None, edits),
            Output::Reply(edits, reply) => break (Some(reply.reason), edits),
            other => panic!("{other:?}"),
        }
    };
    let mut names: Vec<_> = edits.iter().map(HeaderEdit::name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "a header is edited twice: {edits:?}");
    let left = RequestHead { fields: head.headers().edited(&edits), ..head.clone() };
    End { reason, cause, left }
}

fn csrf(from: Value) -> Value {
    json!({"secret": {"inline": SECRET}, "session_cookie": "sid", "from": from})
}

fn by_query() -> Engine {
    engine(json!({"csrf": csrf(json!({"query": "csrf_token"}))}))
}

fn mint(session: &str) -> String {
    CsrfKey::new(SECRET.as_bytes()).unwrap().mint(session.as_bytes(), NOW)
}

fn field(head: &RequestHead, name: &str) -> Option<String> {
    head.headers().all(name).next().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

#[test]
fn a_handshake_shows_one_token_of_its_own_session() {
    let good = mint("abc");
    let path = |query: &str| with(&request(), ":path", format!("/chat?{query}").as_bytes());
    let sid = |head: RequestHead, cookie: &str| with(&head, "cookie", cookie.as_bytes());
    let shown = || path(&format!("a=1&csrf_token={good}&b=2"));
    let twice = {
        let mut head = sid(shown(), "sid=abc");
        head.fields.push(("cookie".to_owned(), b"sid=abc".to_vec()));
        head
    };
    let missing = Some(Reason::CsrfMissing);
    let invalid = |error| (Some(Reason::CsrfInvalid), Some(error));
    let cases = [
        ("its own", sid(shown(), "sid=abc"), (None, None)),
        ("among other cookies", sid(shown(), "a=1; sid=abc; sid2=x"), (None, None)),
        (
            "encoded",
            sid(path(&format!("csrf%5Ftoken={}", good.replace('.', "%2E"))), "sid=abc"),
            (None, None),
        ),
        ("none", sid(path("a=1"), "sid=abc"), (missing, Some(CsrfError::Missing))),
        ("none, and no session", path("a=1"), (missing, Some(CsrfError::Missing))),
        (
            "in another parameter",
            sid(path(&format!("csrf={good}")), "sid=abc"),
            (missing, Some(CsrfError::Missing)),
        ),
        ("empty", sid(path("csrf_token="), "sid=abc"), invalid(CsrfError::Form)),
        ("another session", sid(shown(), "sid=abd"), invalid(CsrfError::Proof)),
        ("no cookie", shown(), invalid(CsrfError::NoSession)),
        ("a cookie of another name", sid(shown(), "SID=abc"), invalid(CsrfError::NoSession)),
        ("an empty cookie", sid(shown(), "sid="), invalid(CsrfError::NoSession)),
        ("two cookies", sid(shown(), "sid=abc; sid=abd"), invalid(CsrfError::TwoSessions)),
        ("two cookie fields", twice, invalid(CsrfError::TwoSessions)),
        (
            "two tokens",
            sid(path(&format!("csrf_token={good}&csrf_token={good}")), "sid=abc"),
            invalid(CsrfError::Ambiguous),
        ),
    ];
    let engine = by_query();
    for (name, head, (reason, error)) in cases {
        let end = run(&engine, &head);
        assert_eq!((end.reason, end.cause), (reason, error.map(Cause::Csrf)), "{name}");
        let left = field(&end.left, ":path").unwrap();
        let proof = good.split_once('.').unwrap().1;
        assert!(!left.contains(proof) || name == "in another parameter", "{name}: {left}");
        assert_eq!(field(&end.left, "cookie"), field(&head, "cookie"), "{name}: the session's cookie stays");
    }
}

#[test]
fn a_token_in_the_query_is_taken_out_whatever_the_request_is_refused_for() {
    let auth = json!({"providers": ["edge"], "from": [{"query": "access_token"}]});
    let both =
        engine(json!({"auth": auth, "csrf": csrf(json!({"query": "csrf_token"})), "upgrade_only": true}));
    let path = format!("/chat?room=1&access_token=x.y.z&csrf_token={}", mint("abc"));
    let head = with(&with(&request(), ":path", path.as_bytes()), "cookie", b"sid=abc");
    let no_tls = {
        let mut head = head.clone();
        head.connection.tls = false;
        head
    };
    let cases = [
        ("token", head.clone(), Reason::TokenInvalid),
        ("origin", with(&head, "origin", b"https://evil.example"), Reason::OriginDenied),
        ("shape", without(&head, "sec-websocket-key"), Reason::MalformedHandshake),
        ("upgrade", with(&head, "upgrade", b"h2c"), Reason::UpgradeDenied),
        ("TLS", no_tls, Reason::TlsRequired),
        ("ordinary HTTP", without(&head, "upgrade"), Reason::UpgradeRequired),
    ];
    for (name, head, reason) in cases {
        let end = run(&both, &head);
        assert_eq!(end.reason, Some(reason), "{name}");
        assert_eq!(field(&end.left, ":path").as_deref(), Some("/chat?room=1"), "{name}");
    }
}

#[test]
fn a_token_and_a_csrf_token_leave_the_same_header_and_a_token_that_is_kept_stays_alone() {
    const FIELD: &str = "sec-websocket-protocol";
    let claims = json!({"iss": "edge", "aud": "chat", "sub": "alice", "exp": NOW.as_secs() + 60});
    let bearer = format!("bearer.{}", String::from_utf8(token(SECRET, &claims)).unwrap());
    let item = format!("csrf.{}", mint("abc"));
    let policy = |keep: bool| {
        engine(json!({
            "auth": {"providers": ["edge"], "from": [{"subprotocol": "bearer."}], "keep_token": keep},
            "csrf": csrf(json!({"subprotocol": "csrf."})),
        }))
    };
    let offers = [
        (format!("chat.v2, {bearer}, {item}"), Some("chat.v2".to_owned()), format!("chat.v2, {bearer}")),
        (format!("{item}, {bearer}"), None, bearer.clone()),
    ];
    for (offered, taken, kept) in offers {
        let head = with(&with(&request(), FIELD, offered.as_bytes()), "cookie", b"sid=abc");
        for (keep, left) in [(false, taken), (true, Some(kept))] {
            let end = run(&policy(keep), &head);
            assert_eq!((end.reason, field(&end.left, FIELD)), (None, left), "{offered}");
        }
    }
    let alone = with(&with(&request(), FIELD, bearer.as_bytes()), "cookie", b"sid=abc");
    let end = run(&policy(true), &alone);
    assert_eq!((end.reason, field(&end.left, FIELD)), (Some(Reason::CsrfMissing), Some(bearer)));
}

#[test]
fn it_is_judged_behind_the_claims_and_before_the_rates_by_user() {
    let rates = json!([{"count": "handshakes", "per": "user", "limit": 1, "window": "1h"}]);
    let engine = engine(json!({
        "auth": {
            "providers": ["edge"], "from": [{"header": "authorization"}],
            "require": [{"claim": "scope", "contains": "chat"}],
        },
        "csrf": csrf(json!({"query": "csrf_token"})),
        "rates": rates,
    }));
    let with_scope = |scope: &str| {
        let claims =
            json!({"iss": "edge", "aud": "chat", "sub": "a", "exp": NOW.as_secs() + 60, "scope": scope});
        let value = [b"Bearer ".as_slice(), &token(SECRET, &claims)].concat();
        with(&request(), "authorization", &value)
    };
    assert_eq!(run(&engine, &with_scope("mail")).reason, Some(Reason::ClaimsDenied));
    assert_eq!(run(&engine, &with_scope("chat")).reason, Some(Reason::CsrfMissing));
}

#[test]
fn where_all_offers_are_secret_one_of_them_is_chosen_for_the_client() {
    const FIELD: &str = "sec-websocket-protocol";
    let item = format!("csrf.{}", mint("abc"));
    let claims = json!({"iss": "edge", "aud": "chat", "sub": "alice", "exp": NOW.as_secs() + 60});
    let bearer = format!("bearer.{}", String::from_utf8(token(SECRET, &claims)).unwrap());
    let auth = json!({"providers": ["edge"], "from": [{"subprotocol": "bearer."}]});
    let token_only = engine(json!({"auth": auth}));
    let both = engine(json!({"auth": auth, "csrf": csrf(json!({"subprotocol": "csrf."}))}));
    let agreed = |engine: &Engine, offers: &str, chosen: Option<&str>| {
        let head = with(&with(&request(), FIELD, offers.as_bytes()), "cookie", b"sid=abc");
        let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else { panic!() };
        session.handle(Input::Request(head), &mut Tables::default(), NOW);
        while let Some(output) = session.poll_output() {
            match output {
                Output::Admit(_) => {}
                other => panic!("{other:?}"),
            }
        }
        let shown = format!("{session:?}");
        assert!(!shown.contains(&format!("{:?}", bearer.as_bytes())), "{shown}");
        let fields = [
            (":status", "101"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        let fields = fields.into_iter().chain(chosen.map(|name| (FIELD, name)));
        let response = fields.map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec())).collect();
        session.handle(Input::Response(response), &mut Tables::default(), NOW);
        match session.poll_output() {
            Some(Output::AdmitResponse(edits)) => Ok(edits),
            Some(Output::Tell(Event::Refused { violation, .. })) => Err(violation.reason),
            other => panic!("{other:?}"),
        }
    };
    let set = |item: &str| Ok(vec![HeaderEdit::Set(FIELD.to_owned(), item.as_bytes().to_vec())]);
    assert_eq!(agreed(&token_only, &bearer, None), set(&bearer));
    assert_eq!(agreed(&both, &format!("{bearer}, {item}"), None), set(&item));
    assert_eq!(agreed(&both, &format!("{bearer}, {item}, chat"), None), Ok(vec![]));
    assert_eq!(agreed(&both, &format!("{bearer}, {item}, chat"), Some("chat")), Ok(vec![]));
    assert_eq!(
        agreed(&token_only, &bearer, Some(&bearer)),
        Err(Reason::UpstreamHandshakeInvalid),
        "the upstream was never offered it"
    );
}
