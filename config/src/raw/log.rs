//! The key `log`.

use serde::Deserialize;
use serde_json::Value;

use crate::log::{Log, LogFormat};
use crate::path::Path;
use crate::raw::secret::RawSecret;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::count_u32;

/// The object `log` as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawLog {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Count32>"))]
    refusals_per_second: Option<Value>,
    format: Option<LogFormat>,
    subject_key: Option<RawSecret>,
}

impl RawLog {
    /// Returns the valid form.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<Log> {
        let refusals_per_second = match &self.refusals_per_second {
            Some(value) => count_u32(value, &at.key("refusals_per_second"), report),
            None => Some(Log::default().refusals_per_second),
        };
        let subject_key = match self.subject_key {
            Some(key) => key.read(&at.key("subject_key"), report).map(Some),
            None => Some(None),
        };
        let format = self.format.unwrap_or_default();
        Some(Log { refusals_per_second: refusals_per_second?, format, subject_key: subject_key? })
    }
}
