//! The decisions of Postern, all of them.
//!
//! This crate has no I/O, no clock, no randomness and no log; it knows no proxy-wasm. The filter
//! drives it: inputs with the time go in, outputs come out, and the filter performs them. So
//! every rule is tested natively at full speed, at every byte split, with a clock of the test's.
//!
//! An [`Engine`] is a document made ready; it finds the policy of a request and starts a
//! [`Session`], which judges the stream from its request to its end.

pub mod auth;
mod configuration;
mod connection;
pub mod csrf;
mod decision;
mod drains;
mod engine;
pub mod explain;
mod handshake;
pub mod http;
mod json_order;
#[cfg(feature = "json-schema")]
pub mod json_schema;
pub mod memory;
mod message;
pub mod metrics;
mod moment;
mod peer;
pub mod rate;
pub mod remote;
mod ruleset;
mod session;
pub mod strict_json;
#[cfg(test)]
mod testing;
pub mod websocket;

pub use auth::subject_key::SubjectHash;
pub use configuration::{
    UnreadableMetadata, of_route, read_configuration, serialize_route, wanted_log_format,
};
pub use connection::{Passage, Piece, Pieces};
pub use decision::{Cause, Consequence, Reason, Rule, Violation, cause};
pub use drains::{Drains, spread};
pub use engine::{Choice, Engine, ResponseFacts, RouteFacts, Selection, fail_without_engine};
pub use handshake::handshake_order;
pub use http::{ConnectionFacts, Entropy, Protocol, Reply, RequestHead, is_upgrade};
pub use memory::{Blocks, judge_budget, most_held};
pub use metrics::{
    Awaited, Detail, Heartbeats, Histogram, Incident, LogBudget, Measures, Messages, Mode, Notice, Passed,
    Scale, Stopped, Tally,
};
pub use peer::Peer;
pub use postern_config::LogFormat;
pub use ruleset::{Ruleset, judge_schemas};
pub use session::{Event, FirstClose, Input, Judgement, Output, Session, Summary};
pub use websocket::{Chunk, FrameHeader, MAX_HEADER_LEN, MalformedHeader, OpCode, Unreadable};
