//! What was wrong with what a message says.

use super::shown::Shown;
use super::token::ClaimName;

/// What was wrong with what a message says. Shows nothing that the message has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentFault {
    /// The claims of its sender are not what a message like it takes.
    #[error("the claim {0} does not allow such a message")]
    Claim(ClaimName),
    /// An object in it has a member twice (RFC 8259 §4).
    #[error("a member occurs twice")]
    DuplicateMember,
    /// It is of none of the kinds that there are schemas for.
    #[error("there is no schema for its kind")]
    Kind,
    /// It is no JSON text (RFC 8259), or has a number beyond an IEEE double, or something behind the value.
    #[error("it is no JSON")]
    NotJson,
    /// The value does not fit the schema, by the keyword at this JSON pointer into it.
    #[error("the schema's {0} does not hold")]
    Schema(Shown),
    /// The schema asks for more work than the length of the message allows.
    #[error("the schema takes too much work for its length")]
    SchemaWork,
    /// Arrays and objects lie deeper in one another than this.
    #[error("it is nested deeper than {0}")]
    TooDeep(usize),
}
