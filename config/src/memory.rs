//! How much the sessions of one worker may hold for their peers.

/// The object `memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// In bytes, at most [`Memory::LARGEST`].
    pub budget: u64,
}

impl Memory {
    /// The largest budget, in bytes. A worker's VM traps when it has taken 1 GiB, and needs some of that for itself.
    pub const LARGEST: u64 = 896 << 20;
}

impl Default for Memory {
    fn default() -> Self {
        Self { budget: 256 << 20 }
    }
}
