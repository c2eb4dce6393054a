//! The faults, each of which goes on until its alert fires.

use std::collections::BTreeSet;

use futures_util::future::{Either, join_all, select};
use postern_e2e::{
    Documents, Frame, Pushed, RateLimits, RawClient, Request, RunningScene, Served, Signer, json,
};
use tokio::time::sleep;

use crate::files::rules;
use crate::prometheus::{Prometheus, SOON};
use crate::stage::{BUDGET, CONNECTIONS, MESSAGE, PAUSE, Stage, bearing, configuration};

/// The request that makes the module trap here, by its trailers.
const TRAP: &[u8] =
    b"POST /ws/ HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-a: b\r\n\r\n";

/// The alerts that no fault provokes here, and why not.
const NOT_PROVOKED: [&str; 1] = [
    // It takes more than a million clients.
    "PosternTableFull",
];

/// Provokes each fault, and waits for its alert. What would disturb others comes later, and a trap last.
pub(crate) async fn provoke(stage: &mut Stage, prometheus: &Prometheus) {
    let Stage { edge, crippled, documents, limits, signer, .. } = stage;
    tokio::join!(
        surge(edge, prometheus),
        found(edge, prometheus),
        answered_wrongly(edge, prometheus),
        astray(edge, prometheus),
        sources(documents, prometheus),
        rate_limit_service(edge, limits, prometheus),
        out_of_reach(edge, prometheus),
        host(crippled, signer, prometheus),
    );
    tokio::join!(memory(edge, prometheus), circuit_breaker(crippled, prometheus));
    configurations(edge, prometheus).await;
    trap(edge, prometheus).await;
}

/// Asserts that every alert has fired but those that are not provoked here.
pub(crate) fn assert_all(fired: &BTreeSet<String>) {
    let rules = rules();
    let names = rules.iter().map(|rule| rule["alert"].as_str().expect("a name"));
    let expected = names.filter(|name| !NOT_PROVOKED.contains(name)).map(str::to_owned).collect();
    assert_eq!(*fired, expected);
}

/// Does `fault` again and again until every one of `alerts`, each with labels, fires.
async fn until(prometheus: &Prometheus, alerts: &[(&str, &str)], fault: impl AsyncFn()) {
    let again = async {
        loop {
            fault().await;
            sleep(PAUSE).await;
        }
    };
    let fire = join_all(alerts.iter().map(|(alert, labels)| prometheus.fires(alert, labels)));
    if let Either::Left(_) = select(Box::pin(again), Box::pin(fire)).await {
        panic!("a fault has no end of its own");
    }
}

async fn surge(edge: &RunningScene, prometheus: &Prometheus) {
    let chat = r#"policy="chat""#;
    let alerts = [("PosternRefusalSurge", chat), ("PosternMostHandshakesRefused", chat)];
    let strange = Request::upgrade("/ws/chat").header("Origin", "https://evil.example");
    until(prometheus, &alerts, async || {
        join_all((0..8).map(|_| edge.ask(&strange))).await;
    })
    .await;
}

