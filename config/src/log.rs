//! The bounds of what is written to the log, its form, and the key by which it names users.

use crate::provider::Secret;

/// The `log` object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The lines a second that one worker may write of what clients and services cause; at least 1.
    pub refusals_per_second: u32,
    /// The form of the lines.
    pub format: LogFormat,
    /// The key of the hashes that stand for users; absent where each Envoy has one of its own.
    pub subject_key: Option<Secret>,
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// Words, and fields as `name=value`.
    #[default]
    Text,
}

impl Default for Log {
    fn default() -> Self {
        Self { refusals_per_second: 50, format: LogFormat::default(), subject_key: None }
    }
}
