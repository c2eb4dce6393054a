//! A report for other programs: what a command has found, as JSON or as SARIF 2.1.0. It knows no command.

mod sarif;

use clap::ValueEnum;
use serde::Serialize;

/// The form in which a command tells what it has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Lines for people.
    #[default]
    Text,
    /// A list of objects.
    Json,
    /// The Static Analysis Results Interchange Format, version 2.1.0.
    Sarif,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Error,
    Warning,
}

/// A kind of what may be found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// The code, which stays the same over versions.
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    /// The page on the rule, in Markdown.
    pub(crate) page: &'static str,
    pub(crate) level: Level,
}

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// The column behind the last character.
    pub(crate) end_column: usize,
}

/// One thing that was found.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) rule: Rule,
    /// The file, if it is of one.
    pub(crate) file: Option<String>,
    pub(crate) region: Option<Region>,
    /// The path of the key at fault, or whatever else says where it is in words; may be empty.
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) entries: Vec<Entry>,
    /// Says whether something kept the command from looking at all that it was to look at.
    pub(crate) is_cut_short: bool,
}

/// An entry as it is written in JSON.
#[derive(Serialize)]
struct JsonEntry<'r> {
    code: &'r str,
    severity: Level,
    file: Option<&'r str>,
    line: Option<usize>,
    column: Option<usize>,
    path: &'r str,
    message: &'r str,
    remedy: &'r str,
}

impl Report {
    /// Returns a JSON list of the entries.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        let entry = |entry: &'_ Entry| {
            let Entry { rule, file, region, path, message, remedy } = entry;
            serde_json::to_value(JsonEntry {
                code: rule.code,
                severity: rule.level,
                file: file.as_deref(),
                line: region.map(|region| region.line),
                column: region.map(|region| region.column),
                path,
                message,
                remedy,
            })
        };
        let entries: Vec<_> = self.entries.iter().map(entry).collect::<Result<_, _>>()?;
        serde_json::to_string_pretty(&entries)
    }

    /// Returns the report as a SARIF log.
    pub(crate) fn sarif(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&sarif::log(self))
    }
}
