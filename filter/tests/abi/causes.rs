//! What the log says of every refusal: the rule, whose doing it is, and what was wrong.
//!
//! Every clause that is judged is broken here once, and its line is read. The lists at the end are
//! the engine's own, so that no clause is without one.

use jsonwebtoken::{Algorithm, EncodingKey};
use postern_engine::cause::{CsrfError, FrameFault, HostFault, ResponseFault};
use proxy_wasm::types::LogLevel;
use serde_json::{Value, json};

use crate::fixtures::{
    ORIGIN, PROPERTIES, agreement, and, auth, configure, handshake, open, request, sign, token, with, without,
};
use crate::frames::{BINARY, CLOSE, PING, TEXT, frame, from_client, from_upstream};
use crate::host::{Envoy, Fields, Stream, Worker};

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// The line that tells of the refusal, from `rule=` to the client's address.
fn told(worker: &Worker) -> String {
    let lines = worker.log(LogLevel::Info);
    let line = lines.iter().find(|line| line.contains(" rule=")).unwrap_or_else(|| panic!("{lines:?}"));
    let (_, rule) = line.split_once(" rule=").unwrap();
    rule.split(" address=").next().unwrap_or(rule).to_owned()
}

fn line(rule: &str, side: &str, cause: &str) -> String {
    format!("{rule} side={side} cause=\"{cause}\"")
}

fn broken_frames() -> Vec<(&'static str, Vec<u8>, FrameFault)> {
    let client = |first: u8, payload: &[u8]| frame(first, MASK, payload);
    vec![
        ("strip", client(0x88, &[0x03, 0xed]), FrameFault::CloseCode),
        ("strip", client(0x88, b"\x03\xe8\xff"), FrameFault::CloseReason),
        ("strip", client(0x80, b"x"), FrameFault::Continuation),
        ("strip", client(0x89, &[0; 126]), FrameFault::ControlTooLong),
        ("strip", client(0x09, b"x"), FrameFault::FragmentedControl),
        ("strip", client(0x88, b"x"), FrameFault::HalfACode),
        ("strip", [client(0x01, b"x"), client(0x81, b"x")].concat(), FrameFault::Interrupted),
        ("strip", vec![0x82, 0xfe, 0, 5], FrameFault::LengthNotMinimal),
        ("strip", vec![0x82, 0xff, 0x80], FrameFault::LengthTopBit),
        ("strip", frame(0x82, None, b"x"), FrameFault::NotMasked),
        ("strip", client(0xc2, b"x"), FrameFault::ReservedBit),
        ("strip", client(0x83, b"x"), FrameFault::ReservedOpcode),
        ("strip", client(0x81, b"\xff"), FrameFault::Text),
        ("inspect", client(0xc1, b"\xff\xff\xff"), FrameFault::Deflate),
        ("inspect", client(0xc1, &[0x02, 0x08, 0x20, 0x80, 0x00].repeat(40)), FrameFault::DeflateBlocks),
        ("inspect", client(0xc1, b"\xf2\x48"), FrameFault::DeflateUnfinished),
    ]
}

#[test]
fn every_clause_that_frames_are_judged_by_is_named_in_the_log() {
    let mut seen = Vec::new();
    for (compression, bytes, fault) in broken_frames() {
        Envoy::default().worker(|worker| {
            configure(worker, json!({ "compression": compression }));
            let stream = deflating(worker);
            stream.client_sends(&bytes);
            let rule = if fault == FrameFault::Text { "messages.utf8" } else { "protocol" };
            assert_eq!(told(worker), line(rule, "client", &fault.to_string()));
        });
        seen.push(fault);
    }
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = deflating(worker);
        stream.upstream_sends(&from_client(BINARY, b"x"));
        assert_eq!(told(worker), line("protocol", "upstream", &FrameFault::Masked.to_string()));
        seen.push(FrameFault::Masked);
    });
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        deflating(worker).client_ends_with_trailers();
        assert_eq!(told(worker), line("protocol", "client", &FrameFault::Trailers.to_string()));
        seen.push(FrameFault::Trailers);
    });
    for fault in FrameFault::ALL {
        assert!(seen.contains(&fault), "{fault:?} is provoked by nothing here");
    }
}

