//! How often: handshakes over all workers of an Envoy, messages over one connection.

use std::sync::Arc;

use postern_e2e::assert::Refusal;
use postern_e2e::scene::document;
use postern_e2e::{
    Attack, Behaviour, ControlPair, Frame, RawClient, Request, Response, RunningScene, Scene, Value, json,
};
use tokio::task::JoinSet;

/// The default of `rates`: so many handshakes an hour for one address.
const HANDSHAKES: usize = 100;

/// A policy for every path that leaves `rates` to its default.
fn default_rates(origins: Value) -> Value {
    let policy = json!({"tls": "optional", "origins": origins, "auth": "none"});
    json!({"policies": {"chat": policy}, "default_policy": "chat"})
}

const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

/// The socket stays open as long as the client is kept.
async fn handshake(scene: &RunningScene, from: [u8; 4], request: &Request) -> (RawClient, Response) {
    let mut client = scene.connect_from(from).await;
    let response = client.ask(request).await;
    (client, response)
}

/// Asserts how a handshake too many is refused under `policy`; of the metric it is one.
async fn assert_too_often(pair: &ControlPair, policy: &str, from: [u8; 4], request: &Request) {
    let (name, case) = ("a handshake too many", request.case());
    let refusal = Refusal { name, case, policy, status: 429, reason: "handshake_rate", without: 101 };
    pair.assert_refused_by(&refusal, async |scene| handshake(scene, from, request).await.1).await;
}

/// How many of 160 handshakes at once are answered with 101; the others are refused for the rate.
async fn rush(scene: &Arc<RunningScene>) -> usize {
    let mut handshakes = JoinSet::new();
    for _ in 0..160 {
        let scene = Arc::clone(scene);
        handshakes.spawn(async move {
            let request = Request::upgrade("/ws/chat");
            let (client, response) = handshake(&scene, HERE, &request).await;
            if response.status != 101 {
                assert_eq!((response.status, response.reason().as_deref()), (429, Some("handshake_rate")));
                assert_eq!(scene.access_line(request.case()).await["reason"], "handshake_rate");
                assert!(!scene.upstream().has_seen(request.case()));
            }
            (client, response)
        });
    }
    handshakes.join_all().await.iter().filter(|(_, response)| response.status == 101).count()
}

#[tokio::test]
async fn of_a_rush_of_handshakes_four_workers_together_let_exactly_a_hundred_through() {
    let scene = Arc::new(
        Scene::new()
            .document(default_rates(json!({"allow": ["*"], "missing": "allow"})))
            .workers(4)
            .plaintext()
            .start()
            .await,
    );
    assert_eq!(rush(&scene).await, HANDSHAKES);
    let (_client, response) = handshake(&scene, ELSEWHERE, &Request::upgrade("/ws/chat")).await;
    assert_eq!(response.status, 101, "another address is not concerned");
    let refused = [("policy", "chat"), ("result", "refused"), ("reason", "handshake_rate")];
    assert_eq!(scene.envoy().stats().await.sum("postern_handshakes", &refused), 60.0);

    let bare = Arc::new(Scene::new().bare().workers(4).plaintext().start().await);
    assert_eq!(rush(&bare).await, 160);
}

#[tokio::test]
async fn handshakes_that_are_refused_for_another_reason_count_as_well() {
    let origins = json!({"allow": ["https://app.example.com"], "missing": "deny"});
    let pair = ControlPair::start(|| Scene::new().document(default_rates(origins.clone())).plaintext()).await;
    let evil = || Request::upgrade("/ws/chat").header("Origin", "https://evil.example");
    let sound = || Request::upgrade("/ws/chat").header("Origin", "https://app.example.com");
    for _ in 1..HANDSHAKES {
        let response = handshake(&pair.guarded, HERE, &evil()).await.1;
        assert_eq!((response.status, response.reason().as_deref()), (403, Some("origin_denied")));
        assert_eq!(handshake(&pair.bare, HERE, &evil()).await.1.status, 101, "without Postern");
    }
    let (name, policy, reason) = ("the last that the rate lets be judged", "chat", "origin_denied");
    pair.assert_refused(&Attack { name, request: evil(), policy, status: 403, reason }).await;
    for request in [sound(), evil()] {
        assert_too_often(&pair, "chat", HERE, &request).await;
    }
    assert_eq!(handshake(&pair.guarded, ELSEWHERE, &sound()).await.1.status, 101);
}

#[tokio::test]
async fn a_rate_of_the_whole_policy_counts_every_address_and_no_other_policy() {
    let rates = json!([{"count": "handshakes", "per": "policy", "limit": 3, "window": "1h"}]);
    let policies = json!({"shared": {"rates": rates}, "other": {"rates": rates}});
    let pair =
        ControlPair::start(|| Scene::new().document(document(json!({}), policies.clone())).plaintext()).await;
    for scene in [&pair.guarded, &pair.bare] {
        for from in [HERE, ELSEWHERE, HERE] {
            assert_eq!(handshake(scene, from, &Request::upgrade("/ws/shared")).await.1.status, 101);
        }
    }
    for from in [HERE, ELSEWHERE] {
        assert_too_often(&pair, "shared", from, &Request::upgrade("/ws/shared")).await;
    }
    assert_eq!(handshake(&pair.guarded, HERE, &Request::upgrade("/ws/other")).await.1.status, 101);
}

