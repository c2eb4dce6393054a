//! The cost of Postern: CPU time of the Envoy process per message, with Postern and without, or per
//! handshake, with Postern and with what Envoy has itself, in one run that alternates between them. The tests
//! judge correctness; this does not.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]

mod content;
mod cpu;
mod echo;
mod figures;
mod floor;
mod forged;
mod handshakes;
mod idle;
mod limits;
mod schemas;
mod workload;
mod worst;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use postern_e2e::{EnvoyError, RawClient, RunningScene, Scene, Value, json};

use cpu::{Cpu, pin};
use figures::{Figures, HEADING};
use workload::{ALL, FRAMES, RATED, Workload};

/// The CPU on which the Envoys take turns, and the one that the client and the service share.
const ENVOYS: usize = 0;
const OTHERS: usize = 1;

/// Measures what a message costs Envoy with Postern and without.
#[derive(Debug, Parser)]
struct Arguments {
    /// Measure instead what a handshake with a token costs.
    #[arg(long)]
    handshakes: bool,
    /// The number of times that each workload runs on each Envoy.
    #[arg(long, default_value_t = 120)]
    rounds: usize,
    /// Only on this listener.
    #[arg(long)]
    listener: Option<Listener>,
    /// Only workloads whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Measure beside Postern what filters cost that decide nothing.
    #[arg(long)]
    floor: bool,
    /// Measure another build of the module as well, in the same run.
    #[arg(long)]
    other: Option<PathBuf>,
    /// Measure this dynamic module as well, and Envoy without Postern once more, which shows the noise, in the same run.
    #[arg(long)]
    native: Option<PathBuf>,
    /// Measures instead what the messages of this folder cost beyond binary ones, as the benchmark of the engine that
    /// looks for the worst ones wrote them, and then what forged tokens cost.
    #[arg(long)]
    worst: Option<PathBuf>,
    /// Measures instead what judging messages by a schema costs, in Postern and in a service of Node.
    #[arg(long)]
    content: bool,
    /// Serves instead as the service that echoes, in a process of its own.
    #[arg(long, hide = true)]
    echo: bool,
    /// Measures instead what the messages of this folder cost under their schemas, as the benchmark of the engine wrote
    /// both.
    #[arg(long)]
    schemas: Option<PathBuf>,
    /// Measures instead what limits cost a message and a handshake.
    #[arg(long)]
    limits: bool,
    /// Measures so many idle sessions instead, or as many as there are descriptors for.
    #[arg(long)]
    idle: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Listener {
    /// A listener without TLS: Envoy itself does the least, so Postern's part is the greatest.
    Plaintext,
    /// A listener with TLS, as users run it.
    Tls,
}

impl Listener {
    fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Tls => "TLS",
        }
    }

    fn scene(self, service: SocketAddr) -> Scene {
        let scene = Scene::new().service(service);
        if self == Self::Plaintext { scene.plaintext() } else { scene }
    }
}

/// The dynamic module, and an Envoy like the one that all are compared with.
const NATIVE: &str = "native";
const NOTHING: &str = "nothing";

