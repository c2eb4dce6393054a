//! What is decided, and what follows from it.
//!
//! Owns the reasons, each with its consequence for the two sides, and what the log says of a refusal.
//! Knows nothing of what is judged.

pub(crate) mod detail;
pub(crate) mod reason;

pub use detail::Detail;
pub use reason::{Consequence, Reason};
