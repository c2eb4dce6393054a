//! Text → documents, by the events of the YAML parser.
//!
//! What a file can make this cost is bounded: the depth, and the number of values with every alias
//! written out.

use std::collections::HashMap;

use postern_config::{Path, Problem, Segment};
use saphyr::{Scalar, ScalarStyle, Tag};
use saphyr_parser::{Event, Marker, Parser, Span};
use serde_json::{Number, Value};

use super::{Kind, Member, Node, Position};
use crate::finding::Finding;

/// The deepest nesting.
pub(super) const DEEPEST: usize = 64;

/// The most values of a file, those that aliases stand for as well.
const MOST_VALUES: usize = 200_000;

/// The key that YAML 1.1 merges by.
const MERGE: &str = "<<";

/// What a file holds, and what is wrong with it as YAML.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Those that are not empty. After something that leaves no sense to what follows, those
    /// before it.
    pub(crate) documents: Vec<Node>,
    pub(crate) findings: Vec<Finding>,
}

/// Reads every document of a file.
pub(crate) fn load(text: &[u8]) -> Loaded {
    let mut loader = Loader::default();
    let read = match std::str::from_utf8(text) {
        Ok(text) => loader.read(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(_) => Err(finding(Position::START, "", "is not UTF-8 text", "write YAML or JSON")),
    };
    loader.loaded.findings.extend(read.err());
    loader.loaded
}

#[derive(Default)]
struct Loader {
    loaded: Loaded,
    /// The lists and objects around the next event.
    open: Vec<Open>,
    /// Anchored values and how many values each holds.
    anchors: HashMap<usize, (Node, usize)>,
    values: usize,
}

/// A list or an object of which the end has not been seen.
struct Open {
    position: Position,
    anchor: usize,
    /// [`Loader::values`] when it began.
    values_before: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Object { members: Vec<Member>, key: Option<(String, Position, bool)> },
}

impl Loader {
    fn read(&mut self, text: &str) -> Result<(), Finding> {
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                let what = format!("is not YAML: {}", error.info());
                finding(position(*error.marker()), "", what, "mend the syntax")
            })?;
            self.take(event, span)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Finding> {
        let at = position(span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
            // Anchors do not outlive their document.
            Event::DocumentStart(_) | Event::DocumentEnd => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                if let Some(key) = self.awaited_key() {
                    let is_merge = style == ScalarStyle::Plain && text == MERGE;
                    *key = Some((text.into_owned(), at, is_merge));
                    return Ok(());
                }
                let is_unclear = style == ScalarStyle::Plain && tag.is_none() && is_truth_elsewhere(&text);
                let scalar = Scalar::parse_from_cow_and_metadata(text, style, tag.as_ref());
                let value = scalar.and_then(json).ok_or_else(|| {
                    let what = match tag {
                        Some(tag) => format!("is no {} that JSON has", shown(&tag)),
                        None => "is a number that JSON does not have".to_owned(),
                    };
                    self.finding(at, what, "write a string, a number, true or false")
                })?;
                self.count(1, at)?;
                self.put(Node { position: at, kind: Kind::Scalar(value), is_unclear }, 1, anchor)?;
            }
            Event::SequenceStart(anchor, _) => self.begin(at, anchor, OpenKind::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => {
                self.begin(at, anchor, OpenKind::Object { members: Vec::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Alias(anchor) => {
                if self.awaited_key().is_some() {
                    return Err(self.finding(at, "has an alias for a key", "write the key out"));
                }
                let Some((node, values)) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.finding(
                        at,
                        "is an alias of what it is inside of",
                        "write the value out",
                    ));
                };
                self.count(values, at)?;
                self.put(node, values, 0)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, at: Position, anchor: usize, kind: OpenKind) -> Result<(), Finding> {
        if self.awaited_key().is_some() {
            return Err(self.finding(at, "has a list or an object for a key", "write a string"));
        }
        if self.open.len() >= DEEPEST {
            return Err(self.finding(at, format!("nests deeper than {DEEPEST}"), "write it flatter"));
        }
        let values_before = self.values;
        self.count(1, at)?;
        self.open.push(Open { position: at, anchor, values_before, kind });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Finding> {
        // The parser ends only what it began.
        let Some(Open { position, anchor, values_before, kind }) = self.open.pop() else { return Ok(()) };
        let kind = match kind {
            OpenKind::List(items) => Kind::List(items),
            OpenKind::Object { members, .. } => Kind::Object(members),
        };
        self.put(
            Node { position, kind, is_unclear: false },
            self.values.saturating_sub(values_before),
            anchor,
        )
    }

    /// Puts a whole value where it belongs.
    fn put(&mut self, node: Node, values: usize, anchor: usize) -> Result<(), Finding> {
        if anchor != 0 {
            // What an anchor keeps is a copy: nested anchors would add up.
            self.count(values, node.position)?;
            self.anchors.insert(anchor, (node.clone(), values));
        }
        let here = self.path();
        match self.open.last_mut().map(|open| &mut open.kind) {
            None if matches!(node.kind, Kind::Scalar(Value::Null)) => {}
            None => self.loaded.documents.push(node),
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Object { members, key }) => {
                let Some((key, position, is_merge)) = key.take() else { return Ok(()) };
                if is_merge {
                    let remedy = "write the members out, or use an alias for a whole value";
                    let what = "is a merge key of YAML 1.1, which is not read";
                    self.loaded.findings.push(finding(position, &here, what, remedy));
                } else if members.iter().any(|member| member.key == key) {
                    self.loaded.findings.push(finding(
                        position,
                        &here,
                        "is written twice",
                        "leave one of them",
                    ));
                } else {
                    members.push(Member { key, position, value: node });
                }
            }
        }
        Ok(())
    }

    /// Where the next key goes, when one comes next.
    fn awaited_key(&mut self) -> Option<&mut Option<(String, Position, bool)>> {
        match self.open.last_mut().map(|open| &mut open.kind) {
            Some(OpenKind::Object { key: key @ None, .. }) => Some(key),
            _ => None,
        }
    }

    fn count(&mut self, values: usize, at: Position) -> Result<(), Finding> {
        self.values = self.values.saturating_add(values);
        if self.values > MOST_VALUES {
            let what = format!("has more than {MOST_VALUES} values, with aliases written out");
            return Err(self.finding(at, what, "write less, or fewer aliases"));
        }
        Ok(())
    }

    /// A problem with the next value.
    fn finding(&self, at: Position, what: impl Into<String>, remedy: &str) -> Finding {
        finding(at, &self.path(), what, remedy)
    }

    /// The path of the next value.
    fn path(&self) -> String {
        let steps = self.open.iter().filter_map(|open| match &open.kind {
            OpenKind::List(items) => Some(Segment::Index(items.len())),
            OpenKind::Object { key, .. } => key.as_ref().map(|(key, ..)| Segment::Key(key.clone())),
        });
        steps.collect::<Path>().to_string()
    }
}

fn finding(at: Position, path: &str, what: impl Into<String>, remedy: &str) -> Finding {
    Finding::problem(at, Problem::new(path, what, remedy))
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line(), column: marker.col().saturating_add(1) }
}

fn shown(tag: &Tag) -> String {
    format!("`{}{}`", tag.handle, tag.suffix).escape_debug().collect()
}

/// The words for true and false that only YAML 1.1 has.
fn is_truth_elsewhere(text: &str) -> bool {
    ["n", "no", "off", "on", "y", "yes"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// `None` for infinities and what is no number.
fn json(scalar: Scalar<'_>) -> Option<Value> {
    Some(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::Bool(value),
        Scalar::Integer(value) => Value::from(value),
        Scalar::FloatingPoint(value) => Value::Number(Number::from_f64(value.into_inner())?),
        Scalar::String(text) => Value::String(text.into_owned()),
    })
}
