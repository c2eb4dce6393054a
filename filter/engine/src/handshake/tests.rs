use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::*;
use crate::auth::minting;
use crate::engine::{Engine, RouteFacts, Selection};
use crate::http::request::Protocol;
use crate::rate::BucketRequest;
use crate::rate::{Charged, Outcome};
use crate::session::{Input, Output};
use crate::testing::{SECRET, Tables, compile, engine, request, with, without};

const START: Duration = Duration::from_secs(1_800_000_000);
const TAKEN: Outcome = Outcome::Charged(Charged::Taken);

/// The outcome of a handshake.
#[derive(Debug, PartialEq)]
enum Ending {
    Admitted(Vec<HeaderEdit>),
    Refused(Reason, Vec<HeaderEdit>),
}

/// Runs `head` through the smallest policy with `changes`; every bucket answers `outcome`.
fn run(engine: &Engine, head: RequestHead, outcome: Outcome) -> (Ending, Vec<BucketRequest>) {
    let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else {
        panic!("the policy judges every request");
    };
    let mut tables = Tables::all(outcome);
    session.handle(Input::Request(head), &mut tables, START);
    let charges = tables.charged;
    loop {
        match session.poll_output() {
            Some(Output::Admit(edits)) => return (Ending::Admitted(edits), charges),
            Some(Output::Reply(edits, reply)) => return (Ending::Refused(reply.reason, edits), charges),
            Some(_) => {}
            None => panic!("a handshake ends in a reply or goes up"),
        }
    }
}

fn ending(changes: Value, head: RequestHead) -> Ending {
    run(&engine(changes), head, TAKEN).0
}

fn set(name: &str, value: &[u8]) -> HeaderEdit {
    HeaderEdit::Set(name.to_owned(), value.to_vec())
}

fn remove(name: &str) -> HeaderEdit {
    HeaderEdit::Remove(name.to_owned())
}

fn token(claims: &Value) -> Vec<u8> {
    crate::testing::token(SECRET, claims)
}

fn good_claims() -> Value {
    json!({"iss": "edge", "aud": "chat", "sub": "alice", "exp": START.as_secs() + 60, "scope": "read chat"})
}

/// A policy that takes tokens from every carrier.
fn with_auth(changes: Value) -> Value {
    let mut auth = json!({
        "providers": ["edge"],
        "from": [
            {"header": "authorization"},
            {"subprotocol": "bearer."},
            {"query": "access_token"},
            {"cookie": "ws_token"},
        ],
    });
    let (Value::Object(auth_members), Value::Object(changes)) = (&mut auth, changes) else {
        panic!("changes are an object");
    };
    auth_members.extend(changes);
    json!({"auth": auth})
}

#[test]
fn a_sound_handshake_goes_up_as_it_is() {
    assert_eq!(ending(json!({}), request()), Ending::Admitted(vec![]));
}

#[test]
fn tls_is_asked_for_as_the_policy_says() {
    let plain = {
        let mut head = request();
        head.connection.tls = false;
        head
    };
    let mutual = {
        let mut head = request();
        head.connection.mutual_tls = true;
        head
    };
    let forwarded = with(&plain, "x-forwarded-proto", b"https");
    let cases = [
        ("required", request(), true),
        ("required", plain.clone(), false),
        ("required", forwarded.clone(), false),
        ("optional", plain.clone(), true),
        ("forwarded", request(), true),
        ("forwarded", forwarded, true),
        ("forwarded", with(&plain, "x-forwarded-proto", b"wss"), true),
        ("forwarded", with(&plain, "x-forwarded-proto", b"WSS"), true),
        ("forwarded", with(&plain, "x-forwarded-proto", b"HTTPS"), true),
        ("forwarded", with(&plain, "x-forwarded-proto", b"ws"), false),
        ("forwarded", with(&plain, "x-forwarded-proto", b"wss,ws"), false),
        ("forwarded", with(&plain, "x-forwarded-proto", b"http"), false),
        ("forwarded", plain, false),
        ("mutual", request(), false),
        ("mutual", mutual, true),
    ];
    for (i, (tls, head, passes)) in cases.into_iter().enumerate() {
        let expected =
            if passes { Ending::Admitted(vec![]) } else { Ending::Refused(Reason::TlsRequired, vec![]) };
        assert_eq!(ending(json!({"tls": tls}), head), expected, "case {i}: {tls}");
    }
}

