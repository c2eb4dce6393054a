//! The page of metrics against a real Envoy, both ways: each metric that it has is printed with its labels once everything has
//! happened, and each that is printed is on the page.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postern_e2e::client::token::{edge_claims, jwks};
use postern_e2e::deadline::PATIENCE;
use postern_e2e::scene::document;
use postern_e2e::scene::module;
use postern_e2e::scene::stats::Stats;
use postern_e2e::upstream::Held;
use postern_e2e::{
    Documents, Frame, Pushed, RateLimits, RawClient, Request, RunningScene, Scene, Served, Signer, Value,
    json,
};
use tokio::time::{Instant, sleep};

const PAGE: &str = include_str!("../../docs/metrics.md");
const ISSUER: &str = "https://auth.example.com/";

/// A metric of the page.
#[derive(Debug)]
struct Documented {
    /// The sets of labels that it may have.
    labels: Vec<BTreeSet<String>>,
    is_histogram: bool,
}

/// Returns the cells of every line of the table whose first heading is `heading`.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let head = format!("| {heading} |");
    let lines = PAGE.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    lines.take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn documented() -> BTreeMap<String, Documented> {
    let metric = |cells: Vec<&str>| {
        let [name, labels, kind, _] = cells[..] else { panic!("not a line of four cells: {cells:?}") };
        // Of `a` or `b` it has one.
        let choices = labels.split(", ").map(|part| spans(part).collect::<Vec<_>>());
        let mut sets = vec![BTreeSet::new()];
        for choice in choices.filter(|choice| !choice.is_empty()) {
            let with = |label: &&str| {
                let add = |set: &BTreeSet<String>| set.iter().cloned().chain([(*label).to_owned()]).collect();
                sets.iter().map(add).collect::<Vec<_>>()
            };
            sets = choice.iter().flat_map(with).collect();
        }
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{name}: {kind}");
        (name.trim_matches('`').to_owned(), Documented { labels: sets, is_histogram: kind == "histogram" })
    };
    let all: BTreeMap<_, _> = table("Metric").into_iter().map(metric).collect();
    assert!(all.len() > 30, "docs/metrics.md has another form than is read here: {all:?}");
    all
}

/// Returns the name and labels of every series that is to be there, those of histograms as Prometheus has them.
fn series(documented: &BTreeMap<String, Documented>) -> BTreeSet<(String, BTreeSet<String>)> {
    let of = |(name, metric): (&String, &Documented)| {
        let parts: &[(&str, Option<&str>)] = match metric.is_histogram {
            true => &[("_bucket", Some("le")), ("_sum", None), ("_count", None)],
            false => &[("", None)],
        };
        let sets = metric.labels.iter().flat_map(|labels| {
            parts.iter().map(|(suffix, more)| {
                let labels = labels.iter().cloned().chain(more.map(str::to_owned)).collect();
                (format!("{name}{suffix}"), labels)
            })
        });
        sets.collect::<Vec<_>>()
    };
    documented.iter().flat_map(of).collect()
}

fn printed(stats: &Stats) -> BTreeSet<(String, BTreeSet<String>)> {
    let own = stats.0.iter().filter(|sample| sample.name.starts_with("postern_"));
    own.map(|sample| (sample.name.clone(), sample.labels.keys().cloned().collect())).collect()
}

fn configuration() -> Value {
    let providers = json!({"main": {
        "issuer": ISSUER, "audiences": ["chat"], "jwks": {"remote": {"cluster": "auth", "uri": "https://auth.example.com/keys"}},
    }});
    let revocation = json!({"cluster": "auth", "path": "/revoked", "interval": "10s"});
    let liveness = json!({"ping_interval": "1s", "pong_timeout": "30s", "idle_timeout": "1m"});
    let policies = json!({
        "chat": {
            "origins": {"allow": ["https://app.example.com"], "missing": "allow"},
            "messages": {"max_frame_bytes": 5000},
            "rates": [
                {"count": "handshakes", "per": "ip", "limit": 1000, "window": "1h"},
                {"count": "messages", "per": "connection", "limit": 4, "window": "1h", "on_exceed": "drop"},
            ],
            "connections": {"per_ip": 100},
        },
        "quick": {"liveness": liveness, "backpressure": {"max_backlog_bytes": 100_000}},
        "users": {
            "auth": {
                "providers": ["main"], "from": [{"header": "authorization"}], "revocation": revocation,
            },
        },
        "mesh": {
            "global_rate_limit": {"cluster": "ratelimit", "domain": "postern", "timeout": "1s"},
        },
    });
    document(providers, policies)
}

