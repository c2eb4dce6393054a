//! The host calls. No other module names one.
//!
//! The SDK panics on statuses that a call does not expect, and a panic costs a worker its VM. So its calls
//! are made only in callbacks in which the host has what they ask for, and the others go through
//! [`abi`](crate::abi).

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use postern_engine::http::headers::{Field, HeaderEdit};
use postern_engine::remote::Spec;
use postern_engine::remote::rate_limit::RateLimitService;
use postern_engine::{
    Blocks, Chunk, ConnectionFacts, Entropy, Passage, Peer, Piece, Protocol, RouteFacts, Unreadable,
};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, StreamType};

use crate::abi;

/// The message whose header fields a call is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    Request,
    /// The trailers of a request, in their callback.
    RequestTrailers,
    Response,
}

/// Returns the time since the Unix epoch.
pub(crate) fn now() -> Duration {
    // Every token has expired if there is no clock.
    let time = hostcalls::get_current_time().ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or(Duration::MAX)
}

/// Returns fresh randomness; `None` when the host has none.
pub(crate) fn entropy() -> Option<Entropy> {
    // One call fetches all of it.
    let mut bytes = [0; 56];
    getrandom::fill(&mut bytes).ok()?;
    let (&key, bytes) = bytes.split_first_chunk()?;
    let (&ping, bytes) = bytes.split_first_chunk()?;
    let (&instance, bytes) = bytes.split_first_chunk()?;
    let (&mask, bytes) = bytes.split_first_chunk()?;
    let (&session, []) = bytes.split_first_chunk()? else { return None };
    Some(Entropy { key, mask, ping, instance, session })
}

/// Returns sixteen random bytes; `None` when the host has no randomness.
pub(crate) fn random_seed() -> Option<[u8; 16]> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed).ok()?;
    Some(seed)
}

/// Returns the number of bytes of memory that the module has taken from its host, and never gives back.
pub(crate) fn memory() -> u64 {
    #[cfg(target_arch = "wasm32")]
    let pages = core::arch::wasm32::memory_size(0);
    #[cfg(not(target_arch = "wasm32"))]
    let pages = 0_usize;
    /// The size of a page of linear memory, in bytes.
    const PAGE: u64 = 64 * 1024;
    PAGE.saturating_mul(u64::try_from(pages).unwrap_or(0))
}

/// Returns the plugin's configuration; for `on_configure`.
pub(crate) fn configuration() -> Vec<u8> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX).ok().flatten().unwrap_or_default()
}

/// Returns a number that is not 0; `None` when the host has no randomness.
pub(crate) fn random_number() -> Option<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).ok()?;
    Some(u64::from_be_bytes(bytes) | 1)
}

/// Asks an Envoy cluster for a document; for callbacks of a root context. Returns the number that names the
/// call in the callback with its answer, if there will be one.
pub(crate) fn get(spec: &Spec) -> Option<u32> {
    // Envoy takes 0 for no timeout at all, and has a signed number for it.
    let timeout = spec.timeout.clamp(Duration::from_millis(1), Duration::from_secs(24 * 3600));
    let headers = vec![
        (":method", "GET"),
        (":scheme", &spec.scheme),
        (":authority", &spec.authority),
        (":path", &spec.path),
        ("accept", "application/json"),
        ("user-agent", "postern"),
    ];
    hostcalls::dispatch_http_call(&spec.cluster, headers, None, Vec::new(), timeout).ok()
}

/// Asks the rate limit service with a serialised `RateLimitRequest`; for callbacks of any context, and always on
/// behalf of the root context. Returns the number that names the call in the callback with its answer, if there
/// will be one.
///
/// Envoy answers a target that is a serialised `GrpcService` with no status but those that the SDK expects: an
/// unknown cluster is an internal failure, as is one without a host.
pub(crate) fn ask_rate_limit(service: &RateLimitService, message: &[u8]) -> Option<u32> {
    let timeout = service.timeout().clamp(Duration::from_millis(1), Duration::from_secs(24 * 3600));
    let (name, method) = ("envoy.service.ratelimit.v3.RateLimitService", "ShouldRateLimit");
    let metadata = Vec::new();
    hostcalls::dispatch_grpc_call(service.target(), name, method, metadata, Some(message), timeout).ok()
}

