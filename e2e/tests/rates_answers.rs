//! The answers to Postern's own Pings, which cost nothing; but each Ping has only one.

use postern_e2e::{Frame, Scene, json};

#[tokio::test]
async fn an_answer_that_is_said_again_and_again_is_counted_as_any_pong() {
    let rate = json!([{"count": "control_frames", "per": "connection", "limit": 20, "window": "1h"}]);
    let policy = json!({"rates": rate, "liveness": {"ping_interval": "1s", "pong_timeout": "1s"}});
    let scene = Scene::new().policy(policy).plaintext().start().await;
    let mut client = scene.open("/ws").await;
    client.show_heartbeats();
    let ping = client.frame().await.expect("a Ping of Postern's own");
    let pong = Frame::pong(ping.payload).masked().bytes();
    for _ in 0..1000 {
        if client.try_send(&pong).await.is_err() {
            break;
        }
    }
    assert_eq!(client.close().await, Frame::closing(1008, "control_rate"));
}