#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error("{0}")]
    Envoy(#[from] EnvoyError),
    #[error("the system: {0}")]
    System(#[from] io::Error),
    #[error("Postern closed a connection: {0}")]
    Closed(String),
    #[error("{beaten} beats in the place of {expected}")]
    Silent { beaten: u64, expected: u64 },
    #[error("a module of the floor: {0}")]
    Module(#[from] wat::Error),
    #[error("a handshake was answered with {0}")]
    Refused(u16),
    #[error("{way}: of a message that breaks `{keyword}` became: {done:?}")]
    Judged { way: &'static str, keyword: &'static str, done: content::Done },
    #[error("{0} is no message of the search for the worst ones")]
    NoMessage(PathBuf),
    #[error("messages cost more than they may: {0}")]
    Costly(String),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), BenchError> {
    if arguments.echo {
        return Ok(echo::serve_alone()?);
    }
    place(std::process::id(), OTHERS);
    if let Some(sessions) = arguments.idle {
        return idle::run(sessions, arguments.rounds, arguments.native.as_deref()).await;
    }
    if let Some(folder) = &arguments.schemas {
        return schemas::run(folder, arguments.rounds).await;
    }
    if let Some(folder) = &arguments.worst {
        worst::run(folder, arguments.rounds).await?;
        return forged::run(arguments.rounds).await;
    }
    let listeners = [Listener::Plaintext, Listener::Tls];
    let listeners =
        listeners.into_iter().filter(|listener| arguments.listener.is_none_or(|l| l == *listener));
    if arguments.content {
        for listener in listeners {
            content::run(listener, &arguments.only, arguments.rounds).await?;
        }
        return Ok(());
    }
    let service = echo::start()?;
    if arguments.limits {
        for listener in listeners {
            limits::run(listener, service, arguments.rounds, &arguments.only).await?;
        }
        return Ok(());
    }
    if arguments.handshakes {
        for listener in listeners {
            handshakes::run(listener, service, arguments.rounds, arguments.native.as_deref()).await?;
        }
        return Ok(());
    }
    println!(
        "microseconds of Envoy's CPU per message, there and back; medians of {} rounds",
        arguments.rounds
    );
    println!("{HEADING}");
    let floor = if arguments.floor { floor::modules()? } else { Vec::new() };
    for listener in listeners {
        let bare = Envoy::start(listener.scene(service).bare()).await?;
        let mut guarded =
            vec![("Postern", Envoy::start(listener.scene(service).document(document())).await?)];
        if let Some(other) = &arguments.other {
            let scene = listener.scene(service).document(document()).module(other);
            guarded.push(("another build", Envoy::start(scene).await?));
        }
        if let Some(native) = &arguments.native {
            let scene = listener.scene(service).document(document()).dynamic_module(native).without_sender();
            guarded.push((NATIVE, Envoy::start(scene).await?));
            guarded.push((NOTHING, Envoy::start(listener.scene(service).bare()).await?));
        }
        for (name, module) in &floor {
            guarded.push((name, Envoy::start(listener.scene(service).module(module.path())).await?));
        }
        if arguments.native.is_some() {
            let name = listener.name();
            println!("{name}: takes connections after {:.2} s without Postern", bare.start.as_secs_f64());
            for (filter, envoy) in &guarded {
                println!("{name}: takes connections after {:.2} s, {filter}", envoy.start.as_secs_f64());
            }
        }
        for workload in ALL.iter().filter(|workload| workload.name.contains(&arguments.only)) {
            let figures = compare(workload, &bare, &guarded, arguments.rounds).await?;
            let named = || guarded.iter().map(|(filter, _)| *filter).zip(&figures);
            let noise =
                named().find(|(filter, _)| *filter == NOTHING).map_or(1.0, |(_, alike)| alike.noise());
            for (filter, figures) in named() {
                let target = match filter {
                    NATIVE => (workload.native_target, noise),
                    NOTHING => (None, 1.0),
                    _ => (workload.target, 1.0),
                };
                println!("{}", figures.row(listener.name(), workload, filter, target));
            }
        }
        for (_, guarded) in guarded {
            guarded.assert_nothing_refused().await?;
        }
    }
    Ok(())
}

/// Pins a process to a CPU. Figures from a machine where that cannot be done are rough, and yet figures.
fn place(process: u32, cpu: usize) {
    if let Err(error) = pin(process, cpu) {
        eprintln!("bench: process {process} may wander between CPUs: {error}");
    }
}

/// Returns a document of two policies: the rules for frames, which are on by default, without and with a
/// rate.
fn document() -> Value {
    let policy = |rates: Value| {
        let limits = json!({"max_frame_bytes": "64KiB", "max_message_bytes": "64KiB"});
        json!({
            "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "auth": "none",
            "messages": limits, "upstream_messages": limits, "rates": rates,
        })
    };
    let rate = json!([{"count": "messages", "per": "connection", "limit": 1_000_000_000, "window": "1s"}]);
    json!({
        "policies": {"frames": policy(json!([])), "rated": policy(rate)},
        "routes": [
            {"match": {"path_prefix": FRAMES}, "policy": "frames"},
            {"match": {"path_prefix": RATED}, "policy": "rated"},
        ],
    })
}

/// An Envoy and its clock.
struct Envoy {
    scene: RunningScene,
    cpu: Cpu,
    /// The time until it took connections.
    start: Duration,
}

impl Envoy {
    async fn start(scene: Scene) -> Result<Self, BenchError> {
        let began = Instant::now();
        let scene = scene.try_start().await?;
        let start = began.elapsed();
        let process = scene.envoy().process_id();
        place(process, ENVOYS);
        let cpu = Cpu::of(process);
        Ok(Self { scene, cpu, start })
    }

    /// Opens as many clients as the workload wants, each with an open WebSocket.
    async fn open(&self, workload: &Workload) -> Vec<RawClient> {
        let mut clients = Vec::new();
        for _ in 0..workload.clients {
            clients.push(self.scene.open(workload.path).await);
        }
        clients
    }

    /// Measures the cost of a message in one run of the workload, in microseconds.
    async fn measure(&self, workload: &Workload, clients: &mut [RawClient]) -> io::Result<f64> {
        let before = self.cpu.settled().await?;
        workload.run(clients).await;
        let after = self.cpu.settled().await?;
        Ok(workload.per_message(after.saturating_sub(before)))
    }

    async fn assert_nothing_refused(&self) -> Result<(), BenchError> {
        let closes = self.scene.envoy().stats().await.sum("postern_closes", &[]);
        if closes == 0.0 { Ok(()) } else { Err(BenchError::Closed(self.scene.envoy().log())) }
    }
}

/// Runs a workload on all Envoys in turns, on connections of its own each.
async fn compare(
    workload: &Workload,
    bare: &Envoy,
    guarded: &[(&str, Envoy)],
    rounds: usize,
) -> Result<Vec<Figures>, BenchError> {
    let mut alone = bare.open(workload).await;
    let mut with = Vec::new();
    for (_, envoy) in guarded {
        with.push((envoy, envoy.open(workload).await, Figures::default()));
    }
    // The first run finds cold caches and code that is not compiled for speed yet, and does not count.
    bare.measure(workload, &mut alone).await?;
    for (envoy, client, _) in &mut with {
        envoy.measure(workload, client).await?;
    }
    for _ in 0..rounds {
        let without = bare.measure(workload, &mut alone).await?;
        for (envoy, client, figures) in &mut with {
            figures.add(without, envoy.measure(workload, client).await?);
        }
    }
    Ok(with.into_iter().map(|(_, _, figures)| figures).collect())
}
