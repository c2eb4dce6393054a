//! What the host did not do.

use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};

/// What the host did not do, without which nothing can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// It did not hand over a chunk, or did not take it back changed.
    #[error("the host did not hand over or take back a chunk")]
    Chunk,
    /// It did not take what goes to the client at once.
    #[error("the host did not take what waited for the client")]
    Delivery,
    /// It has no configuration that is in force.
    #[error("no configuration is in force")]
    NoConfiguration,
    /// It has no randomness.
    #[error("the host has no randomness")]
    NoRandomness,
    /// It did not let a stream go on.
    #[error("the host did not let a stream go on")]
    NotResumed,
    /// It brought a response, or a second one, where none can be.
    #[error("a response came where none can")]
    Response,
}

impl HostFault {
    /// Every one of them.
    pub const ALL: [Self; 6] = [
        Self::Chunk,
        Self::Delivery,
        Self::NoConfiguration,
        Self::NoRandomness,
        Self::NotResumed,
        Self::Response,
    ];
}

impl From<HostFault> for Violation {
    fn from(fault: HostFault) -> Self {
        Self::new(Rule::Protocol, Reason::Internal).because(fault)
    }
}
