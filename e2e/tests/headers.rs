//! Headers that are absent, repeated, too long or no text, in every field that Postern reads: each has a
//! clean answer, and the next client is served.

use postern_e2e::client::token::edge_claims;
use postern_e2e::scene::document;
use postern_e2e::{Attack, ControlPair, Request, RunningScene, Scene, Shared, Signer, json};

const PATH: &str = "/ws/strict";

/// The status and the reason of a refusal; `None` for a handshake that is granted.
type Outcome = Option<(u16, &'static str)>;

const GOOD: Outcome = None;
const MALFORMED: Outcome = Some((400, "malformed_handshake"));
const ORIGIN: Outcome = Some((403, "origin_denied"));
const VERSION: Outcome = Some((426, "version_unsupported"));
const SUBPROTOCOL: Outcome = Some((403, "subprotocol_denied"));
const NO_TOKEN: Outcome = Some((401, "token_missing"));
const BAD_TOKEN: Outcome = Some((401, "token_invalid"));
const TWO_TOKENS: Outcome = Some((400, "token_ambiguous"));

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

static PAIR: Shared<ControlPair> = Shared::new(scene);

/// Returns a handshake that is granted.
fn sound() -> Request {
    let token = Signer::edge().mint(&edge_claims("alice"));
    Request::upgrade(PATH)
        .header("Origin", "https://app.example.com")
        .header("Sec-WebSocket-Protocol", "chat.v2")
        .header("Authorization", format!("Bearer {token}"))
}

/// Asserts that `request` is answered with this outcome, and that the next handshake is granted.
async fn assert_answered(pair: &ControlPair, name: &str, request: Request, outcome: Outcome) {
    if let Some((status, reason)) = outcome {
        pair.assert_refused(&Attack { name, request, policy: "strict", status, reason }).await;
    } else {
        assert_eq!(pair.guarded.ask(&request).await.status, 101, "{name}");
        assert!(pair.guarded.upstream().has_seen(request.case()), "{name}: not at the upstream");
    }
    assert_next_granted(pair, name).await;
}

async fn assert_next_granted(pair: &ControlPair, name: &str) {
    assert_eq!(pair.guarded.ask(&sound()).await.status, 101, "the handshake after {name}");
}

/// Asserts that nothing trapped and nothing was started anew.
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
    let pair = PAIR.alone().await;
    let odd = b"\xff\xfe\x80";
    let cases = [
        ("Origin", ORIGIN),
        ("Sec-WebSocket-Protocol", MALFORMED),
        ("Sec-WebSocket-Version", VERSION),
        ("Sec-WebSocket-Key", MALFORMED),
        ("Sec-WebSocket-Extensions", GOOD),
        // A value that is no Bearer token is none of Postern's, and counts as no token.
        ("Authorization", NO_TOKEN),
        ("X-Token", TWO_TOKENS),
        ("Cookie", GOOD),
        ("X-User-Id", GOOD),
        ("X-Request-Id", GOOD),
        ("X-Forwarded-Proto", GOOD),
        ("X-Forwarded-For", GOOD),
        ("X-Whatever", GOOD),
    ];
    for (header, outcome) in cases {
        assert_answered(&pair, header, sound().set(header, odd), outcome).await;
    }
    let bare = || sound().without("authorization");
    let carriers = [
        ("Bearer", sound().set("Authorization", [b"Bearer ", &odd[..]].concat())),
        ("a cookie", bare().header("Cookie", [b"ws_token=", &odd[..]].concat())),
        ("a subprotocol", bare().set("Sec-WebSocket-Protocol", [b"chat.v2, bearer.", &odd[..]].concat())),
    ];
    for (name, request) in carriers {
        assert_answered(&pair, name, request, BAD_TOKEN).await;
    }
    assert_unharmed(&pair.guarded).await;
}

