//! The shape of a handshake (RFC 6455 §4.2.1): requests that Postern refuses, and those that Envoy never
//! hands to it.

use postern_e2e::scene::document;
use postern_e2e::{Attack, ControlPair, Frame, Request, Scene, Shared, json};

const PATH: &str = "/ws/open";
const KEY: &str = "sec-websocket-key";
const VERSION: &str = "sec-websocket-version";
const MALFORMED: (u16, &str) = (400, "malformed_handshake");
const UNSUPPORTED: (u16, &str) = (426, "version_unsupported");

fn scene() -> Scene {
    Scene::new().document(document(json!({}), json!({"open": {}})))
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

fn upgrade() -> Request {
    Request::upgrade(PATH)
}

fn attack<'a>(name: &'a str, request: Request, (status, reason): (u16, &'a str)) -> Attack<'a> {
    Attack { name, request, policy: "open", status, reason }
}

#[tokio::test]
async fn each_item_of_section_4_2_1_is_required() {
    let pair = PAIR.alone().await;
    let cases = [
        ("POST", upgrade().method("POST").header("Content-Length", "0"), MALFORMED),
        ("another method", upgrade().method("OPTIONS"), MALFORMED),
        ("no version", upgrade().without(VERSION), MALFORMED),
        ("an empty version", upgrade().set(VERSION, ""), UNSUPPORTED),
        ("two versions", upgrade().header(VERSION, "13"), MALFORMED),
        ("a list of versions", upgrade().set(VERSION, "13, 8"), UNSUPPORTED),
        ("the version of a draft", upgrade().set(VERSION, "8"), UNSUPPORTED),
        ("a version written otherwise", upgrade().set(VERSION, "013"), UNSUPPORTED),
        ("no key", upgrade().without(KEY), MALFORMED),
        ("an empty key", upgrade().set(KEY, ""), MALFORMED),
        ("two keys", upgrade().header(KEY, "dGhlIHNhbXBsZSBub25jZQ=="), MALFORMED),
        ("a key of 15 bytes", upgrade().set(KEY, "dGhlIHNhbXBsZSBub25j"), MALFORMED),
        ("a key of 17 bytes", upgrade().set(KEY, "dGhlIHNhbXBsZSBub25jZSE="), MALFORMED),
        ("a key without padding", upgrade().set(KEY, "dGhlIHNhbXBsZSBub25jZQ"), MALFORMED),
        ("a key of another alphabet", upgrade().set(KEY, "____IHNhbXBsZSBub25jZQ=="), MALFORMED),
        ("a key that is not text", upgrade().set(KEY, b"\xff\xfehlIHNhbXBsZSBub25jZQ=="), MALFORMED),
    ];
    for (name, request, outcome) in cases {
        pair.assert_refused(&attack(name, request, outcome)).await;
    }
}

/// The bytes behind such a request are a body to one reader and frames to the next (RFC 9112 §11.2).
#[tokio::test]
async fn a_handshake_with_a_body_is_refused() {
    let pair = PAIR.alone().await;
    let cases = [
        ("no bytes, written oddly", upgrade().header("Content-Length", "00")),
        ("five bytes", upgrade().header("Content-Length", "5").body("hello")),
    ];
    for (name, request) in cases {
        pair.assert_refused(&attack(name, request, MALFORMED)).await;
    }
}

/// Many libraries write a Content-Length of 0, with nothing behind the head.
#[tokio::test]
async fn a_handshake_that_says_that_it_has_no_body_is_one() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.open_with(&upgrade().header("Content-Length", "0")).await;
    let text = Frame::text("hello");
    client.send(text.clone().masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(text));
}

/// Envoy takes the field away before any filter runs; the bytes behind the head are then judged as frames.
#[tokio::test]
async fn chunks_behind_a_handshake_are_no_way_around_the_frame_rules() {
    let pair = PAIR.alone().await;
    let labels = [("policy", "open"), ("reason", "protocol_error")];
    let closes = pair.guarded.envoy().growth("postern_closes", &labels).await;
    let body = "7\r\n\x01\x05hello\r\n0\r\n\r\n";
    let request = upgrade().header("Transfer-Encoding", "chunked").body(body);
    let mut client = pair.guarded.connect().await;
    assert_eq!(client.ask(&request).await.status, 101);
    assert_eq!(client.close().await.reason(), "protocol_error");
    let record = pair.guarded.record(&client).await;
    assert_eq!(record.header("transfer-encoding"), None);
    assert_eq!(record.close().await.reason(), "protocol_error");
    assert_eq!(record.frames().len(), 1, "only Postern's Close");
    assert_eq!(pair.guarded.access_line(request.case()).await["reason"], "protocol_error");
    assert_eq!(closes.so_far().await, 1.0);

    let mut client = pair.bare.connect().await;
    assert_eq!(client.ask(&request).await.status, 101);
    let received = pair.bare.record(&client).await.bytes_when(body.len()).await;
    assert_eq!(received, body.as_bytes(), "without Postern");
}

/// Upgrade is a hop-by-hop field, which without Connection means nothing (RFC 9110 §7.8).
#[tokio::test]
async fn upgrade_without_connection_is_ordinary_http_from_which_envoy_takes_it_away() {
    let pair = PAIR.alone().await;
    for request in [upgrade().without("connection"), upgrade().set("Connection", "keep-alive")] {
        pair.assert_untouched("an Upgrade that means nothing", &request).await;
        let record = pair.guarded.upstream().record(request.case()).await;
        assert_eq!((record.header("upgrade"), record.header("connection")), (None, None));
    }
}

#[tokio::test]
async fn what_the_rfc_allows_in_a_handshake_is_granted() {
    let pair = PAIR.alone().await;
    let scene = &pair.guarded;
    let labels = [("policy", "open"), ("result", "allowed"), ("reason", "none")];
    let handshakes = scene.envoy().growth("postern_handshakes", &labels).await;
    let cases = [
        ("names in any case", upgrade().set("Upgrade", "WebSocket").set("Connection", "upGRADE")),
        ("a list in Connection", upgrade().set("Connection", "keep-alive, Upgrade")),
        // The key is RFC 6455's own example, which leaves bits over behind the sixteenth byte.
        ("the key of section 4.2.1", upgrade().set(KEY, "AQIDBAUGBwgJCgsMDQ4PEC==")),
        ("a query", Request::upgrade("/ws/open?room=1&room=2")),
    ];
    for (name, request) in cases {
        let mut client = scene.connect().await;
        assert_eq!(client.ask(&request).await.status, 101, "{name}");
    }
    assert_eq!(handshakes.so_far().await, 4.0);
}

/// An Envoy that is configured to accept HTTP/1.0 upgrades that as well.
#[tokio::test]
async fn http_1_0_has_no_upgrades_also_where_envoy_accepts_it() {
    let accepting = || {
        scene().change_connection_manager(|hcm| {
            hcm["http_protocol_options"] =
                json!({"accept_http_10": true, "default_host_for_http_10": "localhost"});
        })
    };
    let pair = ControlPair::start(accepting).await;
    pair.assert_refused(&attack("HTTP/1.0", upgrade().version("HTTP/1.0"), MALFORMED)).await;
}

#[tokio::test]
async fn envoy_itself_refuses_what_is_no_http() {
    let pair = PAIR.alone().await;
    let cases = [
        ("HTTP/1.0", upgrade().version("HTTP/1.0"), 426),
        ("no Host", upgrade().without("host"), 400),
        ("two lengths", upgrade().header("Content-Length", "1").header("Content-Length", "2"), 400),
        (
            "length and chunks",
            upgrade().header("Content-Length", "5").header("Transfer-Encoding", "chunked").body("0\r\n\r\n"),
            400,
        ),
        ("a protocol that Envoy may not upgrade to", upgrade().set("Upgrade", "foo"), 403),
        ("two protocols", upgrade().set("Upgrade", "websocket, foo"), 403),
    ];
    for (name, request, status) in cases {
        pair.assert_envoy_refuses(name, &request, status).await;
    }
}