#[tokio::test]
async fn ordinary_requests_are_no_handshakes() {
    let rates = json!([{"count": "handshakes", "per": "ip", "limit": 1, "window": "1h"}]);
    let scene = Scene::new().policy(json!({"rates": rates})).plaintext().start().await;
    for _ in 0..3 {
        assert_eq!(scene.ask(&Request::get("/ws/chat")).await.status, 200);
    }
    assert_eq!(scene.ask(&Request::upgrade("/ws/chat")).await.status, 101);
}

/// Three messages an hour, and what becomes of the fourth.
fn messages() -> Value {
    let rate = |on_exceed: &str| {
        let rate = json!({"count": "messages", "per": "connection", "limit": 3, "window": "1h", "on_exceed": on_exceed});
        json!({"rates": [rate]})
    };
    let policies = json!({"close": rate("close"), "drop": rate("drop")});
    document(json!({}), policies)
}

async fn start(scene: Scene) -> RunningScene {
    let scene = scene.document(messages()).plaintext();
    let scene = scene.upstream("/ws/close", Behaviour::Silent).upstream("/ws/drop", Behaviour::Recorder);
    scene.start().await
}

/// Three messages: one of them in fragments, which count as one, and a Ping, which does not count.
fn three() -> Vec<u8> {
    let frames = [
        Frame::text("one").masked(),
        Frame::text("t").masked().unfinished(),
        Frame::ping("not counted").masked(),
        Frame::continuation("w").masked().unfinished(),
        Frame::continuation("o").masked(),
        Frame::binary("three").masked(),
    ];
    frames.iter().flat_map(Frame::bytes).collect()
}

#[tokio::test]
async fn a_message_too_many_ends_the_connection_and_every_connection_has_a_count_of_its_own() {
    let scene = start(Scene::new()).await;
    for _ in 0..2 {
        let mut client = scene.open("/ws/close").await;
        client.send([three(), Frame::text("four").masked().bytes()].concat()).await;
        let close = Frame::closing(1008, "message_rate");
        assert_eq!(client.frame().await, Ok(close.clone()));
        let record = scene.record(&client).await;
        let up = record.close().await;
        assert_eq!(record.bytes(), [three(), up.bytes()].concat());
        assert_eq!((up.code(), up.reason()), (close.code(), close.reason()));
        assert_eq!(client.rest().await.0, b"");
        assert_eq!(scene.access_line(client.case()).await["reason"], "message_rate");
    }
    let labels = [("policy", "close"), ("reason", "message_rate")];
    assert_eq!(scene.envoy().stats().await.sum("postern_closes", &labels), 2.0);
}

#[tokio::test]
async fn a_message_too_many_may_be_dropped_whole_while_all_else_goes_on() {
    let scene = start(Scene::new()).await;
    let mut client = scene.open("/ws/drop").await;
    let ping = Frame::ping("inside what is dropped").masked().bytes();
    let dropped = [
        Frame::text("four").masked().unfinished().bytes(),
        ping.clone(),
        Frame::continuation("four").masked().bytes(),
        Frame::text("five").masked().bytes(),
    ];
    client.send(three()).await;
    assert_eq!(client.frame().await, Ok(Frame::pong("not counted")));
    // Nothing of a dropped message passes wherever it is cut.
    client.send_in_pieces_of(1, dropped.concat()).await;
    assert_eq!(client.frame().await, Ok(Frame::pong("inside what is dropped")));
    client.send(Frame::closing(1000, "").masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::closing(1000, "")));
    let close = Frame::closing(1000, "").masked().bytes();
    assert_eq!(scene.record(&client).await.bytes(), [three(), ping, close].concat());

    for (result, count) in [("allowed", 3.0), ("dropped", 2.0), ("refused", 0.0)] {
        let labels = [("policy", "drop"), ("direction", "downstream"), ("result", result)];
        scene.envoy().stat_becomes("postern_messages", &labels, count).await;
    }
    assert_eq!(scene.access_line(client.case()).await["reason"], json!(null));
}

#[tokio::test]
async fn without_postern_there_is_no_message_too_many() {
    let scene = start(Scene::new().bare()).await;
    for path in ["/ws/close", "/ws/drop"] {
        let mut client = scene.open(path).await;
        let bytes = [three(), Frame::text("four").masked().bytes()].concat();
        client.send(&bytes).await;
        assert_eq!(scene.record(&client).await.bytes_when(bytes.len()).await, bytes);
    }
}
