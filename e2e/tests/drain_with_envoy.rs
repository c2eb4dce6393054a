//! An Envoy that drains takes its connections with it, spread over a time, and asks new ones to come elsewhere.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use postern_e2e::deadline::{LATE, PATIENCE, eventually};
use postern_e2e::environment::{self, Environment};
use postern_e2e::not_run::not_run;
use postern_e2e::scene::document;
use postern_e2e::scene::module;
use postern_e2e::tls::{Certificate, LOCAL};
use postern_e2e::{
    Destination, Envoy, Forwarder, Frame, RawClient, Request, RunningScene, Scene, Upstream, json, pages,
};
use tokio::task::JoinSet;
use tokio::time::sleep;

const OVER: Duration = Duration::from_secs(4);
const WORKERS: u32 = 2;
/// The VMs that learn it: that of each worker, and that of Envoy's main thread, which has no connections.
const VMS: usize = WORKERS as usize + 1;
const CLIENTS: usize = 8;

/// The answers that say nothing, by their bodies.
const NONE: [(&str, &str); 4] = [
    ("garbage", "STATE"),
    ("another status", r#"{"state":"STATE"}"#),
    ("another document", r#"{"keys":["STATE"]}"#),
    ("no answer", ""),
];

async fn start(admin: &Forwarder) -> RunningScene {
    // Nobody reads, and so answers, while the admin interface is tried.
    let liveness = json!({"ping_interval": "none", "idle_timeout": "10m"});
    let mut whole = document(json!({}), json!({"chat": {"rates": [], "liveness": liveness}}));
    whole["default_policy"] = json!("chat");
    let over = format!("{}s", OVER.as_secs());
    whole["drain_with_envoy"] = json!({"cluster": "envoy_admin", "over": over});
    let scene = Scene::new().document(whole).cluster("envoy_admin", admin.address());
    scene.workers(WORKERS).plaintext().start().await
}

/// Opens a connection on which something was said.
async fn open(scene: &RunningScene) -> RawClient {
    let mut client = scene.open("/ws/chat").await;
    talk(&mut client).await;
    client
}

async fn talk(client: &mut RawClient) {
    client.send(Frame::text("hello").masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::text("hello")));
}

/// Waits until every VM has told `part` so many times. A thread with the dynamic module rests while it has no connections, but for
/// the main one.
async fn all_tell(scene: &RunningScene, part: &str, times: usize) {
    let all = if module::is_native() { times..=times * VMS } else { times * VMS..=times * VMS };
    let told = || all.contains(&scene.envoy().log_lines_with(part).len()).then_some(());
    eventually(PATIENCE, part, told).await;
}

/// Has the admin interface asked twice more with this result, so that what was answered first is known to all.
async fn asked_twice(scene: &RunningScene, result: &str) {
    let labels = [("source", "server_info"), ("result", result)];
    scene.envoy().growth("postern_fetches", &labels).await.reaches(2.0).await;
}

async fn is_refused(scene: &RunningScene) -> bool {
    let request = Request::upgrade("/ws/chat");
    let response = scene.ask(&request).await;
    let is_refused = (response.status, response.reason().as_deref()) == (503, Some("draining"));
    assert!(is_refused || response.status == 101, "{}", response.status);
    is_refused
}

/// Expects handshakes to be refused, or not: at once where every VM has told what it has learnt, and else with the next tick of the
/// worker that takes them.
async fn assert_refuses(scene: &RunningScene, refuses: bool) {
    let deadline = Instant::now() + if module::is_native() { LATE } else { Duration::ZERO };
    while is_refused(scene).await != refuses {
        assert!(Instant::now() < deadline, "that handshakes are refused is not {refuses}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Has answers come that are none, though they name this state, and expects no change, and one line about them.
async fn assert_changes_nothing(scene: &RunningScene, admin: &Forwarder, state: &str) {
    let told = || scene.envoy().log_lines_with("fetch failed source=server_info").len();
    let (refuses, told_before) = (is_refused(scene).await, told());
    for (what, body) in NONE {
        let body = body.replace("STATE", state);
        let status = if what == "another status" { "503 Unavailable" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let is_none = what == "no answer";
        admin.move_all(if is_none { Destination::Nowhere } else { Destination::Answer(answer) });
        asked_twice(scene, "failed").await;
        assert_eq!(is_refused(scene).await, refuses, "{what}");
    }
    assert_eq!(told() - told_before, 1, "a row of failures is told once");
}

/// Expects a Close on each connection, and returns when they came. Each is read as it comes, whatever else is looked at meanwhile.
fn closings(clients: Vec<RawClient>) -> JoinSet<Instant> {
    let mut closing = JoinSet::new();
    for mut client in clients {
        closing.spawn(async move {
            let close = client.frame_within(2 * PATIENCE).await;
            let came = Instant::now();
            assert_eq!(close, Ok(Frame::closing(1001, "drain")));
            client.send(Frame::closing(1001, "").masked().bytes()).await;
            came
        });
    }
    closing
}

#[tokio::test]
async fn an_envoy_whose_health_check_fails_sends_its_connections_away_over_a_time_until_it_is_well_again() {
    if module::is_counted_by_streams() {
        return;
    }
    let admin = Forwarder::start().await;
    let scene = start(&admin).await;
    let envoy = scene.envoy();
    // Nobody has answered yet.
    let mut clients = vec![open(&scene).await];
    admin.move_all(Destination::To(envoy.admin()));
    envoy.stat_becomes("postern_source_usable", &[("source", "server_info")], 1.0).await;
    while clients.len() < CLIENTS {
        clients.push(open(&scene).await);
    }
    let first = scene.record(&clients[0]).await;

    let closes = closings(clients);
    let start = Instant::now();
    envoy.tell_admin("/healthcheck/fail").await;
    all_tell(&scene, "this Envoy drains, and", 1).await;
    assert_refuses(&scene, true).await;
    let mut times: Vec<_> = closes.join_all().await.iter().map(|came| *came - start).collect();
    times.sort();
    // One worker has at least half of them, the first of which goes after a quarter of the time at the latest.
    let (soonest, latest) = (times[0], times[CLIENTS - 1]);
    assert!(latest >= OVER && latest - soonest >= OVER / 4, "they go all at once: {times:?}");
    assert_eq!((first.close().await.code(), first.close().await.reason()), (Some(1001), "drain".to_owned()));
    envoy.stat_becomes("postern_envoy_draining", &[], 1.0).await;
    let rule = [("rule", "drain_with_envoy"), ("reason", "drain")];
    assert_eq!(envoy.stats().await.sum("postern_violations", &rule), CLIENTS as f64);

    assert_changes_nothing(&scene, &admin, "LIVE").await;
    envoy.tell_admin("/healthcheck/ok").await;
    admin.move_all(Destination::To(envoy.admin()));
    all_tell(&scene, "this Envoy drains no more", 1).await;
    assert_refuses(&scene, false).await;
    let mut client = open(&scene).await;
    assert_changes_nothing(&scene, &admin, "DRAINING").await;

    // Listeners that drain do not show in what the admin interface says: operate.md says so.
    admin.move_all(Destination::To(envoy.admin()));
    asked_twice(&scene, "good").await;
    envoy.tell_admin("/drain_listeners?graceful").await;
    asked_twice(&scene, "good").await;
    all_tell(&scene, "this Envoy drains, and", 1).await;
    talk(&mut client).await;
}

/// Returns the configuration of operate.md that has its admin interface in a socket, with files, service and times of this test.
fn of_page(folder: &Path, service: &Upstream) -> String {
    let block = pages::blocks("docs/operate.md", "yaml envoy")
        .into_iter()
        .find(|block| block.contains("drain_with_envoy"))
        .expect("a configuration");
    let module = module::path().unwrap_or_else(|error| panic!("{error}"));
    let (module, folder, at) = (module.display(), folder.display(), service.address());
    let changes = [
        ("/etc/envoy/postern.wasm", module.to_string()),
        ("/etc/envoy", folder.to_string()),
        ("/run/envoy", folder.to_string()),
        ("address: 0.0.0.0, port_value: 8443", "address: 127.0.0.1, port_value: 0".to_owned()),
        (
            "address: chat.internal, port_value: 8080",
            format!("address: {}, port_value: {}", at.ip(), at.port()),
        ),
        ("over: 30s", "over: 1s".to_owned()),
    ];
    changes.iter().fold(block, |text, (from, to)| {
        assert!(text.contains(from), "no {from} in {text}");
        text.replace(from, to)
    })
}

#[tokio::test]
async fn the_configuration_of_the_page_drains_by_an_admin_interface_that_nobody_but_its_user_can_open() {
    if module::lacks("a page with another filter") {
        return;
    }
    if matches!(environment::current(), Environment::Containers(_)) {
        not_run("the socket of an Envoy in a container cannot be opened from here");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let service = Upstream::start(Vec::new()).await;
    let certificate = Certificate::self_signed(&LOCAL);
    certificate.write(folder.path()).expect("a writable folder");
    let file = folder.path().join("envoy.yaml");
    std::fs::write(&file, of_page(folder.path(), &service)).expect("a writable folder");
    let envoy =
        Envoy::start_file(&file, folder.path(), 1, &[]).await.unwrap_or_else(|error| panic!("{error}"));
    let socket = std::fs::metadata(folder.path().join("admin.sock")).expect("a socket");
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);

    let request = Request::upgrade("/").header("Origin", "https://app.example.com");
    let mut client = RawClient::connect(envoy.listener(), None, Some(certificate.client(None)))
        .await
        .expect("a connection to Envoy");
    assert_eq!(client.ask(&request).await.status, 101);
    talk(&mut client).await;
    envoy.tell_admin("/healthcheck/fail").await;
    assert_eq!(client.frame().await, Ok(Frame::closing(1001, "drain")));
}
