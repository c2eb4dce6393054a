//! Decisions, and what follows from them.
//!
//! Owns the rules by their ids, the reasons with their consequences for the two sides, the causes that the
//! log tells, and the violation that is made of one of each. Knows nothing of what is judged.

pub mod cause;
pub(crate) mod findings;
pub(crate) mod reason;
pub(crate) mod rule;
mod violation;

pub use cause::Cause;
pub(crate) use findings::{Enforce, Findings};
pub use reason::{Consequence, Reason};
pub use rule::Rule;
pub use violation::Violation;