/// An open WebSocket, which compresses where its policy lets it.
fn deflating(worker: &Worker) -> Stream<'_> {
    let stream = request(worker, &with(&handshake(), "sec-websocket-extensions", "permessage-deflate"));
    let up = stream.request().expect("it goes up");
    let offers = up.iter().any(|(name, _)| name == "sec-websocket-extensions");
    let answer = agreement(&up);
    stream.answered(&match offers {
        true => with(&answer, "sec-websocket-extensions", "permessage-deflate"),
        false => answer,
    });
    stream
}

#[test]
fn every_clause_that_handshakes_are_judged_by_is_named_in_the_log() {
    let base = handshake();
    let of_version = |version: &str| format!("Sec-WebSocket-Version is `{version}`");
    let cases: Vec<(&str, Fields, String)> = vec![
        (
            "protocol",
            with(&base, ":method", "POST"),
            "the method of the handshake is not the one of a handshake".into(),
        ),
        ("protocol", with(&base, "upgrade", "websocket, h2c"), "Upgrade names more than one protocol".into()),
        ("protocol", with(&base, "connection", "close"), "Connection does not have `upgrade`".into()),
        ("protocol", without(&base, ":authority"), "Host is missing, more than one, or no host".into()),
        ("protocol", with(&base, "content-length", "1"), "the handshake has a body".into()),
        (
            "protocol",
            without(&base, "sec-websocket-version"),
            "Sec-WebSocket-Version is missing or more than one".into(),
        ),
        ("protocol", with(&base, "sec-websocket-version", "8"), of_version("8")),
        (
            "protocol",
            with(&base, "sec-websocket-key", "x"),
            "Sec-WebSocket-Key is missing, more than one, or not 16 bytes in base64".into(),
        ),
        (
            "protocol",
            with(&base, "sec-websocket-protocol", "a, a"),
            "Sec-WebSocket-Protocol is not well formed, or too long".into(),
        ),
        (
            "protocol",
            with(&base, "sec-websocket-extensions", ";"),
            "Sec-WebSocket-Extensions is not well formed".into(),
        ),
        ("protocol", with(&base, ":path", "/chat%00"), "the path has a NUL".into()),
        ("other_upgrades", with(&base, "upgrade", "h2c"), "Upgrade is `h2c`".into()),
        (
            "origins",
            with(&base, "origin", "https://evil.example"),
            "the origin is `https://evil.example`".into(),
        ),
    ];
    for (rule, head, cause) in cases {
        Envoy::default().worker(|worker| {
            let mut document = crate::fixtures::document(json!({"compression": "inspect"}));
            document["routes"] = json!([{"match": {"path_prefix": "/other"}, "policy": "chat"}]);
            assert!(worker.configure(document.to_string().as_bytes()));
            request(worker, &head);
            assert_eq!(told(worker), line(rule, "client", &cause), "{head:?}");
        });
    }
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let mut properties = PROPERTIES;
        properties[1].1 = b"HTTP/1.0";
        Stream::open(worker, &base, &properties);
        assert_eq!(told(worker), line("protocol", "client", "the handshake came by HTTP/1.0"));
    });
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        request(worker, &base).client_sends(&[0x82; 20_000]);
        assert_eq!(told(worker), line("protocol", "client", "bytes came before the handshake was answered"));
    });
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        request(worker, &base).client_ends_with_trailers();
        assert_eq!(told(worker), line("protocol", "client", "the handshake has trailers"));
    });
}