/// Comes from a page that a rule in shadow does not know.
async fn found(edge: &RunningScene, prometheus: &Prometheus) {
    let strange = Request::upgrade("/ws/tried").header("Origin", "https://evil.example");
    assert_eq!(edge.ask(&strange).await.status, 101);
    prometheus.fires("PosternShadowFindings", r#"policy="tried", rule="origins""#).await;
}

async fn answered_wrongly(edge: &RunningScene, prometheus: &Prometheus) {
    assert_eq!(edge.ask(&Request::upgrade("/ws/spoiled")).await.status, 502);
    prometheus.fires("PosternUpstreamHandshakeInvalid", r#"policy="spoiled""#).await;
}

async fn astray(edge: &RunningScene, prometheus: &Prometheus) {
    assert_eq!(edge.ask(&Request::upgrade("/ws/astray")).await.status, 503);
    prometheus.fires("PosternPolicyInvalid", r#"instance="edge""#).await;
}

async fn sources(documents: &Documents, prometheus: &Prometheus) {
    documents.serve("/keys", Served::Answer(500, Vec::new()));
    documents.serve("/revoked", Served::Answer(500, Vec::new()));
    tokio::join!(
        prometheus.fires("PosternFetchesFailing", r#"source="jwks", provider="main""#),
        prometheus.fires("PosternFetchesFailing", r#"source="revocation", path="/revoked""#),
        prometheus.fires("PosternKeysUnusable", r#"instance="edge", provider="main""#),
    );
}

async fn rate_limit_service(edge: &RunningScene, limits: &mut RateLimits, prometheus: &Prometheus) {
    limits.stop().await;
    until(prometheus, &[("PosternRateLimitServiceFailing", r#"cluster="ratelimit""#)], async || {
        edge.ask(&Request::upgrade("/ws/mesh")).await;
    })
    .await;
}

/// Opens connections whose service answers no Pings, with a message in two pieces each way: behind these there is no place
/// for a Ping to the client either.
async fn out_of_reach(edge: &RunningScene, prometheus: &Prometheus) {
    let clients = Box::pin(join_all((0..12).map(|_| stray(edge))));
    let fires = prometheus.fires("PosternConnectionsOutOfReach", r#"policy="reach""#);
    if let Either::Left(_) = select(clients, Box::pin(fires)).await {
        panic!("clients stay");
    }
}

async fn stray(edge: &RunningScene) {
    let mut client = edge.open("/ws/reach").await;
    client.show_heartbeats();
    let record = edge.record(&client).await;
    let ping = client.frame().await.expect("a Ping of Postern's");
    client.send(Frame::pong(ping.payload).masked().bytes()).await;
    let (news, hello) =
        (Frame::text(&"news".repeat(100)), Frame::text(&"hello".repeat(100)).masked().bytes());
    client.send_pieces([&hello[..400], &hello[400..]]).await;
    record.bytes_when(hello.len()).await;
    let bytes = news.bytes();
    for piece in [&bytes[..300], &bytes[300..]] {
        record.send(piece);
        sleep(3 * PAUSE).await;
    }
    // Whatever it is asked meanwhile, it answers.
    while let Ok(frame) = client.frame_within(4 * SOON).await {
        if frame.is_heartbeat() {
            client.send(Frame::pong(frame.payload).masked().bytes()).await;
        }
    }
}

/// Has the host verify no signatures, and take no chunk back that has been changed.
async fn host(crippled: &RunningScene, signer: &Signer, prometheus: &Prometheus) {
    let alerts = [
        ("PosternVerificationFallbacks", r#"instance="crippled""#),
        ("PosternInternalError", r#"policy="drops""#),
    ];
    until(prometheus, &alerts, async || {
        drop(crippled.open_with(&bearing(signer, "/ws/verified")).await);
        let mut client = crippled.open("/ws/drops").await;
        client
            .send([Frame::text("one").masked().bytes(), Frame::text("two").masked().bytes()].concat())
            .await;
        client.rest().await;
    })
    .await;
}

/// Has clients leave messages unfinished, which Postern holds, until it holds all that it may.
async fn memory(edge: &RunningScene, prometheus: &Prometheus) {
    let mut unfinished = Frame::text(&"a".repeat(MESSAGE)).masked().bytes();
    unfinished.pop();
    let mut clients: Vec<RawClient> = Vec::new();
    for _ in 0..BUDGET / MESSAGE + 16 {
        let mut client = edge.connect().await;
        if client.ask(&Request::upgrade("/ws/holds")).await.status == 101 {
            // It may be sent away at once.
            let _ = client.try_send(&unfinished).await;
            clients.push(client);
        }
    }
    tokio::join!(
        prometheus.fires("PosternMemoryExceeded", r#"policy="holds""#),
        prometheus.fires("PosternMemoryNearBudget", r#"instance="edge""#),
    );
}

async fn circuit_breaker(crippled: &RunningScene, prometheus: &Prometheus) {
    let labels = r#"instance="crippled", envoy_cluster_name="service""#;
    let clients = join_all((0..CONNECTIONS).map(|_| crippled.open("/ws/plain"))).await;
    prometheus.fires("PosternCircuitBreakerOpen", labels).await;
    drop(clients);
}

async fn configurations(edge: &mut RunningScene, prometheus: &Prometheus) {
    assert_eq!(edge.push_document(configuration(Some("/never"))).await, Pushed::Taken);
    assert_eq!(edge.push_document(json!({"policies": {"chat": {}}})).await, Pushed::Rejected);
    tokio::join!(
        prometheus.fires("PosternRevocationListUnusable", r#"path="/never""#),
        prometheus.fires("PosternConfigurationRejected", r#"instance="edge""#),
    );
}

async fn trap(edge: &RunningScene, prometheus: &Prometheus) {
    let mut client = edge.connect().await;
    client.send(TRAP).await;
    // However it ends: by an answer of Envoy's or without one.
    let _ = client.try_response().await;
    until(prometheus, &[("PosternVmReloaded", r#"instance="edge""#)], async || {
        edge.ask(&Request::upgrade("/ws/spoiled")).await;
    })
    .await;
}
