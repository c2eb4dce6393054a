//! Random traffic both ways, for as long as `POSTERN_SOAK_SECONDS` says, while Postern speaks in between:
//! every byte arrives as it was sent, whatever its pieces, and no client that answers is sent away. A failure
//! names its seed, and `POSTERN_SOAK_SEED` begins with another.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postern_e2e::environment;
use postern_e2e::frames::opcode;
use postern_e2e::http::RequestHead;
use postern_e2e::scene::{document, module};
use postern_e2e::upstream::accept_of;
use postern_e2e::wire::Wire;
use postern_e2e::{Frame, RunningScene, Scene, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// The length of an ordinary run, in seconds.
const SECONDS: u64 = 8;

/// The number of connections at once, half of them under `backpressure`, which sends Pings in the midst of
/// data.
const CONNECTIONS: u64 = 8;

/// The number of bytes that may be on their way: as many as Envoy and the system take before both ends read.
const AHEAD: usize = 200 * 1024;

/// The time that bytes may be on their way on a machine that does much else.
const ARRIVAL: Duration = Duration::from_secs(20);

/// Numbers that follow from a seed (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn to(&mut self, last: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % (last + 1)
    }

    fn len_to(&mut self, last: u64) -> usize {
        usize::try_from(self.to(last)).expect("a length")
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.to(n - 1) == 0
    }
}

/// The bytes on their way in one direction, without answers to Postern's own Pings.
#[derive(Default)]
struct Way {
    bytes: Mutex<VecDeque<u8>>,
    /// Says whether its speaker has nothing more to say, as far as the speaker knows.
    over: AtomicBool,
}

impl Way {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst) && self.len() == 0
    }

    fn add(&self, bytes: &[u8]) {
        self.bytes.lock().expect("a lock that no panic has poisoned").extend(bytes);
    }

    fn len(&self) -> usize {
        self.bytes.lock().expect("a lock that no panic has poisoned").len()
    }

    /// Takes the bytes that have arrived, which must be those that were sent.
    fn arrives(&self, bytes: &[u8], whose: &str) {
        let mut way = self.bytes.lock().expect("a lock that no panic has poisoned");
        assert!(way.len() >= bytes.len(), "{whose}: {bytes:02x?} was never sent");
        let sent: Vec<u8> = way.drain(..bytes.len()).collect();
        assert!(sent == bytes, "{whose}: {:02x?} came instead of {:02x?}", head(bytes), head(&sent));
    }
}

fn head(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(64)]
}

/// One end of a connection.
struct Speaker {
    name: String,
    wire: Wire,
    masks: bool,
    numbers: Numbers,
    /// The frames to be said, each with whether it answers a Ping of Postern's own.
    queue: VecDeque<(Vec<u8>, bool)>,
    /// The number of bytes of the first frame that have been said.
    said: usize,
    to: Arc<Way>,
    from: Arc<Way>,
    heartbeats: u64,
    frames: u64,
}

impl Speaker {
    fn new(name: String, wire: Wire, masks: bool, seed: u64, to: &Arc<Way>, from: &Arc<Way>) -> Self {
        let (queue, to, from) = (VecDeque::new(), Arc::clone(to), Arc::clone(from));
        Self { name, wire, masks, numbers: Numbers(seed), queue, said: 0, to, from, heartbeats: 0, frames: 0 }
    }

    fn frame(&self, opcode: u8, fin: bool, payload: Vec<u8>) -> Vec<u8> {
        let frame = Frame { fin, ..Frame::new(opcode, payload) };
        if self.masks { frame.masked().bytes() } else { frame.bytes() }
    }

    /// Thinks of a message in fragments, with Pings and unasked Pongs between them.
    fn think(&mut self) {
        let most = [0, 5, 100, 130, 5_000, 70_000][self.numbers.len_to(5)];
        let len = self.numbers.len_to(most);
        let fragments = if self.numbers.one_in(2) { 1 } else { 1 + self.numbers.len_to(4) };
        let first = [opcode::TEXT, opcode::BINARY][self.numbers.len_to(1)];
        for fragment in 1..=fragments {
            let opcode = if fragment == 1 { first } else { opcode::CONTINUATION };
            let letter = b'a' + u8::try_from(self.numbers.to(25)).expect("a letter");
            let bytes = self.frame(opcode, fragment == fragments, vec![letter; len / fragments]);
            self.queue.push_back((bytes, false));
            if self.numbers.one_in(6) {
                let control = [opcode::PING, opcode::PONG][self.numbers.len_to(1)];
                let payload = vec![b'p'; [0, 1, 16, 125][self.numbers.len_to(3)]];
                self.queue.push_back((self.frame(control, true, payload), false));
            }
        }
    }

