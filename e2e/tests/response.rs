//! The answers of an upstream to a handshake (RFC 6455 §4.2.2), and the part of them that reaches the client.

use postern_e2e::scene::document;
use postern_e2e::{
    Answer, Attack, Behaviour, ControlPair, Frame, Request, RunningScene, Scene, Shared, json,
};

const ACCEPT: &str = "Sec-WebSocket-Accept";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";

fn switching() -> Answer {
    Answer::switching()
}

/// Returns 101s that do not answer the handshake of [`request`].
fn wrong() -> Vec<(&'static str, Answer)> {
    vec![
        ("no-accept", switching().without(ACCEPT)),
        ("wrong-accept", switching().without(ACCEPT).header(ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ("two-accepts", switching().header(ACCEPT, "{accept}")),
        ("empty-accept", switching().without(ACCEPT).header(ACCEPT, "")),
        ("accept-no-text", switching().without(ACCEPT).header(ACCEPT, "\u{ff}\u{fe}")),
        ("subprotocol", switching().header(PROTOCOL, "soap")),
        ("subprotocol-case", switching().header(PROTOCOL, "CHAT.V2")),
        ("two-subprotocols", switching().header(PROTOCOL, "chat.v2, chat.v1")),
        ("twice-subprotocol", switching().header(PROTOCOL, "chat.v2").header(PROTOCOL, "chat.v2")),
        ("extension", switching().header(EXTENSIONS, "permessage-deflate")),
        ("other-upgrade", switching().without("upgrade").header("Upgrade", "h2c")),
        ("two-upgrades", switching().without("upgrade").header("Upgrade", "websocket, h2c")),
    ]
}

/// Returns 101s that end HTTP, and do nothing else.
fn no_upgrade() -> Vec<(&'static str, Answer)> {
    vec![("no-upgrade", switching().without("upgrade")), ("no-connection", switching().without("connection"))]
}

/// Returns answers that decline.
fn declining() -> Vec<(&'static str, Answer)> {
    vec![
        ("forbidden", Answer::status(403, "the service's own words").header("X-Why", "no")),
        ("page", Answer::status(200, "a page").header(EXTENSIONS, "kept").header(PROTOCOL, "kept")),
        ("moved", Answer::status(302, "").header("Location", "/elsewhere")),
        ("version", Answer::status(426, "").header("Sec-WebSocket-Version", "13, 8")),
        ("broken", Answer::status(500, "oh no")),
    ]
}

/// Makes a scene with each answer on a path of its own, which is no prefix of another.
fn scene() -> Scene {
    let others = [("unasked", switching()), ("declines", Answer::status(403, "no"))];
    let answers = [wrong(), no_upgrade(), declining(), others.into()].concat();
    let scene = Scene::new().document(document(json!({}), json!({"open": {}})));
    answers.into_iter().fold(scene, |scene, (path, answer)| {
        scene.upstream(&format!("/ws/open/{path}/"), Behaviour::Answer(answer))
    })
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

fn request(path: &str) -> Request {
    Request::upgrade(&format!("/ws/open/{path}/")).header(PROTOCOL, "chat.v2, chat.v1")
}

/// A client of such an answer would believe in a WebSocket that nobody serves, or take frames that nobody
/// judged.
#[tokio::test]
async fn a_101_that_does_not_answer_this_handshake_is_a_bad_gateway() {
    let pair = PAIR.alone().await;
    for (name, _) in wrong() {
        let (request, policy, reason) = (request(name), "open", "upstream_handshake_invalid");
        pair.assert_refused(&Attack { name, request, policy, status: 502, reason }).await;
    }
}

/// Envoy takes a 101 without these fields for the end of HTTP, and for no answer to the upgrade.
#[tokio::test]
async fn a_101_without_upgrade_or_connection_opens_nothing() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    for (name, _) in no_upgrade() {
        let asked = request(name);
        let response = scene.ask(&asked).await;
        assert_eq!(response.status, 502, "{name}: {}", response.text());
        let line = scene.access_line(asked.case()).await;
        assert_eq!(line["status"], 502, "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_declines_passes_untouched() {
    let pair = PAIR.shared().await;
    for (name, _) in declining() {
        let asked = request(name);
        let [with, without] = [&pair.guarded, &pair.bare].map(async |scene| {
            let mut response = scene.ask(&asked).await;
            response.headers.0.retain(|(name, _)| name != "date" && name != "x-envoy-upstream-service-time");
            response
        });
        assert_eq!(with.await, without.await, "{name}");
        assert_eq!(pair.guarded.access_line(asked.case()).await["reason"], json!(null), "{name}");
    }
}

#[tokio::test]
async fn a_101_is_no_answer_to_ordinary_http() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let asked = Request::get("/ws/open/unasked/");
    let response = scene.ask(&asked).await;
    assert_eq!(response.status, 502, "{}", response.text());
    assert_eq!(scene.access_line(asked.case()).await["status"], 502);
}

/// Some clients do not wait for the 101 (RFC 6455 §4.1 asks them to).
#[tokio::test]
async fn frames_sent_ahead_of_the_101_are_judged_and_delivered_after_it() {
    let pair = PAIR.alone().await;
    let labels = [("policy", "open"), ("reason", "protocol_error")];
    let closes = pair.guarded.envoy().growth("postern_closes", &labels).await;
    let asked = Request::upgrade("/ws/open/eager");
    let early = Frame::text("early").masked().bytes();
    let mut client = pair.guarded.connect().await;
    client.send([asked.bytes(), early.clone()].concat()).await;
    assert_eq!(client.response().await.status, 101);
    assert_eq!(client.frame().await, Ok(Frame::text("early")));
    let record = pair.guarded.upstream().record(asked.case()).await;
    assert_eq!(record.bytes(), early);
    let later = Frame::text("later").masked().bytes();
    client.send(&later).await;
    assert_eq!(client.frame().await, Ok(Frame::text("later")));

    let (asked, unmasked) = (Request::upgrade("/ws/open/eager"), Frame::text("early").bytes());
    let [mut guarded, mut bare] = [pair.guarded.connect().await, pair.bare.connect().await];
    for client in [&mut guarded, &mut bare] {
        client.send([asked.bytes(), unmasked.clone()].concat()).await;
        assert_eq!(client.response().await.status, 101);
    }
    assert_eq!(guarded.close().await.reason(), "protocol_error");
    let record = pair.guarded.upstream().record(asked.case()).await;
    let close = record.close().await;
    assert_eq!((close.reason(), record.bytes()), ("protocol_error".to_owned(), close.bytes()));
    assert_eq!(pair.guarded.access_line(asked.case()).await["reason"], "protocol_error");
    assert_eq!(closes.so_far().await, 1.0);

    let record = pair.bare.upstream().record(asked.case()).await;
    assert_eq!(record.bytes_when(unmasked.len()).await, unmasked, "without Postern");
}

/// Bytes that look like a request are one to an upstream that stays with HTTP (request smuggling).
#[tokio::test]
async fn bytes_sent_ahead_never_reach_an_upstream_that_declines() {
    let pair = PAIR.shared().await;
    for (name, status) in [("declines", 403), ("no-accept", 502)] {
        assert_ahead(&pair.guarded, name, status).await;
    }
    // Envoy alone holds them back from an upstream that declines too, yet takes any 101 for an open socket.
    for (name, status) in [("declines", 403), ("no-accept", 101)] {
        assert_ahead(&pair.bare, name, status).await;
    }
}

/// Sends a handshake with a request right behind it, and asserts that it is answered with `status`. Only
/// after a 101 do the bytes of the request go up, as what the socket carries.
async fn assert_ahead(scene: &RunningScene, name: &str, status: u16) {
    let (asked, smuggled) = (request(name), Request::get("/ws/open/smuggled"));
    let mut client = scene.connect().await;
    client.send([asked.bytes(), smuggled.bytes()].concat()).await;
    assert_eq!(client.response().await.status, status, "{name}");
    let record = scene.upstream().record(asked.case()).await;
    let ahead = if status == 101 { smuggled.bytes() } else { Vec::new() };
    if ahead.is_empty() {
        client.rest().await;
    }
    // Envoy may use the connection again, and then bytes that it held back would come before this request.
    assert_eq!(scene.ask(&Request::get("/ws/open/later")).await.status, 200, "{name}");
    assert_eq!(record.bytes_when(ahead.len()).await, ahead, "{name}: at the upstream");
    assert!(!scene.upstream().has_seen(smuggled.case()), "{name}: a request came through");
}
