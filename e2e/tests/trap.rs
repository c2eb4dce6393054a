//! The consequences of a trap in a worker's VM: its sockets, those of other workers, and the counts.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use postern_e2e::scene::module;
use postern_e2e::scene::trapping_module;
use postern_e2e::{Behaviour, Frame, RawClient, Request, RunningScene, Scene, Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Envoy's `idle_timeout` here, instead of the shipped one.
const ENVOYS_IDLE_TIMEOUT: Duration = Duration::from_secs(8);

/// The time within which the gauges are right again.
const SOON: Duration = Duration::from_secs(10);

/// The most by which anything may come late on a busy machine.
const LATE: Duration = Duration::from_secs(3);

/// The default budget of a VM, in bytes; Envoy's main thread has one VM, and each worker has one.
const BUDGET: f64 = 268_435_456.0;

/// The request that makes the module trap here: its trailers do, and Postern does not judge it.
const TRAP: &[u8] =
    b"POST /ws/ HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-a: b\r\n\r\n";

fn scene(folder: &TempDir, policy: Value) -> Scene {
    let module = module::path().expect("a module");
    Scene::new()
        .plaintext()
        .module(&trapping_module::on_trailers(&module, folder.path()))
        .policy(policy)
        .upstream("/ws/silent", Behaviour::Silent)
        .change_connection_manager(|manager| {
            manager["http_protocol_options"] = json!({"enable_trailers": true});
            for route in manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().expect("routes")
            {
                route["route"]["idle_timeout"] = json!(format!("{}s", ENVOYS_IDLE_TIMEOUT.as_secs()));
            }
        })
}

fn without_reload(scene: Scene) -> Scene {
    scene.change_connection_manager(|manager| {
        let config = &mut manager["http_filters"][0]["typed_config"]["config"];
        config.as_object_mut().expect("a plugin").remove("failure_policy");
    })
}

/// Opens `count` sockets and waits until they are counted.
async fn sockets(scene: &RunningScene, path: &str, count: u32) -> Vec<RawClient> {
    let clients = join_all((0..count).map(|_| scene.open(path))).await;
    scene.envoy().stat_becomes("postern_connections", &[("policy", "chat")], f64::from(count)).await;
    clients
}

/// Makes a worker's VM trap, and returns the time at which it did.
async fn trap(scene: &RunningScene) -> Instant {
    let mut client = scene.connect().await;
    client.send(TRAP).await;
    let answer = client.try_response().await;
    assert!(answer.as_ref().map_or(true, |answer| answer.status >= 500), "it was let through: {answer:?}");
    let traps = scene.envoy().logged("unreachable").await;
    assert!(!traps.is_empty());
    Instant::now()
}

async fn echoes(client: &mut RawClient, text: &str) -> bool {
    let frame = Frame::text(text);
    client.try_send(frame.clone().masked().bytes()).await.is_ok()
        && client.frame().await.is_ok_and(|answer| answer == frame)
}

/// Answers Postern's Pings, and says whether the socket is still open after `time`.
async fn stays(client: &mut RawClient, time: Duration) -> bool {
    client.show_heartbeats();
    let answers = async {
        while let Ok(frame) = client.frame().await {
            let pong = Frame::pong(frame.payload).masked().bytes();
            if client.try_send(pong).await.is_err() {
                break;
            }
        }
    };
    timeout(time, answers).await.is_err()
}

/// Opens a socket as soon as the worker has a VM again.
async fn open_again(scene: &RunningScene, trapped: Instant) -> RawClient {
    loop {
        let (mut client, request) = (scene.connect().await, Request::upgrade("/ws/chat"));
        match client.ask(&request).await.status {
            101 => return client,
            status => assert_eq!(status, 503),
        }
        assert!(trapped.elapsed() < SOON, "the VM is not started anew");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the gauges are those of `connections` sockets and `vms` VMs.
async fn gauges_become(scene: &RunningScene, trapped: Instant, connections: f64, vms: f64) {
    let envoy = scene.envoy();
    envoy.stat_becomes("postern_connections", &[("policy", "chat")], connections).await;
    envoy.stat_becomes("postern_memory_budget_bytes", &[], vms * BUDGET).await;
    envoy.stat_becomes("postern_held_bytes", &[], 0.0).await;
    assert!(trapped.elapsed() < SOON, "the gauges were wrong for {:?}", trapped.elapsed());
    let memory = envoy.stats().await.sum("postern_memory_bytes", &[]);
    assert!(memory > 0.0 && memory < vms * 16e6, "{memory}");
}

#[tokio::test]
async fn after_a_trap_new_sockets_are_judged_the_old_ones_end_and_the_gauges_are_right() {
    if module::lacks("a VM that traps") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policy = json!({"messages": {"max_message_bytes": 100}, "liveness": {"ping_interval": "2s"}});
    let scene = scene(&folder, policy).start().await;
    let mut quiet = sockets(&scene, "/ws/silent", 3).await;
    let mut holding = quiet.pop().expect("a socket");
    holding.send(&Frame::text("held").masked().bytes()[..8]).await;
    let mut busy = scene.open("/ws/chat").await;
    assert!(echoes(&mut busy, "before").await);
    let trapped = trap(&scene).await;

    // The next bytes cut the busy socket, and reach nobody.
    busy.send(Frame::text("unjudged").masked().bytes()).await;
    let (rest, _) = busy.rest().await;
    assert_eq!(rest, b"");
    assert_eq!(scene.record(&busy).await.messages(), [b"before"]);

    let mut welcome = open_again(&scene, trapped).await;
    assert!(echoes(&mut welcome, "after").await);
    let mut denied = scene.open("/ws/chat").await;
    denied.send(Frame::binary(vec![7; 101]).masked().bytes()).await;
    assert_eq!(denied.close().await.code(), Some(1009));
    drop(denied);
    gauges_become(&scene, trapped, 1.0, 2.0).await;

    // Nobody pings the quiet sockets any more, so Envoy cuts them.
    let cut = join_all(quiet.iter_mut().chain([&mut holding]).map(|client| client.rest()));
    let (cut, is_welcome) = join(cut, stays(&mut welcome, ENVOYS_IDLE_TIMEOUT + LATE)).await;
    assert!(cut.iter().all(|(rest, _)| rest.is_empty()), "{cut:?}");
    assert!(is_welcome);
    let by_time = scene.envoy().stats().await.sum("envoy_http_downstream_rq_idle_timeout", &[]);
    assert_eq!(by_time, 3.0);
}

#[tokio::test]
async fn other_workers_go_on_and_only_they_are_counted() {
    if module::lacks("a VM that traps") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scene = scene(&folder, json!({})).workers(2).start().await;
    let mut clients = sockets(&scene, "/ws/chat", 24).await;
    let trapped = trap(&scene).await;
    let going_on = join_all(clients.iter_mut().map(|client| echoes(client, "on"))).await;
    let alive = going_on.iter().filter(|alive| **alive).count();
    assert!((1..24).contains(&alive), "{alive} of 24");
    // The trapped VM, one of three, is started anew once a stream asks for it.
    let alive = f64::from(u32::try_from(alive).expect("few"));
    scene.envoy().stat_becomes("postern_connections", &[("policy", "chat")], alive).await;
    assert!(trapped.elapsed() < SOON, "{:?}", trapped.elapsed());
}

#[tokio::test]
async fn where_envoy_starts_no_vm_anew_the_gauges_are_right_all_the_same() {
    if module::lacks("a VM that traps") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scene = without_reload(scene(&folder, json!({}))).start().await;
    let _quiet = sockets(&scene, "/ws/silent", 3).await;
    let trapped = trap(&scene).await;
    assert_eq!(scene.ask(&Request::upgrade("/ws/chat")).await.status, 503);
    gauges_become(&scene, trapped, 0.0, 1.0).await;
}

#[tokio::test]
async fn a_socket_that_postern_pings_outlives_envoys_idle_timeout_and_another_does_not() {
    if module::lacks("a VM that traps") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pinged = json!({"ping_interval": "2s", "pong_timeout": "2s", "idle_timeout": "5s"});
    let alone = json!({"ping_interval": "none", "idle_timeout": "1h"});
    for (liveness, outlives) in [(pinged, true), (alone, false)] {
        let scene = scene(&folder, json!({"liveness": liveness})).start().await;
        let mut clients = sockets(&scene, "/ws/chat", 2).await;
        clients.extend(join_all((0..2).map(|_| scene.open("/ws/silent"))).await);
        let wait = 2 * ENVOYS_IDLE_TIMEOUT + LATE;
        let quiet = join_all(clients.iter_mut().map(|client| stays(client, wait))).await;
        assert_eq!(quiet, [outlives; 4], "{liveness}");
        let cut = scene.envoy().stats().await.sum("envoy_http_downstream_rq_idle_timeout", &[]);
        assert_eq!(cut, if outlives { 0.0 } else { 4.0 }, "{liveness}");
    }
}

/// Puts another VM in the place of the present one, as an upgrade of the module does.
fn replace_vm(scene: &RunningScene) {
    let path = scene.certificate().with_file_name("filter.json");
    let (text, draft) = (std::fs::read_to_string(&path).expect("a filter"), path.with_extension("draft"));
    let mut filter: Value = serde_json::from_str(&text).expect("JSON");
    filter["version_info"] = json!("another");
    filter["resources"][0]["typed_config"]["config"]["vm_config"]["vm_id"] = json!("another");
    std::fs::write(&draft, filter.to_string()).expect("a writable folder");
    std::fs::rename(draft, path).expect("a writable folder");
}

#[tokio::test]
async fn a_trap_cuts_no_socket_of_the_vm_that_was_there_before_and_its_last_socket_takes_it_out_of_the_gauges()
 {
    if module::lacks("a VM that traps") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scene = scene(&folder, json!({})).discovered().start().await;
    let mut old = sockets(&scene, "/ws/chat", 2).await;
    let budget = |vms: f64| vms * BUDGET;
    scene.envoy().stat_becomes("postern_memory_budget_bytes", &[], budget(2.0)).await;
    replace_vm(&scene);
    // The worker's old VM still serves its sockets; that of the main thread has none.
    scene.envoy().stat_becomes("postern_memory_budget_bytes", &[], budget(3.0)).await;
    assert!(echoes(&mut old[0], "old").await);
    let mut new = scene.open("/ws/chat").await;
    scene.envoy().stat_becomes("postern_connections", &[("policy", "chat")], 3.0).await;
    drop(old.pop());
    scene.envoy().stat_becomes("postern_connections", &[("policy", "chat")], 2.0).await;
    assert!(echoes(&mut new, "new").await);

    // What traps is the new VM of the same worker.
    let trapped = trap(&scene).await;
    new.send(Frame::text("unjudged").masked().bytes()).await;
    assert_eq!(new.rest().await.0, b"");
    assert!(echoes(&mut old[0], "old still").await);
    let mut welcome = open_again(&scene, trapped).await;
    gauges_become(&scene, trapped, 2.0, 3.0).await;
    drop(old);
    scene.envoy().stat_becomes("postern_connections", &[("policy", "chat")], 1.0).await;
    scene.envoy().stat_becomes("postern_memory_budget_bytes", &[], budget(2.0)).await;
    assert!(echoes(&mut welcome, "welcome").await);
}
