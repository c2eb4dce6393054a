//! Handshakes, as Envoy, the client, the upstream and the operator see them.

use std::time::Duration;

use proxy_wasm::types::LogLevel;
use serde_json::{Value, json};

use crate::fixtures::{
    PROPERTIES, REASON, agreement, and, auth, configure, fields, handshake, open, request, token, token_for,
    websocket, with, without,
};
use crate::host::{Envoy, Fields, LocalReply, Stream, Worker, value_of};

/// What a refusal looks like from every side.
struct Refusal {
    name: &'static str,
    policy: Value,
    request: Fields,
    properties: Vec<(&'static str, &'static [u8])>,
    status: u32,
    reason: &'static str,
    /// A field that the reply must have.
    field: Option<(&'static str, &'static str)>,
}

impl Refusal {
    fn new(name: &'static str, policy: Value, request: Fields, status: u32, reason: &'static str) -> Self {
        Self { name, policy, request, properties: PROPERTIES.to_vec(), status, reason, field: None }
    }

    fn field(self, name: &'static str, value: &'static str) -> Self {
        Self { field: Some((name, value)), ..self }
    }

    fn properties(self, properties: Vec<(&'static str, &'static [u8])>) -> Self {
        Self { properties, ..self }
    }

    fn happens(&self, worker: &Worker) {
        let name = self.name;
        configure(worker, self.policy.clone());
        let stream = Stream::open(worker, &self.request, &self.properties);
        assert_eq!(stream.request(), None, "{name}: it goes up");
        let LocalReply { status, fields, body } =
            stream.reply().unwrap_or_else(|| panic!("{name}: no reply"));
        assert_eq!(status, self.status, "{name}");
        for (field, value) in [("content-type", "application/problem+json"), ("connection", "close")]
            .into_iter()
            .chain(self.field)
        {
            assert_eq!(value_of(&fields, field), Some(value.as_bytes()), "{name}: {field}");
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["type"], format!("urn:postern:{}", self.reason), "{name}");
        assert_eq!(body["status"], self.status, "{name}");
        assert_eq!(body["instance"], "urn:uuid:0a1b2c3d-0000-4000-8000-00000000abcd", "{name}");
        assert_eq!(stream.property(REASON), Some(self.reason.as_bytes().to_vec()), "{name}: access log");
        assert_refused(worker, "chat", self.reason, name);
        let log = worker.log(LogLevel::Info);
        let told = log.iter().filter(|line| line.contains(&format!(" reason={} ", self.reason)));
        assert_eq!(told.count(), 1, "{name}: {log:?}");
    }
}

/// Asserts that one refusal was counted, and as one violation, and that a step has stopped one handshake.
fn assert_refused(worker: &Worker, policy: &str, reason: &str, name: &str) {
    worker.pass(Duration::from_millis(250));
    let metrics = worker.metrics();
    let counted = |start: &str| -> Vec<_> {
        metrics.iter().filter(|(name, _)| name.starts_with(start)).map(|(n, v)| (n.as_str(), *v)).collect()
    };
    let handshake = format!("postern_handshakes.policy={policy};.result=refused;.reason={reason};");
    assert_eq!(counted("postern_handshakes"), [(handshake.as_str(), 1)], "{name}");
    let violations = counted("postern_violations");
    assert!(matches!(violations[..], [(_, 1)]), "{name}: {violations:?}");
    let (start, end) =
        (format!("postern_violations.policy={policy};.rule="), format!(";.reason={reason};.mode=enforced;"));
    assert!(violations[0].0.starts_with(&start) && violations[0].0.ends_with(&end), "{name}: {violations:?}");
    let steps = counted("postern_handshake_steps");
    assert!(matches!(steps[..], [(step, 1)] if step.ends_with(".result=refused;")), "{name}: {steps:?}");
}