#[test]
fn every_clause_that_answers_are_judged_by_is_named_in_the_log() {
    let mut seen = Vec::new();
    let mut answered =
        |changes: Value, head: Fields, answer: &(dyn Fn(&Fields) -> Fields + Sync), fault: ResponseFault| {
            Envoy::default().worker(|worker| {
                configure(worker, changes);
                let mut properties = PROPERTIES;
                if fault == ResponseFault::Tunnel {
                    properties[1].1 = b"HTTP/2";
                }
                let stream = Stream::open(worker, &head, &properties);
                let up = stream.request().expect("it goes up");
                stream.answered(&answer(&up));
                assert_eq!(told(worker), line("protocol", "upstream", &fault.to_string()));
            });
            seen.push(fault);
        };
    let sound = |up: &Fields| agreement(up);
    let changed =
        |name: &'static str, value: &'static str| move |up: &Fields| with(&agreement(up), name, value);
    answered(json!({}), handshake(), &changed("sec-websocket-accept", "x"), ResponseFault::Accept);
    answered(json!({}), handshake(), &changed("connection", "close"), ResponseFault::Connection);
    answered(json!({}), handshake(), &changed("sec-websocket-extensions", "x"), ResponseFault::Extensions);
    answered(json!({}), handshake(), &changed("upgrade", "h2c"), ResponseFault::Protocol);
    answered(json!({}), handshake(), &changed("sec-websocket-protocol", "x"), ResponseFault::Subprotocol);
    let without_key = without(&handshake(), "sec-websocket-key");
    answered(json!({}), without_key, &changed(":status", "200"), ResponseFault::Tunnel);
    let plain = without(&without(&handshake(), "upgrade"), "connection");
    answered(json!({}), plain, &sound, ResponseFault::Unasked);
    let other = with(&handshake(), "upgrade", "h2c");
    answered(json!({"other_upgrades": "pass"}), other, &sound, ResponseFault::WebSocket);
    for fault in ResponseFault::ALL {
        assert!(seen.contains(&fault), "{fault:?} is provoked by nothing here");
    }
}

fn without_audience(claims: &Value) -> String {
    let mut claims = claims.clone();
    claims["iss"] = json!("edge");
    let key = EncodingKey::from_secret(b"a secret for tests, 32 bytes or more");
    sign(&json!({"alg": "HS256"}), &claims, &key, Algorithm::HS256)
}

/// Tokens that are wrong in one thing, and what the log says.
fn wrong_tokens(now: u64) -> Vec<(String, &'static str)> {
    let good = json!({"sub": "alice", "jti": "1", "exp": now + 60});
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        token(claims)
    };
    let lacking = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        token(claims)
    };
    let headed = |header: Value| {
        let mut claims = good.clone();
        claims["iss"] = json!("edge");
        claims["aud"] = json!("chat");
        let key = EncodingKey::from_secret(b"a secret for tests, 32 bytes or more");
        sign(&header, &claims, &key, Algorithm::HS256)
    };
    let whole = token(good.clone());
    vec![
        (headed(json!({"alg": "none"})), "algorithm not allowed"),
        (changed("aud", json!("mail")), "meant for another audience, by its claim `aud`"),
        (changed("exp", json!("soon")), "its claim `exp` has the wrong type"),
        (headed(json!({"alg": "HS256", "crit": ["x"]})), "demands an extension"),
        (whole.replace('.', ".="), "not base64url"),
        (
            changed("sub", json!(" alice")),
            "a forwarded claim has a blank or an invisible character at an end",
        ),
        (format!("W10.{}", whole.split_once('.').unwrap().1), "malformed header"),
        (without_audience(&good), "its claim `aud`, which should say whom it is for, is absent"),
        (lacking("exp"), "no expiry"),
        (lacking("jti"), "no token id"),
        (changed("nbf", json!(now + 600)), "not valid yet"),
        (whole.replacen('.', "..", 1), "not three parts"),
        (format!("{}A", &whole.strip_suffix(|_: char| true).unwrap()), "wrong signature"),
        (changed("pad", json!("x".repeat(9000))), "too long"),
        (changed("iss", json!("nobody")), "unknown issuer"),
    ]
}

