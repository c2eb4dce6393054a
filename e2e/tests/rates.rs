//! The rates of handshakes over all workers of an Envoy, and of messages over one connection.

use futures_util::future::join_all;
use postern_e2e::assert::Refusal;
use postern_e2e::scene::document;
use postern_e2e::{
    Attack, Behaviour, ControlPair, Frame, RawClient, Request, Response, RunningScene, Scene, Shared, Value,
    json,
};

/// The default of `rates`: the number of handshakes an hour for one address.
const HANDSHAKES: usize = 100;

/// Makes a scene with a policy for each test, so that none counts for another. `rush` and `refused` leave
/// `rates` to its default.
fn scene() -> Scene {
    let by_default = |origins: Value| json!({"tls": "optional", "origins": origins, "auth": "none"});
    let handshakes = |per: &str, limit: u32| {
        json!({"rates": [
            {"count": "handshakes", "per": per, "limit": limit, "window": "1h"},
        ]})
    };
    // The rule allows three messages an hour; `on_exceed` decides on the fourth.
    let messages = |on_exceed: &str| {
        json!({"rates": [
            {"count": "messages", "per": "connection", "limit": 3, "window": "1h", "on_exceed": on_exceed},
        ]})
    };
    let policies = json!({
        "shared": handshakes("policy", 3), "other": handshakes("policy", 3), "once": handshakes("ip", 1),
        "close": messages("close"), "drop": messages("drop"), "rush": {}, "refused": {},
    });
    let mut whole = document(json!({}), policies);
    whole["policies"]["rush"] = by_default(json!({"allow": ["*"], "missing": "allow"}));
    whole["policies"]["refused"] =
        by_default(json!({"allow": ["https://app.example.com"], "missing": "deny"}));
    Scene::new()
        .document(whole)
        .workers(4)
        .plaintext()
        .upstream("/ws/close", Behaviour::Silent)
        .upstream("/ws/drop", Behaviour::Recorder)
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

/// Makes a handshake. Its socket stays open as long as the client is kept.
async fn handshake(scene: &RunningScene, from: [u8; 4], request: &Request) -> (RawClient, Response) {
    let mut client = scene.connect_from(from).await;
    let response = client.ask(request).await;
    (client, response)
}

/// Asserts that a handshake too many is refused under `policy`, and that the metric counts it once.
async fn assert_too_often(pair: &ControlPair, policy: &str, from: [u8; 4], request: &Request) {
    let (name, case) = ("a handshake too many", request.case());
    let refusal = Refusal { name, case, policy, status: 429, reason: "handshake_rate", without: 101 };
    pair.assert_refused_by(&refusal, async |scene| handshake(scene, from, request).await.1).await;
}

/// Makes 160 handshakes at once and returns the number that are answered with 101; the others are refused for
/// the rate.
async fn rush(scene: &RunningScene) -> usize {
    let handshakes = (0..160).map(|_| async {
        let request = Request::upgrade("/ws/rush");
        let (client, response) = handshake(scene, HERE, &request).await;
        if response.status != 101 {
            assert_eq!((response.status, response.reason().as_deref()), (429, Some("handshake_rate")));
            assert_eq!(scene.access_line(request.case()).await["reason"], "handshake_rate");
            assert!(!scene.upstream().has_seen(request.case()));
        }
        (client, response)
    });
    join_all(handshakes).await.iter().filter(|(_, response)| response.status == 101).count()
}

#[tokio::test]
async fn of_a_rush_of_handshakes_four_workers_together_let_exactly_a_hundred_through() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    assert_eq!(rush(scene).await, HANDSHAKES);
    let (_client, response) = handshake(scene, ELSEWHERE, &Request::upgrade("/ws/rush")).await;
    assert_eq!(response.status, 101, "another address is not concerned");
    let refused = [("policy", "rush"), ("result", "refused"), ("reason", "handshake_rate")];
    assert_eq!(scene.envoy().stats().await.sum("postern_handshakes", &refused), 60.0);

    assert_eq!(rush(&pair.bare).await, 160);
}

#[tokio::test]
async fn handshakes_that_are_refused_for_another_reason_count_as_well() {
    let pair = PAIR.alone().await;
    let evil = || Request::upgrade("/ws/refused").header("Origin", "https://evil.example");
    let sound = || Request::upgrade("/ws/refused").header("Origin", "https://app.example.com");
    for _ in 1..HANDSHAKES {
        let response = handshake(&pair.guarded, HERE, &evil()).await.1;
        assert_eq!((response.status, response.reason().as_deref()), (403, Some("origin_denied")));
        assert_eq!(handshake(&pair.bare, HERE, &evil()).await.1.status, 101, "without Postern");
    }
    let (name, policy, reason) = ("the last that the rate lets be judged", "refused", "origin_denied");
    pair.assert_refused(&Attack { name, request: evil(), policy, status: 403, reason }).await;
    for request in [sound(), evil()] {
        assert_too_often(&pair, "refused", HERE, &request).await;
    }
    assert_eq!(handshake(&pair.guarded, ELSEWHERE, &sound()).await.1.status, 101);
}

#[tokio::test]
async fn a_rate_of_the_whole_policy_counts_every_address_and_no_other_policy() {
    let pair = PAIR.alone().await;
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
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    for _ in 0..3 {
        assert_eq!(scene.ask(&Request::get("/ws/once")).await.status, 200);
    }
    assert_eq!(scene.ask(&Request::upgrade("/ws/once")).await.status, 101);
}

/// Returns three messages: one of them in fragments, which count as one, and a Ping, which does not count.
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
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
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
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
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
    // Nothing of a dropped message passes, wherever the message is cut.
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
    let pair = PAIR.shared().await;
    let scene = &pair.bare;
    for path in ["/ws/close", "/ws/drop"] {
        let mut client = scene.open(path).await;
        let bytes = [three(), Frame::text("four").masked().bytes()].concat();
        client.send(&bytes).await;
        assert_eq!(scene.record(&client).await.bytes_when(bytes.len()).await, bytes);
    }
}