/// Envoy keeps no bytes beyond ASCII in a path, a host or the fields of its own protocol.
#[tokio::test]
async fn bytes_that_are_not_text_in_the_frame_of_http_open_no_socket_with_or_without_postern() {
    let pair = PAIR.alone().await;
    let odd = b"\xff\xfe\x80";
    let cases = [
        ("Host", sound().set("Host", odd), 400),
        ("Upgrade", sound().set("Upgrade", odd), 403),
        ("Content-Length", sound().set("Content-Length", odd), 400),
        ("Transfer-Encoding", sound().set("Transfer-Encoding", odd), 501),
        ("the target", Request::upgrade(PATH).target(b"/ws/strict?access_token=\xff\xfe"), 400),
    ];
    for (name, request, status) in cases {
        pair.assert_envoy_refuses(name, &request, status).await;
        assert_next_granted(&pair, name).await;
    }
    // A value without the words that make an upgrade leaves the request ordinary HTTP.
    pair.assert_untouched("Connection", &sound().set("Connection", odd)).await;
    assert_next_granted(&pair, "Connection").await;
    assert_unharmed(&pair.guarded).await;
}

#[tokio::test]
async fn a_header_that_is_absent_or_repeated_has_a_clean_answer() {
    let pair = PAIR.alone().await;
    let repeated = |name: &str| {
        let request = sound();
        let value = request.value(name).expect("a header of a sound handshake").to_vec();
        request.header(name, value)
    };
    let cases = [
        ("no Origin", sound().without("origin"), Some((403, "origin_missing"))),
        ("no subprotocol", sound().without("sec-websocket-protocol"), SUBPROTOCOL),
        ("no version", sound().without("sec-websocket-version"), MALFORMED),
        ("no key", sound().without("sec-websocket-key"), MALFORMED),
        ("no token", sound().without("authorization"), NO_TOKEN),
        ("two Origins", repeated("origin"), ORIGIN),
        ("two subprotocols", repeated("sec-websocket-protocol"), MALFORMED),
        ("two keys", repeated("sec-websocket-key"), MALFORMED),
        ("two versions", repeated("sec-websocket-version"), MALFORMED),
        ("two tokens", repeated("authorization"), TWO_TOKENS),
        ("empty cookies", sound().header("Cookie", "").header("Cookie", ";;="), GOOD),
        ("empty extensions", sound().header("Sec-WebSocket-Extensions", ""), GOOD),
    ];
    for (name, request, outcome) in cases {
        assert_answered(&pair, name, request, outcome).await;
    }
    assert_unharmed(&pair.guarded).await;
}

/// Envoy lets through at most 50 KiB beside the other headers; 60 KiB is more than all may have together.
#[tokio::test]
async fn a_huge_header_has_a_clean_answer() {
    let pair = PAIR.alone().await;
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
        let request = sound().set(header, vec![b'a'; 60 * 1024]);
        pair.assert_envoy_refuses(header, &request, 431).await;
        assert_next_granted(&pair, header).await;
    }
    let many = |piece: &str| piece.repeat(50 * 1024 / piece.len());
    let cases = [
        ("an origin", sound().set("Origin", many("https://a.")), ORIGIN),
        ("one subprotocol", sound().set("Sec-WebSocket-Protocol", many("a")), SUBPROTOCOL),
        ("many subprotocols", sound().set("Sec-WebSocket-Protocol", many("chat.v2, ")), MALFORMED),
        ("a key", sound().set("Sec-WebSocket-Key", many("a")), MALFORMED),
        ("versions", sound().set("Sec-WebSocket-Version", many("13, ")), VERSION),
        ("extensions", sound().header("Sec-WebSocket-Extensions", many("permessage-deflate, ")), GOOD),
        ("a token", sound().set("Authorization", format!("Bearer {}", many("a"))), BAD_TOKEN),
        ("dots", sound().set("Authorization", format!("Bearer {}", many("."))), BAD_TOKEN),
        ("tokens", sound().set("Authorization", many("Bearer a.b.c, ")), TWO_TOKENS),
        ("cookies", sound().header("Cookie", many("a=b; ")), GOOD),
        ("a spoofed identity", sound().header("X-User-Id", many("a")), GOOD),
        ("a query", Request::upgrade(&format!("{PATH}?{}", many("a=b&"))), Some((403, "origin_missing"))),
    ];
    for (name, request, outcome) in cases {
        assert_answered(&pair, name, request, outcome).await;
    }
    assert_unharmed(&pair.guarded).await;
}