#[test]
fn the_first_refusal_in_the_order_of_the_language_wins() {
    // The request is wrong in everything at once; each step mends the rule that has just refused.
    let policy = with_auth(json!({"require": [{"claim": "scope", "contains": "admin"}]}));
    let mut policy = policy;
    policy["subprotocols"] = json!({"allow": ["chat.v2"], "require": true});
    let engine = engine(policy);
    let mut head = with(&with(&request(), "origin", b"https://evil.example"), "sec-websocket-key", b"short");
    head.connection.tls = false;
    let empty = Outcome::Charged(Charged::Wait(Duration::from_secs(1)));
    let refused = |head: &RequestHead, outcome| match run(&engine, head.clone(), outcome).0 {
        Ending::Refused(reason, _) => reason,
        Ending::Admitted(_) => panic!("admitted"),
    };
    assert_eq!(refused(&head, empty), Reason::TlsRequired);
    head.connection.tls = true;
    assert_eq!(refused(&head, empty), Reason::MalformedHandshake);
    head = with(&head, "sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(refused(&head, empty), Reason::HandshakeRate);
    assert_eq!(refused(&head, TAKEN), Reason::OriginDenied);
    head = without(&head, "origin");
    assert_eq!(refused(&head, TAKEN), Reason::OriginMissing);
    head = with(&head, "origin", b"https://app.example.com");
    assert_eq!(refused(&head, TAKEN), Reason::SubprotocolDenied);
    head = with(&head, "sec-websocket-protocol", b"chat.v2");
    assert_eq!(refused(&head, TAKEN), Reason::TokenMissing);
    let expired = json!({"iss": "edge", "aud": "chat", "exp": START.as_secs() - 60});
    head = with(&head, "cookie", &[b"ws_token=", &token(&expired)[..]].concat());
    assert_eq!(refused(&head, TAKEN), Reason::TokenExpired);
    head = with(&head, "cookie", &[b"ws_token=", &token(&good_claims())[..]].concat());
    assert_eq!(refused(&head, TAKEN), Reason::ClaimsDenied);
}

#[test]
fn a_token_is_taken_out_of_every_carrier_whether_it_passes_or_not() {
    let carriers: [(&str, fn(&[u8]) -> RequestHead, HeaderEdit); 4] = [
        ("header", |t| with(&request(), "authorization", &[b"Bearer ", t].concat()), remove("authorization")),
        (
            "subprotocol",
            |t| with(&request(), "sec-websocket-protocol", &[b"mqtt, bearer.", t].concat()),
            set("sec-websocket-protocol", b"mqtt"),
        ),
        (
            "query",
            |t| with(&request(), ":path", &[b"/chat?a=1&access_token=", t].concat()),
            set(":path", b"/chat?a=1"),
        ),
        ("cookie", |t| with(&request(), "cookie", &[b"a=1; ws_token=", t].concat()), set("cookie", b"a=1")),
    ];
    let forged = crate::testing::token("another secret of thirty-two bytes or more", &good_claims());
    for (name, carry, edit) in carriers {
        let head = carry(&token(&good_claims()));
        assert_eq!(
            ending(with_auth(json!({})), head.clone()),
            Ending::Admitted(vec![edit.clone()]),
            "{name}"
        );
        assert_eq!(ending(with_auth(json!({"keep_token": true})), head), Ending::Admitted(vec![]), "{name}");
        let refused = Ending::Refused(Reason::TokenInvalid, vec![edit.clone()]);
        assert_eq!(ending(with_auth(json!({})), carry(&forged)), refused, "{name}");
        let evil = with(&carry(&token(&good_claims())), "origin", b"https://evil.example");
        let refused = Ending::Refused(Reason::OriginDenied, vec![edit]);
        assert_eq!(ending(with_auth(json!({})), evil), refused, "{name}");
    }
}

#[test]
fn two_tokens_are_one_too_many() {
    let good = token(&good_claims());
    let head = with(&request(), "authorization", &[b"Bearer ", &good[..]].concat());
    let head = with(&head, "cookie", &[b"ws_token=", &good[..]].concat());
    let edits = vec![remove("authorization"), remove("cookie")];
    assert_eq!(ending(with_auth(json!({})), head), Ending::Refused(Reason::TokenAmbiguous, edits));
}

#[test]
fn claims_go_up_in_headers_and_a_clients_own_never_do() {
    let policy = with_auth(json!({"forward": {"x-user-id": "sub", "x-user-tier": "/realm/tier"}}));
    let head = with(&request(), "authorization", &[b"Bearer ", &token(&good_claims())[..]].concat());
    let spoofed = ["X_User-Id", "x.user.id", "x~user!id", "x-user-tier"];
    let head = spoofed.iter().fold(head, |head, name| with(&head, name, b"mallory"));
    let Ending::Admitted(edits) = ending(policy.clone(), head) else { panic!("refused") };
    let fields = spoofed.map(|name| (name.to_ascii_lowercase(), b"mallory".to_vec()));
    let fields = Headers::new(&fields).edited(&edits);
    assert_eq!(fields, [("x-user-id".to_owned(), b"alice".to_vec())]);

    let plain = with(&without(&request(), "upgrade"), "x-user-id", b"mallory");
    assert_eq!(ending(policy, plain), Ending::Admitted(vec![remove("x-user-id")]));
}

#[test]
fn extension_offers_go_up_as_the_policy_says() {
    const FIELD: &str = "sec-websocket-extensions";
    let offered = |value: &[u8]| with(&with(&request(), FIELD, value), "origin", b"https://app.example.com");
    let cases: [(&[u8], Option<HeaderEdit>); 4] = [
        (b"permessage-deflate; client_max_window_bits", None),
        (b"permessage-deflate, foo", Some(set(FIELD, b"permessage-deflate"))),
        (b"foo", Some(remove(FIELD))),
        (b"permessage-deflate; server_max_window_bits=16", Some(remove(FIELD))),
    ];
    for (value, edit) in cases {
        for multiplexed in [false, true] {
            let mut head = offered(value);
            if multiplexed {
                head.connection.protocol = Protocol::Multiplexed;
            }
            let stripped = ending(json!({}), head.clone());
            let Ending::Admitted(edits) = stripped else { panic!("{stripped:?}") };
            assert!(edits.contains(&remove(FIELD)), "{edits:?}");
            for word in ["pass", "inspect"] {
                let passed = ending(json!({"compression": word}), head.clone());
                let Ending::Admitted(edits) = passed else { panic!("{passed:?}") };
                assert_eq!(edits.into_iter().find(|edit| edit.name() == FIELD), edit, "{word}");
            }
        }
    }
}

#[test]
fn offers_that_break_the_grammar_are_malformed_unless_they_are_taken_out() {
    let head = with(&request(), "sec-websocket-extensions", b"permessage-deflate;");
    assert_eq!(ending(json!({}), head.clone()), Ending::Admitted(vec![remove("sec-websocket-extensions")]));
    let head = with(&head, "origin", b"https://evil.example");
    for word in ["pass", "inspect"] {
        // The answer belongs to the shape of the handshake, which is judged before the origin.
        let refused = ending(json!({"compression": word}), head.clone());
        assert_eq!(refused, Ending::Refused(Reason::MalformedHandshake, vec![]), "{word}");
    }
}

#[test]
fn subprotocols_that_are_not_allowed_do_not_go_up() {
    let head = with(&request(), "sec-websocket-protocol", b"soap, chat.v2");
    let policy = json!({"subprotocols": {"allow": ["chat.v2"]}});
    assert_eq!(ending(policy, head), Ending::Admitted(vec![set("sec-websocket-protocol", b"chat.v2")]));
}

#[test]
fn a_token_left_in_is_not_judged_as_a_subprotocol() {
    let offer = [b"chat.v2, bearer.", &token(&good_claims())[..]].concat();
    let mut policy = with_auth(json!({"keep_token": true}));
    policy["subprotocols"] = json!({"allow": ["chat.v2"]});
    assert_eq!(ending(policy, with(&request(), "sec-websocket-protocol", &offer)), Ending::Admitted(vec![]));
}

#[test]
fn an_extended_connect_gets_a_fresh_key() {
    let mut head = without(&request(), "sec-websocket-key");
    head.connection.protocol = Protocol::Multiplexed;
    assert_eq!(
        ending(json!({}), head),
        Ending::Admitted(vec![set("sec-websocket-key", b"BwcHBwcHBwcHBwcHBwcHBw==")])
    );
}

#[test]
fn an_address_has_one_bucket_however_it_is_written() {
    let engine = engine(json!({"rates": [{"count": "handshakes", "per": "ip", "limit": 5, "window": "1m"}]}));
    let key = |address: Option<&str>| {
        let mut head = request();
        head.connection.client = address.map(|address| address.parse().unwrap());
        run(&engine, head, TAKEN).1.first().map(|charge| charge.key)
    };
    assert_eq!(key(Some("198.51.100.7")), key(Some("::ffff:198.51.100.7")));
    assert_ne!(key(Some("198.51.100.7")), key(Some("198.51.100.8")));
    assert_eq!(key(Some("2001:db8::1")), key(Some("2001:db8:0:0:ffff::2")), "one network of 64 bits");
    assert_ne!(key(Some("2001:db8::1")), key(Some("2001:db8:0:1::1")));
    assert!(key(None).is_some(), "a peer without an address is counted too");
}

#[test]
fn every_handshake_is_charged_by_address_and_only_sound_ones_by_user() {
    let rule = |per: &str| json!({"count": "handshakes", "per": per, "limit": 5, "window": "1m"});
    let mut policy = with_auth(json!({}));
    policy["rates"] = json!([rule("user"), rule("policy"), rule("ip")]);
    let engine = engine(policy);
    let good = with(&request(), "authorization", &[b"Bearer ", &token(&good_claims())[..]].concat());
    let charges = |head: RequestHead, outcome| run(&engine, head, outcome).1.len();
    assert_eq!(charges(good.clone(), TAKEN), 3);
    assert_eq!(charges(request(), TAKEN), 2, "no token, no user");
    assert_eq!(charges(with(&good, "sec-websocket-key", b"short"), TAKEN), 2, "malformed");
    let empty = Outcome::Charged(Charged::Wait(Duration::from_secs(1)));
    assert_eq!(charges(good.clone(), empty), 1, "an address over its rate does not empty the bucket of all");
    assert_eq!(charges(good, Outcome::Full), 1);
}

#[test]
fn a_bucket_without_room_refuses() {
    let engine = engine(json!({}));
    assert_eq!(run(&engine, request(), Outcome::Full).0, Ending::Refused(Reason::HandshakeRate, vec![]));
}

#[test]
fn subjects_of_two_issuers_do_not_share_a_bucket() {
    let provider = |issuer: &str| json!({"issuer": issuer, "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"inline": SECRET}});
    let engine = compile(json!({
        "providers": {"a": provider("a"), "b": provider("b")},
        "policies": {"chat": {
            "origins": {"allow": ["https://app.example.com"]},
            "auth": {"providers": ["a", "b"], "from": [{"header": "authorization"}]},
            "rates": [{"count": "handshakes", "per": "user", "limit": 5, "window": "1m"}],
        }},
        "default_policy": "chat",
    }));
    let key = |claims: Value| {
        let head = with(&request(), "authorization", &[b"Bearer ", &token(&claims)[..]].concat());
        run(&engine, head, TAKEN).1.first().map(|charge| charge.key).unwrap()
    };
    let of =
        |issuer: &str| json!({"iss": issuer, "aud": "chat", "sub": "alice", "exp": START.as_secs() + 60});
    assert_eq!(key(of("a")), key(of("a")));
    assert_ne!(key(of("a")), key(of("b")));
    let nameless = json!({"iss": "a", "aud": "chat", "exp": START.as_secs() + 60});
    assert_ne!(key(nameless), key(of("a")), "without a subject the address counts");
}

#[test]
fn users_of_two_providers_of_one_issuer_do_not_share_a_bucket() {
    let provider = |algorithm: &str| json!({"issuer": "a", "audiences": ["chat"], "algorithms": [algorithm], "secret": {"inline": SECRET}});
    let engine = compile(json!({
        "providers": {"short": provider("HS256"), "long": provider("HS512")},
        "policies": {"chat": {
            "origins": {"allow": ["https://app.example.com"]},
            "auth": {"providers": ["short", "long"], "from": [{"header": "authorization"}]},
            "rates": [{"count": "handshakes", "per": "user", "limit": 5, "window": "1m"}],
        }},
        "default_policy": "chat",
    }));
    let key = |algorithm| {
        let claims = json!({"iss": "a", "aud": "chat", "sub": "alice", "exp": START.as_secs() + 60});
        let secret = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        let header = json!({ "alg": algorithm }).to_string();
        let token = minting::sign(&header, &claims.to_string(), &secret, algorithm);
        let head = with(&request(), "authorization", format!("Bearer {token}").as_bytes());
        run(&engine, head, TAKEN).1.first().map(|charge| charge.key).unwrap()
    };
    assert_eq!(key(Algorithm::HS256), key(Algorithm::HS256));
    assert_ne!(key(Algorithm::HS256), key(Algorithm::HS512));
}

#[test]
fn the_claim_that_the_provider_names_says_who_the_user_is() {
    let provider = |issuer: &str, subject: &str| {
        json!({
            "issuer": issuer, "audiences": ["chat"], "subject": subject, "algorithms": ["HS256"],
            "secret": {"inline": SECRET},
        })
    };
    let engine = compile(json!({
        "providers": {"a": provider("a", "uid"), "b": provider("b", "/user/id")},
        "policies": {"chat": {
            "origins": {"allow": ["https://app.example.com"]},
            "auth": {"providers": ["a", "b"], "from": [{"header": "authorization"}]},
            "rates": [{"count": "handshakes", "per": "user", "limit": 5, "window": "1m"}],
        }},
        "default_policy": "chat",
    }));
    let key = |issuer: &str, more: Value| {
        let mut claims = json!({"iss": issuer, "aud": "chat", "exp": START.as_secs() + 60});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let head = with(&request(), "authorization", &[b"Bearer ", &token(&claims)[..]].concat());
        run(&engine, head, TAKEN).1.first().map(|charge| charge.key).unwrap()
    };
    let alice = key("a", json!({"uid": "alice", "sub": "1"}));
    assert_eq!(alice, key("a", json!({"uid": "alice", "sub": "2"})));
    assert_ne!(alice, key("a", json!({"uid": "bob", "sub": "1"})));
    assert_eq!(
        key("b", json!({"user": {"id": "alice"}})),
        key("b", json!({"user": {"id": "alice"}, "sub": "x"}))
    );
    assert_ne!(alice, key("b", json!({"user": {"id": "alice"}})));
    let nobody = key("a", json!({}));
    assert_eq!(nobody, key("a", json!({"sub": "alice"})), "without the claim the address counts");
    assert_eq!(nobody, key("b", json!({"sub": "alice", "uid": "alice"})));
    assert_ne!(nobody, alice);
}

#[test]
fn header_bytes_that_are_no_text_are_refused_and_never_read_as_text() {
    let junk = b"\xff\xfe\x80";
    let policy = || {
        let mut policy = with_auth(json!({}));
        policy["subprotocols"] = json!({"allow": ["chat.v2"]});
        policy
    };
    for name in [
        ":method",
        ":authority",
        "upgrade",
        "connection",
        "sec-websocket-key",
        "sec-websocket-version",
        "origin",
        "sec-websocket-protocol",
        "authorization",
    ] {
        let ended = ending(policy(), with(&request(), name, junk));
        assert!(matches!(ended, Ending::Refused(..)), "{name}: {ended:?}");
    }
    for name in ["cookie", "x-forwarded-proto", "x-request-id", "sec-websocket-extensions"] {
        let ended = ending(json!({}), with(&request(), name, junk));
        assert!(matches!(ended, Ending::Admitted(_)), "{name}: {ended:?}");
    }
}

#[test]
fn the_address_of_a_user_without_a_subject_is_not_charged_twice() {
    let rule = |per: &str| json!({"count": "handshakes", "per": per, "limit": 5, "window": "1m"});
    let mut policy = with_auth(json!({}));
    policy["rates"] = json!([rule("ip"), rule("user")]);
    let nameless = json!({"iss": "edge", "aud": "chat", "exp": START.as_secs() + 60});
    let head = with(&request(), "authorization", &[b"Bearer ", &token(&nameless)[..]].concat());
    let charges = run(&engine(policy), head, TAKEN).1;
    assert_eq!(charges.len(), 2);
    assert_ne!(charges[0].key, charges[1].key);
}

#[test]
fn a_user_whose_claims_are_not_enough_is_counted() {
    let mut policy = with_auth(json!({"require": [{"claim": "scope", "contains": "admin"}]}));
    policy["rates"] = json!([{"count": "handshakes", "per": "user", "limit": 5, "window": "1m"}]);
    let head = with(&request(), "authorization", &[b"Bearer ", &token(&good_claims())[..]].concat());
    let (ending, charges) = run(&engine(policy), head, TAKEN);
    assert_eq!(
        (ending, charges.len()),
        (Ending::Refused(Reason::ClaimsDenied, vec![remove("authorization")]), 1)
    );
}

#[test]
fn a_token_cannot_hide_in_another_spelling_of_its_header() {
    let policy = with_auth(json!({"from": [{"header": "x-access-token"}]}));
    let head = with(&request(), "x-access-token", &token(&good_claims()));
    let edits = vec![remove("x-access-token")];
    assert_eq!(ending(policy.clone(), head.clone()), Ending::Admitted(edits));
    let edits = vec![remove("x_access_token"), remove("x-access-token")];
    let refused = Ending::Refused(Reason::TokenAmbiguous, edits);
    assert_eq!(ending(policy.clone(), with(&head, "x_access_token", b"forged")), refused);
    let edits = vec![remove("x.access~token"), remove("x-access-token")];
    let refused = Ending::Refused(Reason::TokenAmbiguous, edits);
    assert_eq!(ending(policy, with(&head, "x.access~token", b"forged")), refused);
}

#[test]
fn a_client_cannot_have_the_next_hop_remove_its_claims() {
    let policy = with_auth(json!({"forward": {"x-user-id": "sub"}}));
    let head = with(&request(), "authorization", &[b"Bearer ", &token(&good_claims())[..]].concat());
    let head = with(&head, "connection", b"Upgrade, X_User-Id");
    let Ending::Admitted(edits) = ending(policy, head) else { panic!("refused") };
    assert!(edits.contains(&set("connection", b"Upgrade")), "{edits:?}");
}

#[test]
fn no_debug_output_shows_a_token() {
    let head = with(&request(), "authorization", b"Bearer tell-nobody");
    assert!(!format!("{head:?}").contains("tell-nobody"));
    assert!(!format!("{:?}", set("cookie", b"tell-nobody")).contains("tell-nobody"));
    let Selection::Judge(mut session) = engine(with_auth(json!({}))).select(&head, &RouteFacts::default())
    else {
        panic!("not judged");
    };
    session.handle(Input::Request(head), &mut Tables::default(), START);
    assert!(!format!("{session:?}").contains("tell-nobody"));
}

#[test]
fn messages_are_understood_alone_where_any_tier_may_take_some_out() {
    const OFFER: &[u8] = b"permessage-deflate";
    let auth = json!({"providers": ["edge"], "from": [{"header": "authorization"}]});
    let tier = |keys: Value| {
        let mut tier = json!({"require": [{"claim": "plan", "one_of": ["pro"]}]});
        tier.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        tier
    };
    let rates =
        json!([{"count": "messages", "per": "connection", "limit": 1, "window": "1m", "on_exceed": "drop"}]);
    // What a tier has, and whether the messages of the service and those of the client must be understood alone.
    for (keys, upstream, client) in [
        (json!({}), false, false),
        (json!({"backpressure": {"max_backlog_bytes": 1000, "on_exceed": "drop"}}), true, false),
        (json!({"upstream_messages": {"max_json_depth": 1, "on_violation": "drop"}}), true, false),
        (json!({"messages": {"max_json_depth": 1, "on_violation": "drop"}}), false, true),
        (json!({ "rates": rates }), false, true),
    ] {
        for claims in [json!({}), json!({"plan": "pro"})] {
            let mut payload = good_claims();
            payload.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
            let bearer = [b"Bearer ".as_slice(), &token(&payload)].concat();
            let head = with(&with(&request(), "authorization", &bearer), "sec-websocket-extensions", OFFER);
            let tiers = json!([tier(json!({})), tier(keys.clone())]);
            let engine = engine(json!({"auth": auth, "compression": "inspect", "tiers": tiers}));
            let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else {
                panic!()
            };
            session.handle(Input::Request(head), &mut Tables::default(), START);
            let outputs: Vec<Output> = std::iter::from_fn(|| session.poll_output()).collect();
            let [.., Output::Admit(edits)] = &outputs[..] else { panic!("{outputs:?}") };
            let offer = edits.iter().find(|edit| edit.name() == "sec-websocket-extensions");
            let alone = set("sec-websocket-extensions", b"permessage-deflate; server_no_context_takeover");
            assert_eq!(offer, upstream.then_some(&alone), "{keys}");
            let answer = if upstream {
                "permessage-deflate; server_no_context_takeover"
            } else {
                "permessage-deflate"
            };
            let mut fields = crate::testing::agreement();
            fields.push(("sec-websocket-extensions".to_owned(), answer.as_bytes().to_vec()));
            session.handle(Input::Response(fields), &mut Tables::default(), START);
            let outputs: Vec<Output> = std::iter::from_fn(|| session.poll_output()).collect();
            let [Output::AdmitResponse(edits), ..] = &outputs[..] else { panic!("{outputs:?}") };
            let told = format!("{answer}; client_no_context_takeover");
            let expected = set("sec-websocket-extensions", told.as_bytes());
            assert_eq!(edits.first(), client.then_some(&expected), "{keys}");
        }
    }
}
