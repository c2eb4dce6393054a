//! A trap.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fail anywhere"
)]
use postern_e2e::bootstrap::wasm_module;
use postern_e2e::{Behaviour, Frame, Request, RunningScene, Scene, Value, json, trapping};
use std::time::{Duration, Instant};

fn scene(folder: &std::path::Path, policy: Value, idle: &'static str, reload: bool, workers: u32) -> Scene {
    let module = trapping::on_trailers(&wasm_module().expect("a module"), folder);
    Scene::new()
        .plaintext()
        .workers(workers)
        .module(&module)
        .policy(policy)
        .upstream("/ws/silent", Behaviour::Silent)
        .change_connection_manager(move |manager| {
            manager["http_protocol_options"] = json!({"enable_trailers": true});
            for route in manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().expect("routes")
            {
                route["route"]["idle_timeout"] = json!(idle);
            }
            if !reload {
                manager["http_filters"][0]["typed_config"]["config"]
                    .as_object_mut()
                    .expect("x")
                    .remove("failure_policy");
            }
        })
}

async fn trap(scene: &RunningScene) {
    let mut client = scene.connect().await;
    let bytes =
        b"POST /ws/ HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-a: b\r\n\r\n";
    client.send(bytes).await;
    println!("trap: {:?}", client.try_response().await.map(|r| r.status));
    println!("{:?}", scene.envoy().log_lines_with("nreachable"));
}

async fn show(scene: &RunningScene) {
    let stats = scene.envoy().stats().await;
    for s in stats.0.iter().filter(|s| {
        s.name.starts_with("postern_")
            && (s.name.contains("connections") || s.name.contains("memory") || s.name.contains("held"))
            || s.name.contains("reload")
            || s.name.contains("wasm_envoy")
            || s.name.contains("idle_timeout")
    }) {
        println!("   {} {:?} {}", s.name, s.labels, s.value);
    }
}

#[tokio::test]
async fn explore() {
    let folder = tempfile::tempdir().expect("folder");
    let reload = std::env::var("NO_RELOAD").is_err();
    let policy = json!({"liveness": {"ping_interval": "1s", "pong_timeout": "2s", "idle_timeout": "3s"}});
    let scene = scene(folder.path(), policy, "8s", reload, 1).start().await;
    let mut quiet = scene.open("/ws/a").await;
    let mut service = scene.open("/ws/a").await;
    let mut silent = scene.open("/ws/silent").await;
    quiet.show_heartbeats();
    println!("{:?}", quiet.frame_within(Duration::from_secs(5)).await);
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!("still open, ok; before");
    show(&scene).await;
    let mut quiet = scene.open("/ws/a").await;
    let mut quiet2 = scene.open("/ws/silent").await;
    let mut pinger = scene.open("/ws/a").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let t = Instant::now();
    trap(&scene).await;
    show(&scene).await;
    pinger.send(Frame::text("hi").masked().bytes()).await;
    println!("pinger {:?} {:?}", pinger.frame_within(Duration::from_secs(20)).await, t.elapsed());
    for _ in 0..3 {
        let r = scene.ask(&Request::upgrade("/ws/a")).await;
        println!("new: {} {:?}", r.status, t.elapsed());
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    println!("quiet {:?} {:?}", quiet.frame_within(Duration::from_secs(20)).await, t.elapsed());
    println!("quiet2 {:?} {:?}", quiet2.frame_within(Duration::from_secs(20)).await, t.elapsed());
    show(&scene).await;
    let _ = (&mut service, &mut silent);
}
