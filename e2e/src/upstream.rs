//! The service behind Envoy, in this process: it answers as a test has asked for and records what it receives. Beside
//! it: the servers that Envoy fetches [`documents`] from, a rate limit service ([`rate_limits`]), one of `ext_proc`
//! ([`processor`]), and the service of the [`demo`].

mod answer;
pub mod demo;
pub mod documents;
pub mod forwarder;
pub mod processor;
pub mod rate_limits;
pub mod record;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::{Interval, interval};

use crate::client::request::CASE;
use crate::deadline::{PATIENCE, eventually};
use crate::environment;
use crate::frames::{Frame, opcode};
use crate::http::{RequestHead, read_body};
use crate::upstream::record::Instruction;
use crate::wire::{End, Wire};

pub use answer::{Answer, accept_of};
pub use documents::{Documents, Held, Served};
pub use forwarder::{Destination, Forwarder};
pub use processor::Processor;
pub use rate_limits::{Manner, RateLimits};
pub use record::Record;

/// A way to treat a WebSocket.
#[derive(Clone, Debug, Default)]
pub enum Behaviour {
    /// Sends every data frame back, answers Ping with Pong, and Close with Close and the end of the connection.
    #[default]
    Echo,
    /// Answers Ping and Close, and sends no data.
    Recorder,
    /// Never sends a byte after the 101, whatever comes.
    Silent,
    /// Writes each of these pieces after the 101, then goes on as [`Behaviour::Echo`].
    Chatty(Vec<Vec<u8>>),
    /// Goes on as [`Behaviour::Echo`], and besides sends its next number every so often, from 0 on, as [`numbered`] has it.
    Numbering(Duration),
    /// Agrees to every upgrade, and to compression where it is offered, and goes on as [`Behaviour::Echo`]: it takes whatever
    /// nobody ahead of it refuses.
    Lenient,
    /// Answers every request with this answer, and goes on as [`Behaviour::Echo`] after a 101.
    Answer(Answer),
}

/// Returns a message of a service that numbers what it says by itself.
pub fn numbered(number: u64) -> Frame {
    Frame::text(&format!("number {number}"))
}

/// A running upstream; it ends when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    behaviours: Vec<(String, Behaviour)>,
    records: Mutex<Vec<Arc<Record>>>,
}

impl Upstream {
    /// Starts an upstream on a free port. A path gets the behaviour of the first prefix in `behaviours` that
    /// it begins with, and [`Behaviour::Echo`] without any. An ordinary request without an answer of its own
    /// gets 200 and its path.
    pub async fn start(behaviours: Vec<(String, Behaviour)>) -> Self {
        let listener = environment::listener().await;
        let address = listener.local_addr().expect("the port just bound");
        let state = Arc::new(State { behaviours, records: Mutex::default() });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).serve(stream));
            }
        });
        Self { address, state, accepting }
    }

    /// Returns the address at which the upstream listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the request with this case id.
    pub async fn record(&self, case: &str) -> Arc<Record> {
        eventually(PATIENCE, &format!("{case} at the upstream"), || self.find(case)).await
    }

    /// Says whether the request with this case id has come. The answer is final once the client has its own.
    pub fn has_seen(&self, case: &str) -> bool {
        self.find(case).is_some()
    }

    /// Returns every request so far, in the order of arrival.
    pub fn records(&self) -> Vec<Arc<Record>> {
        self.state.records.lock().expect("a lock that no panic has poisoned").clone()
    }

    fn find(&self, case: &str) -> Option<Arc<Record>> {
        self.records().into_iter().find(|record| record.header(CASE).as_deref() == Some(case))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        // Without this option the last bytes of a test may wait for an acknowledgement; a failure to set it
        // does no harm.
        let _ = stream.set_nodelay(true);
        let mut wire = Wire::new(stream);
        while let Ok(head) = RequestHead::read(&mut wire).await {
            let (record, instructions) = Record::new(head);
            let record = Arc::new(record);
            self.records.lock().expect("a lock that no panic has poisoned").push(Arc::clone(&record));
            let behaviour = self.behaviour(record.head.path());
            let scripted = matches!(behaviour, Behaviour::Answer(_));
            let outcome = if scripted || record.header("upgrade").is_some() {
                Socket { wire: &mut wire, record: &record, behaviour, instructions }.run().await
            } else {
                answer_page(&mut wire, &record).await
            };
            if let Err(end) = outcome {
                record.end(end);
                return;
            }
        }
    }

    fn behaviour(&self, path: &str) -> Behaviour {
        let found = self.behaviours.iter().find(|(prefix, _)| path.starts_with(prefix));
        found.map(|(_, behaviour)| behaviour.clone()).unwrap_or_default()
    }
}

