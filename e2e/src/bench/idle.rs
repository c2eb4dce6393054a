//! The cost of sessions on which nobody says anything: Postern's Pings to silent clients against as many echo
//! round trips through an Envoy without Postern, and the module's memory for each session.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postern_e2e::{Frame, Request, RunningScene, Scene, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};

use crate::cpu::Cpu;
use crate::echo::{agreement, echo_frame};
use crate::{BenchError, ENVOYS, place};

/// The interval at which a silent client is asked, and at which the others send something.
const INTERVAL: Duration = Duration::from_secs(15);

/// The length of a measurement, in beats: the number of times that every session is asked.
const BEATS: u32 = 3;

/// The number of descriptors that are for something else than sessions.
const OTHER_DESCRIPTORS: u64 = 500;

/// The number of clients that connect at once.
const CONNECTING: usize = 64;

/// The number of clients of one address; the system gives an address some 28,000 ports towards one listener.
const CLIENTS_OF_ADDRESS: usize = 10_000;

/// The length of the longest frame that is sent here, in bytes.
const CHUNK: usize = 256;

/// The figures of one round.
#[derive(Debug)]
struct Round {
    /// The microseconds of Envoy's CPU for one beat of one session.
    per_beat: f64,
    /// The bytes of the module's memory for one session.
    memory: f64,
    /// The bytes of the process's memory for one session.
    resident: f64,
}

/// The filter whose sessions are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard<'a> {
    Nobody,
    Postern,
    Native(&'a Path),
}

/// Measures `rounds` times and prints the figures.
pub(crate) async fn run(sessions: usize, rounds: usize, native: Option<&Path>) -> Result<(), BenchError> {
    let limit = descriptors()?;
    // Envoy has two for each session, and so has this process.
    let possible = usize::try_from(limit.saturating_sub(OTHER_DESCRIPTORS) / 2).unwrap_or(usize::MAX);
    let sessions = sessions.min(possible);
    println!("{sessions} sessions ({limit} descriptors a process), plaintext, a beat every {INTERVAL:?}");
    println!(
        "| round | filter | a beat, µs | ratio | module memory, B a session | process memory, B a session |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    let guards = [Some(Guard::Nobody), Some(Guard::Postern), native.map(Guard::Native)];
    for round in 1..=rounds {
        let mut echo = None;
        for guard in guards.into_iter().flatten() {
            let Round { per_beat, memory, resident } = measure(sessions, guard).await?;
            let ratio = per_beat / *echo.get_or_insert(per_beat);
            let name = guard.name();
            println!("| {round} | {name} | {per_beat:.1} | {ratio:.2} | {memory:.0} | {resident:.0} |");
        }
    }
    Ok(())
}

impl Guard<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Nobody => "none, echo",
            Self::Postern => "Postern, Ping",
            Self::Native(_) => "native, Ping",
        }
    }
}

async fn measure(sessions: usize, guard: Guard<'_>) -> Result<Round, BenchError> {
    let service = serve().await?;
    let bare = guard == Guard::Nobody;
    let scene = scene(service, guard).try_start().await?;
    place(scene.envoy().process_id(), ENVOYS);
    let beats = Arc::new(AtomicU64::new(0));
    // The first tick tells what the module has taken for itself.
    while guard == Guard::Postern && memory(&scene).await == 0.0 {
        sleep(Duration::from_millis(50)).await;
    }
    let (before, resident) = (memory(&scene).await, scene.envoy().usage().memory);
    let mut clients = connect(&scene, sessions, bare, &beats).await?;
    // The work of the handshakes is over by then, and every session is half-way between two beats.
    sleep(INTERVAL * 3 / 2).await;
    let cpu = Cpu::of(scene.envoy().process_id());
    let (used, beaten) = (cpu.now()?, beats.load(Ordering::Relaxed));
    sleep(INTERVAL * BEATS).await;
    let (used, beaten) = (cpu.now()?.saturating_sub(used), beats.load(Ordering::Relaxed) - beaten);
    let expected = sessions as u64 * u64::from(BEATS);
    if beaten < expected * 9 / 10 || clients.try_join_next().is_some() {
        return Err(BenchError::Silent { beaten, expected });
    }
    let of_session = |bytes: f64| bytes / sessions as f64;
    let memory = of_session(memory(&scene).await - before);
    let resident = of_session(scene.envoy().usage().memory.saturating_sub(resident) as f64);
    Ok(Round { per_beat: used.as_secs_f64() * 1e6 / beaten as f64, memory, resident })
}

