//! The way from text to documents, by the events of the YAML parser.
//!
//! The cost of a file is bounded: the depth, and the number of values and the length of texts with every
//! alias written out.

use std::collections::{HashMap, HashSet};

use postern_config::{Path, Segment};
use saphyr::{Scalar, ScalarStyle, Tag};
use saphyr_parser::{Event, Marker, Parser, Span};
use serde_json::{Number, Value};

use super::secrets::{self, Hidden};
use super::{Kind, Member, Node, Position};
use crate::finding::{Code, Finding};

/// The deepest nesting.
pub(super) const DEEPEST: usize = 64;

/// The most values of a file, with those that aliases stand for; long texts count as several.
pub(crate) const MOST_VALUES: usize = 200_000;

/// The number of bytes of a text that count as one value more.
const TEXT_OF_A_VALUE: usize = 256;

/// The most characters that are told of a key.
const LONGEST_KEY: usize = 256;

/// The key by which YAML 1.1 merges.
const MERGE: &str = "<<";

/// The tag of a key whose member Envoy leaves out.
const IGNORE: &str = "!ignore";

/// The documents of a file, and what is wrong with it as YAML.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The documents that are not empty. After a fault that leaves no sense to the rest, the documents before
    /// it.
    pub(crate) documents: Vec<Node>,
    pub(crate) findings: Vec<Finding>,
    /// The members that Envoy leaves out (`!ignore`), and that are in no document.
    pub(crate) ignored: Vec<Ignored>,
    /// The number of values, with every alias written out.
    pub(crate) values: usize,
    /// The places of secrets.
    pub(crate) hidden: Vec<Hidden>,
}

/// A member that Envoy leaves out.
#[derive(Debug)]
pub(crate) struct Ignored {
    /// The place of the member's document in [`Loaded::documents`].
    pub(crate) document: usize,
    /// The place where the key begins.
    pub(crate) position: Position,
    pub(crate) path: String,
}

