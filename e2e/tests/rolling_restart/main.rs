//! Envoys that take over from each other under clients that chat: each client is told to come back, in its turn, and no
//! message is lost that was answered, nor one that the service sends by itself before the Close.

mod browser;
mod crowd;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use postern_e2e::environment::{self, Environment};
use postern_e2e::not_run::not_run;
use postern_e2e::scene::{document, module};
use postern_e2e::{Behaviour, Destination, Forwarder, HotRestart, RunningScene, Scene, Value, json};

use browser::{Browser, Story};
use crowd::{Account, Crowd, pace};

/// The variable that says how many clients chat.
const CLIENTS: &str = "POSTERN_RESTART_CLIENTS";

/// The number of Envoys that end: by a hot restart, and as in Kubernetes.
const RESTARTS: usize = 2;

/// The time over which clients are sent away; Envoy's own times leave room for it.
const OVER: Duration = Duration::from_secs(8);
const RESTART: HotRestart = HotRestart {
    drain_time: Duration::from_secs(12),
    drain_strategy: "immediate",
    parent_shutdown_time: Duration::from_secs(25),
};

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

/// Returns a scene whose service says something by itself as often as one of so many clients does.
fn chatting(admin: &Forwarder, size: usize) -> Scene {
    let mut whole = document(json!({}), json!({"chat": {"rates": []}}));
    whole["default_policy"] = json!("chat");
    let over = format!("{}s", OVER.as_secs());
    whole["drain_with_envoy"] = json!({"cluster": "envoy_admin", "over": over});
    let scene = Scene::new().document(whole).cluster("envoy_admin", admin.address());
    let scene = scene.upstream("/ws/chat", Behaviour::Numbering(pace(size)));
    scene.plaintext().workers(2).change(ask_by_new_connections)
}

/// Has the scene ask its own admin interface, and waits until that has answered.
async fn begin(scene: &RunningScene, admin: &Forwarder) {
    admin.lead(Destination::To(scene.envoy().admin()));
    scene.envoy().stat_becomes("postern_source_usable", &[("source", "server_info")], 1.0).await;
}

/// Holds what the clients say against what the service has, and the times of their Closes against `OVER`.
fn judge(accounts: &[Account], scene: &RunningScene) {
    let mut received: HashMap<String, usize> = HashMap::new();
    for message in scene.upstream().records().iter().flat_map(|record| record.messages()) {
        *received.entry(String::from_utf8(message).expect("text")).or_default() += 1;
    }
    for account in accounts {
        let codes: Vec<_> = account.closes.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, [Some(1001); RESTARTS], "the Closes of client {}", account.name);
        assert!(account.cuts.is_empty(), "client {} was cut: {:?}", account.name, account.cuts);
        let unanswered = &account.unanswered;
        assert!(unanswered.is_empty(), "handshakes of client {} were cut: {unanswered:?}", account.name);
        for message in &account.answered {
            assert_eq!(received.get(message), Some(&1), "{message}");
        }
    }
    let spreads: [_; RESTARTS] = std::array::from_fn(|restart| spread(accounts, restart));
    for between in spreads {
        // A half of `OVER` is between them, but for what a busy machine is late.
        assert!(between >= OVER / 4, "the Closes of a restart came at once: {spreads:?}");
    }
    let sum = |of: fn(&Account) -> usize| accounts.iter().map(of).sum::<usize>();
    let numbers: u64 = accounts.iter().map(|account| account.numbers).sum();
    assert!(numbers > 0, "the service has said nothing by itself");
    println!(
        "{} clients: {} messages answered, each received once; {numbers} of the service's, without a gap; {} Closes, all 1001, \
         the middle half of each restart's over {spreads:?}; {} handshakes refused meanwhile; {} connections not accepted; 0 cuts",
        accounts.len(),
        sum(|account| account.answered.len()),
        sum(|account| account.closes.len()),
        sum(|account| account.refused),
        sum(|account| account.unaccepted),
    );
}

/// Returns the time from the end of the first quarter of a restart's Closes to the begin of the last.
fn spread(accounts: &[Account], restart: usize) -> Duration {
    let mut times: Vec<Instant> = accounts.iter().map(|account| account.closes[restart].1).collect();
    times.sort();
    times[times.len() * 3 / 4] - times[times.len() / 4]
}

/// Expects the browser to have been told by each Envoy that ended, once it was refused, and to have been cut by none.
fn judge_browser(story: &Story) {
    assert_eq!(story.closes, [Some(1001); RESTARTS]);
    assert_eq!(story.farewells, RESTARTS, "{story:?}");
    assert!(story.refused.iter().all(|&times| times <= 1), "{story:?}");
    println!("a browser over HTTP/2: {story:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_is_cut_and_no_answered_message_is_lost_when_envoys_take_over_from_each_other() {
    if module::is_counted_by_streams() {
        return;
    }
    if matches!(environment::current(), Environment::Containers(_)) {
        not_run("an Envoy in a container gets no signal from here");
        return;
    }
    let size = std::env::var(CLIENTS).map_or(50, |clients| clients.parse().expect("a number of clients"));
    let everybody = size as f64 + 1.0;
    let admin = Forwarder::start().await;
    let mut scene = chatting(&admin, size).start_row(RESTART).await;
    begin(&scene, &admin).await;
    let balancer = Forwarder::start().await;
    balancer.lead(Destination::To(scene.envoy().listener()));
    let crowd = Crowd::start(size, balancer.address());
    let browser = Browser::start(balancer.address());
    browser.has_visited(1).await;
    crowd.chats(3).await;

    // A hot restart: the next Envoy has the same addresses, and nobody else tells the one before that it ends.
    let mut before = scene.hot_restart().await;
    crowd.closed(1).await;
    browser.has_visited(2).await;
    before.ends().await;
    crowd.chats(3).await;
    scene.envoy().stat_becomes("postern_connections", &[], everybody).await;

    // As Kubernetes does it: `preStop` has the health check fail, the pod is taken out of the Service, and ends by SIGTERM.
    let own_admin = Forwarder::start().await;
    let next = chatting(&own_admin, size).service(scene.upstream().address()).start().await;
    begin(&next, &own_admin).await;
    let began = Instant::now();
    scene.envoy().tell_admin("/healthcheck/fail").await;
    balancer.lead(Destination::To(next.envoy().listener()));
    crowd.closed(2).await;
    browser.has_visited(3).await;
    // The Closes are answered, and the last echoes gone.
    scene.envoy().stat_becomes("postern_connections", &[], 0.0).await;
    assert!(began.elapsed() >= OVER, "they went all at once");
    scene.terminate().await;
    crowd.chats(3).await;
    next.envoy().stat_becomes("postern_connections", &[], everybody).await;
    judge_browser(&browser.stop().await);
    judge(&crowd.stop().await, &scene);
}