async fn answer_page(wire: &mut Wire, record: &Record) -> Result<(), End> {
    record.add(&read_body(wire, &record.head.headers, false).await?);
    let path = record.head.path();
    let page = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{path}",
        path.len()
    );
    wire.write(page.as_bytes()).await.map_err(|_| End::Cut)
}

/// Waits until something is due, or forever.
async fn next(due: &mut Option<Interval>) {
    match due {
        Some(due) => drop(due.tick().await),
        None => std::future::pending().await,
    }
}

/// One upgraded connection, or one that asked for an upgrade.
struct Socket<'a> {
    wire: &'a mut Wire,
    record: &'a Record,
    behaviour: Behaviour,
    instructions: UnboundedReceiver<Instruction>,
}

impl Socket<'_> {
    /// Serves the connection to its end, which is returned as an error. `Ok` means that it was not upgraded,
    /// so that the next request may come on it.
    async fn run(mut self) -> Result<(), End> {
        if self.answer().await? != 101 {
            return Ok(());
        }
        if let Behaviour::Chatty(pieces) = &self.behaviour {
            for piece in pieces.clone() {
                self.write(&piece).await?;
            }
        }
        let mut due = match self.behaviour {
            Behaviour::Numbering(every) => Some(interval(every)),
            _ => None,
        };
        let mut number = 0;
        let mut incomplete = Vec::new();
        let mut reads = true;
        loop {
            tokio::select! {
                instruction = self.instructions.recv() => match instruction {
                    Some(Instruction::Send(bytes)) => self.write(&bytes).await?,
                    Some(Instruction::Read(on)) => reads = on,
                    Some(Instruction::HangUp) | None => return Err(End::Eof),
                },
                () = next(&mut due) => {
                    self.write(&numbered(number).bytes()).await?;
                    number += 1;
                }
                filled = self.wire.fill(), if reads => {
                    let unread = self.wire.unread().len();
                    let bytes = self.wire.take(unread);
                    self.record.add(&bytes);
                    filled?;
                    incomplete.extend(bytes);
                    let (frames, rest) = Frame::parse_all(&incomplete);
                    incomplete = rest.to_vec();
                    for frame in frames {
                        self.react(frame).await?;
                    }
                }
            }
        }
    }

    /// Answers the handshake and returns the status of the answer.
    async fn answer(&mut self) -> Result<u16, End> {
        let offered = self.record.header("sec-websocket-protocol").unwrap_or_default();
        let first = offered.split(',').next().unwrap_or_default().trim();
        let answer = match &self.behaviour {
            Behaviour::Answer(answer) => answer.clone(),
            Behaviour::Lenient => self.lenient_answer(first),
            _ if first.is_empty() => Answer::switching(),
            _ => Answer::switching().header("Sec-WebSocket-Protocol", first),
        };
        let key = self.record.header("sec-websocket-key").unwrap_or_default();
        self.write(&answer.bytes(&key)).await?;
        Ok(answer.status)
    }

    fn lenient_answer(&self, subprotocol: &str) -> Answer {
        let asked = self.record.header("upgrade").unwrap_or_default();
        let mut answer = match asked.as_str() {
            "websocket" => Answer::switching(),
            other => Answer::switching()
                .without("upgrade")
                .without("sec-websocket-accept")
                .header("Upgrade", other),
        };
        if !subprotocol.is_empty() {
            answer = answer.header("Sec-WebSocket-Protocol", subprotocol);
        }
        let offered = self.record.header("sec-websocket-extensions").unwrap_or_default();
        if offered.contains("permessage-deflate") {
            answer = answer.header("Sec-WebSocket-Extensions", "permessage-deflate");
        }
        answer
    }

    /// Answers a frame. After a Close the server ends the TCP connection (RFC 6455 §7.1.1).
    async fn react(&mut self, frame: Frame) -> Result<(), End> {
        let mut reply = Frame { mask: None, ..frame };
        match (&self.behaviour, reply.opcode) {
            (Behaviour::Silent, _) | (_, opcode::PONG) => return Ok(()),
            (_, opcode::PING) => reply.opcode = opcode::PONG,
            (_, opcode::CLOSE) => {
                self.write(&reply.bytes()).await?;
                return Err(End::Eof);
            }
            (Behaviour::Recorder, _) => return Ok(()),
            _ => {}
        }
        self.write(&reply.bytes()).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.wire.write(bytes).await.map_err(|_| End::Cut)
    }
}
