//! The report of everything that is wrong with a document, gathered while it is read, so that all of it is
//! told at once.

use std::collections::BTreeSet;

use crate::path::Path;
use crate::problem::{Problem, ProblemKind, Problems};

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<(Path, Problem)>,
    /// The places where something was taken out because it was wrong: it does not count as missing as well.
    broken: BTreeSet<Path>,
}

impl Report {
    /// Notes a problem.
    pub(crate) fn push(
        &mut self,
        kind: ProblemKind,
        at: &Path,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push((at.clone(), Problem::new(kind, at.to_string(), what, remedy)));
    }

    /// Notes a problem with a value that is taken out of the document.
    pub(crate) fn push_broken(
        &mut self,
        kind: ProblemKind,
        at: &Path,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(kind, at, what, remedy);
        self.broken.insert(at.clone());
    }

    /// Notes that the key at `at` was probably written, and misspelt: it does not count as missing as well.
    pub(crate) fn suspect(&mut self, at: &Path) {
        self.broken.insert(at.clone());
    }

    /// Notes that a required key is missing, unless it was there and was wrong.
    pub(crate) fn missing(&mut self, at: &Path, remedy: impl Into<String>) {
        if !self.is_broken(at) {
            self.push(ProblemKind::MissingKey, at, "is missing", remedy);
        }
    }

    /// Returns `value`, and notes that the required key at `at` is missing if it is.
    pub(crate) fn required<T>(&mut self, value: Option<T>, at: &Path, remedy: &str) -> Option<T> {
        if value.is_none() {
            self.missing(at, remedy);
        }
        value
    }

    /// Says whether the value at `at` was wrong and taken out.
    pub(crate) fn is_broken(&self, at: &Path) -> bool {
        self.broken.contains(at)
    }

    /// Says whether something directly inside `at` was wrong and taken out.
    pub(crate) fn is_broken_below(&self, at: &Path) -> bool {
        self.broken
            .iter()
            .any(|path| path.segments().split_last().is_some_and(|(_, parent)| parent == at.segments()))
    }

    /// Returns the problems so far, each with its place.
    pub(crate) fn into_problems(self) -> Vec<(Path, Problem)> {
        self.problems
    }

    /// Returns `read` if nothing is wrong.
    pub(crate) fn finish<T>(mut self, read: Option<T>) -> Result<T, Problems> {
        match read {
            Some(read) if self.problems.is_empty() => Ok(read),
            _ => {
                self.problems.sort_by(|(a, _), (b, _)| a.cmp(b));
                self.problems.dedup();
                Err(Problems(self.problems.into_iter().map(|(_, problem)| problem).collect()))
            }
        }
    }
}
