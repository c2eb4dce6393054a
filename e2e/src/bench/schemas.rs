//! The cost of judging messages by a schema in Envoy's CPU, beyond that of the same message where the policy has none.
//!
//! Each pair of a schema and a message is a file that a benchmark of the engine wrote. What is refused goes no further
//! and its connection goes on, so that a connection can be refused many messages; what it costs to read a message that
//! no schema refuses is part of it.

use std::path::Path;
use std::time::Duration;

use postern_e2e::frames::opcode;
use postern_e2e::{Frame, RawClient, Scene, Value, json};

use crate::figures::{ascending, at};
use crate::worst::{MARK, service};
use crate::{BenchError, Envoy};

/// The milliseconds that a message may cost.
const TARGET: f64 = 10.0;

/// The number of messages of a measurement.
const SENT: usize = 12;

/// The number of measurements before they count.
const WARM_UP: usize = 2;

/// The time in which all messages of a measurement are judged, however much they cost.
const PATIENCE: Duration = Duration::from_secs(300);

/// The policy without a schema.
const WITHOUT: &str = "without";

/// A schema, and a message to be judged by it.
struct Pair {
    name: String,
    schema: Value,
    message: String,
}

/// Sends each message in turns with and without its schema, and prints its cost; one that costs too much is an error.
pub(crate) async fn run(folder: &Path, rounds: usize) -> Result<(), BenchError> {
    let mut pairs = std::fs::read_dir(folder)?
        .map(|entry| Pair::read(&entry?.path()))
        .collect::<Result<Vec<_>, BenchError>>()?;
    pairs.sort_by(|a, b| a.name.cmp(&b.name));
    let scene = Scene::new().service(service()?).plaintext().document(document(&pairs));
    let envoy = Envoy::start(scene).await?;
    println!(
        "milliseconds of Envoy's CPU for a message beyond what it costs without a schema; medians of {rounds} rounds \
         of {SENT} messages"
    );
    println!("{:<40}{:>7}{:>9}{:>9}  quartiles", "schema and message", "bytes", "without", "excess");
    let mut missed = Vec::new();
    for pair in &pairs {
        let excess = measure(&envoy, pair, rounds).await?;
        if excess > TARGET {
            missed.push(format!("{} {excess:.2} ms", pair.name));
        }
    }
    envoy.assert_nothing_refused().await?;
    println!("target {TARGET} ms: {}", if missed.is_empty() { "met" } else { "MISSED" });
    if missed.is_empty() { Ok(()) } else { Err(BenchError::Costly(missed.join(", "))) }
}

impl Pair {
    fn read(path: &Path) -> Result<Self, BenchError> {
        let no_pair = || BenchError::NoMessage(path.to_owned());
        let name = path.file_stem().and_then(|name| name.to_str()).ok_or_else(no_pair)?.to_owned();
        let file: Value = serde_json::from_slice(&std::fs::read(path)?).map_err(|_| no_pair())?;
        let schema = file.get("schema").ok_or_else(no_pair)?.clone();
        let message = file.get("message").and_then(Value::as_str).ok_or_else(no_pair)?.to_owned();
        Ok(Self { name, schema, message })
    }
}

/// Prints a line about a pair, and returns the milliseconds that a message costs.
async fn measure(envoy: &Envoy, pair: &Pair, rounds: usize) -> Result<f64, BenchError> {
    let mut plain = envoy.scene.open(&format!("/ws/{WITHOUT}")).await;
    let mut judged = envoy.scene.open(&format!("/ws/{}", pair.name)).await;
    let frame = Frame::text(&pair.message).masked().bytes();
    let (mut excesses, mut without) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + rounds {
        let base = cost(envoy, &mut plain, &frame).await?;
        let with = cost(envoy, &mut judged, &frame).await?;
        if round >= WARM_UP {
            excesses.push(with - base);
            without.push(base);
        }
    }
    let (excesses, without) = (ascending(excesses), ascending(without));
    let excess = at(&excesses, 0.5);
    println!(
        "{:<40}{:>7}{:>9.2}{excess:>9.2}  {:.2}-{:.2}",
        pair.name,
        pair.message.len(),
        at(&without, 0.5),
        at(&excesses, 0.25),
        at(&excesses, 0.75),
    );
    Ok(excess)
}

/// Measures the milliseconds for a frame, of which several are sent.
async fn cost(envoy: &Envoy, client: &mut RawClient, frame: &[u8]) -> Result<f64, BenchError> {
    let before = envoy.cpu.settled().await?;
    for _ in 0..SENT {
        client.send(frame).await;
    }
    client.send(Frame::binary(vec![MARK]).masked().bytes()).await;
    // The client is told of some of what was refused.
    loop {
        let frame = client.frame_within(PATIENCE).await;
        match frame {
            Ok(frame) if frame.opcode == opcode::BINARY => break,
            Ok(frame) if frame.opcode == opcode::TEXT => {}
            ended => return Err(BenchError::Closed(format!("{ended:?}"))),
        }
    }
    let after = envoy.cpu.settled().await?;
    Ok(after.saturating_sub(before).as_secs_f64() * 1e3 / SENT as f64)
}

/// Returns a document of a policy without a schema and one for each pair.
fn document(pairs: &[Pair]) -> Value {
    let policy = |content: Value| {
        let mut messages = json!({"tunnels": "pass"});
        if let (Some(messages), Value::Object(content)) = (messages.as_object_mut(), content) {
            messages.extend(content);
        }
        json!({
            "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "auth": "none", "rates": [],
            "messages": messages, "liveness": {"ping_interval": "none"},
        })
    };
    let judged = |pair: &Pair| json!({"schema": pair.schema, "max_json_depth": 126, "on_violation": "drop"});
    let mut policies: serde_json::Map<String, Value> =
        pairs.iter().map(|pair| (pair.name.clone(), policy(judged(pair)))).collect();
    policies.insert(WITHOUT.to_owned(), policy(json!({})));
    let route = |name: &String| json!({"match": {"path_prefix": format!("/ws/{name}")}, "policy": name});
    json!({"routes": policies.keys().map(route).collect::<Vec<_>>(), "policies": policies})
}
