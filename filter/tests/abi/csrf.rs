//! CSRF tokens, as Envoy's header maps, the access log and the operator's log see them.

use jsonwebtoken::{Algorithm, EncodingKey};
use proxy_wasm::types::LogLevel;
use serde_json::{Value, json};

use crate::fixtures::{REASON, agreement, and, configure, fields, handshake, request, with, without};
use crate::host::{Envoy, Worker, value_of};

const SECRET: &str = "a secret for pages, 32 bytes or more";

fn policy(from: Value) -> Value {
    json!({"csrf": {
        "secret": {"inline": SECRET}, "session_cookie": "sid", "from": from, "issue": {"cookie": "__Host-csrf"},
    }})
}

/// The token of a session, issued now.
fn token(worker: &Worker, session: &str) -> String {
    let issued = worker.now().as_secs();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let text = format!("{issued}.{session}");
    let proof = jsonwebtoken::crypto::sign(text.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{issued}.{proof}")
}

#[test]
fn a_token_is_demanded_and_leaves_the_request_and_the_log_says_what_was_wrong() {
    Envoy::default().worker(|worker| {
        configure(worker, policy(json!({"query": "csrf_token"})));
        let good = token(worker, "abc");
        let path = |query: &str| with(&handshake(), ":path", format!("/chat?{query}"));
        let cases = [
            (path(&format!("csrf_token={good}&a=1")), "abc", None),
            (path("a=1"), "abc", Some(("csrf_missing", "no CSRF token"))),
            (
                path(&format!("a=1&csrf_token={good}")),
                "abd",
                Some(("csrf_invalid", "not one of this session")),
            ),
        ];
        for (head, session, refusal) in cases {
            let stream = request(worker, &with(&head, "cookie", format!("sid={session}")));
            assert_eq!(stream.reply().map(|reply| reply.status), refusal.map(|_| 403), "{refusal:?}");
            assert_eq!(stream.property(REASON), refusal.map(|(reason, _)| reason.as_bytes().to_vec()));
            assert_eq!(value_of(&stream.logged_request(), ":path"), Some(&b"/chat?a=1"[..]));
            let log = worker.log(LogLevel::Info).join("\n");
            assert!(refusal.is_none_or(|(_, detail)| log.contains(detail)), "{log}");
            assert!(!log.contains(&good), "{log}");
        }
    });
}

#[test]
fn a_page_is_given_one_more_cookie_and_keeps_its_own() {
    Envoy::default().worker(|worker| {
        configure(worker, policy(json!({"query": "csrf_token"})));
        let plain = fields(&[(":method", "GET"), (":path", "/"), (":authority", "a")]);
        let html = fields(&[(":status", "200"), ("content-type", "text/html")]);
        let own = and(&and(&html, "set-cookie", "a=1"), "set-cookie", "sid=abc; HttpOnly");
        let cookie = format!("__Host-csrf={}; Path=/; Secure; SameSite=Strict", token(worker, "abc"));
        let cases = [
            (plain.clone(), own.clone(), and(&own, "set-cookie", &cookie)),
            (with(&plain, "cookie", "sid=abc"), html.clone(), and(&html, "set-cookie", &cookie)),
            (plain.clone(), html.clone(), html),
        ];
        for (head, answer, expected) in cases {
            let stream = request(worker, &head);
            assert_eq!(stream.request(), Some(head));
            stream.answered(&answer);
            assert_eq!(stream.response(), Some(expected));
            assert_eq!(stream.upstream_sends(b"<p>"), b"<p>");
        }
        assert!(worker.metrics().is_empty());
    });
}

#[test]
fn a_client_whose_offers_are_all_secret_is_answered_with_one_of_them() {
    const FIELD: &str = "sec-websocket-protocol";
    Envoy::default().worker(|worker| {
        configure(worker, policy(json!({"subprotocol": "csrf."})));
        let item = format!("csrf.{}", token(worker, "abc"));
        for (offers, chosen) in [(item.clone(), Some(item.clone())), (format!("chat, {item}"), None)] {
            let head = with(&with(&handshake(), FIELD, offers), "cookie", "sid=abc");
            let stream = request(worker, &head);
            let up = stream.request().expect("it goes up");
            assert!(value_of(&up, FIELD).is_none_or(|offer| offer == b"chat"));
            stream.answered(&without(&agreement(&up), FIELD));
            let response = stream.response().expect("the 101 goes down");
            assert_eq!(value_of(&response, FIELD), chosen.as_deref().map(str::as_bytes));
        }
    });
}
