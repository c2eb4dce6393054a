//! The key `policies.*.origins`.

use serde::Deserialize;

use crate::origin::{Missing, OriginPattern, Origins, pattern};
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::raw::list::{List, distinct};
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::words::shown;

/// The object `origins` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("allOf" = schema::lets_somebody_in())))]
pub(super) struct RawOrigins {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::AllowedOrigins>"))]
    allow: Option<List<String>>,
    missing: Option<Missing>,
}

impl RawOrigins {
    /// Returns the valid form.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<Origins> {
        let allow_at = at.key("allow");
        let missing = self.missing.unwrap_or(Missing::Deny);
        let list = report.required(
            self.allow,
            &allow_at,
            "write the origins that may open a socket, such as `[\"https://app.example.com\"]`",
        )?;
        if list.is_empty() && missing == Missing::Deny {
            report.push(
                ProblemKind::NoEffect,
                &allow_at,
                "is empty, so nobody could connect",
                "write at least one origin, or `missing: allow`",
            );
            return None;
        }
        let written = list.len();
        let allow = distinct(list, &allow_at, report, |text, at, report| match pattern(&text) {
            Ok(pattern) => Some(pattern),
            Err((what, remedy)) => {
                report.push(ProblemKind::ImpossibleValue, at, format!("{} {what}", shown(&text)), remedy);
                None
            }
        })?;
        if allow.contains(&OriginPattern::Any) && written > 1 {
            report.push(
                ProblemKind::Contradiction,
                &allow_at,
                "has other origins beside `*`, which is all of them",
                "leave `*` out, or the others",
            );
            return None;
        }
        Some(Origins { allow, missing })
    }
}
