//! The reason why a route's metadata make no valid policy, as a line of the log may have it.

use std::rc::Rc;

use postern_config::Problem;

use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};

/// The first problem of a route's metadata, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the route's metadata make no valid policy: {0}")]
pub struct InvalidPolicy(Rc<str>);

impl InvalidPolicy {
    /// The most characters of the text. One is kept for every different override.
    const MOST: usize = 512;

    /// Returns the first of `problems`, and the number of the others.
    pub(crate) fn of(problems: &[Problem]) -> Self {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        let mut text: String = first
            .chars()
            .map(|c| match c {
                // The log has the text between quotes.
                '"' => '\'',
                c if c.is_control() => ' ',
                c => c,
            })
            .take(Self::MOST)
            .collect();
        if first.chars().nth(Self::MOST).is_some() {
            text.push('…');
        }
        match problems.len() {
            0 | 1 => {}
            2 => text.push_str(", and 1 more problem"),
            count => text.push_str(&format!(", and {} more problems", count.saturating_sub(1))),
        }
        Self(text.into())
    }
}

impl From<InvalidPolicy> for Violation {
    fn from(invalid: InvalidPolicy) -> Self {
        Self::new(Rule::Policies, Reason::PolicyInvalid).because(invalid)
    }
}

impl From<Problem> for InvalidPolicy {
    fn from(problem: Problem) -> Self {
        Self::of(&[problem])
    }
}
