//! The place of something in a document: `policies.chat.rates[0].window`.

use std::fmt::{self, Write as _};

/// A step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// The step to the element of a list at this position.
    Index(usize),
    /// The step to the member of an object with this key.
    Key(String),
}

/// The steps from the document to a value; none for the document itself.
///
/// The text of a path joins keys by dots and writes list positions in brackets. A key with other characters
/// than letters, digits, `_` and `-` is written as a JSON string in brackets, such as
/// `policies["chat.v2"].mode`, so that every text names one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Segment>);

impl Path {
    /// Returns the path of the document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Returns the path of the member `key` of the value here.
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.joined(Segment::Key(key.into()))
    }

    /// Returns the path of the element `index` of the value here.
    pub fn index(&self, index: usize) -> Self {
        self.joined(Segment::Index(index))
    }

    /// Returns the steps in order.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Reads the text of a path back; returns `None` when no path has this text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix('[').filter(|inner| inner.starts_with('"')) {
                let mut keys = serde_json::Deserializer::from_str(quoted).into_iter::<String>();
                segments.push(Segment::Key(keys.next()?.ok()?));
                rest = quoted.get(keys.byte_offset()..)?.strip_prefix(']')?;
            } else if let Some(numbered) = rest.strip_prefix('[') {
                let (index, after) = numbered.split_once(']')?;
                segments.push(Segment::Index(index.parse().ok()?));
                rest = after;
            } else {
                let plain = if segments.is_empty() { rest } else { rest.strip_prefix('.')? };
                let (key, after) = plain.split_at(plain.find(['.', '[']).unwrap_or(plain.len()));
                if !is_plain(key) {
                    return None;
                }
                segments.push(Segment::Key(key.to_owned()));
                rest = after;
            }
        }
        Some(Self(segments))
    }

    fn joined(&self, segment: Segment) -> Self {
        let mut segments = Vec::with_capacity(self.0.len().saturating_add(1));
        segments.extend_from_slice(&self.0);
        segments.push(segment);
        Self(segments)
    }
}

impl FromIterator<Segment> for Path {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if is_plain(key) => {
                    if i > 0 {
                        f.write_char('.')?;
                    }
                    f.write_str(key)?;
                }
                Segment::Key(key) => write!(f, "[{}]", serde_json::Value::from(key.as_str()))?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_text_which_reads_back() {
        let root = Path::root();
        for (path, text) in [
            (root.clone(), ""),
            (
                root.key("policies").key("chat").key("rates").index(0).key("window"),
                "policies.chat.rates[0].window",
            ),
            (root.key("policies").key("chat.v2").key("mode"), r#"policies["chat.v2"].mode"#),
            (root.key(""), r#"[""]"#),
            (root.key("a\"]\n").index(12), r#"["a\"]\n"][12]"#),
            (root.key("0").index(0), "0[0]"),
        ] {
            assert_eq!(path.to_string(), text);
            assert_eq!(Path::parse(text), Some(path), "{text}");
        }
    }

    #[test]
    fn what_is_no_path_does_not_read() {
        for text in [".a", "a.", "a..b", "a[", "a[x]", "a[0", r#"["a]"#, "a b", "a]"] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }

    #[test]
    fn list_positions_order_as_numbers() {
        let list = Path::root().key("rates");
        assert!(list.index(2) < list.index(10));
    }
}
