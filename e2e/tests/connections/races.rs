//! Two hundred handshakes at once from four workers: as many hold as may, also once all have ended, and once a
//! worker's VM has trapped.

use std::time::Instant;

use futures_util::future::join_all;
use postern_e2e::scene::module;
use postern_e2e::scene::{document, trapping_module};
use postern_e2e::{Behaviour, Frame, RawClient, RunningScene, Scene, json};
use tempfile::TempDir;

use crate::stage::{SOON, attempt, auth, of_user, open_soon, providers};

/// The number of connections of a user.
const N: usize = 5;

const AT_ONCE: usize = 200;

/// The request that makes the module trap here: its trailers do, and Postern does not judge it.
const TRAP: &[u8] =
    b"POST /none HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-a: b\r\n\r\n";

async fn scene(folder: &TempDir) -> RunningScene {
    let module = module::path().expect("a module");
    let policies = json!({"user": {"auth": auth(), "connections": {"per_user": N}}});
    Scene::new()
        .document(document(providers(), policies))
        .workers(4)
        .plaintext()
        .module(&trapping_module::on_trailers(&module, folder.path()))
        .upstream("/ws/user", Behaviour::Echo)
        .change_connection_manager(|manager| {
            manager["http_protocol_options"] = json!({"enable_trailers": true});
        })
        .start()
        .await
}

/// Makes handshakes of one user at once, and returns the sockets that were let in; the others are refused for
/// the cap.
async fn rush(scene: &RunningScene) -> Vec<RawClient> {
    let attempts = (0..AT_ONCE).map(|_| async { attempt(scene, &of_user("/ws/user", "alice")).await });
    let mut open = Vec::new();
    for attempt in join_all(attempts).await {
        match attempt {
            Ok(client) => open.push(client),
            Err(answer) => assert_eq!(answer, (429, "connection_limit".to_owned())),
        }
    }
    open
}

async fn echoes(client: &mut RawClient) -> bool {
    let frame = Frame::text("there");
    client.try_send(frame.clone().masked().bytes()).await.is_ok()
        && client.frame().await.is_ok_and(|answer| answer == frame)
}

#[tokio::test]
async fn of_two_hundred_handshakes_at_once_exactly_as_many_hold_as_may_and_again_when_all_have_ended() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scene = scene(&folder).await;
    for round in 0..3 {
        let mut open = rush(&scene).await;
        assert_eq!(open.len(), N, "round {round}");
        assert_eq!(rush(&scene).await.len(), 0, "round {round}");
        for client in &mut open {
            assert!(echoes(client).await, "round {round}");
        }
        drop(open);
        // The places are free once Envoy has seen the ends.
        scene.envoy().stat_becomes("postern_connections", &[("policy", "user")], 0.0).await;
    }
}

#[tokio::test]
async fn what_a_worker_held_whose_vm_has_trapped_can_be_had_again_and_no_more() {
    if module::lacks("a VM that traps") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scene = scene(&folder).await;
    let mut open = rush(&scene).await;
    // Some worker that has one of the sockets.
    let mut lost = 0;
    while lost == 0 {
        let mut client = scene.connect().await;
        client.send(TRAP).await;
        let _ = client.try_response().await;
        let alive = join_all(open.iter_mut().map(echoes)).await;
        lost = alive.iter().filter(|alive| !**alive).count();
    }
    let mut alive = Vec::new();
    for mut client in open {
        if echoes(&mut client).await {
            alive.push(client);
        }
    }
    assert_eq!(alive.len(), N - lost);
    let trapped = Instant::now();
    for _ in 0..lost {
        alive.push(open_soon(&scene, || of_user("/ws/user", "alice"), "after a trap").await);
    }
    assert!(trapped.elapsed() < SOON);
    assert_eq!(rush_after_trap(&scene).await, 0);
    for client in &mut alive {
        assert!(echoes(client).await);
    }
}

/// Makes handshakes at once, of which some may reach a worker whose VM is started anew, and returns the number
/// that were let in.
async fn rush_after_trap(scene: &RunningScene) -> usize {
    let attempts = (0..AT_ONCE).map(|_| async { attempt(scene, &of_user("/ws/user", "alice")).await });
    let attempts = join_all(attempts).await;
    for answer in attempts.iter().filter_map(|attempt| attempt.as_ref().err()) {
        assert!(matches!(answer.0, 429 | 503), "{answer:?}");
    }
    attempts.iter().filter(|attempt| attempt.is_ok()).count()
}
