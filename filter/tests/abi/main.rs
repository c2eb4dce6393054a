//! The filter behind its real ABI, in this process.
//!
//! [`host`] is a proxy-wasm host as far as the filter needs one. The tests play Envoy, its
//! clients and its upstreams through it, and see what each of them would have got.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod body;
mod causes;
mod configuration;
mod connections;
#[path = "../../engine/tests/support/counting.rs"]
#[allow(dead_code, reason = "the engine's tests need more of it")]
mod counting;
mod csrf;
mod early_bytes;
mod envoy_drains;
mod explained;
mod fetching;
mod fixtures;
mod frames;
mod handshake;
mod held;
mod host;
mod hostile;
mod lifetime;
mod logs;
mod memory;
mod messages;
mod rate_limit;
mod sharing;
mod trailers;
mod traps;
mod verification;
