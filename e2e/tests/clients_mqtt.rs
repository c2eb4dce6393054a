//! MQTT over WebSockets: paho-mqtt, whose answers to Pings have no mask, and mosquitto.
//!
//! `POSTERN_MQTT_IDLE_SECONDS` has a client idle for so long under the default `liveness` besides.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use postern_e2e::client::python;
use postern_e2e::deadline::{PATIENCE, eventually, within};
use postern_e2e::environment;
use postern_e2e::frames::opcode;
use postern_e2e::not_run::not_run;
use postern_e2e::{Behaviour, Frame, RunningScene, Scene, Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// A mosquitto that runs until this is dropped.
struct Broker {
    address: SocketAddr,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Broker {
    /// Starts mosquitto. `None`, after a loud word, when there is no mosquitto; with `CI=true` that is a
    /// failure.
    async fn start() -> Option<Self> {
        let Some(program) = find() else {
            not_run(
                "there is no mosquitto to test with; install it (Debian, Ubuntu: apt-get install mosquitto)",
            );
            return None;
        };
        // mosquitto cannot be told to take any free port, and another process may take the port that was
        // free.
        for _ in 0..10 {
            let address = environment::listener().await.local_addr().expect("the port just bound");
            if let Some(broker) = Self::start_at(&program, address).await {
                return Some(broker);
            }
        }
        panic!("mosquitto finds no port");
    }

    async fn start_at(program: &PathBuf, address: SocketAddr) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("mosquitto.conf");
        // mosquitto 2.0.11 does not start with listeners of WebSockets alone.
        let settings = format!(
            "user root\nallow_anonymous true\nlistener 0 {}\nlistener {} {}\nprotocol websockets\n",
            folder.path().join("socket").display(),
            address.port(),
            address.ip()
        );
        std::fs::write(&file, settings).expect("a writable folder");
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.kill_on_drop(true).spawn().expect("mosquitto to start");
        within(PATIENCE, "mosquitto to listen", async {
            loop {
                if process.try_wait().expect("a child").is_some() {
                    return None;
                }
                if TcpStream::connect(address).await.is_ok() {
                    return Some(());
                }
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await?;
        Some(Self { address, _process: process, _folder: folder })
    }
}

/// Returns the program on the path, or where Debian has it.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("mosquitto")).find(|file| file.is_file())
}

/// Returns the view of the client that idled for `idle`; `None` when there is no such client on this machine.
async fn visit(scene: &RunningScene, idle: Duration) -> Option<Value> {
    let options = json!({
        "host": environment::current().host(), "port": scene.port(), "path": "/ws/mqtt",
        "certificate": scene.certificate(), "idle": idle.as_secs(),
    });
    let script = include_str!("python/mqtt_client.py");
    let outcome = python::run_for(idle + 4 * PATIENCE, script, &[&options.to_string()]).await?;
    assert!(outcome.success, "{}", outcome.stderr);
    Some(serde_json::from_str(&outcome.stdout).expect("a report in JSON"))
}

/// Returns the policy. Its origin is the host itself: the client gives its destination as its Origin.
fn policy(liveness: &Value) -> Value {
    let own = format!("https://{}:*", environment::current().host());
    json!({
        "origins": {"allow": [own], "missing": "deny"}, "subprotocols": {"allow": ["mqtt"], "require": true},
        "messages": {"types": ["binary"]}, "liveness": liveness,
    })
}

async fn pings(scene: &RunningScene) -> f64 {
    scene.envoy().stats().await.sum("postern_pings", &[("direction", "downstream")])
}

#[tokio::test]
async fn what_it_publishes_comes_back_also_after_more_pings_than_silence_is_allowed_for() {
    let Some(broker) = Broker::start().await else { return };
    let liveness = json!({"idle_timeout": "3s", "ping_interval": "1s", "pong_timeout": "2s"});
    let scene = Scene::new().service(broker.address).policy(policy(&liveness)).start().await;
    let Some(seen) = visit(&scene, Duration::from_secs(8)).await else { return };
    let expected = json!({"connected": "Success", "messages": ["before", "after"], "lost": null});
    assert_eq!(seen, expected);
    let pings = pings(&scene).await;
    assert!(pings >= 4.0, "{pings} Pings");
    assert_eq!(scene.envoy().stats().await.sum("postern_closes", &[]), 0.0);
}

/// The test above is about this habit of the client. The client waits for an answer to its CONNECT meanwhile:
/// one that ended could take the Pong with it.
#[tokio::test]
async fn the_client_answers_a_ping_without_a_mask() {
    let scene = Scene::new().bare().upstream("/ws/mqtt", Behaviour::Silent).start().await;
    let answer = async {
        let record = eventually(PATIENCE, "the client", || scene.upstream().records().pop()).await;
        record.frames_when(1).await;
        record.send_pieces([Frame::ping("a ping").bytes()]).await;
        record.frames_when(2).await.remove(1)
    };
    let pong = tokio::select! {
        pong = answer => pong,
        seen = visit(&scene, Duration::ZERO) => match seen {
            Some(seen) => panic!("the client ended: {seen}"),
            None => return,
        },
    };
    assert_eq!((pong.opcode, pong.mask, pong.payload.as_slice()), (opcode::PONG, None, &b"a ping"[..]));
}

#[tokio::test]
async fn a_policy_of_another_subprotocol_does_not_let_it_in() {
    let Some(broker) = Broker::start().await else { return };
    let chat = json!({"subprotocols": {"allow": ["chat.v2"]}});
    let scene = Scene::new().service(broker.address).policy(chat).start().await;
    let Some(seen) = visit(&scene, Duration::ZERO).await else { return };
    assert_eq!((&seen["connected"], &seen["messages"]), (&Value::Null, &json!([])), "{seen}");
    let refused = [("result", "refused"), ("reason", "subprotocol_denied")];
    scene.envoy().stat_becomes("postern_handshakes", &refused, 1.0).await;
}

#[tokio::test]
async fn it_idles_for_as_long_as_it_is_asked_to_under_the_default_liveness() {
    let Ok(seconds) = std::env::var("POSTERN_MQTT_IDLE_SECONDS") else { return };
    let idle = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let Some(broker) = Broker::start().await else { return };
    let scene = Scene::new().service(broker.address).policy(policy(&json!({}))).start().await;
    let Some(seen) = visit(&scene, idle).await else { return };
    let expected = json!({"connected": "Success", "messages": ["before", "after"], "lost": null});
    assert_eq!(seen, expected);
    let pings = pings(&scene).await;
    println!("idle for {idle:?}: {pings} Pings answered");
    assert!(pings >= (idle.as_secs() / 20) as f64, "{pings} Pings");
}