#[test]
fn every_refusal_is_told_once_to_client_metric_log_and_access_log() {
    let ok = handshake();
    let none = || json!({});
    let bearer = || json!({"auth": auth(json!([{"header": "authorization"}]))});
    let soon = || json!({"sub": "alice", "exp": 2_000_000_300});
    let authorized = |token: String| with(&handshake(), "authorization", format!("Bearer {token}"));
    let requiring = {
        let mut auth = auth(json!([{"header": "authorization"}]));
        auth["require"] = json!([{"claim": "scope", "contains": "chat"}]);
        json!({ "auth": auth })
    };
    let cases = [
        Refusal::new("POST", none(), with(&ok, ":method", "POST"), 400, "malformed_handshake"),
        Refusal::new("no key", none(), without(&ok, "sec-websocket-key"), 400, "malformed_handshake"),
        Refusal::new("a body", none(), with(&ok, "content-length", "1"), 400, "malformed_handshake"),
        Refusal::new("HTTP/1.0", none(), ok.clone(), 400, "malformed_handshake")
            .properties([&PROPERTIES[..1], &[("request.protocol", b"HTTP/1.0")], &PROPERTIES[2..]].concat()),
        Refusal::new("version", none(), with(&ok, "sec-websocket-version", "8"), 426, "version_unsupported")
            .field("sec-websocket-version", "13"),
        Refusal::new("h2c", none(), with(&ok, "upgrade", "h2c"), 403, "upgrade_denied"),
        Refusal::new(
            "plain",
            json!({"upgrade_only": true}),
            without(&ok, "upgrade"),
            426,
            "upgrade_required",
        )
        .field("upgrade", "websocket"),
        Refusal::new("no TLS", none(), ok.clone(), 403, "tls_required").properties(PROPERTIES[..2].to_vec()),
        Refusal::new("no certificate", json!({"tls": "mutual"}), ok.clone(), 403, "tls_required"),
        Refusal::new("no origin", none(), without(&ok, "origin"), 403, "origin_missing"),
        Refusal::new("origin", none(), with(&ok, "origin", "https://evil.example"), 403, "origin_denied"),
        Refusal::new(
            "subprotocol",
            json!({"subprotocols": {"allow": ["chat.v2"]}}),
            with(&ok, "sec-websocket-protocol", "soap"),
            403,
            "subprotocol_denied",
        ),
        Refusal::new("no token", bearer(), ok.clone(), 401, "token_missing")
            .field("www-authenticate", "Bearer"),
        Refusal::new("not a token", bearer(), authorized("x.y.z".to_owned()), 401, "token_invalid")
            .field("www-authenticate", "Bearer error=\"invalid_token\""),
        Refusal::new(
            "expired",
            bearer(),
            authorized(token(json!({"sub": "alice", "exp": 1_999_999_000}))),
            401,
            "token_expired",
        ),
        Refusal::new(
            "two tokens",
            bearer(),
            and(&authorized(token(soon())), "authorization", format!("Bearer {}", token(soon()))),
            400,
            "token_ambiguous",
        ),
        Refusal::new("claims", requiring, authorized(token(soon())), 403, "claims_denied"),
    ];
    for case in cases {
        Envoy::default().worker(|worker| case.happens(worker));
    }
}

#[test]
fn what_no_policy_covers_is_counted_under_none() {
    let metadata = [&PROPERTIES[..], &[("xds.route_metadata", &b"\xff\xff"[..])]].concat();
    let denied =
        json!({"policies": {"chat": {"origins": {"allow": [], "missing": "allow"}, "auth": "none"}}});
    let sound = crate::fixtures::document(json!({}));
    let cases = [
        ("no policy", &denied, &PROPERTIES[..], 403, "no_policy"),
        ("an override that cannot be read", &sound, &metadata[..], 503, "policy_invalid"),
    ];
    for (name, document, properties, status, reason) in cases {
        Envoy::default().worker(|worker| {
            assert!(worker.configure(document.to_string().as_bytes()), "{name}");
            let stream = Stream::open(worker, &handshake(), properties);
            assert_eq!(stream.reply().map(|reply| reply.status), Some(status), "{name}");
            let stopped = "postern_handshake_steps.policy=none;.step=policy;.result=refused;";
            assert_eq!(worker.metrics().get(stopped), Some(&1), "{name}");
            assert_refused(worker, "none", reason, name);
            let log = worker.log(LogLevel::Info).concat();
            assert_eq!(
                log.contains(" cause=\"the route's metadata make no valid policy: "),
                status == 503,
                "{log}"
            );
        });
    }
}

