//! The proxy-wasm filter, which performs in Envoy what [`postern_engine`] decides.
//!
//! Nothing is decided here. A callback becomes an input of the engine, an output of the engine becomes a host
//! call, and `host` is the only module that makes one. A host that does not do what it is told costs the
//! stream, never the policy: a stream that cannot be changed as decided is cut.

mod access_log;
mod gauges;
mod host;
mod live;
mod log_lines;
mod memory;
mod metrics;
mod rate_limit;
mod root;
mod sessions;
mod sources;
mod stream;
mod tables;
