//! One count over two Envoys, kept by a rate limit service that they share, Limitador's engine: what is counted holds over
//! both, and while the service is away both do what the policy says, and count again once it is back.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use postern_e2e::client::token::edge_claims;
use postern_e2e::deadline::{PATIENCE, eventually, within};
use postern_e2e::rate_limit_server::{Asked, CLUSTER, RateLimitServer};
use postern_e2e::scene::{Shareable, document};
use postern_e2e::{Frame, RawClient, Request, RunningScene, Scene, Shared, Signer, Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ratelimit");

/// The limits of the policies of [`counting`], each of which counts what it is named after.
const HANDSHAKES: u64 = 10;
const MESSAGES: u64 = 100;
const BYTES: u64 = 5000;
const CONNECTIONS: u64 = 5;

/// The longest time in which both Envoys have to ask again after a service has come back.
const RECOVERY: Duration = Duration::from_secs(2);

/// Two Envoys of the same policies, and the service that both ask.
struct Mesh {
    server: RateLimitServer,
    envoys: [Arc<RunningScene>; 2],
}

impl Shareable for Mesh {
    async fn start(scene: fn() -> Scene) -> Self {
        let server = RateLimitServer::start(PROGRAM, &limits()).await;
        let envoy = async || Arc::new(server.reached_from(scene()).start().await);
        let envoys = [envoy().await, envoy().await];
        Self { server, envoys }
    }

    fn scenes(&self) -> Vec<&RunningScene> {
        self.envoys.iter().map(AsRef::as_ref).collect()
    }
}

impl Mesh {
    /// Makes so many handshakes at once, one by one over both Envoys, and returns what has come of each, with its
    /// connection.
    async fn rush(&self, handshakes: usize, request: &Request) -> Vec<(RawClient, Outcome)> {
        let mut rush = JoinSet::new();
        for envoy in self.envoys.iter().cycle().take(handshakes) {
            let (envoy, request) = (Arc::clone(envoy), request.clone());
            rush.spawn(async move {
                let mut client = envoy.connect().await;
                let response = client.ask(&request).await;
                (client, (response.status, response.reason()))
            });
        }
        rush.join_all().await
    }

    /// Returns what was asked for a policy.
    fn asked_for(&self, policy: &str) -> Vec<Asked> {
        let asked = self.server.asked().into_iter();
        asked.filter(|asked| asked.value("policy") == Some(policy)).collect()
    }
}

/// The status of a handshake's answer, and the reason.
type Outcome = (u16, Option<String>);

const LET_IN: Outcome = (101, None);

fn refused(status: u16, reason: &str) -> Outcome {
    (status, Some(reason.to_owned()))
}

/// Returns the limits, in Limitador's form. What counts `connections` begins anew with every minute of the clock.
fn limits() -> Value {
    let limit = |count: &str, max: u64, variables: &[&str]| {
        let of_count = format!("descriptors[0].count == '{count}'");
        let of_policy = format!("descriptors[0].policy == '{count}'");
        let conditions = if count == "tickets" { vec![of_count] } else { vec![of_count, of_policy] };
        json!({
            "namespace": "postern", "max_value": max, "seconds": 3600,
            "conditions": conditions, "variables": variables,
        })
    };
    json!([
        limit("handshakes", HANDSHAKES, &[]),
        limit("messages", MESSAGES, &[]),
        limit("bytes", BYTES, &[]),
        limit("connections", CONNECTIONS, &["minute"]),
        limit("tickets", 1, &["descriptors[0].ticket"]),
    ])
}

/// Returns a policy that has this counted, with further keys of the rule.
fn policy(counts: &[&str], more: Value) -> Value {
    let mut rule = json!({
        "cluster": CLUSTER, "domain": "postern", "descriptors": ["policy"], "counts": counts,
        "report_interval": "200ms",
    });
    rule.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    // The clients answer no Pings.
    json!({"global_rate_limit": rule, "liveness": {"ping_interval": "none", "idle_timeout": "10m"}})
}

/// Returns a scene with a policy for each count.
fn counting() -> Scene {
    // So long a service that is there takes on no machine.
    let sole = |count| policy(&[count], json!({"timeout": "20s", "failure": "deny"}));
    let mut tickets = sole("tickets");
    tickets["auth"] =
        json!({"providers": ["edge"], "from": [{"header": "authorization"}], "single_use": true});
    let policies = json!({
        "handshakes": sole("handshakes"), "messages": sole("messages"), "bytes": sole("bytes"),
        "connections": sole("connections"), "tickets": tickets,
    });
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    Scene::new().plaintext().document(document(json!({"edge": edge}), policies))
}

/// Returns a scene with two policies of which handshakes and messages are counted without a limit, and that differ in what
/// they do without an answer.
fn failing() -> Scene {
    let counts = ["handshakes", "messages"];
    let failing = |failure| policy(&counts, json!({"timeout": "500ms", "failure": failure}));
    let policies = json!({"allows": failing("allow"), "denies": failing("deny")});
    Scene::new().plaintext().document(document(json!({}), policies))
}

static COUNTING: Shared<Mesh> = Shared::new(counting);
static FAILING: Shared<Mesh> = Shared::new(failing);

fn upgrade(policy: &str) -> Request {
    Request::upgrade(&format!("/ws/{policy}"))
}

fn text(payload: &str) -> Vec<u8> {
    Frame::text(payload).masked().bytes()
}

async fn assert_echoes(client: &mut RawClient) {
    client.send(text("still here")).await;
    assert_eq!(client.frame().await.map(|frame| frame.as_text()), Ok("still here".to_owned()));
}

/// Waits for the Close of a connection, behind whatever the service has sent.
async fn assert_closed(client: &mut RawClient, reason: &str) {
    let close = client.close().await;
    assert_eq!((close.code(), close.reason().as_str()), (Some(1013), reason));
}

#[tokio::test]
async fn handshakes_hold_over_two_envoys_however_many_come_at_once() {
    let mesh = COUNTING.shared().await;
    let outcomes = mesh.rush(40, &upgrade("handshakes")).await;
    let (let_in, others): (Vec<_>, Vec<_>) =
        outcomes.iter().map(|(_, outcome)| outcome).partition(|o| **o == LET_IN);
    assert_eq!((let_in.len(), others.len()), (10, 30));
    assert!(others.iter().all(|outcome| **outcome == refused(429, "global_rate")), "{others:?}");
    let asked = mesh.asked_for("handshakes");
    assert_eq!(asked.len(), 40, "each handshake is one question");
    let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let descriptor = vec![entry("count", "handshakes"), entry("policy", "handshakes")];
    for asked in &asked {
        assert_eq!((asked.domain.as_str(), asked.hits_addend), ("postern", 1));
        assert_eq!(asked.descriptors, std::slice::from_ref(&descriptor));
    }
}

/// Sends over one connection to each Envoy what comes to the limit of a count together, and then `beyond` it.
async fn assert_holds_over_both(count: &str, limit: u64, [of_one, of_other, beyond]: [Vec<u8>; 3]) {
    let mesh = COUNTING.shared().await;
    let path = format!("/ws/{count}");
    let (mut one, mut other) = (mesh.envoys[0].open(&path).await, mesh.envoys[1].open(&path).await);
    one.send(of_one).await;
    other.send(of_other).await;
    let told = || {
        let asked = mesh.asked_for(count);
        (asked.iter().map(|asked| u64::from(asked.hits_addend)).sum::<u64>() == limit).then_some(asked)
    };
    let asked = eventually(PATIENCE, "both to report", told).await;
    assert!(asked.iter().all(|asked| asked.counts(count) && !asked.over_limit), "{asked:?}");
    assert!(asked.len() < 20, "reports are batches: {asked:?}");

    // Which of the two ends does not depend on which has sent more.
    other.send(&beyond).await;
    assert_closed(&mut other, "global_rate").await;
    one.send(&beyond).await;
    assert_closed(&mut one, "global_rate").await;
    assert_eq!(mesh.server.passed(count), limit);
    let refused = mesh.asked_for(count).into_iter().filter(|asked| asked.over_limit).count();
    assert_eq!(refused, 2, "one report each is beyond the limit");
}

#[tokio::test]
async fn messages_hold_over_two_envoys_and_end_the_connection_whose_report_is_beyond() {
    assert_holds_over_both("messages", MESSAGES, [text("a").repeat(60), text("b").repeat(40), text("c")])
        .await;
}

#[tokio::test]
async fn bytes_hold_over_two_envoys_and_end_the_connection_whose_report_is_beyond() {
    let long = |length: usize| text(&"x".repeat(length));
    assert_holds_over_both("bytes", BYTES, [long(200).repeat(20), long(1000), long(1)]).await;
}

#[tokio::test]
async fn a_ticket_opens_one_connection_over_two_envoys_however_many_try_at_once() {
    let mesh = COUNTING.shared().await;
    let mut asked = 0;
    for jti in ["a", "b", "c"] {
        let mut claims = edge_claims("alice");
        claims["jti"] = json!(jti);
        let token = Signer::edge().mint(&claims);
        let request = upgrade("tickets").header("Authorization", format!("Bearer {token}"));
        let outcomes = mesh.rush(100, &request).await;
        let (let_in, others): (Vec<_>, Vec<_>) =
            outcomes.iter().map(|(_, outcome)| outcome).partition(|o| **o == LET_IN);
        assert_eq!((let_in.len(), others.len()), (1, 99), "{jti}");
        assert!(others.iter().all(|outcome| **outcome == refused(401, "token_replayed")), "{others:?}");
        let questions: Vec<_> =
            mesh.server.asked().into_iter().filter(|asked| asked.counts("tickets")).collect();
        let of_this = questions.get(asked..).unwrap_or_default();
        let of_ticket = |asked: &&Asked| asked.hits_addend == 1 && asked.descriptors[0].len() == 2;
        assert_eq!(of_this.iter().filter(of_ticket).count(), of_this.len(), "{of_this:?}");
        assert_eq!(of_this.iter().filter(|asked| !asked.over_limit).count(), 1);
        asked = questions.len();
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
    let mesh = COUNTING.shared().await;
    await_a_minute_with(Duration::from_secs(20)).await;
    let mut open = Vec::new();
    for envoy in [0, 1, 0, 1, 0] {
        open.push((envoy, mesh.envoys[envoy].open("/ws/connections").await));
    }
    for (_, outcome) in mesh.rush(2, &upgrade("connections")).await {
        assert_eq!(outcome, refused(429, "connection_limit"));
    }
    // None that is open ends for it.
    for (_, client) in &mut open {
        assert_echoes(client).await;
    }

    // In the next minute each Envoy tells what is live, and no more.
    let (envoy, gone) = open.pop().expect("a connection");
    let record = mesh.envoys[envoy].record(&gone).await;
    drop(gone);
    record.ended().await;
    let first = mesh.asked_for("connections").first().expect("a question").minute;
    let told = || {
        let asked = mesh.asked_for("connections");
        let told =
            asked.iter().filter(|asked| asked.minute > first).map(|asked| u64::from(asked.hits_addend));
        (told.sum::<u64>() == CONNECTIONS - 1).then_some(asked)
    };
    let asked = eventually(Duration::from_secs(60) + PATIENCE, "the live connections to be told", told).await;
    let (in_first, in_next): (Vec<_>, Vec<_>) = asked.into_iter().partition(|asked| asked.minute == first);
    assert!(in_first.iter().all(|asked| asked.hits_addend == 1), "each once in its own minute: {in_first:?}");
    assert_eq!((in_first.len(), in_next.len()), (7, 2), "{in_next:?}");
    open.push((1, mesh.envoys[1].open("/ws/connections").await));
    let (_, outcome) = mesh.rush(1, &upgrade("connections")).await.remove(0);
    assert_eq!(outcome, refused(429, "connection_limit"));
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
            envoy.ask(&upgrade("allows")).await;
            sleep(Duration::from_millis(20)).await;
        }
    }
    began.elapsed()
}

