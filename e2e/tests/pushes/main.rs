//! Pushes from a control plane (ADS) under open sockets on which something is said all the time: policies, routes, the
//! cluster of keys and lists, and two builds of the module in turns; and of a listener, which cuts what is open. `POSTERN_PUSHES_SOCKETS` sockets see
//! `POSTERN_PUSHES` pushes, one every `POSTERN_PUSHES_MILLISECONDS`.

mod chat;
mod listener;
mod stage;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use postern_e2e::control_plane::Verdict;
use postern_e2e::scene::module;
use postern_e2e::{Frame, Request, Served, Shared, json};
use tokio::time::{MissedTickBehavior, interval};

use chat::{Chatter, Conversation};
use stage::{Limits, REVOKED, Stage, bearing, configuration, scene};

/// The variable that says how many milliseconds after one push the next is due, and then is made.
const EVERY: &str = "POSTERN_PUSHES_MILLISECONDS";

/// The number of sockets of an ordinary run.
const SOCKETS: u64 = 96;

/// The number of pushes of an ordinary run: each kind, there and back, twice.
const PUSHES: u64 = 16;

/// The time from one push to the next of an ordinary run, in milliseconds.
const MILLISECONDS: u64 = 200;

/// The paths of sockets with a token that is revoked later, and without.
const PATHS: [&str; 2] = ["/ws/chat", "/ws/feed"];

static STAGE: Shared<Stage> = Shared::new(scene);

fn variable(name: &str, ordinary: u64) -> u64 {
    let Ok(value) = std::env::var(name) else { return ordinary };
    value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}"))
}

/// Opens `count` sockets on `path`, some at a time.
async fn open(stage: &Stage, path: &str, count: u64) -> Vec<Chatter> {
    const AT_ONCE: u64 = 50;
    let (mut chatters, mut left) = (Vec::new(), count);
    while left > 0 {
        let some = left.min(AT_ONCE);
        let open = (0..some).map(async |_| Chatter::new(stage.scene.open_with(&bearing(path)).await));
        chatters.extend(join_all(open).await);
        left -= some;
    }
    chatters
}

/// Returns the number of sockets that chatted and that Postern has closed.
async fn closes(stage: &Stage) -> f64 {
    let stats = stage.scene.envoy().stats().await;
    ["chat", "feed"].iter().map(|policy| stats.sum("postern_closes", &[("policy", policy)])).sum()
}

async fn assert_closed(chatters: Vec<Chatter>, close: &Frame) {
    let closes = join_all(chatters.into_iter().map(async |mut chatter| chatter.client.frame().await)).await;
    let others: Vec<_> = closes.iter().filter(|found| *found != &Ok(close.clone())).collect();
    assert!(others.is_empty(), "{} of {} saw no {close:?}: {others:?}", others.len(), closes.len());
}

/// Sockets that began in the VM of either module, `[module][path]`.
type Sockets = [[Vec<Chatter>; 2]; 2];

