//! Assertions that mean the same in every test: what a refusal is to a client, to the upstream, in the access
//! log and in the metrics, and that without Postern there is none.

mod control_pair;
mod refusal;

pub use control_pair::ControlPair;
pub use refusal::{Attack, Refusal};
