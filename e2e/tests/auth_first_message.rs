//! The token in the first message: until it has come, nothing of either side reaches the other.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail anywhere")]

use std::time::{Duration, Instant};

use postern_e2e::token::{edge_claims, now};
use postern_e2e::twins::document;
use postern_e2e::{Behaviour, Frame, RawClient, Request, RunningScene, Scene, Signer, Value, json};

/// How long nothing may come before it counts as nothing.
const QUIET: Duration = Duration::from_millis(300);

const TIMEOUT: Duration = Duration::from_secs(2);

fn configuration() -> Value {
    let provider = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "clock_skew": "0s",
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let auth = json!({
        "providers": ["edge"], "from": [{"header": "authorization"}, {"first_message": "/token"}],
        "first_message_timeout": format!("{}s", TIMEOUT.as_secs()), "max_unauthenticated_bytes": "8KiB",
        "expiry_grace": "0s", "require": [{"claim": "scope", "contains": "chat"}],
    });
    let inspects = json!({"auth": auth, "compression": "inspect"});
    let rated = json!({"auth": auth, "rates": [
        {"count": "handshakes", "per": "user", "limit": 1, "window": "1h"},
    ]});
    document(
        json!({"edge": provider}),
        json!({"first": {"auth": auth}, "inspects": inspects, "rated": rated}),
    )
}

fn greeting() -> Vec<Vec<u8>> {
    vec![
        Frame::text("welcome").bytes(),
        Frame { fin: false, ..Frame::text("in ") }.bytes(),
        Frame::ping("server").bytes(),
        Frame::continuation("pieces").bytes(),
        Frame::binary(vec![7; 5000]).bytes(),
    ]
}

async fn start() -> RunningScene {
    Scene::new()
        .document(configuration())
        .workers(2)
        .upstream("/ws/first/greets", Behaviour::Chatty(greeting()))
        .upstream("/ws/first/recorder", Behaviour::Recorder)
        .start()
        .await
}

fn claims(subject: &str) -> Value {
    let mut claims = edge_claims(subject);
    claims["scope"] = json!("chat");
    claims
}

fn token(subject: &str) -> String {
    Signer::edge().mint(&claims(subject))
}

/// The first message with this token.
fn first(token: &str) -> Frame {
    Frame::text(&json!({"token": token}).to_string()).masked()
}

/// The next frames, up to `count`.
async fn frames(client: &mut RawClient, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        bytes.extend(client.frame().await.expect("a frame").bytes());
    }
    bytes
}

/// Checks that the client, the access log, the metrics and the upstream are told of this end, and that
/// the upstream saw nothing but a Close.
async fn assert_ended(scene: &RunningScene, mut client: RawClient, code: u16, reason: &str) {
    assert_eq!(client.frame().await, Ok(Frame::closing(code, reason)));
    client.send(Frame::closing(1000, "").masked().bytes()).await;
    let record = scene.record(&client).await;
    let close = record.close().await;
    assert_eq!((close.code(), close.reason()), (Some(code), reason.to_owned()));
    assert_eq!(record.frames().len(), 1, "nothing but the Close went up");
    assert_eq!(client.rest().await.0, b"");
    assert_eq!(scene.access_line(client.case()).await["reason"], reason);
}

#[tokio::test]
async fn a_good_token_lets_both_sides_speak_and_goes_no_further() {
    let scene = start().await;
    for size in [1, 7, 10_000] {
        let mut client = scene.open("/ws/first/echo").await;
        let record = scene.record(&client).await;
        client.send(Frame::ping("early").masked().bytes()).await;
        assert!(client.hears_nothing_for(QUIET).await);
        let behind = Frame::text("hello").masked();
        let bytes = [first(&token("alice")).bytes(), behind.bytes()].concat();
        client.send_in_pieces_of(size, bytes).await;
        assert_eq!(client.frame().await, Ok(Frame::text("hello")), "pieces of {size}");
        assert_eq!(record.frames(), [behind], "pieces of {size}");
    }
    let labels = [("policy", "first"), ("direction", "downstream"), ("result", "consumed")];
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.envoy().stats().await.sum("postern_messages", &labels), 3.0);
}

#[tokio::test]
async fn what_the_server_says_first_waits_and_arrives_complete() {
    let scene = start().await;
    let mut client = scene.open("/ws/first/greets").await;
    let record = scene.record(&client).await;
    assert!(client.hears_nothing_for(QUIET).await);
    // In the middle of a frame.
    let (begun, rest) = (Frame::text("slowly").bytes(), Frame::text("later").bytes());
    record.send(&begun[..3]);
    assert!(client.hears_nothing_for(QUIET).await);
    client.send(first(&token("alice")).bytes()).await;
    let whole: Vec<u8> = greeting().concat();
    assert_eq!(frames(&mut client, 5).await, whole);
    record.send(&begun[3..]);
    assert_eq!(client.frame().await, Ok(Frame::text("slowly")));
    record.send(&rest);
    assert_eq!(client.frame().await, Ok(Frame::text("later")));
}
