//! The proxy-wasm filter, which performs in Envoy what [`postern_engine`] decides.
//!
//! Nothing is decided here. A callback becomes an input of the engine, an output of the engine becomes a host
//! call, and `host` is the only module that makes one. A host that does not do what it is told costs the
//! stream, never the policy: a stream that cannot be changed as decided is cut.

mod abi;
mod access_log;
mod capabilities;
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
mod verification;

use proxy_wasm::types::LogLevel;

use crate::root::Root;

#[allow(missing_docs, reason = "the SDK's macro writes the entry point")]
mod entry {
    use super::{LogLevel, Root, verification};

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Debug);
        verification::install();
        proxy_wasm::set_root_context(|context_id| Box::new(Root::new(context_id)));
    }}
}
