//! The problems of a policy document: what is wrong, where, and the remedy.

use std::fmt;

/// One thing wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place: keys joined by dots, list positions in brackets, such as `policies.chat.rates[0].window`.
    /// Empty for the document itself.
    pub path: String,
    /// The fault, without a final full stop.
    pub what: String,
    /// The remedy: the values that are allowed, or the key to add.
    pub remedy: String,
}

/// Everything wrong with a document, in the order of its paths; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    /// Creates a problem at `path`.
    pub fn new(path: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, remedy } = self;
        if path.is_empty() { write!(f, "{what}; {remedy}") } else { write!(f, "{path}: {what}; {remedy}") }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