/// Asserts that what is done without an answer is what the policies say.
async fn assert_unanswered(mesh: &Mesh) {
    for (policy, expected) in [("allows", LET_IN), ("denies", refused(503, "rate_limit_unavailable"))] {
        for (_, outcome) in mesh.rush(20, &upgrade(policy)).await {
            assert_eq!(outcome, expected, "{policy}");
        }
    }
}

/// Asserts that both Envoys ask again: all are let in, and none has a call under way that does not end.
async fn assert_answered(mesh: &Mesh) {
    for (_, outcome) in mesh.rush(20, &upgrade("denies")).await {
        assert_eq!(outcome, LET_IN);
    }
    for envoy in &mesh.envoys {
        let active = async || {
            let stats = envoy.envoy().stats().await;
            stats.sum("envoy_cluster_upstream_rq_active", &[("envoy_cluster_name", CLUSTER)])
        };
        within(PATIENCE, "the calls to the service to end", async {
            while active().await > 0.0 {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn while_the_service_is_stopped_both_envoys_do_what_the_policy_says_and_soon_ask_it_again() {
    let mut mesh = FAILING.alone().await;
    let mut took = Vec::new();
    // On a machine that is busy, once may be late.
    while took.last().is_none_or(|took| *took > RECOVERY) {
        assert!(took.len() < 3, "a service that is back is asked only after {took:?}");
        let mut stay = [mesh.envoys[0].open("/ws/allows").await, mesh.envoys[1].open("/ws/allows").await];
        let leave = [mesh.envoys[0].open("/ws/denies").await, mesh.envoys[1].open("/ws/denies").await];
        mesh.server.stop().await;
        assert_unanswered(&mesh).await;
        for mut client in leave {
            client.send(text("who counts this?")).await;
            assert_closed(&mut client, "rate_limit_unavailable").await;
        }
        for client in &mut stay {
            assert_echoes(client).await;
        }
        mesh.server.start_again().await;
        took.push(recovery(&mesh).await);

        let before = mesh.server.passed("messages");
        for client in &mut stay {
            assert_echoes(client).await;
        }
        let counted = || (mesh.server.passed("messages") >= before + 2).then_some(());
        eventually(PATIENCE, "messages to be counted again", counted).await;
        assert_answered(&mesh).await;
    }
}

#[tokio::test]
async fn a_service_that_says_nothing_more_holds_nobody_and_is_asked_again_once_it_does() {
    if !RateLimitServer::can_be_frozen().await {
        return;
    }
    let mesh = FAILING.alone().await;
    // Each has a connection to the service already.
    assert_answered(&mesh).await;
    mesh.server.freeze().await;
    assert_unanswered(&mesh).await;
    mesh.server.thaw().await;
    recovery(&mesh).await;
    assert_answered(&mesh).await;
}
