//! A configuration that is taken back: the earlier one is in force again, for new connections too.

use std::time::Duration;

use postern_e2e::scene::document;
use postern_e2e::{Frame, RawClient, Request, RunningScene, Scene, Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn configuration(drain: &str, budget: u64, lines: u32) -> Value {
    let mut whole = document(json!({}), json!({"chat": {"drain": drain}, "feed": {}}));
    whole["memory"] = json!({ "budget": budget });
    whole["log"] = json!({ "refusals_per_second": lines });
    whole
}

/// Opens a connection on which something was said.
async fn open(scene: &RunningScene, path: &str) -> RawClient {
    let mut client = scene.open(path).await;
    client.send(Frame::text("hello").masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::text("hello")));
    client
}

/// Envoy finds the first configuration again as long as a stream is open that began under it, and configures
/// nothing.
#[tokio::test]
async fn what_is_pushed_again_while_it_still_has_connections_is_in_force_again() {
    const BUDGET: u64 = 64 << 20;
    let before = configuration("none", BUDGET, 1000);
    let mut scene = Scene::new().document(before.clone()).plaintext().discovered().start().await;
    let _stays = open(&scene, "/ws/feed").await;
    let mut goes = open(&scene, "/ws/chat").await;
    scene.push_document(configuration("1s", BUDGET / 2, 1)).await;
    assert_eq!(scene.ask(&Request::upgrade("/ws/chat")).await.status, 503);
    assert_eq!(goes.frame_within(5 * SECOND).await, Ok(Frame::closing(1001, "drain")));

    scene.push_document(before).await;
    let mut client = open(&scene, "/ws/chat").await;
    assert!(client.receives_nothing_for(2 * SECOND).await, "who comes now is not sent away");
    for _ in 0..40 {
        assert_eq!(scene.ask(&Request::upgrade("/elsewhere")).await.status, 403);
    }
    scene.envoy().logged("reason=no_policy").await;
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(scene.envoy().log_lines_with("suppressed policy=none"), Vec::<String>::new());
    // The budget is that of the worker; the VM of Envoy's main thread has no streams.
    let stats = scene.envoy().stats().await;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let budget = BUDGET as f64;
    assert!(stats.sum("postern_memory_budget_bytes", &[]) >= budget * 1.5);
}
