//! What messages say: JSON, its depth, claims by message, and openings of other protocols.

use crate::http::headers::HeaderEdit;
use serde_json::{Value, json};

use super::compression_tests::{self, Deflater};
use super::tests::{START, Trial, close, masked_close};
use super::*;
use crate::testing::{SECRET, from_client, from_upstream, request, with};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const OPEN_TEXT: u8 = 0x01;
const MORE: u8 = 0x00;
const END: u8 = 0x80;
const PING: u8 = 0x89;
const COMPRESSED_TEXT: u8 = 0xc1;

/// The violation that ended the connection.
fn ended_by(trial: &Trial) -> Option<String> {
    trial.outputs.iter().find_map(|output| match output {
        Output::Tell(Event::Closed { violation, .. }) => {
            Some(format!("{} {violation}", violation.reason.id()))
        }
        _ => None,
    })
}

fn make(sender: Peer) -> fn(u8, &[u8]) -> Vec<u8> {
    match sender {
        Peer::Client => from_client,
        Peer::Upstream => from_upstream,
    }
}

/// The Close that the receiver of a refused message gets.
fn closing(sender: Peer, reason: Reason) -> Vec<u8> {
    match sender {
        Peer::Client => masked_close(reason),
        Peer::Upstream => close(reason),
    }
}

/// Every way in which a message may come: its bytes, and what is ahead of it and passes in any case.
fn ways(sender: Peer, message: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let make = make(sender);
    let (first, rest) = message.split_at(message.len() / 2);
    let drips = message
        .iter()
        .enumerate()
        .flat_map(|(at, byte)| make(if at == 0 { OPEN_TEXT } else { MORE }, std::slice::from_ref(byte)));
    let whole = make(TEXT, message);
    vec![
        ("whole", whole.clone()),
        ("in two fragments", [make(OPEN_TEXT, first), make(END, rest)].concat()),
        (
            "in fragments of a byte",
            if message.is_empty() { whole.clone() } else { drips.chain(make(END, b"")).collect() },
        ),
    ]
}

/// Sends `message` in every way, in pieces of some sizes, and says by what the connection ended. Nothing of one that is
/// refused goes on.
fn judged(changes: &Value, sender: Peer, message: &str, open: impl Fn(&Value) -> Trial) -> Option<String> {
    let mut verdicts = Vec::new();
    for (way, bytes) in ways(sender, message.as_bytes()) {
        for size in [1, 7, bytes.len()] {
            let mut trial = open(changes);
            let ping = make(sender)(PING, b"ahead");
            let passed: Vec<u8> = ping
                .chunks(size)
                .chain(bytes.chunks(size))
                .flat_map(|chunk| trial.bytes(sender, chunk, START))
                .collect();
            let (ahead, passed) = passed.split_at(ping.len());
            assert_eq!(ahead, ping, "{message} {way}: a Ping ahead passes");
            let verdict = ended_by(&trial);
            match &verdict {
                None => assert_eq!(passed, bytes, "{message} {way}, pieces of {size}"),
                Some(verdict) => {
                    let reason =
                        Reason::ALL.into_iter().find(|reason| verdict.starts_with(reason.id())).unwrap();
                    assert_eq!(
                        passed,
                        closing(sender, reason),
                        "{message} {way}, pieces of {size}: {verdict}"
                    );
                }
            }
            verdicts.push(verdict);
        }
    }
    verdicts.dedup();
    assert_eq!(verdicts.len(), 1, "{message}: {verdicts:?}");
    verdicts.pop().unwrap()
}

fn unlimited(key: &str, rules: Value) -> Value {
    let mut changes = json!({"rates": []});
    changes[key] = rules;
    changes
}

