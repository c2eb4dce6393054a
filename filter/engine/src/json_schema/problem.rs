//! What is wrong with a schema.

/// A part of a schema that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The JSON pointer of the place in the schema; empty for the whole of it.
    pub at: String,
    /// What is wrong there.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// Returns the keys that lead to the place, from the whole of the schema.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        keys(&self.at)
    }

    /// Creates a problem at a place.
    pub(super) fn new(at: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into(), remedy: remedy.into() }
    }
}

/// What is wrong with a schema, up to a bound: every problem repeats the names that lead to it.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: Vec<Problem>,
    bytes: usize,
}

impl Report {
    /// The bytes of problems behind which none is told any more.
    const MAX_BYTES: usize = 64 << 10;

    /// Adds a problem. One is told in any case.
    pub(super) fn push(&mut self, problem: Problem) {
        let bytes = problem.at.len() + problem.what.len() + problem.remedy.len();
        if self.problems.is_empty() || self.bytes.saturating_add(bytes) <= Self::MAX_BYTES {
            self.bytes = self.bytes.saturating_add(bytes);
            self.problems.push(problem);
        }
    }

    /// Says whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Returns the problems.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// Returns the keys of a JSON pointer.
pub(super) fn keys(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~"))
}

/// Returns the pointer of the member or item `key` of the place `at` (RFC 6901).
pub(super) fn child(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}
