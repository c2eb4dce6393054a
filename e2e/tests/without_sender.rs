//! Tests of the dynamic module where no filter sends for it, but the network filter that is on the client's connection.

use std::time::Duration;

use postern_e2e::client::http2::{handshake, open};
use postern_e2e::client::token::{edge_claims, jwks};
use postern_e2e::deadline::{PATIENCE, eventually, within};
use postern_e2e::not_run::not_run;
use postern_e2e::scene::module;
use postern_e2e::{Documents, Frame, RawClient, Request, Scene, Served, Signer, Value, json};

const ISSUER: &str = "https://auth.example.com/";
const KEYS: &str = "/keys";

/// The opcode of a Ping.
const PING: u8 = 9;

/// Says that no dynamic module that can do this is there to be tested.
fn is_absent() -> bool {
    if !module::sends_by_connection() {
        not_run("it is not the dynamic module in Envoy 1.39 or newer that is under test");
    }
    !module::sends_by_connection()
}

fn scene(policy: Value) -> Scene {
    let library = module::path().expect("the dynamic module");
    Scene::new().policy(policy).dynamic_module(&library).without_sender()
}

/// Returns the next frame that is no Ping, and answers those before it.
async fn next(client: &mut RawClient) -> Frame {
    loop {
        let frame = client.frame().await.expect("a frame");
        if frame.opcode != PING {
            return frame;
        }
        client.send(Frame::pong(frame.payload).masked().bytes()).await;
    }
}

#[tokio::test]
async fn over_http_1_pings_and_closes_get_to_clients_and_what_services_say_is_judged_behind_them() {
    if is_absent() {
        return;
    }
    let liveness = json!({"ping_interval": "200ms", "pong_timeout": "10s"});
    let policy = json!({"rates": [], "liveness": liveness, "upstream_messages": {"max_message_bytes": 8}});
    let scene = scene(policy).start().await;
    let mut client = scene.open("/ws/chat").await;
    client.show_heartbeats();
    for turn in 0..3 {
        let ping = client.frame().await.expect("a Ping");
        assert_eq!(ping.opcode, PING, "{turn}: {ping:?}");
        client.send(Frame::pong(ping.payload).masked().bytes()).await;
    }
    client.send(Frame::text("hello").masked().bytes()).await;
    assert_eq!(next(&mut client).await, Frame::text("hello"));
    // The service says the same, which is too much for it.
    client.send(Frame::text("hello once more").masked().bytes()).await;
    let close = next(&mut client).await;
    assert_eq!(close, Frame::closing(1009, "message_too_big"));
    client.send(close.masked().bytes()).await;
    let (rest, _) = client.rest().await;
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn over_http_2_upgrades_are_answered_500_and_other_requests_go_on() {
    if is_absent() {
        return;
    }
    let scene = scene(json!({"upgrade_only": false})).start().await;
    let mut client = scene.connect_http2().await;
    let (response, _stream) = open(&mut client, handshake("/ws/chat", "upgrade")).await;
    assert_eq!(response.status(), 500);
    assert!(!scene.upstream().has_seen("upgrade"));
    let get = http::Request::get("https://localhost/ws/chat").header("x-case", "page").body(());
    let (response, _) = client.send_request(get.expect("a request"), true).expect("an open connection");
    assert_ne!(within(PATIENCE, "a page", response).await.expect("a response").status(), 500);
    assert!(scene.upstream().has_seen("page"));
    let lines = scene.envoy().logged("no postern-injector serves the connection").await;
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[tokio::test]
async fn what_a_client_sends_while_its_handshake_waits_is_judged_once_it_goes_on() {
    if is_absent() {
        return;
    }
    let (documents, signer) = (Documents::start().await, Signer::es256("a"));
    let held = documents.serve_held(KEYS, Served::Document(jwks(&[&signer])));
    let remote = json!({"cluster": "auth", "uri": "https://auth.example.com/keys", "timeout": "10s"});
    let provider = json!({"issuer": ISSUER, "audiences": ["chat"], "jwks": {"remote": remote}});
    let policy = json!({"rates": [], "auth": {"providers": ["main"], "from": [{"header": "authorization"}]}});
    let scene = scene(policy).provider("main", provider).cluster("auth", documents.address()).start().await;
    let mut claims = edge_claims("alice");
    claims["iss"] = json!(ISSUER);
    let bearing =
        || Request::upgrade("/ws/chat").header("Authorization", format!("Bearer {}", signer.mint(&claims)));
    let (mut patient, mut wrong) = (scene.connect().await, scene.connect().await);
    for client in [&mut patient, &mut wrong] {
        client.send(bearing().bytes()).await;
    }
    eventually(PATIENCE, "a fetch", || (documents.hits(KEYS) > 0).then_some(())).await;
    patient.send(Frame::text("early").masked().bytes()).await;
    wrong.send(Frame::text("early").masked().rsv(0b100).bytes()).await;
    // Both have come to Envoy by then.
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(held);
    assert_eq!(patient.response().await.status, 101);
    assert_eq!(patient.frame().await, Ok(Frame::text("early")));
    patient.send(Frame::text("later").masked().bytes()).await;
    assert_eq!(patient.frame().await, Ok(Frame::text("later")));
    assert_eq!(wrong.response().await.status, 101);
    assert_eq!(wrong.close().await.code(), Some(1002));
}
