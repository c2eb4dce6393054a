//! Shared secrets. No problem here shows what was written, since it may be the secret.

use serde::Deserialize;

use crate::grammar::is_variable;
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::provider::Secret;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;

/// The fewest bytes of a secret: as many as SHA-256 puts out (RFC 7518 §3.2).
const SHORTEST: usize = 32;

/// The object `{env: NAME}` or `{inline: "…"}` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `env` or `inline`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("oneOf" = schema::any_of(&["env", "inline"]))))]
pub(super) struct RawSecret {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Variable>"))]
    env: Option<String>,
    inline: Option<String>,
}

impl RawSecret {
    /// Returns the secret, or the name of the variable that holds it.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<Secret> {
        match (self.env, self.inline) {
            (Some(name), None) if is_variable(&name) => return Some(Secret::Env(name)),
            (Some(_), None) => report.push(
                ProblemKind::ImpossibleValue,
                &at.key("env"),
                "is not the name of an environment variable",
                "write letters, digits and `_`, not beginning with a digit, such as `POSTERN_SECRET`",
            ),
            (None, Some(text)) if text.len() >= SHORTEST => return Some(Secret::Inline(text.into_bytes())),
            (None, Some(text)) => report.push(
                ProblemKind::WeakSecret,
                &at.key("inline"),
                format!("has {} bytes", text.len()),
                format!("write at least {SHORTEST} bytes"),
            ),
            (Some(_), Some(_)) => report.push(
                ProblemKind::Contradiction,
                at,
                "has both `env` and `inline`",
                "leave one of them out",
            ),
            (None, None) if report.is_broken_below(at) => {}
            (None, None) => report.push(
                ProblemKind::MissingKey,
                at,
                "has neither `env` nor `inline`",
                "write one of them",
            ),
        }
        None
    }
}
