//! The failures of the host.

use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};

/// A failure of the host, after which nothing can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// The host did not hand over a chunk, or did not take it back changed.
    #[error("the host did not hand over or take back a chunk")]
    Chunk,
    /// The host did not take the bytes that go to the client at once.
    #[error("the host did not take what waited for the client")]
    Delivery,
    /// The host has no configuration that is in force.
    #[error("no configuration is in force")]
    NoConfiguration,
    /// The host has no randomness.
    #[error("the host has no randomness")]
    NoRandomness,
    /// The host did not let a stream go on.
    #[error("the host did not let a stream go on")]
    NotResumed,
    /// A callback of the host's has panicked, which the host has survived.
    #[error("a callback has panicked")]
    Panicked,
    /// The host brought a response, or a second one, where there can be none.
    #[error("a response came where none can")]
    Response,
}

impl HostFault {
    /// Every failure.
    pub const ALL: [Self; 7] = [
        Self::Chunk,
        Self::Delivery,
        Self::NoConfiguration,
        Self::NoRandomness,
        Self::NotResumed,
        Self::Panicked,
        Self::Response,
    ];
}

impl From<HostFault> for Violation {
    fn from(fault: HostFault) -> Self {
        Self::new(Rule::Protocol, Reason::Internal).because(fault)
    }
}
