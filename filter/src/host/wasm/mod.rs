//! The host calls of proxy-wasm.
//!
//! The SDK panics on statuses that a call does not expect, and a panic costs a worker its VM. So its calls
//! are made only in callbacks in which the host has what they ask for, and the others go through
//! [`abi`].

mod abi;
mod capabilities;
mod chunk;
mod entry;
mod verification;

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use postern_engine::http::headers::{Field, HeaderEdit};
use postern_engine::remote::Spec;
use postern_engine::remote::rate_limit::RateLimitService;
use postern_engine::{ConnectionFacts, Peer, Protocol, RouteFacts};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, StreamType};

use super::{Message, MetricKind, parse_address, random_number};
use crate::metrics::Counts;
pub(crate) use chunk::{HostChunk, send_parked};

/// Returns the time since the Unix epoch.
pub(crate) fn now() -> Duration {
    // Every token has expired if there is no clock.
    let time = hostcalls::get_current_time().ok();
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or(Duration::MAX)
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
fn call(name: &str, argument: &[u8]) -> Option<Vec<u8>> {
    abi::call_foreign_function(name, argument)
}

/// Sets a shared value, whoever set it last, and says whether the host did.
pub(crate) fn set_shared(key: &str, value: &[u8]) -> bool {
    hostcalls::set_shared_data(key, Some(value), None).is_ok()
}

/// Defines a metric by its whole name.
pub(crate) fn define_metric(kind: MetricKind, name: &str) -> Option<u32> {
    let kind = match kind {
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Gauge => MetricType::Gauge,
    };
    hostcalls::define_metric(kind, name).ok()
}

/// Adds to a metric.
pub(crate) fn increment_metric(id: u32, by: i64) {
    let _ = hostcalls::increment_metric(id, by);
}

/// Does nothing: the host keeps what is counted for as long as the VM is there.
pub(crate) fn keep_metrics_of<'p>(_policies: impl Iterator<Item = &'p str>) {}

/// Says whether a worker can die while others live on. A VM that traps does.
pub(crate) const WORKERS_DIE_ALONE: bool = true;

/// Does `change`, which counts nothing by itself, to what this VM has counted.
pub(crate) fn with_counts<T>(change: impl FnOnce(&mut Counts) -> T) -> T {
    thread_local! {
        static COUNTS: RefCell<Counts> = RefCell::new(Counts::new(random_number().unwrap_or(1)));
    }
    COUNTS.with_borrow_mut(change)
}

/// Does `take` to all counts that are told here: this VM's.
pub(crate) fn each_counts(take: impl FnMut(&mut Counts)) {
    with_counts(take);
}

/// Does `count`: the host keeps nothing of what counts.
pub(crate) fn tell_later(count: impl FnOnce()) {
    count();
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

fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
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
