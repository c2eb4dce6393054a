//! What the fuzz targets do, one module and one function `run` each.
//!
//! A module says what its input means and what must hold for every input; what must not happen is
//! a panic. The targets in `fuzz_targets` hand libFuzzer's inputs over, and the tests of this crate
//! run the seeds of `corpus` and some thousand inputs of their own without libFuzzer.

mod deflated;
mod fixture;
mod inflated;
mod line;
mod order;
mod reference;
#[path = "../../engine/tests/support/rfc1951.rs"]
mod rfc1951;
mod schema_script;
mod script;
mod stream;
mod tables;
mod wire;

pub mod callbacks;
pub mod codec;
pub mod compressed;
pub mod config;
pub mod configuration;
pub mod documents;
pub mod extensions;
pub mod frames;
pub mod inflate;
pub mod json_schema;
pub mod matchers;
pub mod metadata;
pub mod rate_limit;
pub mod rate_table;
pub mod request;
pub mod response;
pub mod strict_json;
pub mod token;
pub mod token_parts;

/// A target: the name that its seeds go by, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 19] = [
    ("callbacks", callbacks::run),
    ("codec", codec::run),
    ("compressed", compressed::run),
    ("config", config::run),
    ("configuration", configuration::run),
    ("documents", documents::run),
    ("extensions", extensions::run),
    ("frames", frames::run),
    ("inflate", inflate::run),
    ("json_schema", json_schema::run),
    ("matchers", matchers::run),
    ("metadata", metadata::run),
    ("rate_limit", rate_limit::run),
    ("rate_table", rate_table::run),
    ("request", request::run),
    ("response", response::run),
    ("strict_json", strict_json::run),
    ("token", token::run),
    ("token_parts", token_parts::run),
];