#[test]
fn a_sound_handshake_goes_up_as_it_came_and_is_counted_when_the_upstream_agrees() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = request(worker, &handshake());
        assert_eq!(stream.request(), Some(handshake()));
        assert!(worker.metrics().is_empty());
        let agreed = agreement(&handshake());
        stream.answered(&agreed);
        assert_eq!(stream.response(), Some(agreed));
        assert_eq!(
            worker.metrics().into_iter().collect::<Vec<_>>(),
            [("postern_handshakes.policy=chat;.result=allowed;.reason=none;".to_owned(), 1)]
        );
        worker.pass(Duration::from_millis(250));
        assert_eq!(worker.metrics().get("postern_connections.policy=chat;"), Some(&1));
        assert_eq!(stream.property(REASON), None);
    });
}

#[test]
fn a_token_leaves_the_request_in_every_carrier_and_its_claims_go_up() {
    let from = json!([
        {"header": "authorization"}, {"header": "x-token"}, {"query": "access_token"},
        {"cookie": "ws_token"}, {"subprotocol": "bearer."},
    ]);
    let ok = handshake();
    Envoy::default().worker(|worker| {
        configure(worker, json!({"auth": auth(from)}));
        let token = token_for(worker, 300);
        let cases = [
            ("authorization", format!("Bearer {token}"), None),
            ("x-token", token.clone(), None),
            (":path", format!("/chat?a=1&access_token={token}&b=2"), Some("/chat?a=1&b=2")),
            ("cookie", format!("a=1; ws_token={token}; b=2"), Some("a=1; b=2")),
            ("sec-websocket-protocol", format!("chat.v2, bearer.{token}"), Some("chat.v2")),
        ];
        for (name, value, left) in cases {
            let spoofed = and(&with(&ok, name, value), "X-User-Id".to_ascii_lowercase().as_str(), "mallory");
            let stream = request(worker, &spoofed);
            let up = stream.request().unwrap_or_else(|| panic!("{name}: {:?}", stream.reply()));
            assert_eq!(value_of(&up, name), left.map(str::as_bytes), "{name}");
            let users: Vec<_> = up.iter().filter(|(n, _)| n == "x-user-id").map(|(_, v)| v.clone()).collect();
            assert_eq!(users, [b"alice"], "{name}");
            assert_eq!(stream.logged_request(), up, "{name}: the access log reads the same");
        }
    });
}

#[test]
fn a_refused_request_reaches_the_access_log_without_its_token() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({"auth": auth(json!([{"query": "access_token"}]))}));
        let path = format!("/chat?access_token={}", token_for(worker, 300));
        let stream = request(worker, &with(&without(&handshake(), "origin"), ":path", path));
        assert!(stream.reply().is_some());
        assert_eq!(value_of(&stream.logged_request(), ":path"), Some(&b"/chat"[..]));
    });
}

#[test]
fn ordinary_http_passes_untouched_but_for_headers_that_are_the_policys() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({"auth": auth(json!([{"header": "authorization"}]))}));
        let plain = fields(&[(":method", "POST"), (":path", "/api"), (":authority", "a"), ("x-a", "1")]);
        let stream = request(worker, &and(&plain, "x-user-id", "mallory"));
        assert_eq!(stream.request(), Some(plain));
        assert_eq!(stream.client_sends(b"\xff not a frame"), b"\xff not a frame");
        let response = fields(&[(":status", "200"), ("content-type", "text/html")]);
        stream.answered(&response);
        assert_eq!(stream.response(), Some(response));
        assert_eq!(stream.upstream_sends(b"\x00 neither"), b"\x00 neither");
        stream.end();
        assert!(worker.metrics().is_empty());
    });
}