/// Opens sockets in the VMs of both modules and has all of them chat while one push follows the other.
async fn chat_under_pushes(stage: &mut Stage) -> Sockets {
    let sockets = variable("POSTERN_PUSHES_SOCKETS", SOCKETS);
    let pushes = variable("POSTERN_PUSHES", PUSHES);
    let every = Duration::from_millis(variable(EVERY, MILLISECONDS));
    // All of them say some hundred messages a second together, so that a busy machine keeps up.
    let mut conversation = Conversation::new(Duration::from_millis(sockets.max(200)));
    for module in 0..2 {
        stage.push_module(module).await;
        for path in PATHS {
            conversation.join(open(stage, path, sockets / 4).await);
        }
    }
    let (mut due, begun) = (interval(every), Instant::now());
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 0..pushes {
        due.tick().await;
        stage.push(turn).await;
    }
    let took = begun.elapsed();
    let mut chatters = conversation.end().await;
    let (said, open) = (chatters.iter().map(|chatter| chatter.said).sum::<u64>(), chatters.len());
    // An ordinary run goes as fast as the machine does.
    let bound = every * u32::try_from(pushes).expect("a number of pushes") * 11 / 10;
    assert!(
        std::env::var_os(EVERY).is_none() || took <= bound,
        "{pushes} pushes took {took:?}, not {bound:?}"
    );
    println!("{said} messages there and back on {open} sockets, {pushes} pushes in {took:?}");
    assert!(chatters.iter().all(|chatter| chatter.said > 0), "somebody said nothing");
    let quarter = open / 4;
    [(); 2].map(|()| [(); 2].map(|()| chatters.drain(..quarter).collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_lose_and_alter_no_message_of_open_sockets_and_what_is_withdrawn_reaches_them() {
    let mut stage = STAGE.alone().await;
    let before = closes(&stage).await;
    let [[chat_old, mut feed_old], [chat_new, feed_new]] = chat_under_pushes(&mut stage).await;
    assert_eq!(closes(&stage).await, before, "sockets that pushes ended");

    // A list that grows reaches the sockets of both VMs.
    for documents in &stage.documents {
        documents.serve(REVOKED, Served::Document(json!({"sid": ["session"]})));
    }
    let revoked = Frame::closing(3000, "token_revoked");
    assert_closed(chat_old, &revoked).await;
    assert_closed(chat_new, &revoked).await;
    stage.becomes(&bearing("/ws/chat"), 401, Some("token_revoked")).await;

    // A policy that goes away takes along the sockets of the VM that it is pushed to.
    stage.push_module(1).await;
    let drained = Frame::closing(1001, "drain");
    let draining = configuration(200, &json!({"drain": "1s"}));
    assert_eq!(stage.plane.push_document(draining).await, Verdict::Taken);
    assert_closed(feed_new, &drained).await;
    stage.becomes(&Request::upgrade("/ws/feed"), 503, Some("draining")).await;
    join_all(feed_old.iter_mut().map(Chatter::say_at_once)).await;
    stage.push_module(0).await;
    assert_closed(feed_old, &drained).await;

    let mut without = configuration(200, &json!({}));
    without["policies"].as_object_mut().expect("policies").remove("feed");
    without["routes"].as_array_mut().expect("routes").retain(|route| route["policy"] != "feed");
    assert_eq!(stage.plane.push_document(without).await, Verdict::Taken);
    stage.becomes(&Request::upgrade("/ws/feed"), 403, Some("no_policy")).await;
    stage.reset().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_up_stays_so_whatever_is_pushed_another_module_too() {
    let mut stage = STAGE.alone().await;
    let limits = Limits::use_up(&stage).await;
    // The last push is of another module, and a library of another build counts anew.
    let turns = if module::is_native() { 3 } else { 4 };
    for turn in 0..turns {
        stage.push(turn).await;
        limits.assert_used_up(&stage, turn).await;
    }
    // Who leaves the old VM makes room in the new one.
    limits.give_back_in(&stage).await;
    stage.reset().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_withdrawn_opens_nothing_more_and_closes_nothing() {
    let mut stage = STAGE.alone().await;
    let mut chatter = Chatter::new(stage.scene.open_with(&bearing("/ws/keys")).await);
    assert_eq!(stage.plane.push_clusters(&[("auth", stage.bare.address())]).await, Verdict::Taken);
    stage.becomes(&bearing("/ws/keys"), 401, Some("token_invalid")).await;
    chatter.say_at_once().await;
    stage.reset().await;
    stage.becomes(&bearing("/ws/keys"), 101, None).await;
}

/// The counters of the filters, routes and clusters that Envoy has refused.
const REFUSED: [&str; 3] = [
    "envoy_extension_config_discovery_http_filter_postern_update_rejected",
    "envoy_http_rds_update_rejected",
    "envoy_cluster_manager_cds_update_rejected",
];

async fn refused(stage: &Stage) -> [f64; 3] {
    let stats = stage.scene.envoy().stats().await;
    REFUSED.map(|counter| stats.sum(counter, &[]))
}

/// Asserts that Envoy has refused a push, and that its error has this part.
fn assert_refused(name: &str, verdict: &Verdict, part: &str) {
    assert!(matches!(verdict, Verdict::Refused(why) if why.contains(part)), "{name}: {verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_push_is_refused_with_its_reason_and_counted_and_what_was_in_force_serves_on() {
    let mut stage = STAGE.alone().await;
    let mut chatter = Chatter::new(stage.scene.open_with(&bearing("/ws/chat")).await);
    let before = refused(&stage).await;

    let complaint =
        if module::is_native() { "dynamic module" } else { "Unable to create Wasm plugin postern" };
    let mut wrong = configuration(100, &json!({}));
    wrong["policies"]["chat"]["orgins"] = json!({});
    let verdict = stage.plane.push_document(wrong).await;
    assert_refused("a key that nobody knows", &verdict, complaint);
    stage.scene.envoy().logged("configuration refused: policies.chat.orgins: ").await;
    let verdict = stage.plane.push_module(&stage.broken).await;
    assert_refused("a part of a module", &verdict, complaint);
    let verdict = stage.plane.push_routes(|host| host["domains"] = json!(["*", "*"])).await;
    assert_refused("a domain twice", &verdict, "domain");
    let auth = ("auth", stage.documents[0].address());
    let verdict = stage.plane.push_clusters(&[auth, auth]).await;
    assert_refused("a cluster twice", &verdict, "auth");

    let after = refused(&stage).await;
    let growth: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(growth, [2.0, 1.0, 1.0], "{REFUSED:?}");
    let told = stage.scene.envoy().stats().await.sum("postern_configurations_rejected", &[]);
    assert!(told >= 1.0, "{told}");
    chatter.say_at_once().await;
    for turn in 0..3 {
        stage.push(turn).await;
    }
    // What Envoy cannot judge, it takes: what is wrong in a route's metadata is refused with each handshake.
    assert_eq!(stage.push_routed(&json!({"policy": "feed", "orgins": {}})).await, Verdict::Taken);
    stage.becomes(&Request::upgrade("/ws/routed"), 503, Some("policy_invalid")).await;
    stage.reset().await;
}
