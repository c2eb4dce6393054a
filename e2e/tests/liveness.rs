//! Heartbeats and deadlines on connections on which nobody says anything.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail anywhere")]

use std::time::{Duration, Instant};

use postern_e2e::twins::document;
use postern_e2e::{Behaviour, Frame, RawClient, RunningScene, Scene, json};

/// How much later than its deadline anything may come.
const LATE: Duration = Duration::from_secs(1);

fn scene() -> Scene {
    let liveness =
        json!({"idle_timeout": "5s", "ping_interval": "1s", "pong_timeout": "2s", "close_timeout": "2s"});
    let policies = json!({
        "beats": {"liveness": liveness},
        "waits": {"liveness": {"idle_timeout": "2s", "ping_interval": "none"}},
    });
    Scene::new().document(document(json!({}), policies)).plaintext().upstream("/ws/beats/silent", Behaviour::Silent)
}

/// The next frame, which must come `after` so long, and how long it took.
async fn next(client: &mut RawClient, after: Duration) -> Frame {
    let asked = Instant::now();
    let frame = client.frame_within(after + LATE).await.expect("a frame");
    let took = asked.elapsed();
    assert!(took >= after && took < after + LATE, "{frame:?} came after {took:?} instead of {after:?}");
    frame
}

async fn open(scene: &RunningScene, path: &str) -> RawClient {
    let mut client = scene.open(path).await;
    client.show_heartbeats();
    client
}

#[tokio::test]
async fn a_silent_client_is_asked_in_time_and_stays_as_long_as_it_answers() {
    let scene = scene().start().await;
    let mut client = open(&scene, "/ws/beats").await;
    for _ in 0..8 {
        let ping = next(&mut client, Duration::from_millis(900)).await;
        assert!(ping.is_heartbeat(), "{ping:?}");
        client.send(Frame::pong(ping.payload).masked().bytes()).await;
    }
    let record = scene.record(&client).await;
    assert_eq!(record.bytes(), b"", "the application hears nothing of it");
    client.send(Frame::text("hello").masked().bytes()).await;
    client.frame().await.expect("an echo");
}
