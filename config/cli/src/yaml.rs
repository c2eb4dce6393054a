//! YAML (and so JSON) whose every key and value knows where it is written.

mod load;
mod secrets;

use postern_config::{Path, Segment};
use serde_json::Value;

pub(crate) use load::{Loaded, MOST_VALUES, load};
pub(crate) use secrets::{Hidden, may_have_secrets};

/// A place in a file; both numbers count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Position {
    /// The place where every file begins.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The place where the value begins.
    pub(crate) position: Position,
    pub(crate) kind: Kind,
    /// Says whether the value is a word such as `yes` without quotes: a string to YAML 1.2, and true or false
    /// to YAML 1.1, which Envoy and Kubernetes read.
    pub(crate) is_unclear: bool,
    /// The place where the text of a literal (`
    /// `) begins, whose every line is a line of the file.
    pub(crate) text_begins: Option<Position>,
}

/// The kind of a value.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    List(Vec<Node>),
    Object(Vec<Member>),
    /// A value that is neither a list nor an object.
    Scalar(Value),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) key: String,
    /// The place where the key begins.
    pub(crate) position: Position,
    pub(crate) value: Node,
}

impl Node {
    /// Returns the member `key`.
    pub(crate) fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().find(|member| member.key == key)
    }

    /// Returns the value of the member `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.member(key).map(|member| &member.value)
    }

    /// Creates a value that stands at `position`, written there or not.
    pub(crate) fn at(position: Position, kind: Kind) -> Self {
        Self { position, kind, is_unclear: false, text_begins: None }
    }

    /// Moves everything inside to the places that `moved` gives.
    pub(crate) fn relocate(&mut self, moved: &impl Fn(Position) -> Position) {
        self.position = moved(self.position);
        self.text_begins = self.text_begins.map(moved);
        match &mut self.kind {
            Kind::List(items) => items.iter_mut().for_each(|item| item.relocate(moved)),
            Kind::Object(members) => {
                for member in members {
                    member.position = moved(member.position);
                    member.value.relocate(moved);
                }
            }
            Kind::Scalar(_) => {}
        }
    }

    /// Says whether the value is true, or its text is, or a word that Envoy and Kubernetes take for it.
    pub(crate) fn is_true(&self) -> bool {
        self.is_truth(true, &["on", "y", "yes"])
    }

    /// Says whether the value is false, or its text is, or a word that Envoy and Kubernetes take for it.
    pub(crate) fn is_false(&self) -> bool {
        self.is_truth(false, &["n", "no", "off"])
    }

    fn is_truth(&self, truth: bool, words: &[&str]) -> bool {
        let is_word =
            |text: &str| self.is_unclear && words.iter().any(|word| word.eq_ignore_ascii_case(text));
        match &self.kind {
            Kind::Scalar(Value::Bool(value)) => *value == truth,
            Kind::Scalar(Value::String(text)) => *text == truth.to_string() || is_word(text),
            Kind::List(_) | Kind::Object(_) | Kind::Scalar(_) => false,
        }
    }

    /// Returns the members of an object; none of anything else.
    pub(crate) fn members(&self) -> &[Member] {
        match &self.kind {
            Kind::Object(members) => members,
            Kind::List(_) | Kind::Scalar(_) => &[],
        }
    }

    /// Returns the elements of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Object(_) | Kind::Scalar(_) => &[],
        }
    }

    /// Returns the text of a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(value) => value.as_str(),
            Kind::List(_) | Kind::Object(_) => None,
        }
    }

    /// Returns the value without positions.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Object(members) => {
                members.iter().map(|member| (member.key.clone(), member.value.to_json())).collect()
            }
            Kind::Scalar(value) => value.clone(),
        }
    }

    /// Collects the paths and places of every unclear value inside, under `path`.
    pub(crate) fn unclear(&self, path: &Path, found: &mut Vec<(Path, Position)>) {
        if self.is_unclear {
            found.push((path.clone(), self.position));
        }
        for (i, item) in self.items().iter().enumerate() {
            item.unclear(&path.index(i), found);
        }
        for member in self.members() {
            member.value.unclear(&path.key(member.key.as_str()), found);
        }
    }

    /// Returns the place where the key or element at `path` is written; the place of the last one above it,
    /// if it is not written at all; `above` when nothing on the way is.
    pub(crate) fn locate(&self, path: &Path, above: Position) -> Position {
        let mut node = self;
        let mut position = above;
        for segment in path.segments() {
            let step = match segment {
                Segment::Key(key) => node.member(key).map(|member| (member.position, &member.value)),
                Segment::Index(index) => node.items().get(*index).map(|item| (item.position, item)),
            };
            match step {
                Some(step) => (position, node) = step,
                None => break,
            }
        }
        position
    }
}

#[cfg(test)]
mod tests;
