//! The findings in a file, with their places.

use std::fmt;

use postern_config::Problem;

use crate::yaml::Position;

/// The most characters that are shown of a name.
const LONGEST_NAME: usize = 80;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The finding keeps the file from being sound.
    Problem,
    /// The file is sound and probably not meant so.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The place where the key or value at fault begins.
    pub(crate) position: Position,
    pub(crate) severity: Severity,
    /// The path of the key or value, as in [`Problem::path`].
    pub(crate) path: String,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

impl Finding {
    /// Creates a finding of `problem`, which lies at `position`.
    pub(crate) fn problem(position: Position, problem: Problem) -> Self {
        let Problem { path, what, remedy } = problem;
        Self { position, severity: Severity::Problem, path, what, remedy }
    }

    /// Creates a warning about what lies at `position`.
    pub(crate) fn warning(position: Position, warning: Problem) -> Self {
        Self { severity: Severity::Warning, ..Self::problem(position, warning) }
    }
}

impl fmt::Display for Finding {
    /// Writes `line:column: path: what is wrong; what to do`, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, severity, path, what, remedy } = self;
        write!(f, "{}:{}: ", position.line, position.column)?;
        if *severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "{what}; {remedy}")
    }
}

/// Writes a name of the file in backticks, without anything that a terminal would act on.
pub(crate) fn quoted(name: &str) -> String {
    let shown: String = name.chars().take(LONGEST_NAME).flat_map(char::escape_debug).collect();
    let is_whole = name.chars().nth(LONGEST_NAME).is_none();
    format!("`{shown}{}`", if is_whole { "" } else { "…" })
}
