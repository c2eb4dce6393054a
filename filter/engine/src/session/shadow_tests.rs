//! Rules in shadow: each is judged and told like any other, and nothing comes of it.

use crate::http::request::RequestHead;
use serde_json::{Value, json};

use super::compression_tests::{self, Deflater};
use super::tests::{START, Trial};
use super::*;
use crate::auth::single_use::Spent;
use crate::rate::{Charged, Outcome};
use crate::testing::{SECRET, Tables, from_client, from_upstream, request, with, without};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const OPEN_TEXT: u8 = 0x01;
const MORE: u8 = 0x00;
const END: u8 = 0x80;

/// A way to break one rule.
#[derive(Clone)]
struct Breach {
    rule: &'static str,
    reason: &'static str,
    /// The keys of the policy that set the rule.
    policy: Value,
    act: Act,
}

/// The thing that breaks a rule.
#[derive(Clone)]
enum Act {
    /// A request that differs from the sound one.
    Request(fn(&RequestHead) -> RequestHead),
    /// Tables that say that something is used up.
    Tables(fn(&mut Tables)),
    /// Bytes of an open connection.
    Bytes(Peer, Vec<u8>),
    /// Seconds that pass.
    Seconds(u64),
}

fn breach(rule: &'static str, reason: &'static str, policy: Value, act: Act) -> Breach {
    Breach { rule, reason, policy, act }
}

fn no_tokens(tables: &mut Tables) {
    tables.charge = Box::new(|_, _| Outcome::Charged(Charged::Wait(Duration::from_secs(1))));
}

/// Everybody who is counted has as many live connections as may be.
fn all_full(tables: &mut Tables) {
    tables.live_by_default = 9;
}

/// The breaches by a handshake.
fn of_handshakes() -> Vec<Breach> {
    let caps = |key: &str| json!({"connections": {key: 9}});
    vec![
        breach(
            "origins",
            "origin_denied",
            json!({}),
            Act::Request(|head| with(head, "origin", b"https://evil.example")),
        ),
        breach("origins", "origin_missing", json!({}), Act::Request(|head| without(head, "origin"))),
        breach(
            "subprotocols",
            "subprotocol_denied",
            json!({"subprotocols": {"allow": ["chat.v2"]}}),
            Act::Request(|head| with(head, "sec-websocket-protocol", b"soap")),
        ),
        breach(
            "csrf",
            "csrf_missing",
            json!({"csrf": {"secret": {"inline": SECRET}, "session_cookie": "sid", "from": {"query": "csrf"}}}),
            Act::Request(RequestHead::clone),
        ),
        breach(
            "auth.require[1]",
            "claims_denied",
            json!({"auth": {"require": [{"claim": "sub", "one_of": ["alice"]}, {"claim": "plan", "one_of": ["pro"]}]}}),
            Act::Request(RequestHead::clone),
        ),
        breach(
            "auth.single_use",
            "token_replayed",
            json!({"auth": {"single_use": true}}),
            Act::Tables(|tables| tables.spent = Spent::Again),
        ),
        breach(
            "rates[0]",
            "handshake_rate",
            json!({"rates": [{"count": "handshakes", "per": "ip", "limit": 1, "window": "1s"}]}),
            Act::Tables(no_tokens),
        ),
        breach(
            "rates[0]",
            "refusal_rate",
            json!({"rates": [{"count": "refusals", "per": "ip", "limit": 1, "window": "1s"}]}),
            Act::Tables(|tables| tables.look = Box::new(|_| Outcome::Charged(Charged::Wait(Duration::ZERO)))),
        ),
        breach("connections.per_ip", "connection_limit", caps("per_ip"), Act::Tables(all_full)),
        breach("connections.per_user", "connection_limit", caps("per_user"), Act::Tables(all_full)),
        breach("connections.per_policy", "connection_limit", caps("per_policy"), Act::Tables(all_full)),
    ]
}

