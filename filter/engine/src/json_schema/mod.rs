//! JSON Schema, draft 2020-12: a schema compiled once, and values judged by it with a bound on the work.
//!
//! Owns what each keyword means and what a judgement may cost. Never fetches anything, and knows nothing of messages and policies.
//!
//! A schema that it does not carry out to the letter is refused when it is compiled, with the place: keywords that it does not
//! know, other drafts, references to other documents, references that come back to themselves without going deeper into the
//! value, and patterns that one pass over a text cannot follow. `format` and the keywords of the content vocabulary are
//! annotations, as the draft has them by default.
//!
//! A judgement is charged for its steps. A [`Budget`] allows some for every byte of the text that a value was read from, so that
//! no pair of a schema and a message costs more than in proportion to the message, however often the schema looks at each part
//! of it.

mod budget;
mod compile;
mod evaluated;
mod keyword;
mod multiple;
mod pattern;
mod problem;
mod reference;
mod validate;
mod vocabulary;

use std::fmt;

use serde_json::Value;

pub use budget::Budget;
pub use problem::Problem;

use keyword::{Node, NodeId};

/// A schema that is ready to judge values.
pub struct Schema {
    /// All schemas of the document, each with its keywords; the first is the document itself.
    nodes: Vec<Node>,
    /// The schemas that `$dynamicAnchor` names.
    dynamic_anchors: reference::DynamicAnchors,
    /// The memory that it takes, in bytes: that of its patterns, and some for each schema and each place.
    bytes: usize,
}

/// The reason why a value does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The keyword at this JSON pointer into the schema does not hold; of a schema that is `false`, the place of that. Of several
    /// it is the first that was judged. There is nothing of the value in it.
    Keyword(String),
    /// More work is needed than the budget allows, or the schemas that are judged by lie too deep in one another.
    Work,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place.
    pub fn compile(document: &Value) -> Result<Self, Vec<Problem>> {
        compile::compile(document)
    }

    /// Returns the places of keywords in a document that refuse nothing, as the draft has it, though one may take them for rules:
    /// `format`, and those on the content of texts.
    pub fn annotations(document: &Value) -> Vec<Vec<String>> {
        compile::annotations(document)
    }

    /// Judges a value.
    ///
    /// # Errors
    /// The first keyword that does not hold, or that the budget is used up.
    pub fn validate(&self, value: &Value, budget: Budget) -> Result<(), Fault> {
        self.measure(value, budget).0
    }

    /// Judges a value, and returns the steps that it took as well.
    ///
    /// # Errors
    /// As [`Schema::validate`].
    pub fn measure(&self, value: &Value, budget: Budget) -> (Result<(), Fault>, u64) {
        validate::validate(self, value, budget)
    }

    /// Returns about how much memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}
