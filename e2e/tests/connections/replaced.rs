//! `on_full: replace`: the oldest connection of a user makes way for a new one, on whichever worker it is.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use postern_e2e::scene::document;
use postern_e2e::{Frame, RawClient, RunningScene, Scene, Shared, json};

use crate::stage::{attempt, auth, of_user, providers, token};

fn scene() -> Scene {
    let policy = |n: usize| json!({"auth": auth(), "connections": {"per_user": n, "on_full": "replace"}});
    let policies = json!({"three": policy(3), "many": policy(3), "one": policy(1), "first": policy(2)});
    Scene::new().document(document(providers(), policies)).workers(4).plaintext().beside_others()
}

static SCENE: Shared<RunningScene> = Shared::new(scene);

/// The time within which the older connection is closed; the contract says a second, on a machine at rest.
const WITHIN: Duration = Duration::from_secs(10);

async fn assert_replaced(client: &mut RawClient, since: Instant) {
    let close = client.frame().await;
    assert_eq!(close, Ok(Frame::closing(1008, "connection_replaced")));
    assert!(since.elapsed() < WITHIN, "{:?}", since.elapsed());
}

async fn echoes(client: &mut RawClient) -> bool {
    let frame = Frame::text("there");
    client.send(frame.clone().masked().bytes()).await;
    client.frame().await == Ok(frame)
}

#[tokio::test]
async fn the_oldest_of_all_workers_makes_way_each_time_and_the_newest_stay() {
    let scene = SCENE.shared().await;
    let mut open = Vec::new();
    for _ in 0..12 {
        open.push(scene.open_with(&of_user("/ws/three", "alice")).await);
    }
    let since = Instant::now();
    let mut newest = open.split_off(9);
    for client in &mut open {
        assert_replaced(client, since).await;
    }
    for client in &mut newest {
        assert!(echoes(client).await);
    }
    let line = scene.access_line(open[0].case()).await;
    assert_eq!(line["reason"], "connection_replaced");
    assert!(!scene.logged("reason=connection_replaced").await.is_empty());
}

#[tokio::test]
async fn the_service_of_the_older_connection_is_told_the_same() {
    let scene = SCENE.shared().await;
    let mut older = scene.open_with(&of_user("/ws/one", "bob")).await;
    let record = scene.record(&older).await;
    let since = Instant::now();
    let mut newer = scene.open_with(&of_user("/ws/one", "bob")).await;
    assert_replaced(&mut older, since).await;
    let close = record.close().await;
    assert_eq!((close.code(), close.reason()), (Some(1008), "connection_replaced".to_owned()));
    assert!(echoes(&mut newer).await);
}

#[tokio::test]
async fn of_many_at_once_exactly_as_many_stay_as_may() {
    let scene = SCENE.shared().await;
    let attempts = (0..60).map(|_| async { attempt(&scene, &of_user("/ws/many", "carol")).await });
    let open: Vec<_> = join_all(attempts).await.into_iter().map(|attempt| attempt.expect("let in")).collect();
    let replaced = [("policy", "many"), ("reason", "connection_replaced")];
    scene.common_envoy().stat_becomes("postern_closes", &replaced, 57.0).await;
    let mut staying = 0;
    for mut client in open {
        // Who has been closed has a Close to read first.
        let _ = client.try_send(Frame::text("there").masked().bytes()).await;
        staying += u32::from(client.frame().await == Ok(Frame::text("there")));
    }
    assert_eq!(staying, 3);
}

#[tokio::test]
async fn a_user_who_is_known_by_the_first_message_makes_way_as_well() {
    let scene = SCENE.shared().await;
    let mut open = Vec::new();
    for i in 0..3 {
        let mut client = scene.open("/ws/first").await;
        let message = json!({"token": token("dora")}).to_string();
        client.send(Frame::text(&message).masked().bytes()).await;
        assert!(echoes(&mut client).await, "{i}");
        open.push(client);
    }
    assert_replaced(&mut open[0], Instant::now()).await;
    for client in &mut open[1..] {
        assert!(echoes(client).await);
    }
}
