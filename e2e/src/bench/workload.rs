//! The workloads that are sent through Envoy.

use std::time::Duration;

use postern_e2e::{Frame, RawClient};

/// The manner in which a client sends its messages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// One message after the other: the next one once the last one of every client is back.
    PingPong,
    /// Bursts of this many messages in one write, and always one write more than what is back.
    Stream(usize),
}

/// One line of the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// The path, which decides on the policy.
    pub(crate) path: &'static str,
    /// The number of clients that send at once.
    pub(crate) clients: usize,
    pub(crate) manner: Manner,
    pub(crate) payload: Payload,
    /// The length of a message, in bytes.
    pub(crate) size: usize,
    /// The number of messages in one measurement, there and back.
    pub(crate) messages: usize,
    /// The bound on the cost of a message, in times the CPU of an Envoy without Postern.
    pub(crate) target: Option<f64>,
    /// The bound on its cost with the dynamic module, in the same measure.
    pub(crate) native_target: Option<f64>,
}

/// The kind of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload {
    Binary,
    /// Text made of this, over and over.
    Text(&'static str),
    /// These texts in turns, all of one length.
    Turns(fn() -> Vec<String>),
}

const ASCII: &str = "The quick brown fox jumps over the lazy dog. ";
/// Text with code points of one to four bytes.
const MIXED: &str = "Wörter, слова, λέξεις, 言葉, 🦊 ";

/// The path under the policy with frame rules and no rate.
pub(crate) const FRAMES: &str = "/ws/frames";
/// The path under a policy with a rate that nothing reaches.
pub(crate) const RATED: &str = "/ws/rated";

pub(crate) const KIB: usize = 1024;

/// A number of clients that keeps an Envoy busy: it wakes up for many of them at once.
pub(crate) const CROWD: usize = 64;

pub(crate) const ALL: [Workload; 10] = [
    ping_pong("64 B binary ping-pong", Payload::Binary, SHORT),
    Workload {
        clients: CROWD,
        messages: 120 * CROWD,
        ..ping_pong("64 B binary ping-pong of 64", Payload::Binary, SHORT)
    },
    Workload {
        path: RATED,
        target: None,
        native_target: None,
        ..ping_pong("64 B binary ping-pong, a rate", Payload::Binary, SHORT)
    },
    stream("1 KiB binary stream", Payload::Binary, KIB, LONG),
    stream("64 KiB binary stream", Payload::Binary, 64 * KIB, (1.05, 1.02)),
    ping_pong("64 B text ping-pong", Payload::Text(ASCII), TEXT),
    stream("1 KiB text stream", Payload::Text(ASCII), KIB, TEXT),
    stream("64 KiB text stream", Payload::Text(ASCII), 64 * KIB, TEXT),
    stream("1 KiB multi-byte text stream", Payload::Text(MIXED), KIB, TEXT),
    stream("64 KiB multi-byte text stream", Payload::Text(MIXED), 64 * KIB, TEXT),
];

/// The bounds on what messages cost, with the module of WebAssembly and with the dynamic module.
type Targets = (f64, f64);

const SHORT: Targets = (1.10, 1.03);
const LONG: Targets = (1.05, 1.03);
const TEXT: Targets = (1.25, 1.15);

const fn ping_pong(name: &'static str, payload: Payload, (target, native_target): Targets) -> Workload {
    Workload {
        name,
        path: FRAMES,
        clients: 1,
        manner: Manner::PingPong,
        payload,
        size: 64,
        messages: 2000,
        target: Some(target),
        native_target: Some(native_target),
    }
}

/// Returns a workload of 16 MiB in messages of 1 KiB, or 48 MiB in messages of 64 KiB; each way.
const fn stream(
    name: &'static str,
    payload: Payload,
    size: usize,
    (target, native_target): Targets,
) -> Workload {
    let (batch, messages) = if size < 64 * KIB { (64, 16 * KIB) } else { (2, 768) };
    Workload {
        name,
        path: FRAMES,
        clients: 1,
        manner: Manner::Stream(batch),
        payload,
        size,
        messages,
        target: Some(target),
        native_target: Some(native_target),
    }
}

impl Workload {
    /// Sends the messages and receives them all back, each of the clients its part.
    pub(crate) async fn run(&self, clients: &mut [RawClient]) {
        let frames = self.frames();
        let received = frames.first().map_or(0, |frame| frame.bytes().len());
        let sent: Vec<Vec<u8>> = frames.into_iter().map(|frame| frame.masked().bytes()).collect();
        match self.manner {
            Manner::PingPong => {
                for sent in sent.iter().cycle().take(self.messages / clients.len()) {
                    send(clients, sent).await;
                    expect(clients, received).await;
                }
            }
            Manner::Stream(batch) => {
                let sent: Vec<u8> = sent.iter().cycle().take(batch).flatten().copied().collect();
                send(clients, &sent).await;
                for _ in 1..self.messages / batch / clients.len() {
                    send(clients, &sent).await;
                    expect(clients, received * batch).await;
                }
                expect(clients, received * batch).await;
            }
        }
    }

    /// Returns the cost of one message out of that of a whole run.
    pub(crate) fn per_message(&self, used: Duration) -> f64 {
        used.as_secs_f64() * 1e6 / self.messages as f64
    }

    /// Returns the messages that take turns, at least one.
    fn frames(&self) -> Vec<Frame> {
        match self.payload {
            Payload::Binary => vec![Frame::binary(vec![0xa5; self.size])],
            Payload::Text(text) => {
                let mut whole = text.repeat(self.size / text.len() + 1);
                whole.truncate(whole.floor_char_boundary(self.size));
                // The bytes that are cut off of the last code point are made up for, so that sizes stay the
                // same.
                whole.push_str(&"-".repeat(self.size - whole.len()));
                vec![Frame::text(&whole)]
            }
            Payload::Turns(texts) => texts().iter().map(|text| Frame::text(text)).collect(),
        }
    }
}

async fn send(clients: &mut [RawClient], bytes: &[u8]) {
    for client in clients {
        client.send(bytes).await;
    }
}

async fn expect(clients: &mut [RawClient], bytes: usize) {
    for client in clients {
        let echo = client.bytes(bytes).await;
        assert!(echo.is_ok(), "the connection ended: {echo:?}");
    }
}