async fn settle(scene: &RunningScene, what: &str, holds: impl Fn(&Stats) -> bool) -> Stats {
    let end = Instant::now() + PATIENCE;
    loop {
        let stats = scene.envoy().stats().await;
        if holds(&stats) {
            return stats;
        }
        assert!(Instant::now() < end, "{what} is never there: {:#?}", printed(&stats));
        sleep(Duration::from_millis(50)).await;
    }
}

async fn end(mut client: RawClient) {
    client.send(Frame::closing(1000, "").masked().bytes()).await;
    client.close().await;
}

/// Has a handshake wait for the keys of `signer`, which are `held`, and the wait be seen.
async fn wait_for_keys(scene: &RunningScene, signer: &Signer, held: Held) {
    let mut claims = edge_claims("alice");
    claims["iss"] = json!(ISSUER);
    let bearing =
        Request::upgrade("/ws/users").header("Authorization", format!("Bearer {}", signer.mint(&claims)));
    let waits = async {
        scene.envoy().stat_becomes("postern_waiting", &[("policy", "users")], 1.0).await;
        held.release();
    };
    let (client, ()) = tokio::join!(scene.open_with(&bearing), waits);
    end(client).await;
    scene.envoy().stat_becomes("postern_waiting", &[("policy", "users")], 0.0).await;
}

/// Speaks in sizes that are known: whole messages, one in fragments, one that is dropped and one that is refused.
async fn speak(scene: &RunningScene) {
    let mut client = scene.open("/ws/chat").await;
    let frames = [
        Frame::text("hello"),
        Frame::binary([0; 17]),
        Frame::text("ab").unfinished(),
        Frame::continuation([b'c'; 300]),
        Frame::binary([0; 4097]),
        Frame::text("beyond the rate"),
    ];
    client.send(frames.iter().flat_map(|frame| frame.clone().masked().bytes()).collect::<Vec<u8>>()).await;
    for _ in 0..5 {
        client.frame().await.expect("an answer");
    }
    client.send(Frame::binary([0; 5001]).masked().bytes()).await;
    assert_eq!(client.close().await.code(), Some(1009));
    let evil = Request::upgrade("/ws/chat").header("Origin", "https://evil.example");
    assert_eq!(scene.ask(&evil).await.status, 403);
    assert_eq!(scene.ask(&Request::upgrade("/elsewhere")).await.status, 403);
}

