//! A policy that goes away takes its connections with it, spread over a time, and asks new ones to come back.

use std::time::{Duration, Instant};

use postern_e2e::deadline::LATE;
use postern_e2e::scene::module;
use postern_e2e::{Frame, RawClient, Request, RunningScene, Scene, Value, json};
use tokio::task::JoinSet;

const OVER: Duration = Duration::from_secs(12);

/// The most by which a turn may come early, since time is told in ticks.
const EARLY: Duration = Duration::from_millis(100);

/// The time without a frame after which nothing is taken to come.
const QUIET: Duration = Duration::from_secs(1);

fn policy(drain: &str) -> Value {
    json!({"rates": [], "drain": drain})
}

/// Opens a connection on which something was said.
async fn open(scene: &RunningScene) -> RawClient {
    let mut client = scene.open("/ws/chat").await;
    client.send(Frame::text("hello").masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::text("hello")));
    client
}

#[tokio::test]
async fn live_connections_are_sent_away_one_after_the_other_and_new_ones_are_refused() {
    const CONNECTIONS: u32 = 8;
    let mut scene = Scene::new().policy(policy("none")).plaintext().discovered().start().await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(open(&scene).await);
    }
    let mut records = Vec::new();
    for client in &clients {
        records.push(scene.record(client).await);
    }
    let written = format!("{}s", OVER.as_secs());
    let before = Instant::now();
    scene.push(policy(&written)).await;
    let start = Instant::now();

    let request = Request::upgrade("/ws/chat");
    let response = scene.ask(&request).await;
    assert_eq!((response.status, response.reason().as_deref()), (503, Some("draining")));
    assert!(!scene.upstream().has_seen(request.case()));
    assert_eq!(scene.access_line(request.case()).await["reason"], "draining");

    let mut closing = JoinSet::new();
    for mut client in clients {
        closing.spawn(async move {
            let close = client.frame_within(OVER + LATE + LATE).await;
            let came = Instant::now();
            assert_eq!(close, Ok(Frame::closing(1001, "drain")));
            client.send(Frame::closing(1001, "").masked().bytes()).await;
            came
        });
    }
    let mut times = closing.join_all().await;
    times.sort();
    // Connection n goes after n shares of the time, which began between `before` and `start`.
    for (turn, came) in (1..).zip(times) {
        let due = OVER * turn / CONNECTIONS;
        let (most, least) = (came - before, came.saturating_duration_since(start));
        assert!(most > due - EARLY && least < due + LATE, "{turn}: {least:?} to {most:?} instead of {due:?}");
    }
    for record in records {
        let up = record.close().await;
        assert_eq!((up.code(), up.reason()), (Some(1001), "drain".to_owned()));
    }
    let stats = scene.envoy().stats().await;

    // The policy comes back when the operator says so.
    scene.push(policy("none")).await;
    let mut client = open(&scene).await;
    assert!(client.receives_nothing_for(QUIET).await);

    if module::is_counted_by_streams() {
        return;
    }
    assert_eq!(stats.sum("postern_closes", &[("reason", "drain")]), f64::from(CONNECTIONS));
    assert_eq!(stats.sum("postern_handshakes", &[("result", "refused"), ("reason", "draining")]), 1.0);
}