fn scene(service: SocketAddr, guard: Guard<'_>) -> Scene {
    let liveness = json!({"ping_interval": format!("{}s", INTERVAL.as_secs()), "idle_timeout": "60s"});
    let policy = json!({"rates": [], "liveness": liveness});
    let scene = Scene::new().service(service).plaintext().policy(policy).change(|bootstrap| {
        let most =
            json!({"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000});
        if let Some(cluster) =
            bootstrap.pointer_mut("/static_resources/clusters/0").and_then(Value::as_object_mut)
        {
            cluster.insert("circuit_breakers".to_owned(), json!({"thresholds": [most]}));
        }
    });
    match guard {
        Guard::Nobody => scene.bare(),
        Guard::Postern => scene,
        Guard::Native(module) => scene.dynamic_module(module).without_sender(),
    }
}

async fn memory(scene: &RunningScene) -> f64 {
    scene.envoy().stats().await.sum("postern_memory_bytes", &[])
}

/// Returns the number of descriptors that a process may have.
fn descriptors() -> Result<u64, BenchError> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    Ok(soft.unwrap_or(1024))
}

/// Opens the sessions. Their clients answer Pings, or, to an Envoy without Postern, send something at every
/// beat.
async fn connect(
    scene: &RunningScene,
    sessions: usize,
    bare: bool,
    beats: &Arc<AtomicU64>,
) -> Result<JoinSet<std::io::Result<()>>, BenchError> {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, scene.port()));
    let places = Arc::new(Semaphore::new(CONNECTING));
    let open = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for number in 0..sessions {
        let address = u8::try_from(1 + number / CLIENTS_OF_ADDRESS).unwrap_or(u8::MAX);
        let from = SocketAddr::from(([127, 0, 1, address], 0));
        let (places, beats, open) = (Arc::clone(&places), Arc::clone(beats), Arc::clone(&open));
        clients.spawn(async move {
            let place = places.acquire_owned().await.map_err(std::io::Error::other)?;
            let mut stream = upgrade(from, to).await?;
            drop(place);
            open.fetch_add(1, Ordering::Relaxed);
            if bare { say(&mut stream, &beats).await } else { answer(&mut stream, &beats).await }
        });
    }
    while open.load(Ordering::Relaxed) < sessions as u64 {
        if let Some(ended) = clients.try_join_next() {
            ended.map_err(std::io::Error::other)??;
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(clients)
}

async fn upgrade(from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    let mut stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&Request::upgrade("/ws/idle").bytes()).await?;
    let head = head(&mut stream).await?;
    if head.starts_with("HTTP/1.1 101") { Ok(stream) } else { Err(std::io::Error::other(head)) }
}

/// Answers every Ping.
async fn answer(stream: &mut TcpStream, beats: &AtomicU64) -> std::io::Result<()> {
    loop {
        let frame = frame(stream).await?;
        stream.write_all(&Frame::pong(frame.payload).masked().bytes()).await?;
        beats.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends as many bytes as a Ping has at every beat, and waits for their echo.
async fn say(stream: &mut TcpStream, beats: &AtomicU64) -> std::io::Result<()> {
    let message = Frame::binary([7; 16]).masked().bytes();
    let mut beat = interval_at(Instant::now() + INTERVAL, INTERVAL);
    loop {
        beat.tick().await;
        stream.write_all(&message).await?;
        frame(stream).await?;
        beats.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads the next frame; nobody here sends two at once.
async fn frame(stream: &mut TcpStream) -> std::io::Result<Frame> {
    let mut chunk = Vec::new();
    loop {
        if let Some((frame, _)) = Frame::parse(&chunk) {
            return Ok(frame);
        }
        read(stream, &mut chunk).await?;
    }
}

async fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Reads without a buffer while it waits: most sessions wait most of the time.
async fn read(stream: &mut TcpStream, to: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        stream.readable().await?;
        let mut chunk = [0; CHUNK];
        match stream.try_read(&mut chunk) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                to.extend_from_slice(chunk.get(..len).unwrap_or_default());
                return Ok(());
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Serves echoes of small messages on many connections, until the program ends.
async fn serve() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.set_nodelay(true)?;
                let head = head(&mut stream).await?;
                stream.write_all(agreement(&head).as_bytes()).await?;
                let (mut unread, mut echo) = (Vec::new(), Vec::new());
                loop {
                    read(&mut stream, &mut unread).await?;
                    while let Some(length) = echo_frame(&unread, &mut echo) {
                        unread.drain(..length);
                    }
                    stream.write_all(&echo).await?;
                    (unread, echo) = (Vec::new(), Vec::new());
                }
                #[allow(unreachable_code, reason = "the type of the errors above")]
                std::io::Result::Ok(())
            });
        }
    });
    Ok(address)
}