#[tokio::test]
async fn envoy_prints_each_metric_of_the_page_with_its_labels_and_no_other() {
    if module::is_counted_by_streams() {
        return;
    }
    let (documents, mut limits) = (Documents::start().await, RateLimits::start().await);
    let signer = Signer::es256("a");
    documents.serve("/revoked", Served::Document(json!({"jti": ["gone", "too"], "sub": {"eve": 1}})));
    let held = documents.serve_held("/keys", Served::Document(jwks(&[&signer])));
    let mut scene = Scene::new()
        .document(configuration())
        .cluster("auth", documents.address())
        .cluster_http2("ratelimit", limits.address())
        .discovered()
        .plaintext()
        .start()
        .await;
    wait_for_keys(&scene, &signer, held).await;
    speak(&scene).await;
    let mut quick = scene.open("/ws/quick").await;
    quick.show_heartbeats();
    quick.send(Frame::text("hello").masked().bytes()).await;
    end(scene.open("/ws/mesh").await).await;
    limits.stop().await;
    for _ in 0..10 {
        let _ = scene.ask(&Request::upgrade("/ws/mesh")).await;
    }
    // The client answers the Pings.
    let mut pings = 0;
    while pings < 2 {
        let frame = quick.frame().await.expect("a frame");
        if frame.is_heartbeat() {
            pings += 1;
            quick.send(Frame::pong(frame.payload).masked().bytes()).await;
        }
    }
    assert_eq!(scene.push_document(json!({"policies": {"chat": {}}})).await, Pushed::Rejected);

    let documented = documented();
    let expected = series(&documented);
    let stats = settle(&scene, "a metric of the page", |stats| printed(stats).is_superset(&expected)).await;
    assert_eq!(printed(&stats), expected);
    let written: BTreeSet<String> =
        table("Label").iter().flat_map(|row| spans(row[0])).map(str::to_owned).collect();
    let found: BTreeSet<String> = printed(&stats).into_iter().flat_map(|(_, labels)| labels).collect();
    assert_eq!(found, written);

    let sum = |name: &str, labels: &[(&str, &str)]| stats.sum(name, labels);
    let of = |direction| [("policy", "chat"), ("direction", direction)];
    for direction in ["downstream", "upstream"] {
        let below = |le| {
            let [policy, direction] = of(direction);
            sum("postern_message_size_bytes_bucket", &[policy, direction, ("le", le)])
        };
        let buckets = ["16", "64", "256", "1024", "4096", "16384", "+Inf"].map(below);
        assert_eq!(buckets, [1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0], "{direction}");
        assert_eq!(sum("postern_message_size_bytes_count", &of(direction)), 4.0);
        assert_eq!(sum("postern_message_size_bytes_sum", &of(direction)), (5 + 17 + 302 + 4097) as f64);
    }
    let refused = [("rule", "messages.max_frame_bytes"), ("reason", "frame_too_big"), ("mode", "enforced")];
    assert_eq!(sum("postern_violations", &refused), 1.0);
    assert_eq!(sum("postern_violations", &[("rule", "origins"), ("reason", "origin_denied")]), 1.0);
    assert_eq!(sum("postern_violations", &[("policy", "none"), ("rule", "default_policy")]), 1.0);
    for (policy, step, result) in
        [("chat", "origins", "refused"), ("none", "policy", "refused"), ("users", "auth", "waited")]
    {
        let labels = [("policy", policy), ("step", step), ("result", result)];
        assert_eq!(sum("postern_handshake_steps", &labels), 1.0, "{labels:?}");
    }
    assert_eq!(sum("postern_handshake_wait_seconds_count", &[("awaited", "keys")]), 1.0);
    assert_eq!(sum("postern_limit_decisions", &[("rule", "rates[1]"), ("result", "within")]), 4.0);
    assert_eq!(sum("postern_limit_decisions", &[("rule", "rates[1]"), ("result", "over")]), 1.0);
    assert_eq!(sum("postern_limit_decisions", &[("rule", "connections.per_ip"), ("result", "within")]), 1.0);
    assert_eq!(sum("postern_source_entries", &[("source", "jwks"), ("provider", "main")]), 1.0);
    assert_eq!(sum("postern_source_entries", &[("source", "revocation"), ("path", "/revoked")]), 3.0);
    assert_eq!(sum("postern_source_usable", &[("cluster", "auth")]), 2.0);
    assert_eq!(sum("postern_configurations_rejected", &[]), 1.0);
    assert_eq!(sum("postern_connection_duration_seconds_count", &[("policy", "chat")]), 1.0);
}

/// Envoy forgets what was counted when nobody is left who has counted it, which is when the last connection that the configuration
/// before has opened is over.
#[tokio::test]
async fn what_was_counted_stays_when_another_configuration_has_come_and_all_connections_of_the_one_before_are_over()
 {
    if module::is_counted_by_streams() {
        return;
    }
    let limited = |bytes: u32| {
        document(json!({}), json!({"chat": {"messages": {"max_message_bytes": bytes}, "rates": []}}))
    };
    let mut scene = Scene::new().document(limited(1000)).discovered().plaintext().start().await;
    assert_eq!(scene.ask(&Request::upgrade("/elsewhere")).await.status, 403);
    let mut older = scene.open("/ws/chat").await;
    assert_eq!(scene.push_document(limited(2000)).await, Pushed::Taken);
    older.send(Frame::binary([0; 3000]).masked().bytes()).await;
    assert_eq!(older.close().await.code(), Some(1009));
    drop(older);

    let all = [
        ("postern_handshakes", vec![("policy", "chat"), ("result", "allowed")]),
        ("postern_handshakes", vec![("policy", "none"), ("result", "refused")]),
        ("postern_closes", vec![("policy", "chat"), ("reason", "message_too_big")]),
        ("postern_messages", vec![("policy", "chat"), ("result", "refused")]),
        ("postern_connection_duration_seconds_count", vec![("policy", "chat")]),
    ];
    let are_told = |stats: &Stats| all.iter().all(|(name, labels)| stats.sum(name, labels) == 1.0);
    settle(&scene, "what has happened", are_told).await;
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        let stats = scene.envoy().stats().await;
        assert!(are_told(&stats), "{:#?}", all.each_ref().map(|(name, labels)| stats.sum(name, labels)));
        sleep(Duration::from_millis(50)).await;
    }
}
