//! Counts, gauges and lines of the log.
//!
//! Owns the counts of sessions and of policies, the histograms, the gauges that all VMs of an Envoy share, the number of
//! log lines that peers may cause, and how a line reads. Writes none of them.

pub mod gauges;
mod histogram;
mod log_budget;
mod log_line;
pub(crate) mod measures;
pub(crate) mod tally;
mod timestamp;

pub(crate) use histogram::Sizes;
pub use histogram::{Histogram, Scale};
pub use log_budget::LogBudget;
pub use log_line::{Detail, Incident, Notice};
pub use measures::{Awaited, Measures, Mode, Stopped};
pub use tally::{Heartbeats, Messages, Passed, Tally};
