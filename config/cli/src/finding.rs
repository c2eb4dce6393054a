//! The findings in a file, with their places.

mod code;

use std::fmt;

use postern_config::{Path, Problem};

pub(crate) use code::Code;

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

/// A finding of which only the path is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) code: Code,
    /// The path of the key or value, as in [`Problem::path`].
    pub(crate) path: String,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

impl Remark {
    /// Creates a remark on what is at `path`.
    pub(crate) fn new(code: Code, path: &Path, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, path: path.to_string(), what: what.into(), remedy: remedy.into() }
    }

    /// Returns the finding of this, which lies at `position`.
    pub(crate) fn at(self, position: Position) -> Finding {
        let Self { code, path, what, remedy } = self;
        Finding { position, code, path, what, remedy }
    }
}

impl fmt::Display for Remark {
    /// Writes `path: what is wrong; what to do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, remedy, .. } = self;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "{what}; {remedy}")
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The place where the key or value at fault begins.
    pub(crate) position: Position,
    pub(crate) code: Code,
    /// The path of the key or value, as in [`Problem::path`].
    pub(crate) path: String,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

impl Finding {
    /// Creates a finding about what lies at `position`.
    pub(crate) fn new(
        position: Position,
        code: Code,
        path: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { position, code, path: path.into(), what: what.into(), remedy: remedy.into() }
    }

    /// Creates a finding of `problem`, which lies at `position`.
    pub(crate) fn problem(position: Position, problem: Problem) -> Self {
        let Problem { kind, path, what, remedy } = problem;
        Self { position, code: kind.into(), path, what, remedy }
    }

    pub(crate) fn severity(&self) -> Severity {
        self.code.severity()
    }
}

impl fmt::Display for Finding {
    /// Writes `line:column: path: what is wrong; what to do [code]`, on one line, warnings with `warning: ` before the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, code, path, what, remedy } = self;
        let mark = if self.severity() == Severity::Warning { "warning: " } else { "" };
        let (path, colon) = if path.is_empty() { ("", "") } else { (path.as_str(), ": ") };
        let line = format!("{mark}{path}{colon}{what}; {remedy} [{code}]");
        write!(f, "{}:{}: {}", position.line, position.column, harmless(&line))
    }
}

/// Writes out what a terminal would act on, and what makes text read in another order than it is written.
fn harmless(text: &str) -> String {
    let is_acted_on = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_acted_on(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// Writes a name of the file in backticks, without anything that a terminal would act on.
pub(crate) fn quoted(name: &str) -> String {
    let shown: String = name.chars().take(LONGEST_NAME).flat_map(char::escape_debug).collect();
    let is_whole = name.chars().nth(LONGEST_NAME).is_none();
    format!("`{shown}{}`", if is_whole { "" } else { "…" })
}
