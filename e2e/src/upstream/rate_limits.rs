//! A rate limit service, in this process: Envoy's protocol over gRPC, by frames of HTTP/2 and bytes of protobuf. It counts
//! without windows, and answers soundly or not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{SendResponse, handshake};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::deadline::{PATIENCE, eventually};
use crate::environment;

const METHOD: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// A question or a report, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The domain.
    pub domain: String,
    /// The entries of each descriptor, as `key=value`.
    pub descriptors: Vec<Vec<String>>,
    /// The number of hits.
    pub hits: u64,
}

/// A way to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// By the limits.
    #[default]
    Sound,
    /// Never.
    Silent,
    /// By the limits, after this time.
    Slow(Duration),
    /// With these bytes in the place of a message.
    Bytes(Vec<u8>),
    /// With this gRPC status and no message.
    Status(u16),
}

#[derive(Debug, Default)]
struct State {
    /// The most hits of a descriptor, by its first entry.
    limits: Mutex<BTreeMap<String, u64>>,
    counts: Mutex<BTreeMap<Vec<String>, u64>>,
    asked: Mutex<Vec<Asked>>,
    manner: Mutex<Manner>,
}

/// A running service; it ends when it is dropped.
#[derive(Debug)]
pub struct RateLimits {
    address: SocketAddr,
    state: Arc<State>,
    serving: Option<JoinSet<()>>,
}

impl RateLimits {
    /// The seconds until its limits are reset, as its answers say.
    pub const RESET: u8 = 7;

    /// Starts a service on a free port, that limits nothing.
    pub async fn start() -> Self {
        let listener = environment::listener().await;
        let address = listener.local_addr().expect("the port just bound");
        let mut service = Self { address, state: Arc::default(), serving: None };
        service.listen(listener);
        service
    }

    /// Returns the address at which the service listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Limits every descriptor whose first entry is `count=<counted>` to this number of hits.
    pub fn limit(&self, counted: &str, hits: u64) {
        self.state.limits.lock().expect("a sound lock").insert(format!("count={counted}"), hits);
    }

    /// Forgets what was counted.
    pub fn reset(&self) {
        self.state.counts.lock().expect("a sound lock").clear();
    }

    /// Forgets what was counted of the descriptor that has this entry alone.
    pub fn forget(&self, entry: &str) {
        self.state.counts.lock().expect("a sound lock").remove(&[entry.to_owned()][..]);
    }

    /// Answers in this manner from now on.
    pub fn answer(&self, manner: Manner) {
        *self.state.manner.lock().expect("a sound lock") = manner;
    }

    /// Returns all that was asked whose first entry is `count=<counted>`.
    pub fn asked(&self, counted: &str) -> Vec<Asked> {
        let first = format!("count={counted}");
        let asked = self.state.asked.lock().expect("a sound lock");
        let is_first = |entries: &Vec<String>| entries.first() == Some(&first);
        asked.iter().filter(|asked| asked.descriptors.iter().any(is_first)).cloned().collect()
    }

    /// Returns the number of hits of what was asked.
    pub fn hits(&self, counted: &str) -> u64 {
        self.asked(counted).iter().map(|asked| asked.hits).sum()
    }

    /// Waits until there were at least `hits` hits.
    pub async fn hits_become(&self, counted: &str, hits: u64) {
        eventually(PATIENCE, &format!("{hits} {counted}"), || (self.hits(counted) >= hits).then_some(()))
            .await;
    }

    /// Stops the service: nobody listens any more, and what was open is cut.
    pub async fn stop(&mut self) {
        if let Some(mut serving) = self.serving.take() {
            serving.shutdown().await;
        }
    }

    /// Starts the service again at the same address, with what it has counted.
    pub async fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the port that was free before");
        self.listen(listener);
    }

    fn listen(&mut self, listener: TcpListener) {
        let state = Arc::clone(&self.state);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(Arc::clone(&state).serve(stream));
            }
        });
        self.serving = Some(serving);
    }
}

