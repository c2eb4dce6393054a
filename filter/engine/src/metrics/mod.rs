//! Counts, gauges and the log budget.
//!
//! Owns the counts of sessions, the gauges that all VMs of an Envoy share, and the number of log lines that
//! peers may cause. Writes none of them.

pub mod gauges;
mod log_budget;
pub(crate) mod tally;

pub use log_budget::LogBudget;
pub use tally::{Heartbeats, Messages, Tally};