#[test]
fn what_is_wrong_with_a_token_is_named_in_the_log() {
    Envoy::default().worker(|worker| {
        let mut policy = auth(json!([{"header": "authorization"}]));
        policy["single_use"] = json!(true);
        configure(worker, json!({"auth": policy}));
        for (token, cause) in wrong_tokens(worker.now().as_secs()) {
            request(worker, &with(&handshake(), "authorization", format!("Bearer {token}")));
            let log = worker.log(LogLevel::Info);
            let expected = line("auth", "client", &format!("the token is not valid: {cause}"));
            assert!(
                log.last().unwrap().contains(&format!(" rule={expected} address=")),
                "{cause}: {:?}",
                log.last()
            );
        }
    });
}

#[test]
fn a_limit_is_told_with_what_exceeded_it_and_a_rule_with_its_place_in_the_policy() {
    let of_ip = |count: &str, limit: u64| {
        json!([{"count": "control_frames", "per": "ip", "limit": 9, "window": "1s"},
            {"count": count, "per": "connection", "limit": limit, "window": "1s"}])
    };
    let limits = json!({"messages": {"max_frame_bytes": 8, "max_message_bytes": 12, "max_fragments": 2, "types": ["binary"]}});
    let big = [frame(0x02, MASK, &[0; 8]), frame(0x80, MASK, &[0; 8])].concat();
    let many = [frame(0x02, MASK, b""), frame(0x00, MASK, b""), frame(0x00, MASK, b"")].concat();
    let cases: Vec<(Value, Vec<u8>, &str)> = vec![
        (
            limits.clone(),
            from_client(BINARY, &[0; 9]),
            "messages.max_frame_bytes side=client cause=\"the bytes of a frame are 9, and 8 may be\"",
        ),
        (
            limits.clone(),
            big,
            "messages.max_message_bytes side=client cause=\"the bytes of a message are 16, and 12 may be\"",
        ),
        (
            limits.clone(),
            many,
            "messages.max_fragments side=client cause=\"the fragments of a message are 3, and 2 may be\"",
        ),
        (limits, from_client(TEXT, b"x"), "messages.types side=client"),
        (json!({"rates": of_ip("messages", 1)}), from_client(BINARY, b"x").repeat(2), "rates[1] side=client"),
        (json!({"rates": of_ip("bytes", 1)}), from_client(BINARY, b"xx"), "rates[1] side=client"),
        (json!({"rates": of_ip("messages", 9)}), from_client(PING, b"x").repeat(10), "rates[0] side=client"),
    ];
    for (changes, bytes, expected) in cases {
        Envoy::default().worker(|worker| {
            configure(worker, changes);
            open(worker, &handshake()).client_sends(&bytes);
            assert_eq!(told(worker), expected);
        });
    }
    Envoy::default().worker(|worker| {
        configure(worker, json!({"backpressure": {"max_backlog_bytes": 100}}));
        open(worker, &handshake()).upstream_sends(&from_upstream(BINARY, &[0; 100]));
        assert_eq!(told(worker), "backpressure cause=\"the unread bytes are 102, and 100 may be\"");
    });
    Envoy::default().worker(|worker| {
        let policy = auth(json!([{"first_message": "/token"}]));
        configure(worker, json!({"auth": policy}));
        open(worker, &handshake()).client_sends(&from_client(TEXT, &[b'x'; 17_000]));
        let cause = "the bytes before a token is accepted are 17008, and 16384 may be";
        assert_eq!(told(worker), line("auth.max_unauthenticated_bytes", "client", cause));
    });
}

