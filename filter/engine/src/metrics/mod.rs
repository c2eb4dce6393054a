//! Counts, gauges and lines of the log.
//!
//! Owns the counts of sessions, the gauges that all VMs of an Envoy share, the number of log lines that
//! peers may cause, and how a line reads. Writes none of them.

pub mod gauges;
mod log_budget;
mod log_line;
pub(crate) mod tally;
mod timestamp;

pub use log_budget::LogBudget;
pub use log_line::{Detail, Incident, Notice};
pub use tally::{Heartbeats, Messages, Passed, Tally};