#[test]
fn what_passes_without_a_policy_has_no_headers_that_are_a_policys_and_is_left_alone_otherwise() {
    Envoy::default().worker(|worker| {
        let mut document =
            crate::fixtures::document(json!({"auth": auth(json!([{"header": "authorization"}]))}));
        document["default_policy"] = json!("pass");
        assert!(worker.configure(document.to_string().as_bytes()));
        let untouched = handshake();
        for spoofed in ["x-user-id", "x.user.id"] {
            let stream = request(worker, &and(&untouched, spoofed, "mallory"));
            assert_eq!(stream.request(), Some(untouched.clone()), "{spoofed}");
            let response = fields(&[(":status", "101")]);
            stream.answered(&response);
            assert_eq!(stream.response(), Some(response), "{spoofed}");
            assert_eq!(stream.client_sends(b"\xff not a frame"), b"\xff not a frame");
            stream.end();
        }
    });
}

#[test]
fn a_response_that_declines_the_upgrade_passes_with_its_body() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = request(worker, &handshake());
        let response = fields(&[(":status", "404")]);
        stream.answered(&response);
        assert_eq!(stream.response(), Some(response));
        assert_eq!(stream.upstream_sends(b"not found"), b"not found");
        stream.end();
        assert!(worker.metrics().is_empty());
    });
}

#[test]
fn a_101_that_does_not_answer_this_handshake_is_a_502() {
    let sound = agreement(&handshake());
    let cases = [
        ("accept of another key", with(&sound, "sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
        ("no accept", without(&sound, "sec-websocket-accept")),
        ("two accepts", and(&sound, "sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ("not text", with(&sound, "sec-websocket-accept", b"\xff\xfe")),
        ("another upgrade", with(&sound, "upgrade", "h2c")),
        ("a subprotocol nobody offered", with(&sound, "sec-websocket-protocol", "soap")),
        ("an extension nobody offered", with(&sound, "sec-websocket-extensions", "permessage-deflate")),
    ];
    for (name, response) in cases {
        Envoy::default().worker(|worker| {
            configure(worker, json!({}));
            let stream = request(worker, &handshake());
            stream.answered(&response);
            let reply = stream.reply().unwrap_or_else(|| panic!("{name}: it passes"));
            assert_eq!(reply.status, 502, "{name}");
            assert_eq!(stream.property(REASON), Some(b"upstream_handshake_invalid".to_vec()), "{name}");
            worker.pass(Duration::from_millis(250));
            let connections =
                worker.metrics().keys().filter(|n| n.starts_with("postern_connections")).count();
            assert_eq!(connections, 0, "{name}");
        });
    }
}

#[test]
fn an_extended_connect_is_given_a_key_and_the_client_no_hash_of_it() {
    let properties = [&PROPERTIES[..1], &[("request.protocol", b"HTTP/2")], &PROPERTIES[2..]].concat();
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let keyless = without(&handshake(), "sec-websocket-key");
        let keys: Vec<Vec<u8>> = (0..2)
            .map(|_| {
                let stream = Stream::open(worker, &keyless, &properties);
                let up = stream.request().unwrap();
                stream.answered(&agreement(&up));
                assert_eq!(value_of(&stream.response().unwrap(), "sec-websocket-accept"), None);
                value_of(&up, "sec-websocket-key").unwrap().to_vec()
            })
            .collect();
        assert_eq!(keys[0].len(), 24);
        assert_ne!(keys[0], keys[1], "the key is fresh");
    });
}

#[test]
fn an_offer_of_extensions_does_not_go_up() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = open(worker, &with(&handshake(), "sec-websocket-extensions", "permessage-deflate"));
        assert_eq!(value_of(&stream.request().unwrap(), "sec-websocket-extensions"), None);
    });
}

