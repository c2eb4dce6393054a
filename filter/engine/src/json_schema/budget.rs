//! The bound on what a judgement costs.

/// The steps that a judgement may take, each of some 20 ns in the module. A step is the look of one keyword at one value, or a comparison, or some bytes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(pub(super) u64);

impl Budget {
    /// The steps for a message however short it is: a schema of a hundred kinds of messages takes a few hundred.
    const STEPS: u64 = 8192;
    /// The steps for each byte of a message. An ordinary schema takes less than one.
    const STEPS_PER_BYTE: u64 = 4;

    /// Returns the budget for a value that was read from a text of `len` bytes.
    pub fn for_bytes(len: usize) -> Self {
        Self(Self::STEPS.saturating_add(Self::STEPS_PER_BYTE.saturating_mul(len as u64)))
    }

    /// Returns the number of steps.
    pub fn steps(self) -> u64 {
        self.0
    }
}
