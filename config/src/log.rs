//! What is written to the log.

/// The `log` object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// How many lines that clients and services cause one worker may write in a second; at least 1.
    pub refusals_per_second: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { refusals_per_second: 50 }
    }
}
