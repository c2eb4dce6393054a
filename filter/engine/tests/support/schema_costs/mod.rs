//! Schemas and messages that are made to cost as much as they can: the catalogue.
//!
//! The test of it asserts what comes of each pair, a benchmark measures them natively and leaves them in files, and
//! another one sends these through Envoy. Each message is as long as [`LONGEST`] allows, since the work that is allowed
//! grows with the length; the attackers' part is the message, and the schema is one that an operator might write, or
//! would have to for such a message to cost anything.

mod applicators;
mod arrays;
mod objects;
mod ordinary;
mod patterns;
mod reading;
mod references;
mod strings;
mod text;
mod unevaluated;
mod values;

use serde_json::Value;

/// The greatest length of a message, in bytes.
pub(crate) const LONGEST: usize = 64 << 10;

/// A schema, and a message that is to be judged by it.
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    pub(crate) expected: Expected,
    pub(crate) schema: Value,
    pub(crate) message: String,
}

/// What comes of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The message is valid.
    Valid,
    /// It is not.
    Invalid,
    /// To judge it takes more work than its length allows.
    Work,
    /// The schema is refused, by a problem that says this.
    Refused(&'static str),
}

/// Returns every pair.
pub(crate) fn pairs() -> Vec<Pair> {
    let rooms: [fn() -> Vec<Pair>; 10] = [
        reading::pairs,
        ordinary::pairs,
        applicators::pairs,
        references::pairs,
        objects::pairs,
        arrays::pairs,
        unevaluated::pairs,
        values::pairs,
        strings::pairs,
        patterns::pairs,
    ];
    rooms.iter().flat_map(|pairs| pairs()).collect()
}

fn pair(name: &'static str, expected: Expected, schema: Value, message: String) -> Pair {
    Pair { name, expected, schema, message }
}
