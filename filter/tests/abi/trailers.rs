//! Trailers, which a stream of HTTP/2 can end with: Envoy lets all that is paused go on with them, unless they are
//! paused too.

use std::time::Duration;

use serde_json::json;

use crate::fixtures::{REASON, auth, configure, document, fields, handshake, request, websocket};
use crate::frames::{BINARY, TEXT, close, from_client, from_upstream, read};
use crate::host::{Envoy, Stream, Worker};

const CLOSED: &str = "postern_closes.policy=chat;.reason=protocol_error;";

fn first_message() -> serde_json::Value {
    json!({"auth": auth(json!([{"first_message": "/token"}]))})
}

/// It has told both sides where they could be told, has let nothing else go on, and is cut in time.
fn assert_ended(name: &str, stream: &Stream<'_>, to_upstream: &[u8]) {
    let closes = [(to_upstream.to_vec(), true), (stream.to_client(), false)];
    for (sent, masked) in closes.iter().filter(|(sent, _)| !sent.is_empty()) {
        assert_eq!(read(sent), [close(*masked, 1002, "protocol_error")], "{name}: masked {masked}");
    }
    assert_eq!(stream.property(REASON), Some(b"protocol_error".to_vec()), "{name}");
    stream.worker().pass(Duration::from_secs(5));
    assert!(stream.is_reset(), "{name}: it is left open");
}

#[test]
fn nothing_that_waits_goes_up_with_a_clients_trailers() {
    let (text, half) = (from_client(TEXT, b"unauthorised"), from_client(TEXT, &[b'a'; 500]));
    let cases = [
        ("nothing", json!({}), Vec::new()),
        ("part of a header", json!({}), text[..1].to_vec()),
        ("part of a text", json!({}), half[..300].to_vec()),
        ("part of a first message", first_message(), half[..300].to_vec()),
    ];
    for (name, policy, bytes) in cases {
        Envoy::default().worker(|worker| {
            configure(worker, policy);
            let stream = websocket(worker);
            assert_eq!(stream.client_sends(&bytes), b"", "{name}");
            let gone = stream.client_ends_with_trailers();
            assert_ended(name, &stream, &gone);
            assert_eq!(worker.metrics().get(CLOSED).copied(), Some(1), "{name}");
        });
    }
}

#[test]
fn a_client_that_ends_with_trailers_before_the_101_is_refused_and_its_bytes_stay() {
    for bytes in [Vec::new(), from_client(BINARY, b"early"), b"GET /admin HTTP/1.1\r\n\r\n".to_vec()] {
        for policy in [json!({}), first_message()] {
            Envoy::default().worker(|worker| {
                configure(worker, policy);
                let stream = request(worker, &handshake());
                stream.client_sends(&bytes);
                assert_eq!(stream.client_ends_with_trailers(), b"");
                assert_eq!(stream.reply().map(|reply| reply.status), Some(400));
                assert_eq!(stream.property(REASON), Some(b"malformed_handshake".to_vec()));
                assert_eq!(stream.to_upstream(), b"");
            });
        }
    }
}

/// What a client sends to an upstream that stays with HTTP is a request to it.
#[test]
fn nothing_of_the_client_goes_up_once_the_upstream_has_declined() {
    let ahead = b"GET /admin HTTP/1.1\r\n\r\n";
    for (name, early) in [("ahead of the answer and behind it", &ahead[..]), ("behind the answer", b"")] {
        Envoy::default().worker(|worker| {
            configure(worker, json!({}));
            let stream = request(worker, &handshake());
            stream.client_sends(early);
            stream.answered(&fields(&[(":status", "403")]));
            assert_eq!(stream.upstream_sends(b"no"), b"no", "{name}");
            assert_eq!(stream.client_sends(ahead), b"", "{name}");
            assert_eq!(stream.client_ends_with_trailers(), b"", "{name}: with trailers");
            assert_eq!(stream.upstream_sends(b" entry"), b" entry", "{name}");
        });
    }
}

#[test]
fn an_upstream_that_ends_with_trailers_ends_the_connection_and_what_waits_stays() {
    let text = from_upstream(TEXT, b"half a text");
    let cases = [
        ("nothing", json!({}), Vec::new()),
        ("part of a text", json!({"upstream_messages": {"utf8": true}}), text[..5].to_vec()),
        ("a greeting", first_message(), text.clone()),
    ];
    for (name, policy, bytes) in cases {
        Envoy::default().worker(|worker| {
            configure(worker, policy);
            let stream = websocket(worker);
            assert_eq!(stream.upstream_sends(&bytes), b"", "{name}");
            stream.upstream_ends_with_trailers();
            assert_ended(name, &stream, &stream.to_upstream());
        });
    }
}

#[test]
fn trailers_pass_where_nothing_is_judged() {
    Envoy::default().worker(|worker: &Worker| {
        configure(worker, json!({"other_upgrades": "pass"}));
        let plain =
            request(worker, &fields(&[(":method", "POST"), (":path", "/"), (":authority", "a.example")]));
        assert_eq!(plain.client_sends(b"body"), b"body");
        plain.client_ends_with_trailers();
        plain.answered(&fields(&[(":status", "200")]));
        plain.upstream_ends_with_trailers();
        assert!(plain.reply().is_none() && !plain.is_reset() && plain.property(REASON).is_none());
    });
}

#[test]
fn a_clients_trailers_are_no_way_to_headers_with_claims() {
    let trailers = fields(&[("x-user-id", "root"), ("x.user_id", "root"), ("x-checksum", "1")]);
    let plain = fields(&[(":method", "POST"), (":path", "/"), (":authority", "a.example")]);
    for default in ["chat", "pass"] {
        Envoy::default().worker(|worker: &Worker| {
            let auth = auth(json!([{"header": "authorization"}]));
            let mut whole = document(json!({"auth": auth}));
            whole["default_policy"] = json!(default);
            assert!(worker.configure(whole.to_string().as_bytes()));
            let left = request(worker, &plain).client_sends_trailers(&trailers);
            assert_eq!(left, fields(&[("x-checksum", "1")]), "{default}");
        });
    }
}

#[test]
fn the_client_is_told_at_the_next_boundary_where_bytes_are_under_way() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = websocket(worker);
        let message = from_upstream(BINARY, &[7; 9000]);
        stream.upstream_sends(&message[..8000]);
        stream.client_ends_with_trailers();
        let rest = stream.upstream_sends(&message[8000..]);
        assert!(rest.starts_with(&message[8000..]));
        assert_eq!(read(&rest[message.len() - 8000..]), [close(false, 1002, "protocol_error")]);
    });
}

#[test]
fn trailers_go_on_in_shadow_behind_all_that_came_and_are_told() {
    let half = &from_client(TEXT, &[b'a'; 500])[..300];
    Envoy::default().worker(|worker| {
        configure(worker, json!({"mode": "shadow"}));
        let stream = websocket(worker);
        assert_eq!(stream.client_sends(half), half);
        stream.client_ends_with_trailers();
        assert_eq!(stream.property(REASON), Some(b"shadow:protocol_error".to_vec()));
        let found = "postern_violations.policy=chat;.rule=protocol;.reason=protocol_error;.mode=shadow;";
        assert_eq!(worker.metrics().get(found).copied(), Some(1));
        stream.worker().pass(Duration::from_secs(5));
        assert!(!stream.is_reset(), "its end is the peers' business");
    });
}
