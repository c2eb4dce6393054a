//! The cost of judging messages by a schema: by Postern in front of a service that judges nothing, and by a service
//! of Node that does so itself, with `ws` and `ajv`, behind an Envoy without Postern.
//!
//! Every figure is of the whole path: the CPU of Envoy's process and that of the service's. The client's is not
//! counted. Both judge the same messages by the same schema, and before anything is measured each has to refuse the
//! same wrong ones.

mod messages;
mod report;
mod service;

use std::io;
use std::time::Duration;

use postern_e2e::frames::opcode;
use postern_e2e::not_run::not_run;
use postern_e2e::{Frame, RawClient, Value, json};

use crate::workload::{CROWD, FRAMES, KIB, Manner, Payload, Workload};
use crate::{BenchError, Envoy, Listener};
use messages::{BROKEN, SCHEMA, broken, messages};
use report::{Cost, Figures};
use service::{JUDGES, PARSES, Service, no_node};

/// The number of measurements before they count, since code is compiled for speed only once it has run for a
/// while.
const WARM_UP: usize = 5;

const ALONE: Workload = Workload {
    name: "one a write",
    path: FRAMES,
    clients: 1,
    manner: Manner::PingPong,
    payload: Payload::Turns(messages),
    size: KIB,
    messages: 2000,
    target: None,
    native_target: None,
};

const WORKLOADS: [Workload; 3] = [
    ALONE,
    Workload { name: "one a write, 64 clients", clients: CROWD, messages: 60 * CROWD, ..ALONE },
    Workload { name: "64 a write", manner: Manner::Stream(64), messages: 64 * 64, ..ALONE },
];

/// The filter that Envoy has in a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Nothing,
    /// Postern, whose rules are on frames alone.
    Frames,
    /// Postern, with a schema besides.
    Schema,
}

/// A way from the client through Envoy to a service and back.
#[derive(Debug)]
struct Way {
    name: &'static str,
    filter: Filter,
    /// The kind of the service of Node; without any it is the plain service.
    node: Option<&'static str>,
}

const fn way(name: &'static str, filter: Filter, node: Option<&'static str>) -> Way {
    Way { name, filter, node }
}

/// The ways, by names that the [report] compares them by.
const WAYS: [Way; 7] = [
    way("plain", Filter::Nothing, None),
    way("frames", Filter::Frames, None),
    way("schema", Filter::Schema, None),
    way("ws", Filter::Nothing, Some("ws")),
    way("ws+parse", Filter::Nothing, Some(PARSES)),
    way("ws+ajv", Filter::Nothing, Some(JUDGES)),
    way("schema, ws+parse", Filter::Schema, Some(PARSES)),
];

impl Way {
    /// Says whether somebody on the way knows the schema.
    fn judges(&self) -> bool {
        self.filter == Filter::Schema || self.node == Some(JUDGES)
    }
}

/// A way with an Envoy and a service of its own, so that nobody's warm code serves another.
struct Running {
    way: &'static Way,
    envoy: Envoy,
    service: Service,
}

/// Measures all ways in turns on Envoys with this listener, by the workloads whose name contains `only`, and prints
/// the report.
pub(crate) async fn run(listener: Listener, only: &str, rounds: usize) -> Result<(), BenchError> {
    let missing = no_node().await.err();
    let mut running = Vec::new();
    for way in WAYS.iter().filter(|way| missing.is_none() || way.node.is_none()) {
        running.push(Running::start(way, listener).await?);
    }
    for running in &running {
        running.assert_judges().await?;
    }
    let about = running.iter().map(|running| running.service.about.as_str()).find(|about| !about.is_empty());
    report::heading(listener.name(), rounds, about);
    for workload in WORKLOADS.iter().filter(|workload| workload.name.contains(only)) {
        measure(workload, &running, rounds).await?.print(workload.name);
    }
    if let Some(why) = missing {
        not_run(&format!("the ways to a service of Node: {why}"));
    }
    Ok(())
}

async fn measure(workload: &Workload, running: &[Running], rounds: usize) -> Result<Figures, BenchError> {
    let mut clients = Vec::new();
    for running in running {
        clients.push(running.envoy.open(workload).await);
    }
    let mut figures = Figures::default();
    for round in 0..WARM_UP + rounds {
        for (running, clients) in running.iter().zip(&mut clients) {
            let cost = running.measure(workload, clients).await?;
            if round >= WARM_UP {
                figures.add(running.way.name, cost);
            }
        }
    }
    Ok(figures)
}

impl Running {
    async fn start(way: &'static Way, listener: Listener) -> Result<Self, BenchError> {
        let service = match way.node {
            None => Service::plain().await?,
            Some(kind) => Service::node(kind, SCHEMA).await?,
        };
        let scene = listener.scene(service.address);
        let scene = match way.filter {
            Filter::Nothing => scene.bare(),
            Filter::Frames => scene.document(document(json!({}))),
            Filter::Schema => scene.document(document(content())),
        };
        Ok(Self { way, envoy: Envoy::start(scene).await?, service })
    }

    /// Measures the cost of a message in one run of the workload.
    async fn measure(&self, workload: &Workload, clients: &mut [RawClient]) -> io::Result<Cost> {
        let before = self.now().await?;
        workload.run(clients).await;
        let after = self.now().await?;
        let [envoy, service] = [0, 1].map(|of| workload.per_message(after[of].saturating_sub(before[of])));
        Ok(Cost { envoy, service })
    }

    /// Returns the time that Envoy and the service have used, once they use no more.
    async fn now(&self) -> io::Result<[Duration; 2]> {
        Ok([self.envoy.cpu.settled().await?, self.service.cpu.settled().await?])
    }

    /// Sends a message for each keyword that breaks it, each on a connection of its own: a way that judges has to
    /// end in a Close, and any other has to bring it back.
    async fn assert_judges(&self) -> Result<(), BenchError> {
        for (keyword, by) in BROKEN {
            let mut client = self.envoy.scene.open(FRAMES).await;
            client.send(Frame::text(&broken(by)).masked().bytes()).await;
            let done = match client.frame().await {
                Ok(frame) if frame.opcode == opcode::TEXT => Done::BroughtBack,
                Ok(frame) if frame.is_close() => Done::Refused,
                _ => Done::Lost,
            };
            let expected = if self.way.judges() { Done::Refused } else { Done::BroughtBack };
            if done != expected {
                return Err(BenchError::Judged { way: self.way.name, keyword, done });
            }
        }
        Ok(())
    }
}

/// The fate of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    BroughtBack,
    Refused,
    Lost,
}

/// Returns the rules on what messages say.
fn content() -> Value {
    json!({"schema": SCHEMA})
}

/// Returns a document of one policy: the rules for frames, which are on by default, and these for what clients say.
fn document(mut messages: Value) -> Value {
    messages["max_message_bytes"] = json!("64KiB");
    json!({
        "policies": {"chat": {
            "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "auth": "none", "rates": [],
            "messages": messages,
        }},
        "default_policy": "chat",
    })
}
