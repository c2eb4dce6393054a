//! Everything Postern decides.
//!
//! This crate has no I/O, no clock, no randomness and no log; it knows no proxy-wasm. The filter
//! drives it: inputs with the time go in, outputs come out, and the filter performs them. So
//! every rule is tested natively at full speed, at every byte split, with a clock of the test's.
//!
//! An [`Engine`] is a document made ready; it finds the policy of a request and starts a
//! [`Session`], which judges the stream from its request to its end.

pub mod auth;
mod blocks;
mod buckets;
mod chunk;
mod close;
mod configuration;
mod cookies;
pub mod csrf;
mod detail;
mod engine;
mod forwarded;
mod frame;
pub mod gauges;
mod handshake;
pub mod headers;
pub mod inflate;
mod lane;
mod lease;
mod log_budget;
mod mask;
pub mod memory;
mod metadata;
mod moment;
mod open;
mod passage;
pub mod rate;
mod reason;
mod reply;
mod request;
mod ruleset;
mod session;
pub mod slots;
pub mod source;
pub mod strict_json;
mod structure;
mod tally;
#[cfg(test)]
mod testing;
mod utf8;
mod worst_case;

pub use blocks::Blocks;
pub use chunk::{Chunk, Unreadable};
pub use configuration::read_configuration;
pub use detail::Detail;
pub use engine::{Engine, InvalidPolicy, RouteFacts, Selection};
pub use frame::{FrameHeader, MAX_HEADER_LEN, MalformedHeader, OpCode};
pub use lane::{Fault, Peer};
pub use log_budget::LogBudget;
pub use metadata::{UnreadableMetadata, of_route};
pub use passage::{Passage, Piece};
pub use reason::{Consequence, Reason};
pub use reply::Reply;
pub use request::{Connection, Entropy, Protocol, RequestHead, is_upgrade};
pub use ruleset::Ruleset;
pub use session::{Event, Input, Judged, Output, Session};
pub use tally::{Heartbeats, Messages, Tally};
pub use worst_case::{judge_budget, most_held};
