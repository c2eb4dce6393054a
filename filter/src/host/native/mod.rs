//! The host calls of a dynamic module: a library that Envoy has loaded into its own process.
//!
//! Here nothing is between Postern and Envoy: what the host must never see, a panic, ends in [`abi`], and what workers share is
//! memory of the process.

mod abi;
mod callback;
mod callouts;
mod chunk;
mod configurations;
mod connections;
mod counts;
mod kept;
mod metrics;
mod owed_counts;
mod route_configurations;
mod senders;
mod series;
mod shared_data;
mod streams;
mod ticker;
mod verification;
mod worker;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postern_engine::http::headers::{Field, HeaderEdit};
use postern_engine::{ConnectionFacts, Peer, Protocol, RouteFacts};

use super::{Message, parse_address};
use abi::calls::{Attribute, Fields, Filter};
use callback::Effect;
pub(crate) use callback::enter;
pub(crate) use callouts::{answer_body, answer_status, ask_rate_limit, get, grpc_answer};
pub(crate) use chunk::{HostChunk, send_parked};
pub(crate) use counts::{WORKERS_DIE_ALONE, each_counts, with_counts};
pub(crate) use metrics::{define_metric, increment_metric, keep_metrics_of, record_metric};
pub(crate) use owed_counts::tell_later;
use route_configurations::NAMESPACE;
pub(crate) use shared_data::{set_shared, shared, swap_shared};
pub(crate) use worker::set_tick_period;

/// Returns the time since the Unix epoch.
pub(crate) fn now() -> Duration {
    // Every token has expired if there is no clock.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX)
}

/// Returns 0: the process has one memory, and tells what it takes in metrics of its own.
pub(crate) fn memory() -> u64 {
    0
}

/// Says whether it is Envoy's main thread that calls, which has all configurations and no stream.
pub(crate) fn is_on_main_thread() -> bool {
    callback::current().is_some_and(|current| current.stream.is_none())
}

/// Returns every field of a message.
pub(crate) fn fields(message: Message) -> Vec<Field> {
    filter().map(|filter| filter.fields(message.into())).unwrap_or_default()
}

/// Returns one field of a message.
pub(crate) fn field(message: Message, name: &str) -> Option<Vec<u8>> {
    filter()?.field(message.into(), name)
}

/// Changes fields of a message.
pub(crate) fn edit(message: Message, edits: &[HeaderEdit]) {
    let Some(filter) = filter() else { return };
    let message = message.into();
    for edit in edits {
        match edit {
            HeaderEdit::Add(name, value) => filter.add_field(message, name, value),
            HeaderEdit::Remove(name) => filter.set_field(message, name, None),
            HeaderEdit::Set(name, value) => filter.set_field(message, name, Some(value)),
        }
    }
    // As after an edit by a guest of proxy-wasm: routes may be chosen by what Postern sets or takes out.
    if matches!(message, Fields::Request) && !edits.is_empty() {
        filter.clear_route_cache();
    }
}

/// Answers in the upstream's place; for header callbacks, which must pause then.
pub(crate) fn reply(status: u16, headers: &[(&'static str, String)], body: &[u8]) {
    callback::put_off(Effect::Reply { status, fields: headers.to_vec(), body: body.to_vec() });
}

/// Cuts the stream.
pub(crate) fn reset() {
    callback::put_off(Effect::Reset);
}

/// Lets the bytes of `sender` go on. Returns false when the host does not: what is the upstream's is never kept.
#[must_use]
pub(crate) fn resume(sender: Peer) -> bool {
    sender == Peer::Client && callback::put_off(Effect::ContinueRequest)
}

/// Keeps a field for the access log: `%FILTER_STATE(wasm.postern.<name>:PLAIN)%`, as the module of WebAssembly names it.
pub(crate) fn set_field(name: &str, value: &str) {
    let Some((id, filter)) = callback::current().and_then(|current| current.stream) else { return };
    let key = format!("wasm.postern.{name}");
    if Filter::can_replace_state() {
        filter.set_state(&key, value.as_bytes());
    } else if let Some(entry) = worker::entry(id) {
        entry.kept.fields.borrow_mut().insert(key, value.to_owned());
    }
}

/// Returns what Envoy knows of the downstream connection.
pub(crate) fn connection() -> ConnectionFacts {
    let Some(filter) = filter() else { return ConnectionFacts::default() };
    let tls = filter.text(Attribute::TlsVersion).is_some_and(|version| !version.is_empty());
    ConnectionFacts {
        tls,
        mutual_tls: tls && filter.is_true(Attribute::Mtls),
        protocol: match filter.text(Attribute::Protocol).as_deref() {
            Some(b"HTTP/1.0") => Protocol::Http10,
            Some(b"HTTP/2" | b"HTTP/3") => Protocol::Multiplexed,
            _ => Protocol::Http11,
        },
        client: client_address(),
    }
}

/// Returns the client's address, as far as it has one.
pub(crate) fn client_address() -> Option<std::net::IpAddr> {
    filter()?.text(Attribute::SourceAddress).and_then(|address| parse_address(&address))
}

/// Returns what tells this filter from others of the same Envoy: its name.
pub(crate) fn plugin() -> Vec<u8> {
    let configuration = callback::current().and_then(|current| configurations::get(current.configuration));
    configuration.map(|configuration| configuration.name.clone()).unwrap_or_default()
}

/// Returns what Envoy knows of the route.
pub(crate) fn route() -> RouteFacts {
    let Some(filter) = filter() else { return RouteFacts::default() };
    let name = filter.text(Attribute::RouteName).and_then(|name| String::from_utf8(name).ok());
    RouteFacts { name, metadata: route_metadata(filter) }
}

/// Returns what is laid over the policy of a route, as metadata under `postern`, serialised: its configuration for this filter, or
/// its typed metadata. What stands there and cannot be read makes them unreadable, and so does whatever is said in both places.
fn route_metadata(filter: Filter) -> Option<Vec<u8>> {
    /// The type of metadata that are a Struct.
    const STRUCT: &[u8] = b"type.googleapis.com/google.protobuf.Struct";
    /// No serialised message.
    const UNREADABLE: [u8; 1] = [0xff];

    let unreadable = || Some(UNREADABLE.to_vec());
    if filter.plain_route_metadata(NAMESPACE) > 0 {
        return unreadable();
    }
    match (filter.route_configuration(), filter.typed_route_metadata(NAMESPACE)) {
        (None, None) => None,
        (Some(number), None) => route_configurations::get(number).or_else(unreadable),
        (None, Some((url, value))) if url == STRUCT => Some(route_configurations::metadata(value)),
        (_, Some(_)) => unreadable(),
    }
}

fn filter() -> Option<Filter> {
    callback::current()?.stream.map(|(_, filter)| filter)
}

impl From<Message> for Fields {
    fn from(message: Message) -> Self {
        match message {
            Message::Request => Self::Request,
            Message::RequestTrailers => Self::RequestTrailers,
            Message::Response => Self::Response,
        }
    }
}