    /// Says some of the frames in the queue.
    async fn say(&mut self) {
        if self.queue.is_empty() {
            self.think();
        }
        let waiting = self.queue.iter().map(|(bytes, _)| bytes.len()).sum::<usize>() - self.said;
        let first = self.queue.front().map_or(0, |(bytes, _)| bytes.len()) - self.said;
        let wanted = match self.numbers.to(4) {
            0 => 1,
            1 => 1 + self.numbers.len_to(20),
            2 => 1 + self.numbers.len_to(waiting as u64),
            3 => first,
            _ => waiting,
        };
        let (mut bytes, mut of_application) = (Vec::new(), Vec::new());
        while bytes.len() < wanted
            && let Some((frame, own)) = self.queue.front()
        {
            let part = &frame[self.said..frame.len().min(self.said + wanted - bytes.len())];
            bytes.extend_from_slice(part);
            if !own {
                of_application.extend_from_slice(part);
            }
            self.said += part.len();
            if self.said == frame.len() {
                self.queue.pop_front();
                self.said = 0;
            }
        }
        self.to.add(&of_application);
        self.wire.write(&bytes).await.unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Hears the frames that have come whole, and answers Pings at the next place for that. Says whether
    /// there were any.
    fn hear(&mut self) -> bool {
        let mut asked = false;
        while let Some((frame, len)) = Frame::parse(self.wire.unread()) {
            // The frame may need an answer, which is not said yet.
            self.to.over.store(false, Ordering::SeqCst);
            let bytes = self.wire.take(len);
            let own = frame.is_heartbeat();
            if own {
                self.heartbeats += 1;
            } else {
                self.from.arrives(&bytes, &self.name);
                self.frames += 1;
            }
            assert!(!frame.is_close(), "{}: {frame:?}", self.name);
            if frame.opcode == opcode::PING {
                asked = true;
                let pong = self.frame(opcode::PONG, true, frame.payload);
                self.queue.insert(usize::from(self.said > 0), (pong, own));
            }
        }
        asked
    }

    /// Talks and listens until `end`, and then listens until everything has come.
    async fn live(mut self, end: Instant) -> Self {
        let mut next = Instant::now();
        loop {
            let talks = Instant::now() < end || !self.queue.is_empty();
            self.to.over.store(!talks, Ordering::SeqCst);
            if self.to.is_over() && self.from.is_over() {
                return self;
            }
            let due = if talks && self.to.len() < AHEAD {
                next
            } else {
                Instant::now() + Duration::from_millis(50)
            };
            tokio::select! {
                filled = self.wire.fill() => {
                    filled.unwrap_or_else(|ending| panic!("{}: {ending:?}", self.name));
                    if self.hear() {
                        next = Instant::now();
                    }
                }
                () = sleep_until(due) => if talks && self.to.len() < AHEAD {
                    self.say().await;
                    // The pause is short in most cases; now and then it is so long that Postern asks whether
                    // anybody is there.
                    let pause = if self.numbers.one_in(60) { self.numbers.to(2_500) } else { self.numbers.to(4) };
                    next = Instant::now() + Duration::from_millis(pause);
                }
            }
        }
    }
}

/// Starts a service whose ends of the connections the test holds itself.
async fn service() -> (SocketAddr, mpsc::UnboundedReceiver<Wire>) {
    let listener = environment::listener().await;
    let address = listener.local_addr().expect("the port just bound");
    let (arrivals, arrived) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a TCP stream");
            let mut wire = Wire::new(stream);
            let head = RequestHead::read(&mut wire).await.expect("a request");
            let accept = accept_of(&head.headers.get("sec-websocket-key").expect("a key"));
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            wire.write(answer.as_bytes()).await.expect("an open connection");
            arrivals.send(wire).expect("a test that is there");
        }
    });
    (address, arrived)
}

fn scene(service: SocketAddr) -> Scene {
    let policy = json!({
        "messages": {"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB", "max_fragments": 1000},
        "rates": [],
        "liveness": {"ping_interval": "1s", "pong_timeout": "10s", "idle_timeout": "30s"},
    });
    let mut marked = policy.clone();
    // The backlog is large, since a speaker that pauses answers late, and is sent much meanwhile.
    marked["backpressure"] = json!({"max_backlog_bytes": "16MiB"});
    Scene::new()
        .service(service)
        .workers(2)
        .document(document(json!({}), json!({"quiet": policy, "marked": marked})))
}

async fn soak(scene: &RunningScene, arrived: &mut mpsc::UnboundedReceiver<Wire>, seed: u64, time: Duration) {
    let end = Instant::now() + time;
    let mut speakers = JoinSet::new();
    for number in 0..CONNECTIONS {
        let path = if number % 2 == 0 { "/ws/quiet" } else { "/ws/marked" };
        let client = scene.open(path).await.into_wire();
        let upstream = arrived.recv().await.expect("a connection at the service");
        let (up, down) = (Arc::default(), Arc::default());
        let seed = seed.wrapping_add(number << 32);
        let name = |whose| format!("{whose} of {path} {number} (seed {seed})");
        let client = Speaker::new(name("the client"), client, true, seed, &up, &down);
        let upstream = Speaker::new(name("the service"), upstream, false, !seed, &down, &up);
        for speaker in [client, upstream] {
            speakers.spawn(async move {
                timeout(time + ARRIVAL, speaker.live(end)).await.expect("everything arrives")
            });
        }
    }
    let (mut heartbeats, mut frames) = ([0; 2], 0);
    for speaker in speakers.join_all().await {
        heartbeats[usize::from(!speaker.masks)] += speaker.heartbeats;
        frames += speaker.frames;
    }
    println!("{frames} frames; Postern's Pings to clients and to the service: {heartbeats:?}");
    assert!(frames > 1000 && heartbeats[0] > 10, "{frames} frames, {heartbeats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_arrives_as_it_was_sent_while_postern_speaks_in_between() {
    let time = Duration::from_secs(variable("POSTERN_SOAK_SECONDS").unwrap_or(SECONDS));
    let seed = variable("POSTERN_SOAK_SEED").unwrap_or(1);
    for plaintext in [true, false] {
        let (address, mut arrived) = service().await;
        let scene =
            if plaintext { scene(address).plaintext() } else { without_network_filter(scene(address)) };
        let scene = scene.start().await;
        soak(&scene, &mut arrived, seed, time / 2).await;
        assert_eq!(scene.envoy().stats().await.sum("postern_closes", &[]), 0.0);
    }
}

/// Has the dynamic module, if it is under test, speak to the service by nothing but the streams themselves.
fn without_network_filter(scene: Scene) -> Scene {
    if !module::is_native() {
        return scene;
    }
    scene.change_connection_manager(|manager| module::put_unaided(manager, Some(0)))
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}