#[test]
fn text_is_read_as_json_that_everybody_reads_alike_in_both_directions() {
    for (sender, key, side) in
        [(Peer::Client, "messages", "client"), (Peer::Upstream, "upstream_messages", "upstream")]
    {
        let changes = unlimited(key, json!({"max_json_depth": 3}));
        let unreadable = |cause: &str| {
            Some(format!("schema_violation rule={key}.max_json_depth side={side} cause=\"{cause}\""))
        };
        for (message, expected) in [
            (r#"{"a": [{"b": 1}]}"#, None),
            ("17", None),
            (r#""a string""#, None),
            ("", unreadable("it is no JSON")),
            ("[1] 2", unreadable("it is no JSON")),
            ("1e999", unreadable("it is no JSON")),
            (r#"{"a": 1, "a": 1}"#, unreadable("a member occurs twice")),
            (r#""\ud800""#, unreadable("it is no JSON")),
            (
                r#"{"a": [{"b": []}]}"#,
                Some(format!(
                    "json_too_deep rule={key}.max_json_depth side={side} cause=\"it is nested deeper than 3\""
                )),
            ),
        ] {
            assert_eq!(
                judged(&changes, sender, message, |changes| Trial::open(changes.clone())),
                expected,
                "{message}"
            );
        }
    }
}

#[cfg(feature = "json-schema")]
#[test]
fn a_message_fits_the_schema_for_it_in_both_directions() {
    let schema = json!({"type": "object", "properties": {"n": {"maximum": 1}}, "required": ["n"]});
    let kinds = json!({"by": "/n", "each": {"a": {"required": ["b"]}, "c": true}});
    let any_kind = json!({"by": "/n", "each": {"a": {"required": ["b"]}}, "other": "allow"});
    let does_not_hold = |key: &str, at: &str| {
        Some(format!(
            "schema_violation rule=SIDE.{key} side=CLIENT cause=\"the schema's `{at}` does not hold\""
        ))
    };
    let no_kind = || {
        Some(
            "schema_violation rule=SIDE.schemas side=CLIENT cause=\"there is no schema for its kind\""
                .to_owned(),
        )
    };
    for (rules, message, refusal) in [
        (json!({"schema": schema}), r#"{"n": 1}"#, None),
        (json!({"schema": schema}), r#"{"n": 2}"#, does_not_hold("schema", "/properties/n/maximum")),
        (json!({"schema": schema}), "[]", does_not_hold("schema", "/type")),
        (json!({"schema": false}), "1", does_not_hold("schema", "")),
        (json!({"schema": "{\"type\": \"string\"}"}), r#""a""#, None),
        (json!({"schema": "{\"type\": \"string\"}"}), "1", does_not_hold("schema", "/type")),
        (json!({"schemas": kinds}), r#"{"n": "a", "b": 1}"#, None),
        (json!({"schemas": kinds}), r#"{"n": "c"}"#, None),
        (json!({"schemas": kinds}), r#"{"n": "a"}"#, does_not_hold("schemas", "/required")),
        (json!({"schemas": kinds}), r#"{"n": "d"}"#, no_kind()),
        (json!({"schemas": kinds}), r#"{"n": 1}"#, no_kind()),
        (json!({"schemas": kinds}), "[]", no_kind()),
        (json!({"schemas": any_kind}), "[]", None),
        (json!({"schemas": any_kind}), r#"{"n": "a"}"#, does_not_hold("schemas", "/required")),
    ] {
        for (key, sender, side) in
            [("messages", Peer::Client, "client"), ("upstream_messages", Peer::Upstream, "upstream")]
        {
            let refusal = refusal.as_ref().map(|text| text.replace("SIDE", key).replace("CLIENT", side));
            let changes = unlimited(key, rules.clone());
            let verdict = judged(&changes, sender, message, |changes| Trial::open(changes.clone()));
            assert_eq!(verdict, refusal, "{message} under {rules}");
        }
    }
}

#[test]
fn a_compressed_text_is_judged_as_it_reads_where_it_is_inspected() {
    for (policy, message, refused) in [
        ("inspect", "[[1]]", true),
        ("inspect", "[1]", false),
        // Nobody reads it.
        ("pass", "[[1]]", false),
    ] {
        let changes = json!({"compression": policy, "rates": [], "messages": {"max_json_depth": 1}});
        let payload = Deflater::new().message(message.as_bytes());
        let bytes = from_client(COMPRESSED_TEXT, &payload);
        for size in [1, 5, bytes.len()] {
            let mut trial = compression_tests::open(changes.clone(), b"permessage-deflate");
            let passed: Vec<u8> =
                bytes.chunks(size).flat_map(|chunk| trial.bytes(Peer::Client, chunk, START)).collect();
            let expected = if refused { masked_close(Reason::JsonTooDeep) } else { bytes.clone() };
            assert_eq!(passed, expected, "{policy} {message}, pieces of {size}");
        }
    }
}

#[test]
fn binary_messages_are_not_judged_by_what_they_say() {
    let mut trial = Trial::open(unlimited("messages", json!({"max_json_depth": 1})));
    let bytes = from_client(BINARY, b"\xff[[[");
    assert_eq!(trial.client(&bytes), bytes);
}

/// A connection of somebody with this role.
fn with_role(changes: &Value, role: Option<&str>) -> Trial {
    let mut claims = json!({"iss": "edge", "aud": "chat", "sub": "alice", "exp": START.as_secs() + 300});
    claims.as_object_mut().unwrap().extend(role.map(|role| ("role".to_owned(), json!(role))));
    let token = [b"Bearer ".to_vec(), crate::testing::token(SECRET, &claims)].concat();
    let mut trial = Trial::new(changes.clone(), with(&request(), "authorization", &token));
    trial.agree();
    trial
}

fn allows() -> Value {
    json!({
        "rates": [],
        "auth": {"providers": ["edge"], "from": [{"header": "authorization"}], "refresh": "/token"},
        "messages": {"allow": [
            {"when": {"/type": "kick"}, "require": [{"claim": "role", "one_of": ["moderator"]}]},
            {"when": {"/type": ["ban", 7, null, true], "/forever": true},
             "require": [{"claim": "role", "one_of": ["moderator"]}, {"claim": "sub", "one_of": ["bob"]}]},
        ]},
    })
}

#[test]
fn a_message_takes_the_claims_of_every_line_that_speaks_of_it() {
    let denied = |line: usize, claim: &str| {
        Some(format!(
            "claims_denied rule=messages.allow[{line}] side=client cause=\"the claim `{claim}` does not allow such a message\""
        ))
    };
    for (role, message, expected) in [
        (Some("moderator"), r#"{"type": "kick"}"#, None),
        (Some("member"), r#"{"type": "kick"}"#, denied(0, "role")),
        (None, r#"{"type": "kick"}"#, denied(0, "role")),
        (None, r#"{"type": "\u006bick"}"#, denied(0, "role")),
        (None, r#"{"type": "say"}"#, None),
        (None, r#"{"type": ["kick"]}"#, None),
        (None, "[]", None),
        (None, r#"{"type": "ban"}"#, None),
        (None, r#"{"type": "ban", "forever": true}"#, denied(1, "role")),
        (Some("moderator"), r#"{"type": "ban", "forever": true}"#, denied(1, "sub")),
        (None, r#"{"type": 7.0, "forever": true}"#, denied(1, "role")),
        (None, r#"{"type": null, "forever": true}"#, denied(1, "role")),
        (None, r#"{"type": true, "forever": true}"#, denied(1, "role")),
        (None, r#"{"type": false, "forever": true}"#, None),
        (
            None,
            r#"{"type": "say", "type": "kick"}"#,
            Some(
                "schema_violation rule=messages.allow[0] side=client cause=\"a member occurs twice\""
                    .to_owned(),
            ),
        ),
    ] {
        let verdict = judged(&allows(), Peer::Client, message, |changes| with_role(changes, role));
        assert_eq!(verdict, expected, "{role:?}: {message}");
    }
}

#[test]
fn the_claims_are_those_of_the_newest_token() {
    let mut trial = with_role(&allows(), Some("member"));
    let claims = json!({"iss": "edge", "aud": "chat", "sub": "alice", "role": "moderator", "exp": START.as_secs() + 600});
    let token = String::from_utf8(crate::testing::token(SECRET, &claims)).unwrap();
    assert_eq!(trial.client(&from_client(TEXT, json!({"token": token}).to_string().as_bytes())), b"");
    let kick = from_client(TEXT, br#"{"type": "kick"}"#);
    assert_eq!(trial.client(&kick), kick);
    assert_eq!(ended_by(&trial), None);
}

#[test]
fn a_message_for_postern_is_not_judged_and_a_first_message_that_goes_on_is() {
    for (keeps, goes_up) in [(false, true), (true, false)] {
        let changes = json!({
            "rates": [],
            "auth": {"providers": ["edge"], "from": [{"first_message": "/token"}], "keep_token": keeps},
            "messages": {"max_json_depth": 1},
        });
        let mut trial = Trial::open(changes);
        let claims = json!({"iss": "edge", "aud": "chat", "sub": "alice", "exp": START.as_secs() + 300});
        let token = String::from_utf8(crate::testing::token(SECRET, &claims)).unwrap();
        let first = from_client(TEXT, json!({"token": token, "deep": [[1]]}).to_string().as_bytes());
        let passed = trial.client(&first);
        assert_eq!(passed, if keeps { masked_close(Reason::JsonTooDeep) } else { Vec::new() });
        let next = from_client(TEXT, b"[1]");
        assert_eq!(trial.client(&next) == next, goes_up, "keep_token: {keeps}");
    }
}

#[test]
fn an_opening_of_another_protocol_ends_the_connection_however_it_is_cut() {
    let http: &[u8] = b"GET /admin HTTP/1.1\r\nhost: x\r\n\r\n";
    for (sender, opening, name) in [
        (Peer::Client, &b"SSH-2.0-OpenSSH_9.6\r\n"[..], "SSH"),
        (Peer::Upstream, b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
        (Peer::Client, http, "HTTP"),
        (Peer::Upstream, b"RFB 003.008\n", "RFB"),
    ] {
        let make = make(sender);
        let drips: Vec<u8> =
            opening.iter().flat_map(|byte| make(BINARY, std::slice::from_ref(byte))).collect();
        let (first, rest) = opening.split_at(3);
        let ways = [
            ("a text", make(TEXT, opening), true),
            ("binary", make(BINARY, opening), true),
            // What has been said in a frame of its own has gone.
            ("fragments", [make(0x02, first), make(END, rest)].concat(), false),
            ("messages of a byte", drips, false),
        ];
        for (way, bytes, is_kept) in ways {
            for size in [1, 3, bytes.len()] {
                let mut trial = Trial::open(json!({"rates": []}));
                let passed: Vec<u8> =
                    bytes.chunks(size).flat_map(|chunk| trial.bytes(sender, chunk, START)).collect();
                let expected = format!(
                    "tunnel_detected rule=messages.tunnels side={} cause=\"it opens {name}\"",
                    if sender == Peer::Client { "client" } else { "upstream" }
                );
                assert_eq!(ended_by(&trial), Some(expected), "{way}, pieces of {size}");
                let closing = closing(sender, Reason::TunnelDetected);
                assert!(passed.ends_with(&closing), "{way}, pieces of {size}");
                assert!(!is_kept || passed == closing, "{way}, pieces of {size}: nothing of it goes on");
            }
        }
    }
}

#[test]
fn what_is_no_opening_passes_as_soon_as_that_is_known() {
    let mut trial = Trial::open(json!({"rates": []}));
    let message = from_client(BINARY, &[0xff; 300]);
    let mut passed = trial.client(&message[..20]);
    assert!(!passed.is_empty(), "a few bytes tell");
    assert_eq!(trial.client(&message[20..40]).len(), 20, "the rest passes as it comes");
    passed.extend(&message[20..40]);
    passed.extend(trial.client(&message[40..]));
    assert_eq!(passed, message);
    let later = from_client(TEXT, b"SSH-2.0-OpenSSH_9.6\r\n");
    assert_eq!(trial.client(&later), later, "it is not what was said first");
}

#[test]
fn what_may_still_become_an_opening_is_not_held_beyond_its_frame() {
    for first in [OPEN_TEXT, TEXT, 0x02, BINARY] {
        let mut trial = Trial::open(json!({"rates": []}));
        let frame = from_client(first, b"S");
        assert_eq!(trial.client(&frame), frame);
    }
}

#[test]
fn tunnels_pass_where_the_policy_says_so_and_under_a_subprotocol_that_it_allows_by_name() {
    let opening = from_upstream(BINARY, b"RFB 003.008\n");
    let mut trial = Trial::open(json!({"rates": [], "messages": {"tunnels": "pass"}}));
    assert_eq!(trial.upstream(&opening), opening);
    for (allowed, chosen, passes) in [("vnc", "vnc", true), ("chat", "chat", false)] {
        let changes = json!({"rates": [], "subprotocols": {"allow": [allowed]}});
        let mut trial = Trial::new(changes, with(&request(), "sec-websocket-protocol", allowed.as_bytes()));
        let mut response = crate::testing::agreement();
        response.push(("sec-websocket-protocol".to_owned(), chosen.as_bytes().to_vec()));
        trial.input(Input::Response(response), START);
        assert_eq!(trial.upstream(&opening) == opening, passes, "{chosen}");
    }
}

#[test]
fn a_tunnel_behind_a_first_message_that_goes_no_further_is_found() {
    let changes = json!({
        "rates": [], "auth": {"providers": ["edge"], "from": [{"first_message": "/token"}]},
    });
    let mut trial = Trial::open(changes);
    let claims = json!({"iss": "edge", "aud": "chat", "sub": "alice", "exp": START.as_secs() + 300});
    let token = String::from_utf8(crate::testing::token(SECRET, &claims)).unwrap();
    assert_eq!(trial.client(&from_client(TEXT, json!({"token": token}).to_string().as_bytes())), b"");
    let opening = from_client(BINARY, b"SSH-2.0-OpenSSH_9.6\r\n");
    assert_eq!(trial.client(&opening), masked_close(Reason::TunnelDetected));
}

/// The answer to a message that was dropped.
fn answer(reason: &str) -> Vec<u8> {
    format!(r#"{{"postern":"message_refused","reason":"{reason}"}}"#).into_bytes()
}

/// What Postern sent by itself to a receiver.
fn sent(trial: &mut Trial, receiver: Peer) -> Vec<u8> {
    let outputs = std::mem::take(&mut trial.outputs);
    let of = |output| match output {
        Output::Send(to, frame) if to == receiver => Some(frame),
        _ => None,
    };
    outputs.into_iter().filter_map(of).flatten().collect()
}

fn drops() -> Value {
    json!({
        "rates": [], "messages": {"max_json_depth": 1, "on_violation": "drop"},
        "upstream_messages": {"max_json_depth": 1, "on_violation": "drop"},
    })
}

/// An open connection whose streams are both parked.
fn parked(changes: Value) -> Trial {
    let mut trial = Trial::awaiting(changes);
    assert!(trial.parks(Peer::Client, b""));
    trial.agree();
    assert!(trial.parks(Peer::Upstream, b""));
    trial.outputs.clear();
    trial
}

#[test]
fn a_client_whose_message_is_dropped_is_told_and_its_connection_goes_on() {
    for size in [1, 6, 100] {
        let mut trial = parked(drops());
        let [good, bad] = [from_client(TEXT, b"[1]"), from_client(TEXT, b"[[1]]")];
        let bytes = [&good[..], &bad, &good].concat();
        let passed: Vec<u8> =
            bytes.chunks(size).flat_map(|chunk| trial.bytes(Peer::Client, chunk, START)).collect();
        assert_eq!(passed, [&good[..], &good].concat(), "pieces of {size}");
        assert_eq!(
            sent(&mut trial, Peer::Client),
            from_upstream(TEXT, &answer("json_too_deep")),
            "pieces of {size}"
        );
        let tally = trial.session.take_tally().client;
        assert_eq!((tally.allowed, tally.dropped, tally.refused), (2, 1, 0));
    }
}

#[test]
fn an_answer_goes_with_the_services_next_message_where_nothing_can_be_said_at_once() {
    let mut trial = Trial::open(drops());
    assert_eq!(trial.client(&from_client(TEXT, b"no JSON")), b"");
    assert_eq!(sent(&mut trial, Peer::Client), b"", "the stream towards the client is not parked");
    let [first, second] = [from_upstream(TEXT, b"[1]"), from_upstream(TEXT, b"[2]")];
    let told = from_upstream(TEXT, &answer("schema_violation"));
    assert_eq!(trial.upstream(&[&first[..], &second].concat()), [told, first, second].concat());
}

#[test]
fn a_service_whose_message_is_dropped_is_told_by_masked_text_at_once_or_with_the_clients_next_message() {
    let mask = [1, 2, 3, 4];
    let told = crate::testing::frame(TEXT, &answer("json_too_deep"), Some(mask));
    let bad = from_upstream(TEXT, b"[[1]]");
    let mut quiet = parked(drops());
    assert_eq!(quiet.upstream(&bad), b"");
    assert_eq!(sent(&mut quiet, Peer::Upstream), told);
    let mut busy = Trial::open(drops());
    assert_eq!(busy.upstream(&bad), b"");
    let good = from_client(TEXT, b"[1]");
    assert_eq!(busy.client(&good), [told, good].concat());
    assert_eq!(ended_by(&busy), None);
}

#[test]
fn a_flood_of_messages_that_are_dropped_is_not_answered_by_a_flood() {
    let mut trial = parked(drops());
    let flood = from_client(TEXT, b"no JSON").repeat(1000);
    assert_eq!(trial.client(&flood), b"");
    assert_eq!(sent(&mut trial, Peer::Client), from_upstream(TEXT, &answer("schema_violation")).repeat(10));
    assert_eq!(ended_by(&trial), None);
}

#[test]
fn compressed_messages_stand_alone_where_some_may_be_dropped() {
    for (section, up, down) in [
        ("messages", "", "client_no_context_takeover"),
        ("upstream_messages", "server_no_context_takeover", "server_no_context_takeover"),
    ] {
        let mut changes = json!({"compression": "inspect"});
        changes[section] = json!({"max_json_depth": 1, "on_violation": "drop"});
        let offered =
            with(&request(), "sec-websocket-extensions", b"permessage-deflate; client_max_window_bits");
        let mut trial = Trial::new(changes, offered);
        let set = |output: &Output| match output {
            Output::Admit(edits) | Output::AdmitResponse(edits) => edits.iter().find_map(|edit| match edit {
                HeaderEdit::Set(name, value) if name == "sec-websocket-extensions" => {
                    Some(String::from_utf8(value.clone()).unwrap())
                }
                _ => None,
            }),
            _ => None,
        };
        let went_up = trial.outputs.iter().find_map(set).unwrap_or_default();
        assert!(went_up.contains(up), "{section}: {went_up}");
        trial.outputs.clear();
        let mut response = crate::testing::agreement();
        let answer =
            if up.is_empty() { "permessage-deflate".to_owned() } else { format!("permessage-deflate; {up}") };
        response.push(("sec-websocket-extensions".to_owned(), answer.clone().into_bytes()));
        trial.input(Input::Response(response), START);
        assert!(trial.session.was_opened(), "{section}");
        let came_down = trial.outputs.iter().find_map(set).unwrap_or(answer);
        assert!(came_down.contains(down), "{section}: {came_down}");
    }
}

#[test]
fn nothing_of_a_service_reaches_a_client_without_a_token_when_its_own_message_is_refused() {
    let changes = json!({
        "rates": [], "auth": {"providers": ["edge"], "from": [{"first_message": "/token"}]},
        "upstream_messages": {"max_json_depth": 1},
    });
    let bytes = [from_upstream(TEXT, b"[1]"), from_upstream(TEXT, b"[[1]]")].concat();
    for size in [1, 7, bytes.len()] {
        for parks in [true, false] {
            let mut trial = if parks { parked(changes.clone()) } else { Trial::open(changes.clone()) };
            let mut seen: Vec<u8> =
                bytes.chunks(size).flat_map(|chunk| trial.bytes(Peer::Upstream, chunk, START)).collect();
            seen.extend(sent(&mut trial, Peer::Client));
            assert!(seen.is_empty() || seen == close(Reason::JsonTooDeep), "pieces of {size}: {seen:?}");
        }
    }
}

#[test]
fn a_message_that_goes_no_further_does_not_hide_an_opening_around_it() {
    let mut changes = drops();
    changes["auth"] =
        json!({"providers": ["edge"], "from": [{"header": "authorization"}], "refresh": "/token"});
    let claims = json!({"iss": "edge", "aud": "chat", "sub": "alice", "exp": START.as_secs() + 300});
    let token = String::from_utf8(crate::testing::token(SECRET, &claims)).unwrap();
    let refresh = json!({"token": token}).to_string();
    for between in ["x", refresh.as_str()] {
        let mut trial = with_role(&changes, None);
        let first = from_client(BINARY, b"S");
        assert_eq!(trial.client(&first), first, "nothing is held beyond its frame");
        for _ in 0..2 {
            assert_eq!(trial.client(&from_client(TEXT, between.as_bytes())), b"", "{between}");
        }
        let rest = from_client(BINARY, b"SH-2.0-OpenSSH_9.6\r\n");
        assert_eq!(trial.client(&rest), masked_close(Reason::TunnelDetected), "{between}");
    }
}

#[test]
fn what_is_both_no_text_and_an_opening_is_found_the_same_however_it_is_cut() {
    let hello = [&[0x16, 0x03, 0x01, 0x00, 0xfc, 0x01, 0x00, 0x00, 0xf8, 0x03, 0x03][..], &[7; 60]].concat();
    let bytes = from_client(TEXT, &hello);
    let verdicts: Vec<_> = [1, 3, 10, bytes.len()]
        .into_iter()
        .map(|size| {
            let mut trial = Trial::open(json!({"rates": []}));
            bytes.chunks(size).for_each(|chunk| drop(trial.bytes(Peer::Client, chunk, START)));
            ended_by(&trial).unwrap()
        })
        .collect();
    assert!(verdicts.windows(2).all(|pair| pair[0] == pair[1]), "{verdicts:?}");
}

#[test]
fn text_that_is_nested_deeper_than_can_be_read_is_unreadable_where_no_depth_is_set() {
    let mut changes = allows();
    changes["messages"]["max_json_depth"] = json!("none");
    let mut trial = with_role(&changes, None);
    let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
    assert_eq!(trial.client(&from_client(TEXT, deep.as_bytes())), masked_close(Reason::SchemaViolation));
    assert!(ended_by(&trial).unwrap().contains("rule=messages.allow[0]"));
}