impl State {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let Ok(mut connection) = handshake(stream).await else { return };
        let mut calls = JoinSet::new();
        while let Some(Ok((request, respond))) = connection.accept().await {
            calls.spawn(Arc::clone(&self).answer(request, respond));
        }
    }

    async fn answer(self: Arc<Self>, request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
        assert_eq!(request.uri().path(), METHOD);
        let mut body = request.into_body();
        let mut message = Vec::new();
        while let Some(Ok(bytes)) = body.data().await {
            let _ = body.flow_control().release_capacity(bytes.len());
            message.extend(bytes);
        }
        let asked = read(message.get(5..).expect("a message behind its length"));
        self.asked.lock().expect("a sound lock").push(asked.clone());
        let manner = self.manner.lock().expect("a sound lock").clone();
        let status = match &manner {
            Manner::Status(status) => *status,
            _ => 0,
        };
        let message = match manner {
            Manner::Silent => std::future::pending().await,
            Manner::Sound => self.judge(&asked),
            Manner::Slow(time) => {
                sleep(time).await;
                self.judge(&asked)
            }
            Manner::Bytes(bytes) => bytes,
            Manner::Status(_) => Vec::new(),
        };
        let response =
            Response::builder().header("content-type", "application/grpc").body(()).expect("a response");
        let Ok(mut stream) = respond.send_response(response, false) else { return };
        if status == 0 {
            let len = u32::try_from(message.len()).expect("a short message").to_be_bytes();
            let _ = stream.send_data([&[0][..], &len, &message].concat().into(), false);
        }
        let trailers = [("grpc-status".parse().expect("a name"), HeaderValue::from(status))];
        let _ = stream.send_trailers(HeaderMap::from_iter(trailers));
    }

    /// Counts, and returns a `RateLimitResponse`.
    fn judge(&self, asked: &Asked) -> Vec<u8> {
        const OVER: [u8; 10] = [8, 2, 0x12, 6, 8, 2, 0x22, 2, 8, RateLimits::RESET];
        const WITHIN: [u8; 6] = [8, 1, 0x12, 2, 8, 1];
        let limits = self.limits.lock().expect("a sound lock");
        let mut counts = self.counts.lock().expect("a sound lock");
        let is_over = asked.descriptors.iter().any(|entries| {
            let count = counts.entry(entries.clone()).or_default();
            // The protocol reads none as one.
            *count += asked.hits.max(1);
            entries.first().and_then(|first| limits.get(first)).is_some_and(|limit| *count > *limit)
        });
        if is_over { OVER.to_vec() } else { WITHIN.to_vec() }
    }
}

/// Reads a `RateLimitRequest`.
fn read(message: &[u8]) -> Asked {
    let mut asked = Asked { domain: String::new(), descriptors: Vec::new(), hits: 0 };
    for (field, value) in fields(message) {
        match (field, value) {
            (1, Field::Bytes(domain)) => asked.domain = text(domain),
            (2, Field::Bytes(descriptor)) => {
                let entries = fields(descriptor).into_iter().map(|(_, entry)| match entry {
                    Field::Bytes(entry) => {
                        let parts = fields(entry).into_iter().map(|(_, part)| match part {
                            Field::Bytes(part) => text(part),
                            Field::Number(number) => panic!("{number} in an entry"),
                        });
                        parts.collect::<Vec<_>>().join("=")
                    }
                    Field::Number(number) => panic!("{number} in a descriptor"),
                });
                asked.descriptors.push(entries.collect());
            }
            (3, Field::Number(hits)) => asked.hits = hits,
            (field, _) => panic!("field {field} in a request"),
        }
    }
    asked
}

enum Field<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

/// Returns the fields of a message, in order.
fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let number = varint(&mut message);
        fields.push((
            tag >> 3,
            match tag & 7 {
                0 => Field::Number(number),
                2 => {
                    let (bytes, rest) = message.split_at(usize::try_from(number).expect("a length"));
                    message = rest;
                    Field::Bytes(bytes)
                }
                kind => panic!("a field of wire type {kind}"),
            },
        ));
    }
    fields
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().expect("a whole number");
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}