#[test]
fn a_client_is_told_apart_by_the_address_that_envoy_says_however_it_is_written() {
    let rates = json!([{"count": "handshakes", "per": "ip", "limit": 1, "window": "1h"}]);
    let first_of = |address: &'static [u8]| [&[("source.address", address)], &PROPERTIES[1..]].concat();
    let without_any = PROPERTIES[1..].to_vec();
    // Each line is one client, under every address it may show.
    let clients = [
        vec![first_of(b"192.0.2.1:1"), first_of(b"192.0.2.1:65535"), first_of(b"[::ffff:192.0.2.1]:9")],
        vec![first_of(b"192.0.2.2:1"), first_of(b"192.0.2.2")],
        vec![first_of(b"[2001:db8:0:1::1]:1"), first_of(b"[2001:db8:0:1:ffff::2]:2")],
        vec![first_of(b"[2001:db8:0:2::1]:1"), first_of(b"2001:db8:0:2::1")],
        // Nobody knows who these are, so they share.
        vec![
            without_any,
            first_of(b""),
            first_of(b"/run/client.sock"),
            first_of(b"\xff\xfe:1"),
            first_of(b"1:2"),
        ],
    ];
    Envoy::default().worker(|worker| {
        configure(worker, json!({ "rates": rates }));
        for client in clients {
            let mut statuses = Vec::new();
            for properties in &client {
                let stream = Stream::open(worker, &handshake(), properties);
                statuses.push(stream.reply().map(|reply| reply.status));
            }
            let expected: Vec<_> = std::iter::once(None).chain(vec![Some(429); client.len() - 1]).collect();
            assert_eq!(statuses, expected, "{}", client[0][0].1.escape_ascii());
        }
    });
}

#[test]
fn nothing_that_envoy_does_not_tell_is_taken_for_granted() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = Stream::open(worker, &handshake(), &[]);
        assert_eq!(stream.property(REASON), Some(b"tls_required".to_vec()));
        for junk in [&b""[..], b"\x00", b"\x01\x00", b"true", b"\xff"] {
            let properties = [&PROPERTIES[..], &[("connection.mtls", junk)]].concat();
            configure(worker, json!({"tls": "mutual"}));
            let stream = Stream::open(worker, &handshake(), &properties);
            assert_eq!(stream.property(REASON), Some(b"tls_required".to_vec()), "{junk:?}");
        }
        let verified = [&PROPERTIES[..], &[("connection.mtls", &[1][..])]].concat();
        assert!(Stream::open(worker, &handshake(), &verified).request().is_some());
        websocket_is_still_served(worker);
    });
}

fn websocket_is_still_served(worker: &Worker) {
    configure(worker, json!({}));
    websocket(worker);
}

#[test]
fn a_route_under_another_policy_is_refused_whatever_tells_the_policies_apart() {
    let open = json!({"origins": {"allow": [], "missing": "allow"}, "auth": "none", "rates": []});
    let document = |by: Value| {
        json!({
            "policies": {"chat": open, "admin": {
                "origins": {"allow": ["https://admin.example.com"], "missing": "deny"},
                "auth": "none", "rates": [],
            }},
            "routes": [{"match": by, "policy": "admin"}],
            "default_policy": "chat",
        })
    };
    for by in [json!({"route_name": "admin"}), json!({"path_prefix": "/admin"})] {
        Envoy::default().worker(|worker| {
            assert!(worker.configure(document(by.clone()).to_string().as_bytes()));
            let stream = request(worker, &without(&handshake(), "origin"));
            let went_up = stream.request().expect("it goes up under `chat`");
            stream.rerouted("/admin/console", "admin");
            stream.answered(&agreement(&went_up));
            assert_eq!(stream.reply().map(|reply| reply.status), Some(503), "{by}");
            assert_eq!(stream.property(REASON), Some(b"policy_invalid".to_vec()), "{by}");
            let log = worker.log(LogLevel::Info).concat();
            assert!(
                log.contains("cause=\"with the changed headers Envoy takes a route under another policy"),
                "{log}"
            );
        });
    }
}
