//! The problems of a policy document: what is wrong, where, and the remedy.

use std::fmt;

/// The kind of a problem. Each has a code and a page of its own where problems are told to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// What is written may be taken for something else that is written.
    Ambiguous,
    /// Keys that cannot stand together, or that need each other.
    Contradiction,
    /// A private key or a shared secret stands among public keys.
    ExposedKey,
    /// A value of the right type that the language does not allow there.
    ImpossibleValue,
    /// A required key is missing.
    MissingKey,
    /// What is written could never apply to anything.
    NoEffect,
    /// The text is no JSON.
    Syntax,
    /// There is more than the filter takes.
    TooMuch,
    /// A JSON Schema that cannot judge messages.
    UnfitSchema,
    /// A key that the language does not have there.
    UnknownKey,
    /// A name that nothing in the document has.
    UnknownName,
    /// An environment variable that the filter does not have.
    UnknownVariable,
    /// A key for signatures that verifies nothing.
    UnusableKey,
    /// A secret that can be guessed.
    WeakSecret,
    /// The same is written twice.
    WrittenTwice,
    /// A value of another type than is asked for.
    WrongType,
}

/// One thing wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The kind of the fault.
    pub kind: ProblemKind,
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
    /// Creates a problem of this kind at `path`.
    pub fn new(
        kind: ProblemKind,
        path: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { kind, path: path.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, remedy, .. } = self;
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
