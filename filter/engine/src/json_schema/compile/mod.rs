//! From the JSON of a schema to its keywords. Everything in it is held against what the draft says of it, and nothing is passed
//! over.

mod cycle;
mod reader;
mod tags;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::Schema;
use super::keyword::{Assertion, Keyword, Node};
use super::pattern::{Pattern, PatternError};
use super::problem::{Problem, Report, child, keys};
use super::reference::{Place, Places};
use super::vocabulary::is_taken_for_a_rule;
use reader::Reader;

/// The most memory of all patterns of a schema, in bytes.
const MAX_PATTERN_BYTES: usize = 4 << 20;
/// The bytes that a pattern counts for which is too large. Each costs time until that is known.
const BYTES_OF_REFUSED: usize = 1 << 20;

/// The memory of a schema within the document but for its patterns, in bytes.
const BYTES_OF_NODE: usize = 256;

/// The patterns of a document, each compiled once.
#[derive(Default)]
pub(super) struct Patterns {
    compiled: BTreeMap<String, Rc<Pattern>>,
    bytes: usize,
}

/// Compiles a document.
pub(super) fn compile(document: &Value) -> Result<Schema, Vec<Problem>> {
    let mut report = Report::default();
    let Some(places) = Places::of(document, &mut report) else { return Err(report.into_problems()) };
    let mut patterns = Patterns::default();
    let mut nodes: Vec<Node> =
        places.all.iter().map(|place| node(place, &places, &mut patterns, &mut report)).collect();
    if !report.is_empty() {
        return Err(report.into_problems());
    }
    if let Some(cycle) = cycle::find(&nodes, &places.dynamic_anchors) {
        return Err(vec![cycle]);
    }
    tags::find_all(&mut nodes);
    let of_nodes: usize = nodes.iter().map(|node| BYTES_OF_NODE + node.at.len()).sum();
    let bytes = patterns.bytes.saturating_add(of_nodes);
    Ok(Schema { nodes, dynamic_anchors: places.dynamic_anchors, bytes })
}

/// Returns the places of annotations that may be taken for rules.
pub(super) fn annotations(document: &Value) -> Vec<Vec<String>> {
    let places = Places::of(document, &mut Report::default()).map(|places| places.all).unwrap_or_default();
    let of = |place: &Place<'_>| {
        let members = place.value.as_object();
        let keywords = members.into_iter().flat_map(Map::keys).filter(|keyword| is_taken_for_a_rule(keyword));
        keywords.map(|keyword| keys(&child(&place.at, keyword)).collect()).collect::<Vec<_>>()
    };
    places.iter().flat_map(of).collect()
}

fn node(place: &Place<'_>, places: &Places<'_>, patterns: &mut Patterns, report: &mut Report) -> Node {
    let keywords = match place.value {
        Value::Bool(true) => Vec::new(),
        Value::Object(members) => Reader::new(members, place, places, patterns, report).keywords(),
        // What is no schema is told already.
        _ => vec![Keyword::Assertion(Assertion::False)],
    };
    let asks = |keyword: &Keyword| matches!(keyword, Keyword::Applicator(one) if one.asks_evaluated());
    Node {
        at: place.at.clone(),
        resource: place.resource,
        asks_evaluated: keywords.iter().any(asks),
        keywords,
    }
}

impl Patterns {
    /// Returns a pattern ready to search with.
    pub(super) fn get(&mut self, text: &str) -> Result<Rc<Pattern>, PatternError> {
        if let Some(known) = self.compiled.get(text) {
            return Ok(Rc::clone(known));
        }
        if self.bytes > MAX_PATTERN_BYTES {
            return Err(PatternError::AllSizes);
        }
        let pattern = Pattern::compile(text).map(Rc::new);
        let bytes = pattern.as_ref().map_or(BYTES_OF_REFUSED, |pattern| pattern.memory());
        self.bytes = self.bytes.saturating_add(bytes);
        let pattern = pattern?;
        self.compiled.insert(text.to_owned(), Rc::clone(&pattern));
        Ok(pattern)
    }
}

#[cfg(test)]
mod tests;
