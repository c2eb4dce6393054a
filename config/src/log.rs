//! The bounds of what is written to the log.

/// The `log` object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The lines a second that one worker may write of what clients and services cause; at least 1.
    pub refusals_per_second: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { refusals_per_second: 50 }
    }
}
