//! The errors that serde finds, kept as values rather than as text.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::path::Segment;
use crate::problem::ProblemKind;
use crate::words::{nearest, shown, suggestion};

/// One thing wrong with the shape of a value. Never holds the text of a value whose kind is wrong, since that
/// may be a secret.
#[derive(Debug)]
pub(crate) enum ShapeError {
    /// A value of another kind than is asked for.
    Kind { found: &'static str, expected: String },
    /// A key that is not one of these.
    Key { allowed: &'static [&'static str] },
    /// A word that is not one of these.
    Word { found: String, allowed: &'static [&'static str] },
    /// Any other error of serde's.
    Other(String),
}

impl ShapeError {
    /// Returns the key that an unknown one was probably meant to be.
    pub(super) fn meant(&self, last: Option<&Segment>) -> Option<&'static str> {
        match (self, last) {
            (Self::Key { allowed }, Some(Segment::Key(written))) => nearest(written, allowed),
            _ => None,
        }
    }

    /// Returns the kind of the fault.
    pub(super) fn kind(&self) -> ProblemKind {
        match self {
            Self::Kind { .. } => ProblemKind::WrongType,
            Self::Key { .. } => ProblemKind::UnknownKey,
            Self::Word { .. } | Self::Other(_) => ProblemKind::ImpossibleValue,
        }
    }

    /// Returns the fault and the remedy; `last` is the last step to the value at fault.
    pub(super) fn told(self, last: Option<&Segment>) -> (String, String) {
        match self {
            Self::Kind { found, expected } => (format!("is {found}"), format!("write {}", plain(&expected))),
            Self::Key { allowed } => {
                let written = match last {
                    Some(Segment::Key(key)) => key.as_str(),
                    Some(Segment::Index(_)) | None => "",
                };
                ("is an unknown key".to_owned(), suggestion(written, allowed))
            }
            Self::Word { found, allowed } => {
                (format!("{} is unknown", shown(&found)), suggestion(&found, allowed))
            }
            Self::Other(text) => (text, "write it as the policy language says".to_owned()),
        }
    }
}

/// Returns serde's name of a kind in the words of YAML.
fn plain(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "a map" => "an object",
        "a sequence" => "a list",
        other => other,
    }
}

/// Returns the kind of a value, never the value.
fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "a string",
        Unexpected::Seq => "a list",
        Unexpected::Map => "an object",
        Unexpected::Unit | Unexpected::Option => "without a value",
        _ => "of another kind",
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { found, expected } => write!(f, "{found} where {expected} is expected"),
            Self::Key { .. } => f.write_str("unknown key"),
            Self::Word { .. } => f.write_str("unknown word"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// A [`ShapeError`], and its place in the value that was read.
#[derive(Debug)]
pub(crate) struct Misfit(Box<(ShapeError, Vec<Segment>)>);

impl Misfit {
    /// Returns the misfit as it is seen from outside of `step`.
    pub(super) fn within(mut self, step: Segment) -> Self {
        self.0.1.push(step);
        self
    }

    /// Returns the fault, and the steps that lead to it.
    pub(super) fn into_parts(self) -> (ShapeError, Vec<Segment>) {
        let (error, mut steps) = *self.0;
        steps.reverse();
        (error, steps)
    }
}

impl From<ShapeError> for Misfit {
    fn from(error: ShapeError) -> Self {
        Self(Box::new((error, Vec::new())))
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.fmt(f)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(text: T) -> Self {
        ShapeError::Other(text.to_string()).into()
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        ShapeError::Kind { found: kind(found), expected: expected.to_string() }.into()
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(_: &str, allowed: &'static [&'static str]) -> Self {
        ShapeError::Key { allowed }.into()
    }

    fn unknown_variant(found: &str, allowed: &'static [&'static str]) -> Self {
        ShapeError::Word { found: found.to_owned(), allowed }.into()
    }
}
