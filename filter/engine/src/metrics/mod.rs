//! What is counted and logged.
//!
//! Owns the counts of sessions, the gauges that all VMs of an Envoy share, and how many lines of the log peers may cause. Writes
//! none of them.

pub mod gauges;
mod log_budget;
pub(crate) mod tally;

pub use log_budget::LogBudget;
pub use tally::{Heartbeats, Messages, Tally};