/// Reads every document of a file.
pub(crate) fn load(text: &[u8]) -> Loaded {
    let Ok(text) = std::str::from_utf8(text) else {
        let at = end_of_text(text);
        let finding = Finding::new(at, Code::Syntax, "", "is not UTF-8 text", "write YAML or JSON in UTF-8");
        return Loaded { findings: vec![finding], ..Loaded::default() };
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut loader = Loader::default();
    let read = loader.read(text);
    loader.loaded.findings.extend(read.err());
    loader.loaded
}

/// Returns the place where bytes cease to be UTF-8.
fn end_of_text(bytes: &[u8]) -> Position {
    let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n");
    let mut lines = text.split(['\n', '\r']);
    let last = lines.next_back().unwrap_or_default();
    Position { line: lines.count().saturating_add(1), column: last.chars().count().saturating_add(1) }
}

#[derive(Default)]
struct Loader {
    loaded: Loaded,
    /// The lists and objects around the next event.
    open: Vec<Open>,
    /// The anchored values, and the number of values that each holds.
    anchors: HashMap<usize, (Node, usize)>,
    /// The places of the anchored texts.
    anchored_texts: HashMap<usize, Hidden>,
    /// The end of what was read so far.
    end: Marker,
}

/// A list or an object of which the end has not been seen.
struct Open {
    position: Position,
    anchor: usize,
    /// [`Loaded::values`] at the beginning of the list or object.
    values_before: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Object { members: Vec<Member>, names: HashSet<String>, key: Option<Key> },
}

/// A key whose value comes next.
struct Key {
    text: String,
    position: Position,
    is_merge: bool,
    is_ignored: bool,
    /// The number of findings before the key's value.
    findings_before: usize,
}

impl Loader {
    fn read(&mut self, text: &str) -> Result<(), Finding> {
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                self.hide_rest(text);
                let what = format!("is not YAML: {}", error.info());
                Finding::new(position(*error.marker()), Code::Syntax, "", what, "mend the syntax")
            })?;
            self.end = span.end;
            let taken = self.take(event, span);
            if taken.is_err() {
                self.hide_rest(text);
            }
            taken?;
        }
        Ok(())
    }

    /// Hides what could not be read if it may have secrets, or be one.
    fn hide_rest(&mut self, text: &str) {
        let rest: String = text.chars().skip(self.end.index()).collect();
        if self.awaits_secret() || secrets::may_have_secrets(&rest) {
            let end = Position { line: usize::MAX, column: 1 };
            self.loaded.hidden.push(Hidden { begin: position(self.end), end });
        }
    }

    /// Says whether the next value is a secret, if it is a text.
    fn awaits_secret(&self) -> bool {
        let mut keys = self.keys_above();
        keys.next().is_some_and(|key| secrets::is_secret(key, keys))
    }

    /// Returns the keys that the next value stands under, from the innermost on.
    fn keys_above(&self) -> impl Iterator<Item = &str> {
        self.open.iter().rev().filter_map(|open| match &open.kind {
            OpenKind::Object { key: Some(key), .. } => Some(key.text.as_str()),
            OpenKind::Object { .. } | OpenKind::List(_) => None,
        })
    }

    /// Notes a text that is not to be shown.
    fn hide(&mut self, text: &str, style: ScalarStyle, span: Span, anchor: usize) {
        let place = Hidden { begin: position(span.start), end: position(span.end) };
        if anchor != 0 {
            self.anchored_texts.insert(anchor, place);
        }
        // The lines of a literal are those of a document that is read by itself.
        let may_be_document = style != ScalarStyle::Literal
            && (secrets::may_have_secrets(text) || secrets::is_file(self.keys_above()));
        if may_be_document || self.awaits_secret() {
            self.loaded.hidden.push(place);
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Finding> {
        let at = position(span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
            // Anchors do not outlive their document.
            Event::DocumentStart(_) | Event::DocumentEnd => {
                self.anchors.clear();
                self.anchored_texts.clear();
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(text.len() / TEXT_OF_A_VALUE, at)?;
                let is_ignored = tag.as_ref().is_some_and(|tag| is_ignore(tag));
                let findings_before = self.loaded.findings.len();
                if let Some(key) = self.awaited_key() {
                    let is_merge = style == ScalarStyle::Plain && text == MERGE;
                    let text = text.into_owned();
                    *key = Some(Key { text, position: at, is_merge, is_ignored, findings_before });
                    return Ok(());
                }
                self.refuse_ignored_value(is_ignored, at);
                self.hide(&text, style, span, anchor);
                let text_begins = text_begins(at, style, &text);
                let tag = tag.filter(|_| !is_ignored);
                let is_unclear = style == ScalarStyle::Plain && is_truth_elsewhere(&text);
                let scalar = Scalar::parse_from_cow_and_metadata(text, style, tag.as_ref());
                let value = scalar.and_then(json).ok_or_else(|| {
                    let what = match tag {
                        Some(tag) => format!("is no {} that JSON has", shown(&tag)),
                        None => "is a number that JSON does not have".to_owned(),
                    };
                    self.finding(Code::Syntax, at, what, "write a string, a number, true or false")
                })?;
                self.count(1, at)?;
                let values = value.as_str().map_or(0, str::len) / TEXT_OF_A_VALUE + 1;
                self.put(
                    Node { position: at, kind: Kind::Scalar(value), is_unclear, text_begins },
                    values,
                    anchor,
                )?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_ignored_value(tag.is_some_and(|tag| is_ignore(&tag)), at);
                self.begin(at, anchor, OpenKind::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_ignored_value(tag.is_some_and(|tag| is_ignore(&tag)), at);
                let kind = OpenKind::Object { members: Vec::new(), names: HashSet::new(), key: None };
                self.begin(at, anchor, kind)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Alias(anchor) => {
                if self.awaited_key().is_some() {
                    return Err(self.finding(
                        Code::Syntax,
                        at,
                        "has an alias for a key",
                        "write the key out",
                    ));
                }
                let Some((node, values)) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.finding(
                        Code::Syntax,
                        at,
                        "is an alias of what it is inside of",
                        "write the value out",
                    ));
                };
                self.count(values, at)?;
                if self.awaits_secret() {
                    self.loaded.hidden.extend(self.anchored_texts.get(&anchor));
                }
                self.put(node, values, 0)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, at: Position, anchor: usize, kind: OpenKind) -> Result<(), Finding> {
        if self.awaited_key().is_some() {
            return Err(self.finding(
                Code::Syntax,
                at,
                "has a list or an object for a key",
                "write a string",
            ));
        }
        if self.open.len() >= DEEPEST {
            return Err(self.finding(
                Code::TooMuch,
                at,
                format!("nests deeper than {DEEPEST}"),
                "write it flatter",
            ));
        }
        let values_before = self.loaded.values;
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
        let values = self.loaded.values.saturating_sub(values_before);
        self.put(Node::at(position, kind), values, anchor)
    }

    /// Puts a whole value where it belongs.
    fn put(&mut self, node: Node, values: usize, anchor: usize) -> Result<(), Finding> {
        if anchor != 0 {
            // An anchor keeps a copy: nested anchors would add up.
            self.count(values, node.position)?;
            self.anchors.insert(anchor, (node.clone(), values));
        }
        let is_told =
            |names: &HashSet<String>, key: &Key| key.is_ignored || key.is_merge || names.contains(&key.text);
        let here = match self.open.last().map(|open| &open.kind) {
            Some(OpenKind::Object { names, key: Some(key), .. }) if is_told(names, key) => self.path(),
            _ => String::new(),
        };
        match self.open.last_mut().map(|open| &mut open.kind) {
            None if matches!(node.kind, Kind::Scalar(Value::Null)) => {}
            None => self.loaded.documents.push(node),
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Object { members, names, key }) => {
                let Some(key) = key.take() else { return Ok(()) };
                if key.is_ignored {
                    let (document, position) = (self.loaded.documents.len(), key.position);
                    self.loaded.findings.truncate(key.findings_before);
                    self.loaded.ignored.push(Ignored { document, position, path: here });
                } else if key.is_merge {
                    let remedy = "write the members out, or use an alias for a whole value";
                    let what = "is a merge key of YAML 1.1, which is not read";
                    self.loaded.findings.push(Finding::new(key.position, Code::Syntax, here, what, remedy));
                } else if names.insert(key.text.clone()) {
                    members.push(Member { key: key.text, position: key.position, value: node });
                } else {
                    let remedy = "leave one of them";
                    self.loaded.findings.push(Finding::new(
                        key.position,
                        Code::WrittenTwice,
                        here,
                        "is written twice",
                        remedy,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Notes a tag that Envoy heeds before a key only.
    fn refuse_ignored_value(&mut self, is_ignored: bool, at: Position) {
        if is_ignored {
            let what = "has `!ignore` before its value, where Envoy does not heed it";
            let finding =
                self.finding(Code::MisplacedTag, at, what, "write it before the key: `!ignore key: value`");
            self.loaded.findings.push(finding);
        }
    }

    /// Returns the place where the next key goes, when one comes next.
    fn awaited_key(&mut self) -> Option<&mut Option<Key>> {
        match self.open.last_mut().map(|open| &mut open.kind) {
            Some(OpenKind::Object { key: key @ None, .. }) => Some(key),
            _ => None,
        }
    }

    fn count(&mut self, values: usize, at: Position) -> Result<(), Finding> {
        self.loaded.values = self.loaded.values.saturating_add(values);
        if self.loaded.values > MOST_VALUES {
            let what = format!("has more than {MOST_VALUES} values, with aliases written out");
            return Err(self.finding(Code::TooMuch, at, what, "write less, or fewer aliases"));
        }
        Ok(())
    }

    /// Returns a problem with the next value.
    fn finding(&self, code: Code, at: Position, what: impl Into<String>, remedy: &str) -> Finding {
        Finding::new(at, code, self.path(), what, remedy)
    }

    /// Returns the path of the next value.
    fn path(&self) -> String {
        let steps = self.open.iter().filter_map(|open| match &open.kind {
            OpenKind::List(items) => Some(Segment::Index(items.len())),
            OpenKind::Object { key, .. } => {
                key.as_ref().map(|key| Segment::Key(key.text.chars().take(LONGEST_KEY).collect()))
            }
        });
        steps.collect::<Path>().to_string()
    }
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line(), column: marker.col().saturating_add(1) }
}

/// Returns the place where the lines of a literal begin; the parser gives the place of the first line that is
/// not empty.
fn text_begins(at: Position, style: ScalarStyle, text: &str) -> Option<Position> {
    let empty = text.lines().position(|line| !line.is_empty())?;
    let line = at.line.checked_sub(empty)?;
    (style == ScalarStyle::Literal).then_some(Position { line, column: at.column })
}

fn is_ignore(tag: &Tag) -> bool {
    tag.handle.chars().chain(tag.suffix.chars()).eq(IGNORE.chars())
}

fn shown(tag: &Tag) -> String {
    format!("`{}{}`", tag.handle, tag.suffix).escape_debug().collect()
}

/// Says whether a text is a word for true or false that only YAML 1.1 has.
fn is_truth_elsewhere(text: &str) -> bool {
    ["n", "no", "off", "on", "y", "yes"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Converts a scalar; returns `None` for infinities and what is no number.
fn json(scalar: Scalar<'_>) -> Option<Value> {
    Some(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::Bool(value),
        Scalar::Integer(value) => Value::from(value),
        Scalar::FloatingPoint(value) => Value::Number(Number::from_f64(value.into_inner())?),
        Scalar::String(text) => Value::String(text.into_owned()),
    })
}
