//! One count over two Envoys, kept by a rate limit service that they share, Limitador's engine: what is counted holds over
//! both, and while the service is away both do what the policy says, and count again once it is back.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use postern_e2e::client::token::edge_claims;
use postern_e2e::deadline::{PATIENCE, eventually, within};
use postern_e2e::rate_limit_server::{Asked, CLUSTER, RateLimitServer};
use postern_e2e::{Frame, RawClient, Request, RunningScene, Scene, Signer, Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ratelimit");

/// A time in which a service that is there answers on any machine.
const AMPLE: &str = "20s";

/// The longest time in which both Envoys have to ask again after a service has come back.
const RECOVERY: Duration = Duration::from_secs(2);

/// Two Envoys of one policy, and the service that both ask.
struct Mesh {
    server: RateLimitServer,
    envoys: [Arc<RunningScene>; 2],
}

impl Mesh {
    /// Starts them all, with limits of the service in Limitador's form, and keys over the least demanding policy.
    async fn start(limits: Value, keys: Value) -> Self {
        let server = RateLimitServer::start(PROGRAM, &limits).await;
        let edge = json!({
            "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
            "secret": {"env": "POSTERN_EDGE_SECRET"},
        });
        let scene = || server.reached_from(Scene::new().plaintext().provider("edge", edge.clone()));
        let envoys = [scene().policy(keys.clone()).start().await, scene().policy(keys.clone()).start().await];
        Self { server, envoys: envoys.map(Arc::new) }
    }

    /// Makes so many handshakes at once, one by one over both Envoys, and returns their statuses and reasons, with the
    /// connections that are open.
    async fn rush(
        &self,
        handshakes: usize,
        request: impl Fn() -> Request,
    ) -> Vec<(RawClient, u16, Option<String>)> {
        let mut rush = JoinSet::new();
        for envoy in self.envoys.iter().cycle().take(handshakes) {
            let (envoy, request) = (Arc::clone(envoy), request());
            rush.spawn(async move {
                let mut client = envoy.connect().await;
                let response = client.ask(&request).await;
                (client, response.status, response.reason())
            });
        }
        rush.join_all().await
    }
}

fn upgrade() -> Request {
    Request::upgrade("/ws/chat")
}

/// Returns the limit of one count, with variables by which it is counted apart.
fn limit(count: &str, max: u64, seconds: u64, variables: &[&str]) -> Value {
    json!({
        "namespace": "postern", "max_value": max, "seconds": seconds,
        "conditions": [format!("descriptors[0].count == '{count}'")], "variables": variables,
    })
}

/// Returns the rule of a policy, with further keys.
fn rule(counts: &[&str], more: Value) -> Value {
    let mut rule = json!({
        "cluster": CLUSTER, "domain": "postern", "descriptors": ["policy"], "counts": counts,
        "timeout": AMPLE, "failure": "deny", "report_interval": "200ms",
    });
    for (key, value) in more.as_object().expect("an object") {
        rule[key] = value.clone();
    }
    // The clients answer no Pings.
    json!({"global_rate_limit": rule, "liveness": {"ping_interval": "none", "idle_timeout": "10m"}})
}

fn text(payload: &str) -> Vec<u8> {
    Frame::text(payload).masked().bytes()
}

/// Waits for the Close of a connection, behind whatever the service has sent.
async fn assert_closed(client: &mut RawClient, code: u16, reason: &str) {
    let close = client.close().await;
    assert_eq!((close.code(), close.reason().as_str()), (Some(code), reason));
}

/// Returns the questions on one count.
fn on<'a>(asked: &'a [Asked], count: &'a str) -> impl Iterator<Item = &'a Asked> {
    asked.iter().filter(move |asked| asked.counts(count))
}

#[tokio::test]
async fn handshakes_hold_over_two_envoys_however_many_come_at_once() {
    let mesh =
        Mesh::start(json!([limit("handshakes", 10, 3600, &[])]), rule(&["handshakes"], json!({}))).await;
    let outcomes = mesh.rush(40, upgrade).await;
    let refused = outcomes.iter().filter(|(_, status, _)| *status != 101);
    for (_, status, reason) in refused.clone() {
        assert_eq!((*status, reason.as_deref()), (429, Some("global_rate")));
    }
    assert_eq!(refused.count(), 30);
    let asked = mesh.server.asked();
    assert_eq!(asked.len(), 40, "each handshake is one question");
    let entries =
        vec![("count".to_owned(), "handshakes".to_owned()), ("policy".to_owned(), "chat".to_owned())];
    for asked in &asked {
        assert_eq!((asked.domain.as_str(), asked.hits_addend), ("postern", 1));
        assert_eq!(asked.descriptors, std::slice::from_ref(&entries));
    }
}

/// Sends what one connection to each Envoy sends within the limit of a count, and then beyond it.
async fn hold_over_both(count: &str, most: u64, pieces: &[Vec<u8>]) {
    let mesh = Mesh::start(json!([limit(count, most, 3600, &[])]), rule(&[count], json!({}))).await;
    let (mut one, mut other) = (mesh.envoys[0].open("/ws/chat").await, mesh.envoys[1].open("/ws/chat").await);
    let [all_of_one, all_of_other, beyond] = pieces else { panic!("three pieces") };
    one.send(all_of_one).await;
    other.send(all_of_other).await;
    let told =
        |asked: &[Asked]| on(asked, count).map(|asked| u64::from(asked.hits_addend)).sum::<u64>() == most;
    mesh.server.await_asked("both to report", told).await;
    let asked = mesh.server.asked();
    assert!(asked.iter().all(|asked| asked.counts(count) && !asked.over_limit), "{asked:?}");
    assert!(asked.len() < 20, "reports are batches: {asked:?}");

    // Which of the two ends does not depend on which has sent more.
    other.send(beyond).await;
    assert_closed(&mut other, 1013, "global_rate").await;
    one.send(beyond).await;
    assert_closed(&mut one, 1013, "global_rate").await;
    assert_eq!(mesh.server.passed(count), most);
    let refused = mesh.server.asked().into_iter().filter(|asked| asked.over_limit).count();
    assert_eq!(refused, 2, "one report each is beyond the limit");
}

#[tokio::test]
async fn messages_hold_over_two_envoys_and_end_the_connection_whose_report_is_beyond() {
    hold_over_both("messages", 100, &[text("a").repeat(60), text("b").repeat(40), text("c")]).await;
}

#[tokio::test]
async fn bytes_hold_over_two_envoys_and_end_the_connection_whose_report_is_beyond() {
    let long = |length: usize| text(&"x".repeat(length));
    hold_over_both("bytes", 5000, &[long(200).repeat(20), long(1000), long(1)]).await;
}

#[tokio::test]
async fn a_ticket_opens_one_connection_over_two_envoys_however_many_try_at_once() {
    let tickets = limit("tickets", 1, 3600, &["descriptors[0].ticket"]);
    let mut keys = rule(&["tickets"], json!({}));
    keys["auth"] = json!({"providers": ["edge"], "from": [{"header": "authorization"}], "single_use": true});
    let mesh = Mesh::start(json!([tickets]), keys).await;
    for jti in ["a", "b", "c"] {
        let mut claims = edge_claims("alice");
        claims["jti"] = json!(jti);
        let token = Signer::edge().mint(&claims);
        let before = mesh.server.asked().len();
        let outcomes = mesh.rush(100, || upgrade().header("Authorization", format!("Bearer {token}"))).await;
        let refused: Vec<_> = outcomes.iter().filter(|(_, status, _)| *status != 101).collect();
        assert_eq!(refused.len(), 99, "{jti}");
        for (_, status, reason) in refused {
            assert_eq!((*status, reason.as_deref()), (401, Some("token_replayed")));
        }
        let asked = mesh.server.asked().split_off(before);
        let passed = asked.iter().filter(|asked| !asked.over_limit).count();
        assert_eq!((passed, asked.len()), (1, 2), "each Envoy asks once, behind its own table: {asked:?}");
    }
}

/// Waits until the minute of the clock has this much left.
async fn await_a_minute_with(left: Duration) {
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs() % 60;
    let enough = || (second() + left.as_secs() < 60).then_some(());
    eventually(Duration::from_secs(60), "a minute that has just begun", enough).await;
}

#[tokio::test]
async fn live_connections_hold_over_two_envoys_and_are_told_anew_in_every_minute_of_the_clock() {
    const LIMIT: u64 = 5;
    let mesh = Mesh::start(
        json!([limit("connections", LIMIT, 120, &["minute"])]),
        rule(&["connections"], json!({})),
    )
    .await;
    await_a_minute_with(Duration::from_secs(20)).await;
    let mut open = Vec::new();
    for envoy in [0, 1, 0, 1, 0] {
        open.push((envoy, mesh.envoys[envoy].open("/ws/chat").await));
    }
    for envoy in &mesh.envoys {
        let response = envoy.ask(&upgrade()).await;
        assert_eq!((response.status, response.reason().as_deref()), (429, Some("connection_limit")));
    }
    // None that is open ends for it.
    for (_, client) in &mut open {
        client.send(text("still here")).await;
        assert_eq!(client.frame().await.map(|frame| frame.as_text()), Ok("still here".to_owned()));
    }

    // In the next minute each Envoy tells what is live, and no more.
    let (envoy, gone) = open.pop().expect("a connection");
    let record = mesh.envoys[envoy].record(&gone).await;
    drop(gone);
    record.ended().await;
    let first = mesh.server.asked()[0].minute;
    let told = || {
        let asked = mesh.server.asked();
        let told =
            asked.iter().filter(|asked| asked.minute > first).map(|asked| u64::from(asked.hits_addend));
        (told.sum::<u64>() == LIMIT - 1).then_some(())
    };
    eventually(Duration::from_secs(60) + PATIENCE, "the live connections to be told", told).await;
    let (in_first, in_next): (Vec<_>, Vec<_>) =
        mesh.server.asked().into_iter().partition(|asked| asked.minute == first);
    assert!(in_first.iter().all(|asked| asked.hits_addend == 1), "each once in its own minute: {in_first:?}");
    assert_eq!((in_first.len(), in_next.len()), (7, 2), "{in_next:?}");
    open.push((1, mesh.envoys[1].open("/ws/chat").await));
    let response = mesh.envoys[0].ask(&upgrade()).await;
    assert_eq!((response.status, response.reason().as_deref()), (429, Some("connection_limit")));
}

/// Returns how many questions of an Envoy were answered.
async fn answered(envoy: &RunningScene) -> f64 {
    let labels = [("envoy_cluster_name", CLUSTER), ("envoy_response_code", "200")];
    envoy.envoy().stats().await.sum("envoy_cluster_upstream_rq", &labels)
}

/// Makes handshakes until the service answers both Envoys, and returns how long that took.
async fn recovery(mesh: &Mesh) -> Duration {
    let began = Instant::now();
    for envoy in &mesh.envoys {
        let before = answered(envoy).await;
        while answered(envoy).await == before {
            assert!(began.elapsed() < PATIENCE, "nobody asks a service that is back");
            envoy.ask(&upgrade()).await;
            sleep(Duration::from_millis(20)).await;
        }
    }
    began.elapsed()
}

/// Stops the service, has `meanwhile` look at the Envoys, and starts it again, until both ask it in time: on a machine
/// that is busy the first time may be late.
async fn while_it_is_stopped(mesh: &mut Mesh, meanwhile: impl AsyncFn(&Mesh)) {
    let mut took = Vec::new();
    for _ in 0..3 {
        mesh.server.stop().await;
        meanwhile(mesh).await;
        mesh.server.start_again().await;
        took.push(recovery(mesh).await);
        if took.last().is_some_and(|took| *took <= RECOVERY) {
            return;
        }
    }
    panic!("a service that is back is asked only after {took:?}");
}

/// Waits until no Envoy has a call under way.
async fn assert_no_call_hangs(mesh: &Mesh) {
    for envoy in &mesh.envoys {
        within(PATIENCE, "the calls to the service to end", async {
            let active = async || {
                let stats = envoy.envoy().stats().await;
                stats.sum("envoy_cluster_upstream_rq_active", &[("envoy_cluster_name", CLUSTER)])
            };
            while active().await > 0.0 {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

/// Returns a mesh in which handshakes and messages of both Envoys are counted, with limits that nobody reaches.
async fn failing(failure: &str) -> Mesh {
    let limits = json!([limit("handshakes", 100_000, 3600, &[]), limit("messages", 100_000, 3600, &[])]);
    let keys = rule(&["handshakes", "messages"], json!({"timeout": "500ms", "failure": failure}));
    Mesh::start(limits, keys).await
}

#[tokio::test]
async fn without_the_service_those_that_may_are_let_in_and_stay_and_are_counted_once_it_is_back() {
    let mut mesh = failing("allow").await;
    let mut open = [mesh.envoys[0].open("/ws/chat").await, mesh.envoys[1].open("/ws/chat").await];
    while_it_is_stopped(&mut mesh, async |mesh| {
        for (_, status, reason) in mesh.rush(20, upgrade).await {
            assert_eq!((status, reason), (101, None));
        }
    })
    .await;
    for client in &mut open {
        client.send(text("still here")).await;
        assert_eq!(client.frame().await.map(|frame| frame.as_text()), Ok("still here".to_owned()));
    }
    let counted = |asked: &[Asked]| on(asked, "messages").count() >= 2;
    mesh.server.await_asked("messages to be counted again", counted).await;
    assert_no_call_hangs(&mesh).await;
}

#[tokio::test]
async fn without_the_service_nobody_is_let_in_where_that_is_denied_and_who_sends_is_sent_away() {
    let mut mesh = failing("deny").await;
    let open = [mesh.envoys[0].open("/ws/chat").await, mesh.envoys[1].open("/ws/chat").await];
    let open = std::sync::Mutex::new(Some(open));
    while_it_is_stopped(&mut mesh, async |mesh| {
        for (_, status, reason) in mesh.rush(20, upgrade).await {
            assert_eq!((status, reason.as_deref()), (503, Some("rate_limit_unavailable")));
        }
        let open = open.lock().expect("no panic while this is held").take();
        for mut client in open.into_iter().flatten() {
            client.send(text("a")).await;
            assert_closed(&mut client, 1013, "rate_limit_unavailable").await;
        }
    })
    .await;
    for envoy in &mesh.envoys {
        assert_eq!(envoy.ask(&upgrade()).await.status, 101);
    }
    assert_no_call_hangs(&mesh).await;
}

#[tokio::test]
async fn a_service_that_says_nothing_more_delays_nobody_beyond_the_timeout() {
    for (failure, expected) in [("allow", (101, None)), ("deny", (503, Some("rate_limit_unavailable")))] {
        let mesh = failing(failure).await;
        // Each has a connection to the service already.
        for envoy in &mesh.envoys {
            assert_eq!(envoy.ask(&upgrade()).await.status, 101);
        }
        mesh.server.freeze().await;
        for (_, status, reason) in mesh.rush(20, upgrade).await {
            assert_eq!((status, reason.as_deref()), expected, "{failure}");
        }
        assert_no_call_hangs(&mesh).await;
        mesh.server.thaw().await;
        recovery(&mesh).await;
    }
}