#[test]
fn what_the_host_does_not_do_is_told_with_a_reason_and_counted() {
    let mut seen = Vec::new();
    Envoy::default().worker(|worker| {
        configure(worker, json!({"upstream_messages": {"utf8": true}}));
        let stream = open(worker, &handshake());
        stream.hide_response_body();
        stream.upstream_sends(&from_upstream(TEXT, b"hello"));
        assert!(stream.is_reset());
        assert_eq!(told(worker), format!("protocol cause=\"{}\"", HostFault::Chunk));
        assert_eq!(worker.metrics().get("postern_closes.policy=chat;.reason=internal;"), Some(&1));
        seen.push(HostFault::Chunk);
    });
    Envoy::default().worker(|worker| {
        let policy = auth(json!([{"first_message": "/token"}]));
        configure(worker, json!({"auth": policy}));
        let stream = open(worker, &handshake());
        stream.upstream_sends(&from_upstream(TEXT, b"welcome"));
        stream.hide_response_body();
        let token = token(json!({"sub": "alice", "exp": worker.now().as_secs() + 60}));
        stream.client_sends(&from_client(TEXT, json!({"token": token}).to_string().as_bytes()));
        assert!(stream.is_reset());
        assert_eq!(told(worker), format!("protocol cause=\"{}\"", HostFault::Delivery));
        seen.push(HostFault::Delivery);
    });
    // No peer, and no test of this host, gets the others out of it: an Envoy that has started has a configuration and
    // randomness, lets streams go on, gives a stream one response, and does not survive a panic, which the dynamic module's
    // tests provoke. The engine's own tests hand them in.
    let by_engine = [
        HostFault::NoConfiguration,
        HostFault::NoRandomness,
        HostFault::NotResumed,
        HostFault::Panicked,
        HostFault::Response,
    ];
    for fault in HostFault::ALL {
        assert!(seen.contains(&fault) || by_engine.contains(&fault), "{fault:?}");
    }
}

#[test]
fn what_is_wrong_with_a_csrf_token_is_named_in_the_log() {
    const SECRET: &str = "a secret for pages, 32 bytes or more";
    let mint = |issued: u64, session: &str| {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let text = format!("{issued}.{session}");
        format!("{issued}.{}", jsonwebtoken::crypto::sign(text.as_bytes(), &key, Algorithm::HS256).unwrap())
    };
    Envoy::default().worker(|worker| {
        configure(worker, json!({"csrf": {
            "secret": {"inline": SECRET}, "session_cookie": "sid", "from": {"query": "t"}, "lifetime": "1m",
        }}));
        let now = worker.now().as_secs();
        let good = mint(now, "abc");
        let shown = |query: String| with(&handshake(), ":path", format!("/chat?{query}"));
        let of = |head: Fields| with(&head, "cookie", "sid=abc");
        let cases = [
            (of(shown(format!("t={good}&t={good}"))), CsrfError::Ambiguous),
            (of(shown(format!("t={}", mint(now - 61, "abc")))), CsrfError::Expired),
            (of(shown("t=x".to_owned())), CsrfError::Form),
            (of(shown(format!("t={}", mint(now + 600, "abc")))), CsrfError::Future),
            (of(shown("a=1".to_owned())), CsrfError::Missing),
            (shown(format!("t={good}")), CsrfError::NoSession),
            (of(shown(format!("t={}", mint(now, "abd")))), CsrfError::Proof),
            (and(&of(shown(format!("t={good}"))), "cookie", "sid=abc"), CsrfError::TwoSessions),
        ];
        for (head, error) in &cases {
            request(worker, head);
            let log = worker.log(LogLevel::Info);
            let expected = line("csrf", "client", &error.to_string());
            assert!(log.last().unwrap().contains(&format!(" rule={expected} address=")), "{error:?}: {:?}", log.last());
        }
        for error in CsrfError::ALL {
            assert!(cases.iter().any(|(_, one)| *one == error), "{error:?} is provoked by nothing here");
        }
    });
}

#[test]
fn no_reply_names_a_rule_or_a_cause() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let reply = request(worker, &with(&handshake(), "origin", "https://evil.example")).reply().unwrap();
        let body = String::from_utf8(reply.body).unwrap();
        assert!(!body.contains("rule") && !body.contains("cause") && !body.contains("evil"), "{body}");
        assert!(!body.contains(ORIGIN), "{body}");
        let stream = open(worker, &handshake());
        let up = stream.client_sends(&from_client(CLOSE, b"x"));
        assert!(up.len() < 2 + 4 + 2 + "protocol_error".len() + 1, "a Close has the reason alone");
    });
}
