//! Headers that are absent, repeated, too long or no text, in every field that Postern reads: each has a clean answer,
//! and whoever comes next is served.

use postern_e2e::token::edge_claims;
use postern_e2e::twins::document;
use postern_e2e::{Request, Response, RunningScene, Scene, Signer, json};

const PATH: &str = "/ws/strict";
const GOOD: (u16, Option<&str>) = (101, None);
const MALFORMED: (u16, Option<&str>) = (400, Some("malformed_handshake"));

fn scene() -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let strict = json!({
        "tls": "forwarded",
        "origins": {"allow": ["https://app.example.com"], "missing": "deny"},
        "subprotocols": {"allow": ["chat.v2"], "require": true},
        "auth": {
            "providers": ["edge"],
            "from": [
                {"header": "authorization"}, {"header": "x-token"}, {"subprotocol": "bearer."},
                {"query": "access_token"}, {"cookie": "ws_token"},
            ],
            "forward": {"x-user-id": "sub"},
        },
    });
    Scene::new().document(document(json!({"edge": edge}), json!({"strict": strict})))
}

/// A handshake that is granted.
fn sound() -> Request {
    let token = Signer::edge().mint(&edge_claims("alice"));
    Request::upgrade(PATH)
        .header("Origin", "https://app.example.com")
        .header("Sec-WebSocket-Protocol", "chat.v2")
        .header("Authorization", format!("Bearer {token}"))
}

/// The answer to `request` is this one, and the next handshake is granted.
async fn assert_answered(scene: &RunningScene, name: &str, request: &Request, expected: (u16, Option<&str>)) {
    let response = scene.ask(request).await;
    assert_eq!((response.status, response.reason().as_deref()), expected, "{name}");
    assert_eq!(scene.upstream().has_seen(request.case()), expected.0 == 101, "{name}: at the upstream");
    assert_eq!(scene.ask(&sound()).await.status, 101, "the handshake after {name}");
}

/// Nothing trapped, nothing was started anew.
async fn assert_unharmed(scene: &RunningScene) {
    let log = scene.envoy().log().to_lowercase();
    for word in ["panic", "critical", "trap", "unreachable"] {
        assert!(!log.contains(word), "{word} in Envoy's log: {log}");
    }
    let stats = scene.envoy().stats().await;
    let reloads: Vec<_> =
        stats.0.iter().filter(|s| s.name.contains("wasm") && s.name.contains("reload")).collect();
    assert!(reloads.iter().all(|sample| sample.value == 0.0), "{reloads:?}");
}

#[tokio::test]
async fn bytes_that_are_not_text_have_a_clean_answer_in_every_header() {
    let scene = scene().start().await;
    let odd = b"\xff\xfe\x80";
    let cases = [
        ("Origin", (403, Some("origin_denied"))),
        ("Sec-WebSocket-Protocol", MALFORMED),
        ("Sec-WebSocket-Version", (426, Some("version_unsupported"))),
        ("Sec-WebSocket-Key", MALFORMED),
        ("Sec-WebSocket-Extensions", GOOD),
        // What is no Bearer token is none of Postern's: then there is none.
        ("Authorization", (401, Some("token_missing"))),
        ("X-Token", (400, Some("token_ambiguous"))),
        ("Cookie", GOOD),
        ("X-User-Id", GOOD),
        ("X-Request-Id", GOOD),
        ("X-Forwarded-Proto", GOOD),
        ("X-Forwarded-For", GOOD),
        ("X-Whatever", GOOD),
    ];
    for (header, expected) in cases {
        assert_answered(&scene, header, &sound().set(header, odd), expected).await;
    }
    let carriers = [
        (
            "Bearer",
            sound().set("Authorization", [b"Bearer ", &odd[..]].concat()),
            (401, Some("token_invalid")),
        ),
        (
            "a cookie",
            sound().without("authorization").header("Cookie", [b"ws_token=", &odd[..]].concat()),
            (401, Some("token_invalid")),
        ),
        (
            "a subprotocol",
            sound()
                .without("authorization")
                .set("Sec-WebSocket-Protocol", [b"chat.v2, bearer.", &odd[..]].concat()),
            (401, Some("token_invalid")),
        ),
    ];
    for (name, request, expected) in carriers {
        assert_answered(&scene, name, &request, expected).await;
    }
    assert_unharmed(&scene).await;
}