fn fragments(count: usize, payload: &str) -> Vec<u8> {
    let inner = (1..count - 1).flat_map(|_| from_client(MORE, b" "));
    let (first, last) = payload.split_at(payload.len() / 2);
    from_client(OPEN_TEXT, first.as_bytes())
        .into_iter()
        .chain(inner)
        .chain(from_client(END, last.as_bytes()))
        .collect()
}

fn text_of(len: usize) -> String {
    format!("\"{}\"", "a".repeat(len - 2))
}

/// The breaches on an open connection.
fn of_connections() -> Vec<Breach> {
    let client = |rules: Value| json!({ "messages": rules });
    let upstream = |rules: Value| json!({ "upstream_messages": rules });
    let sent = |bytes: Vec<u8>| Act::Bytes(Peer::Client, bytes);
    let text = |text: &str| Act::Bytes(Peer::Client, from_client(TEXT, text.as_bytes()));
    let told = |text: &str| Act::Bytes(Peer::Upstream, from_upstream(TEXT, text.as_bytes()));
    let not_seven = json!({"schema": {"not": {"const": 7}}});
    let many = (0..21).flat_map(|_| from_client(TEXT, b"1")).collect();
    vec![
        breach(
            "messages.tunnels",
            "tunnel_detected",
            client(json!({})),
            sent(from_client(BINARY, b"SSH-2.0-OpenSSH_9.6\r\n")),
        ),
        breach(
            "messages.types",
            "type_denied",
            client(json!({"types": ["text"]})),
            sent(from_client(BINARY, b"1")),
        ),
        breach(
            "messages.max_frame_bytes",
            "frame_too_big",
            client(json!({"max_frame_bytes": 100})),
            text(&text_of(101)),
        ),
        breach(
            "messages.max_message_bytes",
            "message_too_big",
            client(json!({"max_frame_bytes": 100, "max_message_bytes": 150})),
            sent(fragments(2, &text_of(160))),
        ),
        breach(
            "messages.max_fragments",
            "too_many_fragments",
            client(json!({"max_fragments": 3})),
            sent(fragments(4, "\"ab\"")),
        ),
        breach("messages.utf8", "invalid_utf8", client(json!({})), sent(from_client(TEXT, b"\"\xff\""))),
        breach("messages.schema", "schema_violation", client(not_seven.clone()), text("7")),
        breach(
            "messages.allow[0]",
            "claims_denied",
            client(
                json!({"allow": [{"when": {"/type": "kick"}, "require": [{"claim": "role", "one_of": ["x"]}]}]}),
            ),
            text(r#"{"type": "kick"}"#),
        ),
        breach(
            "messages.max_json_depth",
            "json_too_deep",
            client(json!({"max_json_depth": 2})),
            text("[[[1]]]"),
        ),
        breach(
            "rates[0]",
            "message_rate",
            json!({"rates": [{"count": "messages", "per": "connection", "limit": 20, "window": "1h"}]}),
            sent(many),
        ),
        breach(
            "upstream_messages.max_frame_bytes",
            "frame_too_big",
            upstream(json!({"max_frame_bytes": 100})),
            told(&text_of(101)),
        ),
        breach(
            "upstream_messages.utf8",
            "invalid_utf8",
            upstream(json!({"utf8": true})),
            Act::Bytes(Peer::Upstream, from_upstream(TEXT, b"\"\xff\"")),
        ),
        breach("upstream_messages.schema", "schema_violation", upstream(not_seven), told("7")),
        breach(
            "upstream_messages.max_json_depth",
            "json_too_deep",
            upstream(json!({"max_json_depth": 2})),
            told("[[[1]]]"),
        ),
        breach(
            "backpressure",
            "backlog_exceeded",
            json!({"backpressure": {"max_backlog_bytes": 1000}}),
            told(&text_of(1001)),
        ),
        breach(
            "auth.max_session",
            "session_limit",
            json!({"auth": {"max_session": "10s"}}),
            Act::Seconds(11),
        ),
        breach(
            "auth.expiry",
            "token_expired",
            json!({"auth": {"expiry_grace": "0s"}, "liveness": {"idle_timeout": "1h", "ping_interval": "none"}}),
            Act::Seconds(60 + 31),
        ),
    ]
}

/// Lays the keys of one policy over those of another.
fn over(beneath: &Value, keys: &Value) -> Value {
    match (beneath, keys) {
        (Value::Object(beneath), Value::Object(keys)) => {
            let mut all = beneath.clone();
            for (key, value) in keys {
                let below = beneath.get(key).unwrap_or(&Value::Null);
                all.insert(key.clone(), over(below, value));
            }
            Value::Object(all)
        }
        (_, keys) => keys.clone(),
    }
}

/// The outcome of a trial: what was told, in order, and whether all bytes went on as they came.
#[derive(Debug, PartialEq, Eq)]
struct Outcomes {
    told: Vec<String>,
    passed: bool,
}

fn played(policy: &Value, acts: &[&Act]) -> Outcomes {
    let auth = json!({"auth": {"providers": ["edge"], "from": [{"header": "authorization"}]}, "rates": []});
    let claims = json!({
        "iss": "edge", "aud": "chat", "sub": "alice", "jti": "1", "exp": START.as_secs() + 60,
    });
    let bearer = [b"Bearer ".as_slice(), &crate::testing::token(SECRET, &claims)].concat();
    let mut head = with(&request(), "authorization", &bearer);
    let mut tables = Tables::default();
    for act in acts {
        match act {
            Act::Request(change) => head = change(&head),
            Act::Tables(change) => change(&mut tables),
            Act::Bytes(..) | Act::Seconds(_) => {}
        }
    }
    if policy["auth"]["from"][0]["first_message"].is_string() {
        head = without(&head, "authorization");
    }
    let mut trial = Trial::with_tables(over(&auth, policy), head, tables);
    let is_admitted = trial.outputs.iter().any(|output| matches!(output, Output::Admit(_)));
    if policy["mode"] == "shadow" {
        assert_eq!(trial.outputs.first(), Some(&Output::Admit(Vec::new())), "no header is changed");
    }
    let (mut passed, mut now) = (is_admitted, START);
    if is_admitted {
        trial.agree_at(START);
        for act in acts {
            match act {
                Act::Bytes(sender, bytes) => {
                    for size in [bytes.len(), 1] {
                        let on = bytes.chunks(size).flat_map(|chunk| trial.bytes(*sender, chunk, now));
                        passed &= on.collect::<Vec<u8>>() == *bytes;
                    }
                }
                Act::Seconds(seconds) => {
                    now += Duration::from_secs(*seconds);
                    trial.session.note_time(now);
                    trial.input(Input::Timer, now);
                }
                Act::Request(_) | Act::Tables(_) => {}
            }
        }
        // What is sound passes before and after.
        for (sender, sound) in
            [(Peer::Client, from_client(TEXT, b"1")), (Peer::Upstream, from_upstream(TEXT, b"1"))]
        {
            passed &= trial.bytes(sender, &sound, now) == sound;
        }
    }
    let told = trial.outputs.iter().filter_map(|output| match output {
        Output::Tell(Event::Found { violation, .. }) => Some(("found", violation)),
        Output::Tell(Event::Closed { violation, .. }) => Some(("closed", violation)),
        Output::Tell(Event::Refused { violation, .. }) => Some(("refused", violation)),
        _ => None,
    });
    let told = told.map(|(what, violation)| format!("{what} {} {}", violation.rule, violation.reason.id()));
    Outcomes { told: told.collect(), passed }
}

fn shadowing(policy: &Value, rules: &[&str]) -> Value {
    over(policy, &json!({ "shadow": rules }))
}

#[test]
fn a_rule_in_shadow_is_told_once_with_its_reason_and_lets_everything_through() {
    for (ends, breaches) in [("refused", of_handshakes()), ("closed", of_connections())] {
        for Breach { rule, reason, policy, act } in breaches {
            let enforced = played(&policy, &[&act]);
            let expected = vec![format!("{ends} {rule} {reason}")];
            assert_eq!(enforced, Outcomes { told: expected, passed: false }, "{rule} is enforced");
            let told = vec![format!("found {rule} {reason}")];
            for shadow in [rule, rule.split(['.', '[']).next().unwrap()] {
                if matches!(shadow, "auth" | "tls") {
                    continue;
                }
                let shadowed = played(&shadowing(&policy, &[shadow]), &[&act, &act]);
                assert_eq!(shadowed, Outcomes { told: told.clone(), passed: true }, "{rule}, by `{shadow}`");
            }
        }
    }
}

#[test]
fn beside_a_rule_in_shadow_the_others_are_enforced_in_every_order() {
    let mut pairs = 0;
    for (ends, breaches) in [("refused", of_handshakes()), ("closed", of_connections())] {
        for (at, shadowed) in breaches.iter().enumerate() {
            for (_, enforced) in breaches.iter().enumerate().filter(|(other, _)| *other != at) {
                let policy = over(&shadowed.policy, &enforced.policy);
                let end = format!("{ends} {} {}", enforced.rule, enforced.reason);
                let found = format!("found {} {}", shadowed.rule, shadowed.reason);
                let breaks_one = |breach: &Breach| {
                    let outcomes = played(&policy, &[&breach.act]);
                    outcomes.told == [format!("{ends} {} {}", breach.rule, breach.reason)]
                };
                // Some breaches break both rules, or do so only while nothing was said before.
                if shadowed.rule == enforced.rule
                    || enforced.rule == "messages.tunnels"
                    || !breaks_one(shadowed)
                    || !breaks_one(enforced)
                    || played(&enforced.policy, &[&shadowed.act]).told != [""; 0]
                {
                    continue;
                }
                pairs += 1;
                // Steps of a handshake have an order of their own.
                let by_shadowed = format!("{ends} {} {}", shadowed.rule, shadowed.reason);
                let is_first = played(&policy, &[&shadowed.act, &enforced.act]).told == [by_shadowed];
                let both = played(&shadowing(&policy, &[shadowed.rule]), &[&shadowed.act, &enforced.act]);
                assert!(!both.passed && both.told.contains(&end), "{end} behind {found}: {both:?}");
                assert_eq!(both.told.contains(&found), is_first, "{found} before {end}: {both:?}");
                let policy = shadowing(&policy, &[shadowed.rule]);
                let first = played(&policy, &[&enforced.act, &shadowed.act]);
                assert!(!first.passed && first.told.contains(&end), "{end} before {found}: {first:?}");
            }
        }
    }
    assert!(pairs > 150, "{pairs}");
}

/// The breaches of rules that are never shadowed alone.
fn of_protocol_and_tokens() -> Vec<Breach> {
    let first_message = json!({"auth": {"from": [{"first_message": "/token"}]}});
    vec![
        breach("auth", "token_missing", json!({}), Act::Request(|head| without(head, "authorization"))),
        breach(
            "auth",
            "token_invalid",
            json!({}),
            Act::Request(|head| with(head, "authorization", b"Bearer e30.e30.e30")),
        ),
        breach(
            "tls",
            "tls_required",
            json!({}),
            Act::Request(|head| {
                let mut head = head.clone();
                head.connection.tls = false;
                head
            }),
        ),
        breach(
            "protocol",
            "version_unsupported",
            json!({}),
            Act::Request(|head| with(head, "sec-websocket-version", b"8")),
        ),
        breach(
            "protocol",
            "protocol_error",
            json!({}),
            Act::Bytes(Peer::Client, from_client(0xf1, b"a reserved bit")),
        ),
        breach(
            "auth",
            "token_missing",
            first_message.clone(),
            Act::Bytes(Peer::Client, from_client(TEXT, b"no token")),
        ),
        breach("auth.first_message_timeout", "auth_timeout", first_message, Act::Seconds(6)),
    ]
}

#[test]
fn a_policy_in_shadow_changes_nothing_and_tells_what_it_would_have_done() {
    let mut judged = 0;
    for (ends, breaches) in
        [("refused", of_handshakes()), ("closed", of_connections()), ("", of_protocol_and_tokens())]
    {
        for Breach { rule, reason, policy, act } in breaches {
            let enforced = played(&policy, &[&act]);
            assert!(!enforced.passed && enforced.told.len() == 1, "{rule} {reason} {ends}: {enforced:?}");
            let shadow = over(&policy, &json!({"mode": "shadow"}));
            let shadowed = played(&shadow, &[&act, &act]);
            assert!(shadowed.passed, "{rule}: {shadowed:?}");
            // What a client has not read is not known where it is not asked.
            if rule != "backpressure" {
                assert_eq!(shadowed.told, [format!("found {rule} {reason}")], "{rule}");
                judged += 1;
            }
        }
    }
    assert!(judged > 30, "{judged}");
}

/// Tells what was found so far, and forgets it.
fn found(trial: &mut Trial) -> Vec<String> {
    let told = trial.outputs.drain(..).filter_map(|output| match output {
        Output::Tell(Event::Found { violation, .. }) => {
            Some(format!("{} {}", violation.rule, violation.reason.id()))
        }
        Output::Tell(event) => Some(format!("{event:?}")),
        Output::Admit(edits) | Output::AdmitResponse(edits) => {
            assert_eq!(edits, [], "nothing is changed");
            None
        }
        other => panic!("a policy in shadow does {other:?}"),
    });
    told.collect()
}

fn in_shadow(changes: Value) -> Value {
    over(&changes, &json!({"mode": "shadow", "rates": []}))
}

#[test]
fn a_first_message_is_judged_in_shadow_and_nothing_waits_for_it() {
    let policy = in_shadow(json!({
        "auth": {"providers": ["edge"], "from": [{"first_message": "/token"}]},
        "messages": {"schema": {"type": "number"}},
    }));
    let claims = json!({"iss": "edge", "aud": "chat", "exp": START.as_secs() + 60});
    let token = String::from_utf8(crate::testing::token(SECRET, &claims)).unwrap();
    let first = from_client(TEXT, json!({ "token": token }).to_string().as_bytes());
    let greeting = from_upstream(TEXT, b"welcome");
    let bad = from_client(TEXT, b"\"no number\"");
    for size in [1, 7, first.len()] {
        let mut trial = Trial::open(policy.clone());
        for (sender, bytes) in [(Peer::Upstream, &greeting), (Peer::Client, &first), (Peer::Client, &bad)] {
            let passed: Vec<u8> =
                bytes.chunks(size).flat_map(|chunk| trial.bytes(sender, chunk, START)).collect();
            assert_eq!(passed, *bytes, "at once, and whole");
        }
        assert_eq!(found(&mut trial), ["messages.schema schema_violation"], "behind the first message");
    }
}

#[test]
fn messages_are_inflated_in_shadow_where_the_offer_would_have_been_stripped() {
    let policy = in_shadow(json!({"messages": {"schema": {"type": "number"}, "max_message_bytes": 1000}}));
    let mut deflater = Deflater::new();
    let sound = from_client(0xc1, &deflater.message(b"7"));
    let bad = from_client(0xc1, &deflater.message(b"\"seven\""));
    let mut trial = compression_tests::open(policy.clone(), b"permessage-deflate");
    assert_eq!(trial.client(&sound), sound);
    assert_eq!(found(&mut trial), [""; 0]);
    assert_eq!(trial.client(&bad), bad);
    assert_eq!(found(&mut trial), ["messages.schema schema_violation"]);
    // A bomb is not inflated to its end.
    let bomb = from_client(0xc1, &Deflater::new().message(&[b'7'; 1 << 20]));
    let mut trial = compression_tests::open(policy, b"permessage-deflate");
    let at_first = trial.session.held();
    assert_eq!(trial.client(&bomb), bomb);
    assert_eq!(found(&mut trial), ["messages.max_message_bytes message_too_big"]);
    assert_eq!(trial.client(&sound), sound);
    assert!(trial.session.held() <= at_first, "{} and {at_first} at first", trial.session.held());
}

#[test]
fn what_is_beyond_a_bound_in_shadow_is_not_held() {
    let policy = json!({
        "messages": {"max_frame_bytes": 1000, "max_message_bytes": 2000, "schema": {"type": "string"}},
        "upstream_messages": {"utf8": true, "max_frame_bytes": 1000, "max_message_bytes": 2000},
        "shadow": [
            "messages.max_frame_bytes", "messages.max_message_bytes",
            "upstream_messages.max_frame_bytes", "upstream_messages.max_message_bytes",
        ],
        "rates": [],
    });
    let mut trial = Trial::open(policy.clone());
    let mut most = 0;
    for (sender, first) in [
        (Peer::Client, from_client(TEXT, &[b'1'; 1 << 20])),
        (Peer::Upstream, from_upstream(TEXT, &[b'1'; 1 << 20])),
    ] {
        for chunk in first.chunks(10_000) {
            assert_eq!(trial.bytes(sender, chunk, START), chunk, "nothing waits for the end of the frame");
            most = most.max(trial.session.held());
        }
    }
    // Each fragment is small, and together they are too many.
    let fragment = [b'2'; 900];
    let mut sent = from_client(OPEN_TEXT, &fragment);
    sent.extend((0..100).flat_map(|_| from_client(MORE, &fragment)));
    sent.extend(from_client(END, &fragment));
    let mut passed = Vec::new();
    for chunk in sent.chunks(100) {
        passed.extend(trial.client(chunk));
        most = most.max(trial.session.held());
    }
    assert_eq!(passed, sent);
    assert!(most < 8192, "{most}");
    let tally = trial.session.take_tally();
    assert_eq!((tally.client.unjudged, tally.upstream.unjudged), (2, 1));
    // What can be held is judged as ever.
    let refused = from_client(TEXT, b"1");
    assert_ne!(trial.client(&refused), refused);
}

#[test]
fn a_first_message_is_held_to_its_bounds_whatever_is_in_shadow() {
    let mut trial = Trial::open(json!({
        "auth": {"providers": ["edge"], "from": [{"first_message": "/token"}]},
        "messages": {"max_frame_bytes": 100, "max_message_bytes": 100},
        "shadow": ["messages"],
    }));
    trial.client(&from_client(TEXT, &[b'1'; 200]));
    let ended = trial.outputs.iter().any(|output| {
        matches!(output, Output::Tell(Event::Closed { violation, .. }) if violation.reason == Reason::FrameTooBig)
    });
    assert!(ended, "{:?}", trial.outputs);
}

#[test]
fn a_policy_in_shadow_counts_no_pings_and_nobody_as_out_of_its_reach() {
    let mut trial = Trial::open(in_shadow(json!({"liveness": {"ping_interval": "none"}})));
    trial.upstream(&from_upstream(TEXT, b"1"));
    trial.client(&from_client(TEXT, b"1"));
    assert_eq!(trial.session.take_tally().heartbeats, crate::metrics::tally::Heartbeats::default());
    assert_eq!(trial.session.take_last_tally().heartbeats, crate::metrics::tally::Heartbeats::default());
}

#[test]
fn the_form_of_offers_that_would_be_taken_out_is_nothing_that_shadow_tells_of() {
    let head = with(&request(), "sec-websocket-extensions", b"permessage-deflate; =");
    for (compression, told) in [("strip", &[][..]), ("inspect", &["protocol malformed_handshake"])] {
        let mut trial = Trial::new(in_shadow(json!({ "compression": compression })), head.clone());
        assert_eq!(found(&mut trial), told, "{compression}");
    }
}
