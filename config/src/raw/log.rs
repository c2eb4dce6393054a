//! The key `log`.

use serde::Deserialize;
use serde_json::Value;

use crate::log::Log;
use crate::path::Path;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::count_u32;

/// The object `log` as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `refusals_per_second`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawLog {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Count32>"))]
    refusals_per_second: Option<Value>,
}

impl RawLog {
    /// Returns the valid form.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<Log> {
        let refusals_per_second = match &self.refusals_per_second {
            Some(value) => count_u32(value, &at.key("refusals_per_second"), report)?,
            None => Log::default().refusals_per_second,
        };
        Some(Log { refusals_per_second })
    }
}