/// Returns the first `max` bytes of the message that answered a gRPC call; for the callback with it.
pub(crate) fn grpc_answer(max: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::GrpcReceiveBuffer, 0, max).ok().flatten().unwrap_or_default()
}

/// Returns the status of the answer to a call; for the callback with an answer that has header fields.
pub(crate) fn answer_status() -> Vec<u8> {
    hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status")
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Returns the first `max` bytes of the answer's body; for the callback with an answer.
pub(crate) fn answer_body(max: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, max).ok().flatten().unwrap_or_default()
}

/// Asks for `on_tick` at this interval.
pub(crate) fn set_tick_period(period: Duration) {
    let _ = hostcalls::set_tick_period(period);
}

/// Makes the stream `context_id` the one that calls are about; for `on_tick`.
pub(crate) fn enter(context_id: u32) -> bool {
    hostcalls::set_effective_context(context_id).is_ok()
}

/// Returns every field of a message; for its header callback.
pub(crate) fn fields(message: Message) -> Vec<Field> {
    hostcalls::get_map_bytes(message.map()).unwrap_or_default()
}

/// Returns one field of a message; for its header callback.
pub(crate) fn field(message: Message, name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(message.map(), name).ok().flatten()
}

/// Changes fields of a message; for its header callback.
pub(crate) fn edit(message: Message, edits: &[HeaderEdit]) {
    for edit in edits {
        let _ = match edit {
            HeaderEdit::Add(name, value) => hostcalls::add_map_value_bytes(message.map(), name, value),
            HeaderEdit::Remove(name) => hostcalls::remove_map_value(message.map(), name),
            HeaderEdit::Set(name, value) => hostcalls::set_map_value_bytes(message.map(), name, Some(value)),
        };
    }
}

/// Answers in the upstream's place; for header callbacks, which must pause then.
pub(crate) fn reply(status: u16, headers: &[(&str, String)], body: &[u8]) {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _ = hostcalls::send_http_response(u32::from(status), headers, Some(body));
}

/// Cuts the stream.
pub(crate) fn reset() {
    abi::close_stream(StreamType::HttpRequest);
}

/// The chunk that a body callback is about, or what is paused of it. Its bytes stay with the host but for the
/// window that was last looked at.
#[derive(Debug)]
pub(crate) struct HostChunk {
    sender: Peer,
    len: usize,
    window: Vec<u8>,
    window_start: usize,
}

/// The number of bytes that are fetched when fewer are asked for. A call costs as much as the copying of tens
/// of kilobytes, since the host calls back for memory. So many bytes are fetched at once while frames lie
/// close together, and little more than the next header behind a long payload.
const FIRST_WINDOW: usize = 16 * 1024;
const DENSE_WINDOW: usize = 64 * 1024;
const SPARSE_WINDOW: usize = 1024;
const LONG_PAYLOAD: usize = 8 * 1024;

/// The number of bytes that are put into a buffer at a time: bytes that are held in blocks should not be
/// there once more in one piece.
const PART: usize = 64 * 1024;

impl HostChunk {
    /// Creates the view of a chunk of `len` bytes from `sender`.
    pub(crate) fn new(sender: Peer, len: usize) -> Self {
        Self { sender, len, window: Vec::new(), window_start: 0 }
    }

