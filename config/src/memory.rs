//! The memory that the sessions of one worker may hold for their peers.

/// The object `memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The budget, in bytes, at most [`Memory::LARGEST`].
    pub budget: u64,
}

impl Memory {
    /// The largest budget, in bytes. A worker's VM traps when it has taken 1 GiB: it needs some of that for
    /// itself, and memory that is given back in pieces leaves gaps that larger pieces do not fit.
    pub const LARGEST: u64 = 384 << 20;
}

impl Default for Memory {
    fn default() -> Self {
        Self { budget: 256 << 20 }
    }
}