/// Envoy keeps no bytes beyond ASCII in a path, a host or the fields of its own protocol.
#[tokio::test]
async fn bytes_that_are_not_text_in_the_frame_of_http_are_refused_by_envoy() {
    let scene = scene().start().await;
    for header in ["Host", "Upgrade", "Connection", "Content-Length", "Transfer-Encoding"] {
        let request = sound().set(header, b"\xff\xfe\x80");
        let response = scene.ask(&request).await;
        assert_clean(&scene, header, &request, &response).await;
    }
    let request = Request::upgrade("/ws/strict").target(b"/ws/strict?access_token=\xff\xfe");
    let response = scene.ask(&request).await;
    assert_clean(&scene, "the target", &request, &response).await;
    assert_unharmed(&scene).await;
}

/// Refused by either of them, or taken for ordinary HTTP that asks for no upgrade.
async fn assert_clean(scene: &RunningScene, name: &str, request: &Request, response: &Response) {
    if scene.upstream().has_seen(request.case()) {
        let record = scene.upstream().record(request.case()).await;
        assert_eq!((response.status, record.header("upgrade")), (200, None), "{name}");
    } else {
        assert!((400..=501).contains(&response.status), "{name}: {}", response.status);
    }
    assert_eq!(scene.ask(&sound()).await.status, 101, "the handshake after {name}");
}

#[tokio::test]
async fn a_header_that_is_absent_or_repeated_has_a_clean_answer() {
    let scene = scene().start().await;
    let repeated = |name: &str| {
        let request = sound();
        let value = request.value(name).expect("a header of a sound handshake").to_vec();
        request.header(name, value)
    };
    let cases = [
        ("no Origin", sound().without("origin"), (403, Some("origin_missing"))),
        ("no subprotocol", sound().without("sec-websocket-protocol"), (403, Some("subprotocol_denied"))),
        ("no version", sound().without("sec-websocket-version"), MALFORMED),
        ("no key", sound().without("sec-websocket-key"), MALFORMED),
        ("no token", sound().without("authorization"), (401, Some("token_missing"))),
        ("two Origins", repeated("origin"), (403, Some("origin_denied"))),
        ("two subprotocols", repeated("sec-websocket-protocol"), MALFORMED),
        ("two keys", repeated("sec-websocket-key"), MALFORMED),
        ("two versions", repeated("sec-websocket-version"), MALFORMED),
        ("two tokens", repeated("authorization"), (400, Some("token_ambiguous"))),
        ("empty cookies", sound().header("Cookie", "").header("Cookie", ";;="), GOOD),
        ("empty extensions", sound().header("Sec-WebSocket-Extensions", ""), GOOD),
    ];
    for (name, request, expected) in cases {
        assert_answered(&scene, name, &request, expected).await;
    }
    assert_unharmed(&scene).await;
}

/// 50 KiB is the most that Envoy lets through beside the other headers; 60 KiB is more than all may have together.
#[tokio::test]
async fn a_huge_header_has_a_clean_answer() {
    let scene = scene().start().await;
    let too_long = [
        "Origin",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Extensions",
        "Authorization",
        "X-Token",
        "Cookie",
        "X-User-Id",
    ];
    for header in too_long {
        assert_answered(&scene, header, &sound().set(header, vec![b'a'; 60 * 1024]), (431, None)).await;
    }
    let many = |piece: &str| piece.repeat(50 * 1024 / piece.len());
    let cases = [
        ("an origin", sound().set("Origin", many("https://a.")), (403, Some("origin_denied"))),
        (
            "one subprotocol",
            sound().set("Sec-WebSocket-Protocol", many("a")),
            (403, Some("subprotocol_denied")),
        ),
        ("many subprotocols", sound().set("Sec-WebSocket-Protocol", many("chat.v2, ")), MALFORMED),
        ("a key", sound().set("Sec-WebSocket-Key", many("a")), MALFORMED),
        ("versions", sound().set("Sec-WebSocket-Version", many("13, ")), (426, Some("version_unsupported"))),
        ("extensions", sound().header("Sec-WebSocket-Extensions", many("permessage-deflate, ")), GOOD),
        (
            "a token",
            sound().set("Authorization", format!("Bearer {}", many("a"))),
            (401, Some("token_invalid")),
        ),
        ("dots", sound().set("Authorization", format!("Bearer {}", many("."))), (401, Some("token_invalid"))),
        ("tokens", sound().set("Authorization", many("Bearer a.b.c, ")), (400, Some("token_ambiguous"))),
        ("cookies", sound().header("Cookie", many("a=b; ")), GOOD),
        ("a spoofed identity", sound().header("X-User-Id", many("a")), GOOD),
        ("a query", Request::upgrade(&format!("{PATH}?{}", many("a=b&"))), (403, Some("origin_missing"))),
    ];
    for (name, request, expected) in cases {
        assert_answered(&scene, name, &request, expected).await;
    }
    assert_unharmed(&scene).await;
}