    /// Leaves of the chunk what goes on, and returns false when the host did not do that.
    #[must_use]
    pub(crate) fn pass(&mut self, passage: &Passage) -> bool {
        let (buffer, len) = (buffer(self.sender), self.len);
        let Passage { before, keep, rest, park: _, resume: _, hold: _ } = passage;
        // Envoy's buffer takes bytes before all, behind all, or in the place of all.
        match (before.is_empty(), *keep == len, rest.as_slice()) {
            (true, true, []) => true,
            // The chunk need not be read for this.
            (false, true, []) if before.len() <= PART => abi::set_buffer(buffer, 0, 0, &before.to_vec(0)),
            (true, true, [Piece::Other(after)]) => write(buffer, len..len, after.len(), after.iter()),
            (_, _, []) if *keep == 0 => write(buffer, 0..len, before.len(), before.iter()),
            _ => {
                let chunk = self.window(0..len);
                chunk.is_ok_and(|chunk| write(buffer, 0..len, passage.len(), passage.pieces(chunk)))
            }
        }
    }
}

impl Chunk for HostChunk {
    fn len(&self) -> usize {
        self.len
    }

    fn at_hand(&mut self, range: Range<usize>) -> Result<&[u8], Unreadable> {
        let window_end = self.window_start + self.window.len();
        if range.start < self.window_start || range.end > window_end {
            let window = match range.start.saturating_sub(window_end) {
                LONG_PAYLOAD.. => SPARSE_WINDOW,
                _ if window_end == 0 => FIRST_WINDOW,
                _ => DENSE_WINDOW,
            };
            let wanted = range.len().max(window).min(self.len.saturating_sub(range.start));
            let window = hostcalls::get_buffer(buffer(self.sender), range.start, wanted);
            self.window = window.ok().flatten().filter(|window| window.len() == wanted).ok_or(Unreadable)?;
            self.window_start = range.start;
        }
        let start = range.start.saturating_sub(self.window_start);
        self.window.get(start..).filter(|bytes| bytes.len() >= range.len()).ok_or(Unreadable)
    }
}

/// Puts `pieces`, of `len` bytes together, in the place of the bytes of a buffer at `range`, which is all of
/// it, or empty at its end. Returns false when the host did not do that.
fn write<'a>(
    buffer: BufferType,
    range: Range<usize>,
    len: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> bool {
    let (mut start, mut replaced) = (range.start, range.len());
    let mut part = Vec::with_capacity(len.min(PART));
    let mut put = |part: &mut Vec<u8>| {
        let is_put = abi::set_buffer(buffer, start, replaced, part);
        (start, replaced) = (start.saturating_add(part.len()), 0);
        part.clear();
        is_put
    };
    for piece in pieces {
        if part.len().saturating_add(piece.len()) > PART && !part.is_empty() && !put(&mut part) {
            return false;
        }
        part.extend_from_slice(piece);
    }
    put(&mut part)
}

/// Sends `frames` on the stream towards `receiver`, which is paused and empty, and lets it go on. Returns
/// false when the host did not do that.
#[must_use]
pub(crate) fn send_parked(receiver: Peer, frames: &Blocks) -> bool {
    let (buffer, stream) = match receiver {
        Peer::Client => (BufferType::HttpResponseBody, StreamType::HttpResponse),
        Peer::Upstream => (BufferType::HttpRequestBody, StreamType::HttpRequest),
    };
    write(buffer, 0..0, frames.len(), frames.iter()) && abi::continue_stream(stream)
}

/// Lets the bytes of `sender` go on, at the end of the callback that this is called in. Returns false when
/// the host does not.
#[must_use]
pub(crate) fn resume(sender: Peer) -> bool {
    abi::continue_stream(match sender {
        Peer::Client => StreamType::HttpRequest,
        Peer::Upstream => StreamType::HttpResponse,
    })
}

/// Keeps a field for the access log: `%FILTER_STATE(wasm.postern.<name>:PLAIN)%`.
pub(crate) fn set_field(name: &str, value: &str) {
    abi::set_property(&format!("postern.{name}"), value.as_bytes());
}

