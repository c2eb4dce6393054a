//! The limits on a client's bytes and control frames, over one connection and over all that share a bucket.

use postern_e2e::scene::document;
use postern_e2e::{Behaviour, ControlPair, Frame, RawClient, RunningScene, Scene, Shared, Value, json};

const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

/// Returns policies with one rule for each path.
fn policies() -> Value {
    let rule = |count: &str, per: &str, limit: u32, on_exceed: &str| {
        let rate =
            json!({"count": count, "per": per, "limit": limit, "window": "1h", "on_exceed": on_exceed});
        json!({"rates": [rate]})
    };
    json!({
        "bytes": rule("bytes", "connection", 100, "close"),
        "dropped-bytes": rule("bytes", "connection", 100, "drop"),
        "control": rule("control_frames", "connection", 3, "close"),
        "messages-by-address": rule("messages", "ip", 40, "close"),
        "bytes-by-address": rule("bytes", "ip", 400, "close"),
        "messages-of-all": rule("messages", "policy", 40, "drop"),
    })
}

static PAIR: Shared<ControlPair> = Shared::new(|| {
    let scene = Scene::new().document(document(json!({}), policies())).plaintext().workers(4);
    scene.upstream("/ws/", Behaviour::Silent)
});

fn binary(length: usize) -> Vec<u8> {
    Frame::binary(vec![b'x'; length]).masked().bytes()
}

async fn assert_closed(scene: &RunningScene, client: &mut RawClient, good: &[u8], reason: &str) {
    let close = Frame::closing(1008, reason);
    assert_eq!(client.frame().await, Ok(close.clone()), "{reason}");
    let record = scene.record(client).await;
    let up = record.close().await;
    assert_eq!(record.bytes(), [good, &up.bytes()].concat(), "{reason}: what the upstream received");
    assert_eq!((up.code(), up.reason()), (close.code(), close.reason()));
    assert_eq!(scene.access_line(client.case()).await["reason"], reason);
}

#[tokio::test]
async fn a_byte_or_a_control_frame_too_many_ends_the_connection_and_none_of_it_passes() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let ping = Frame::ping("not a byte of a message").masked().bytes();
    let pong = Frame::pong("").masked().bytes();
    let fragments = [Frame::binary([0; 30]).masked().unfinished().bytes(), ping.clone(), {
        Frame::continuation([0; 10]).masked().bytes()
    }];
    let cases = [
        ("bytes", "byte_rate", [binary(60), fragments.concat()].concat(), binary(1)),
        ("control", "control_rate", [ping.clone(), pong.clone(), ping.clone(), binary(60)].concat(), pong),
    ];
    for (path, reason, good, bad) in cases {
        let mut client = scene.open(&format!("/ws/{path}")).await;
        client.send([&good[..], &bad, &binary(0)].concat()).await;
        assert_closed(scene, &mut client, &good, reason).await;
        let labels = [("policy", path), ("reason", reason)];
        assert_eq!(scene.envoy().stats().await.sum("postern_closes", &labels), 1.0, "{path}");
    }
}

#[tokio::test]
async fn a_message_of_too_many_bytes_may_be_dropped_whole() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.open("/ws/dropped-bytes").await;
    let too_long = Frame::binary([7; 101]).masked().unfinished().bytes();
    let its_end = Frame::continuation([7; 5]).masked().bytes();
    client.send([binary(50), too_long, its_end, binary(50), binary(1), binary(0)].concat()).await;
    let kept = [binary(50), binary(50), binary(0)].concat();
    assert_eq!(scene.record(&client).await.bytes_when(kept.len()).await, kept);
    let labels = [("policy", "dropped-bytes"), ("direction", "downstream"), ("result", "dropped")];
    scene.envoy().stat_becomes("postern_messages", &labels, 2.0).await;
}

/// Has eight clients of one address, over all workers, send ten messages of ten bytes each. Returns the
/// number of messages that the upstream received before the connections were ended, if they were.
async fn eight_times_ten(scene: &RunningScene, path: &str) -> usize {
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(scene.open_from(HERE, path).await);
    }
    for client in &mut clients {
        client.send(binary(10).repeat(10)).await;
        client.send(Frame::closing(1000, "").masked().bytes()).await;
    }
    let mut passed = 0;
    for client in &clients {
        let record = scene.record(client).await;
        record.close().await;
        passed += record.messages().len();
    }
    passed
}

#[tokio::test]
async fn clients_who_share_a_bucket_share_it_over_all_workers_and_exactly() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    for (path, reason) in [("messages-by-address", "message_rate"), ("bytes-by-address", "byte_rate")] {
        let path = format!("/ws/{path}");
        assert_eq!(eight_times_ten(scene, &path).await, 40, "{path}");
        let mut client = scene.open_from(HERE, &path).await;
        client.send(binary(1)).await;
        assert_closed(scene, &mut client, b"", reason).await;
        let client = {
            let mut client = scene.open_from(ELSEWHERE, &path).await;
            client.send(binary(10)).await;
            client
        };
        assert_eq!(scene.record(&client).await.bytes_when(binary(10).len()).await, binary(10), "{path}");
    }
    assert_eq!(eight_times_ten(scene, "/ws/messages-of-all").await, 40);
    let labels = [("policy", "messages-of-all"), ("result", "dropped")];
    scene.envoy().stat_becomes("postern_messages", &labels, 40.0).await;
}

#[tokio::test]
async fn without_postern_nothing_is_counted() {
    let pair = PAIR.shared().await;
    let scene = &pair.bare;
    for path in policies().as_object().into_iter().flat_map(|policies| policies.keys()) {
        assert_eq!(eight_times_ten(scene, &format!("/ws/{path}")).await, 80, "{path}");
        let mut client = scene.open(&format!("/ws/{path}")).await;
        let bytes = [binary(200), Frame::ping("").masked().bytes().repeat(10)].concat();
        client.send(&bytes).await;
        assert_eq!(scene.record(&client).await.bytes_when(bytes.len()).await, bytes, "{path}");
    }
}
