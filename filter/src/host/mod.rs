//! The host calls. No other module makes one, or knows which host there is.
//!
//! [`wasm`] speaks to a host of proxy-wasm, as whose guest Postern is one of many VMs, and `native` to an Envoy that has loaded
//! Postern into its own process. Each of them has the same functions, and the entry points by which its host calls.

#[cfg(feature = "dynamic-module")]
mod native;
#[cfg(not(feature = "dynamic-module"))]
mod wasm;

use postern_engine::Entropy;

#[cfg(feature = "dynamic-module")]
pub(crate) use native::*;
#[cfg(not(feature = "dynamic-module"))]
pub(crate) use wasm::*;

/// The message whose header fields a call is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    Request,
    /// The trailers of a request, in their callback.
    RequestTrailers,
    Response,
}

/// The answer to a callback: what becomes of that which it brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Lets it go on.
    Continue,
    /// Has it stay with the host.
    Pause,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetricKind {
    Counter,
    Gauge,
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

/// Returns a number that is not 0; `None` when the host has no randomness.
pub(crate) fn random_number() -> Option<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).ok()?;
    Some(u64::from_be_bytes(bytes) | 1)
}

/// Parses an address, which Envoy writes with its port, IPv6 in brackets.
fn parse_address(address: &[u8]) -> Option<std::net::IpAddr> {
    let text = std::str::from_utf8(address).ok()?;
    let socket = text.parse().map(|socket: std::net::SocketAddr| socket.ip());
    socket.or_else(|_| text.parse()).ok()
}