/// Returns a value that all workers share, and the number to swap it by.
pub(crate) fn shared(key: &str) -> (Vec<u8>, Option<u32>) {
    match hostcalls::get_shared_data(key) {
        Ok((value, cas)) => (value.unwrap_or_default(), cas),
        Err(_) => (Vec::new(), None),
    }
}

/// Swaps a shared value; returns false when somebody else was faster.
pub(crate) fn swap_shared(key: &str, value: &[u8], cas: Option<u32>) -> bool {
    // This number is never given out: the host creates a key whatever the number, and does not overwrite one
    // that another worker has created in the meantime.
    const ABSENT: u32 = u32::MAX;
    hostcalls::set_shared_data(key, Some(value), Some(cas.unwrap_or(ABSENT))).is_ok()
}

/// Returns the answer of the host's function of this name to `argument`; `None` when there is none, or it
/// fails.
pub(crate) fn call(name: &str, argument: &[u8]) -> Option<Vec<u8>> {
    abi::call_foreign_function(name, argument)
}

/// Sets a shared value, whoever set it last, and says whether the host did.
pub(crate) fn set_shared(key: &str, value: &[u8]) -> bool {
    hostcalls::set_shared_data(key, Some(value), None).is_ok()
}

/// Defines a metric by its whole name.
pub(crate) fn define_metric(kind: MetricType, name: &str) -> Option<u32> {
    hostcalls::define_metric(kind, name).ok()
}

/// Adds to a metric.
pub(crate) fn increment_metric(id: u32, by: i64) {
    let _ = hostcalls::increment_metric(id, by);
}

/// Adds a value to a histogram, or sets a gauge.
pub(crate) fn record_metric(id: u32, value: u64) {
    let _ = hostcalls::record_metric(id, value);
}

/// Returns what Envoy knows of the downstream connection.
pub(crate) fn connection() -> ConnectionFacts {
    let tls = property(&["connection", "tls_version"]).is_some_and(|version| !version.is_empty());
    ConnectionFacts {
        tls,
        mutual_tls: tls && property(&["connection", "mtls"]).is_some_and(|flag| flag == [1]),
        protocol: match property(&["request", "protocol"]).as_deref() {
            Some(b"HTTP/1.0") => Protocol::Http10,
            Some(b"HTTP/2" | b"HTTP/3") => Protocol::Multiplexed,
            _ => Protocol::Http11,
        },
        client: client_address(),
    }
}

/// Returns the client's address, as far as it has one.
pub(crate) fn client_address() -> Option<std::net::IpAddr> {
    property(&["source", "address"]).and_then(|address| parse_address(&address))
}

/// Returns what tells this filter from others of the same Envoy: its name and root id.
pub(crate) fn plugin() -> Vec<u8> {
    let [name, root] = ["plugin_name", "plugin_root_id"].map(|path| property(&[path]).unwrap_or_default());
    [&(name.len() as u64).to_be_bytes()[..], &name, &root].concat()
}

/// Returns what Envoy knows of the route.
pub(crate) fn route() -> RouteFacts {
    RouteFacts {
        name: property(&["xds", "route_name"]).and_then(|name| String::from_utf8(name).ok()),
        metadata: property(&["xds", "route_metadata"]),
    }
}

/// Parses an address, which Envoy writes with its port, IPv6 in brackets.
fn parse_address(address: &[u8]) -> Option<std::net::IpAddr> {
    let text = std::str::from_utf8(address).ok()?;
    let socket = text.parse().map(|socket: std::net::SocketAddr| socket.ip());
    socket.or_else(|_| text.parse()).ok()
}

fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

fn buffer(sender: Peer) -> BufferType {
    match sender {
        Peer::Client => BufferType::HttpRequestBody,
        Peer::Upstream => BufferType::HttpResponseBody,
    }
}

impl Message {
    fn map(self) -> MapType {
        match self {
            Self::Request => MapType::HttpRequestHeaders,
            Self::RequestTrailers => MapType::HttpRequestTrailers,
            Self::Response => MapType::HttpResponseHeaders,
        }
    }
}
