//! Envoys that take over from each other under clients that chat: each client is told to come back, and no message is lost
//! that was answered.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use postern_e2e::deadline::{PATIENCE, eventually};
use postern_e2e::environment::{self, Environment};
use postern_e2e::not_run::not_run;
use postern_e2e::scene::document;
use postern_e2e::wire::End;
use postern_e2e::{
    Destination, Forwarder, Frame, HotRestart, RawClient, Request, RunningScene, Scene, Value, json,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The variable that says how many clients chat.
const CLIENTS: &str = "POSTERN_RESTART_CLIENTS";

/// The time over which clients are sent away; Envoy's own times leave room for it.
const OVER: Duration = Duration::from_secs(5);
const TIMES: HotRestart =
    HotRestart { drain_time: Duration::from_secs(12), parent_shutdown_time: Duration::from_secs(20) };

/// The time after which a client that was refused tries again.
const RETRY: Duration = Duration::from_millis(200);

/// The time between two messages of a client, for each client that there is: a thousand messages a second together.
const PACE: Duration = Duration::from_millis(1);

/// A client's own account.
#[derive(Debug, Default)]
struct Account {
    name: usize,
    /// The messages that came back.
    answered: Vec<String>,
    /// The codes of the Closes that it got.
    closes: Vec<Option<u16>>,
    /// The ends that came without a Close.
    cuts: Vec<End>,
    /// The number of handshakes that were refused.
    refused: usize,
}

/// The progress of all clients.
#[derive(Debug, Default)]
struct Progress {
    answered: AtomicUsize,
    closes: AtomicUsize,
}

/// A crowd of clients that chat until they are told to stop.
struct Crowd {
    clients: JoinSet<Account>,
    size: usize,
    progress: Arc<Progress>,
    stop: watch::Sender<bool>,
}

impl Crowd {
    fn start(size: usize, at: SocketAddr) -> Self {
        let (stop, stopped) = watch::channel(false);
        let progress = Arc::new(Progress::default());
        let pace = PACE * u32::try_from(size).expect("a number of clients");
        let mut clients = JoinSet::new();
        for name in 0..size {
            let (stopped, progress) = (stopped.clone(), Arc::clone(&progress));
            clients.spawn(async move {
                let mut account = Account { name, ..Account::default() };
                while !*stopped.borrow() {
                    account.visit(at, pace, &stopped, &progress).await;
                }
                account
            });
        }
        Self { clients, size, progress, stop }
    }

    /// Waits until each client has had `messages` answered more, on the average.
    async fn chats(&self, messages: usize) {
        let enough = self.progress.answered.load(Ordering::Relaxed) + messages * self.size;
        let look = || (self.progress.answered.load(Ordering::Relaxed) >= enough).then_some(());
        eventually(2 * PATIENCE, "answers", look).await;
    }

    /// Waits until there were `rounds` Closes for each client.
    async fn closed(&self, rounds: usize) {
        let look = || (self.progress.closes.load(Ordering::Relaxed) >= rounds * self.size).then_some(());
        eventually(2 * PATIENCE, "Closes", look).await;
    }

    async fn stop(self) -> Vec<Account> {
        self.stop.send_replace(true);
        self.clients.join_all().await
    }
}

impl Account {
    /// Opens a connection, and chats on it until it ends.
    async fn visit(
        &mut self,
        at: SocketAddr,
        pace: Duration,
        stopped: &watch::Receiver<bool>,
        all: &Progress,
    ) {
        let Some(mut client) = Self::enter(at).await else {
            self.refused += 1;
            tokio::time::sleep(RETRY).await;
            return;
        };
        let mut number = 0;
        while !*stopped.borrow() {
            // No message is ever said twice: one that was not answered may have arrived.
            let visit = self.closes.len() + self.cuts.len();
            let message = format!("{}.{visit}.{number}", self.name);
            number += 1;
            let said = client.try_send(Frame::text(&message).masked().bytes()).await;
            match client.frame_within(PATIENCE).await {
                Ok(frame) if frame.is_close() => {
                    self.closes.push(frame.code());
                    all.closes.fetch_add(1, Ordering::Relaxed);
                    // The Envoy may be gone by now.
                    let _ = client.try_send(Frame::closing(1001, "").masked().bytes()).await;
                    return;
                }
                Ok(frame) => {
                    assert_eq!(frame, Frame::text(&message), "{said:?}");
                    self.answered.push(message);
                    all.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(end) => {
                    self.cuts.push(end);
                    return;
                }
            }
            tokio::time::sleep(pace).await;
        }
    }

    /// Opens a WebSocket, unless there is nobody or the client is told to come later.
    async fn enter(at: SocketAddr) -> Option<RawClient> {
        let mut client = RawClient::connect(at, None, None).await.ok()?;
        client.try_send(Request::upgrade("/ws/chat").bytes()).await.ok()?;
        let response = client.try_response().await.ok()?;
        assert!(matches!(response.status, 101 | 503), "{}", response.status);
        (response.status == 101).then_some(client)
    }
}

/// Has Postern ask the admin interface by a connection of its own each time, as operate.md says: on one that stays open the
/// Envoy that ends would answer until its end.
fn ask_by_new_connections(bootstrap: &mut Value) {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let options = json!({
        "@type": format!("type.googleapis.com/{OPTIONS}"), "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"max_requests_per_connection": 1},
    });
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
    let admin = clusters.iter_mut().find(|cluster| cluster["name"] == "envoy_admin").expect("the admin's");
    admin["typed_extension_protocol_options"] = json!({OPTIONS: options});
}

async fn start(admin: &Forwarder, service: Option<SocketAddr>, restart: Option<HotRestart>) -> RunningScene {
    let mut whole = document(json!({}), json!({"chat": {"rates": []}}));
    whole["default_policy"] = json!("chat");
    let over = format!("{}s", OVER.as_secs());
    whole["drain_with_envoy"] = json!({"cluster": "envoy_admin", "over": over});
    let mut scene = Scene::new().document(whole).cluster("envoy_admin", admin.address());
    scene = scene.plaintext().workers(2).change(ask_by_new_connections);
    if let Some(service) = service {
        scene = scene.service(service);
    }
    let scene = match restart {
        Some(times) => scene.start_row(times).await,
        None => scene.start().await,
    };
    admin.lead(Destination::To(scene.envoy().admin()));
    scene.envoy().stat_becomes("postern_source_usable", &[("source", "server_info")], 1.0).await;
    scene
}

/// Holds what the clients say against what the service has.
fn judge(accounts: &[Account], scene: &RunningScene, restarts: usize) {
    let mut received: HashMap<String, usize> = HashMap::new();
    for message in scene.upstream().records().iter().flat_map(|record| record.messages()) {
        *received.entry(String::from_utf8(message).expect("text")).or_default() += 1;
    }
    let mut codes = BTreeSet::new();
    for account in accounts {
        assert!(account.cuts.is_empty(), "client {} was cut: {:?}", account.name, account.cuts);
        assert!(account.closes.len() >= restarts, "client {} has seen {:?}", account.name, account.closes);
        codes.extend(&account.closes);
        for message in &account.answered {
            assert_eq!(received.get(message), Some(&1), "{message}");
        }
    }
    assert_eq!(codes, BTreeSet::from([Some(1001)]));
    let sum = |of: fn(&Account) -> usize| accounts.iter().map(of).sum::<usize>();
    println!(
        "{} clients: {} messages answered, each received once; {} Closes, all 1001; {} handshakes refused meanwhile; 0 cuts",
        accounts.len(),
        sum(|account| account.answered.len()),
        sum(|account| account.closes.len()),
        sum(|account| account.refused),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_is_cut_and_no_answered_message_is_lost_when_envoys_take_over_from_each_other() {
    if matches!(environment::current(), Environment::Containers(_)) {
        not_run("an Envoy in a container gets no signal from here");
        return;
    }
    let size = std::env::var(CLIENTS).map_or(50, |clients| clients.parse().expect("a number of clients"));
    let admin = Forwarder::start().await;
    let mut scene = start(&admin, None, Some(TIMES)).await;
    let balancer = Forwarder::start().await;
    balancer.lead(Destination::To(scene.envoy().listener()));
    let crowd = Crowd::start(size, balancer.address());
    crowd.chats(3).await;

    // A hot restart: the next Envoy has the same addresses, and nobody else tells the one before that it ends.
    let mut before = scene.hot_restart().await;
    crowd.closed(1).await;
    before.ends().await;
    crowd.chats(3).await;
    scene.envoy().stat_becomes("postern_connections", &[], size as f64).await;

    // As Kubernetes does it: `preStop` has the health check fail, the pod is taken out of the Service, and ends by SIGTERM.
    let own_admin = Forwarder::start().await;
    let next = start(&own_admin, Some(scene.upstream().address()), None).await;
    let began = Instant::now();
    scene.envoy().tell_admin("/healthcheck/fail").await;
    balancer.lead(Destination::To(next.envoy().listener()));
    crowd.closed(2).await;
    // The Closes are answered, and the last echoes gone.
    scene.envoy().stat_becomes("postern_connections", &[], 0.0).await;
    assert!(began.elapsed() >= OVER, "they went all at once");
    scene.terminate().await;
    crowd.chats(3).await;
    next.envoy().stat_becomes("postern_connections", &[], size as f64).await;
    judge(&crowd.stop().await, &scene, 2);
}
