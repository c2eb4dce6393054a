//! The key `memory` of the document.

use serde::Deserialize;
use serde_json::Value;

use crate::memory::Memory;
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::size;

/// The object `memory` as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawMemory {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Size>"))]
    budget: Option<Value>,
}

impl RawMemory {
    /// Returns the valid form.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<Memory> {
        let Some(written) = self.budget else { return Some(Memory::default()) };
        let at = at.key("budget");
        let budget = size(&written, &at, report)?;
        if budget > Memory::LARGEST {
            report.push(ProblemKind::TooMuch, &at, "is more than a worker has", "write at most \"384MiB\"");
            return None;
        }
        Some(Memory { budget })
    }
}
