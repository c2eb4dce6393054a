//! The cost of limits: what a message costs Envoy under frame rules alone and under every limit, and what a handshake
//! costs without limits and with caps and refusals, in turns on one Envoy.

use std::net::SocketAddr;

use postern_e2e::client::token::{EDGE_SECRET, edge_claims};
use postern_e2e::{RawClient, Request, Signer, Value, json};

use crate::figures::{ascending, at};
use crate::workload::{ALL, Workload};
use crate::{BenchError, Envoy, Listener};

/// The bound on the cost of a message under limits, in times what it costs under frame rules alone.
const TARGET: f64 = 1.03;
/// The bound on what caps and refusals add to a handshake, in microseconds.
const HANDSHAKE_TARGET: f64 = 15.0;

/// The number of handshakes of one measurement.
const HANDSHAKES: usize = 100;

const HANDSHAKE: &str = "handshake, with its connection";

/// The policies that messages go through, the first of which has frame rules alone.
const POLICIES: [&str; 4] = ["frames", "connection", "shared", "all"];

/// The policies that handshakes are made under, the first of which has no limits.
const HANDSHAKE_POLICIES: [&str; 4] = ["bears", "capped", "refuses", "both"];

fn document() -> Value {
    let rate =
        |count: &str, per: &str| json!({"count": count, "per": per, "limit": 1_000_000_000, "window": "1s"});
    let of_connection = ["messages", "bytes", "control_frames"].map(|count| rate(count, "connection"));
    let shared = [rate("messages", "user"), rate("bytes", "ip"), rate("messages", "policy")];
    let all: Vec<Value> = of_connection.iter().chain(&shared).cloned().collect();
    let caps = json!({"per_ip": 100_000, "per_user": 100_000, "per_policy": 100_000});
    let refusals = json!([rate("refusals", "ip"), rate("refusals", "user")]);
    let policy = |rates: Value, connections: Value| {
        json!({
            "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "rates": rates,
            "auth": {"providers": ["edge"], "from": [{"header": "authorization"}]}, "connections": connections,
        })
    };
    let none = || json!({});
    let policies = json!({
        "frames": policy(json!([]), none()),
        "connection": policy(json!(of_connection), none()),
        "shared": policy(json!(shared), none()),
        "all": policy(json!(all), caps.clone()),
        "bears": policy(json!([]), none()),
        "capped": policy(json!([]), caps.clone()),
        "refuses": policy(refusals.clone(), none()),
        "both": policy(refusals, caps),
    });
    let names = policies.as_object().into_iter().flat_map(|policies| policies.keys());
    let routes = names.map(|name| json!({"match": {"path_prefix": format!("/ws/{name}")}, "policy": name}));
    let routes: Vec<_> = routes.collect();
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"inline": EDGE_SECRET},
    });
    json!({"providers": {"edge": edge}, "policies": policies, "routes": routes})
}

/// Runs the workloads whose name contains `only` in turns, and prints the report.
pub(crate) async fn run(
    listener: Listener,
    service: SocketAddr,
    rounds: usize,
    only: &str,
) -> Result<(), BenchError> {
    let envoy = Envoy::start(listener.scene(service).document(document())).await?;
    println!("microseconds of Envoy's CPU, {}; medians of {rounds} rounds", listener.name());
    let small = ALL.iter().filter(|workload| workload.name.starts_with("64 B binary")).take(2);
    for workload in small.filter(|workload| workload.name.contains(only)) {
        messages(&envoy, workload, rounds).await?;
    }
    if HANDSHAKE.contains(only) {
        handshakes(&envoy, rounds).await?;
    }
    envoy.assert_nothing_refused().await
}

fn request(policy: &str) -> Request {
    let token = Signer::edge().mint(&edge_claims("alice"));
    Request::upgrade(&format!("/ws/{policy}")).header("Authorization", format!("Bearer {token}"))
}

async fn messages(envoy: &Envoy, workload: &Workload, rounds: usize) -> Result<(), BenchError> {
    let mut clients: Vec<Vec<RawClient>> = Vec::new();
    for policy in POLICIES {
        let mut open = Vec::new();
        for _ in 0..workload.clients {
            open.push(envoy.scene.open_with(&request(policy)).await);
        }
        clients.push(open);
    }
    let mut figures = POLICIES.map(|_| Vec::new());
    for round in 0..=rounds {
        for (clients, figures) in clients.iter_mut().zip(&mut figures) {
            let cost = envoy.measure(workload, clients).await?;
            if round > 0 {
                figures.push(cost);
            }
        }
    }
    report(workload.name, &POLICIES, &figures);
    let ratio = ratio(&figures[3], &figures[0]);
    println!("all limits / frame rules alone: {ratio:.3}, target {TARGET}: {}", verdict(ratio <= TARGET));
    Ok(())
}

async fn handshakes(envoy: &Envoy, rounds: usize) -> Result<(), BenchError> {
    let mut figures = HANDSHAKE_POLICIES.map(|_| Vec::new());
    for round in 0..=rounds {
        for (policy, figures) in HANDSHAKE_POLICIES.iter().zip(&mut figures) {
            let request = request(policy);
            let before = envoy.cpu.settled().await?;
            for _ in 0..HANDSHAKES {
                let status = envoy.scene.ask(&request).await.status;
                if status != 101 {
                    return Err(BenchError::Refused(status));
                }
            }
            let used = envoy.cpu.settled().await?.saturating_sub(before);
            if round > 0 {
                figures.push(used.as_secs_f64() * 1e6 / HANDSHAKES as f64);
            }
        }
    }
    report(HANDSHAKE, &HANDSHAKE_POLICIES, &figures);
    let more = figures[3].iter().zip(&figures[0]).map(|(with, without)| with - without);
    let more = at(&ascending(more.collect()), 0.5);
    let verdict = verdict(more <= HANDSHAKE_TARGET);
    println!("caps and refusals add {more:.1} to a handshake, target {HANDSHAKE_TARGET}: {verdict}");
    Ok(())
}

fn report(name: &str, policies: &[&str; 4], figures: &[Vec<f64>; 4]) {
    println!("{name}");
    for (policy, costs) in policies.iter().zip(figures) {
        let sorted = ascending(costs.clone());
        let ratio = ratio(costs, &figures[0]);
        println!("  {policy:<12}{:>8.2}  ratio {ratio:.3}", at(&sorted, 0.5));
    }
}

/// Returns the median of the ratios of neighbours in one round: what slows the machine down for a while slows both.
fn ratio(with: &[f64], without: &[f64]) -> f64 {
    at(&ascending(with.iter().zip(without).map(|(with, without)| with / without).collect()), 0.5)
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
