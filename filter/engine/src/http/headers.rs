//! A view of header fields as bytes, and the changes asked of them.
//!
//! Nothing here assumes text: a value is bytes until the rule at hand proves otherwise. Names are compared
//! without regard to case. HTTP/2 pseudo-headers (`:path`, `:method`, …) are fields too.

use std::fmt;

/// A field as the host hands it over.
pub type Field = (String, Vec<u8>);

/// The fields of one message, in order, duplicates and all. Its `Debug` shows no value.
#[derive(Clone, Copy)]
pub struct Headers<'a>(&'a [Field]);

/// The occurrence of a field that may occur once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Single<'a> {
    /// The field does not occur.
    Absent,
    /// The field occurs more than once.
    Many,
    /// The field occurs once, with this value.
    One(&'a [u8]),
}

/// A change to the request or the response. Its `Debug` shows no value: it may be a token.
#[derive(Clone, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Adds a field of this name, with this value.
    Add(String, Vec<u8>),
    /// Removes every field of this name.
    Remove(String),
    /// Puts one field of this name, with this value, in the place of all there were.
    Set(String, Vec<u8>),
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl<'a> Headers<'a> {
    /// Returns a view of `fields`.
    pub fn new(fields: &'a [Field]) -> Self {
        Self(fields)
    }

    /// Returns every field in order.
    pub fn fields(self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Returns the values of every field called `name`, in order.
    pub fn all(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// Returns the value of a field that may occur once.
    pub fn single(self, name: &str) -> Single<'a> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (None, _) => Single::Absent,
            (Some(value), None) => Single::One(value),
            (Some(_), Some(_)) => Single::Many,
        }
    }

    /// Says whether a field called `name` occurs.
    pub fn has(self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Returns the members of a comma-separated list over all fields called `name` (RFC 9110 §5.6.1): trimmed
    /// of blanks, empty ones left out.
    pub fn list(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name)
            .flat_map(|value| value.split(|&b| b == b','))
            .map(|item| item.trim_ascii())
            .filter(|item| !item.is_empty())
    }

    /// Returns the fields as they are once `edits` are done.
    pub fn edited(self, edits: &[HeaderEdit]) -> Vec<Field> {
        let mut fields = self.0.to_vec();
        for edit in edits {
            let (added, replaces) = match edit {
                HeaderEdit::Add(name, value) => (Some((name, value)), false),
                HeaderEdit::Remove(_) => (None, true),
                HeaderEdit::Set(name, value) => (Some((name, value)), true),
            };
            fields.retain(|(name, _)| !(replaces && name.eq_ignore_ascii_case(edit.name())));
            fields.extend(added.map(|(name, value)| (name.clone(), value.clone())));
        }
        fields
    }

    /// Says whether the list of the fields called `name` has the member `token`, in any case.
    pub fn list_has(self, name: &str, token: &[u8]) -> bool {
        self.list(name).any(|item| item.eq_ignore_ascii_case(token))
    }
}

impl fmt::Debug for HeaderEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(name, value) => write!(f, "Add({name:?}, {} bytes)", value.len()),
            Self::Remove(name) => f.debug_tuple("Remove").field(name).finish(),
            Self::Set(name, value) => write!(f, "Set({name:?}, {} bytes)", value.len()),
        }
    }
}

impl HeaderEdit {
    /// Returns the name of the field that is changed.
    pub fn name(&self) -> &str {
        match self {
            Self::Add(name, _) | Self::Remove(name) | Self::Set(name, _) => name,
        }
    }

    /// Returns the memory that is taken for the edit, in bytes.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Add(name, value) | Self::Set(name, value) => name.capacity() + value.capacity(),
            Self::Remove(name) => name.capacity(),
        }
    }
}

/// Says whether `bytes` is a token (RFC 9110 §5.6.2), and so may be a subprotocol name.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &[u8])]) -> Vec<Field> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect()
    }

    #[test]
    fn a_list_spans_fields_and_skips_empty_members() {
        let fields = fields(&[("Connection", b"keep-alive, , Upgrade"), ("connection", b"\xff , close")]);
        let headers = Headers::new(&fields);
        assert_eq!(
            headers.list("connection").collect::<Vec<_>>(),
            [b"keep-alive".as_slice(), b"Upgrade", b"\xff", b"close"]
        );
        assert!(headers.list_has("CONNECTION", b"upgrade"));
        assert!(!headers.list_has("connection", b"up"));
    }

    #[test]
    fn a_single_field_shows_its_duplicates() {
        let fields = fields(&[("origin", b"a"), ("host", b"h"), ("Origin", b"a")]);
        let headers = Headers::new(&fields);
        assert_eq!(headers.single("origin"), Single::Many);
        assert_eq!(headers.single("host"), Single::One(b"h"));
        assert_eq!(headers.single("cookie"), Single::Absent);
    }

    #[test]
    fn edits_add_remove_and_replace() {
        let fields = fields(&[("Set-Cookie", b"a=1"), ("x-a", b"1"), ("X-A", b"2"), ("x-b", b"1")]);
        let edits = [
            HeaderEdit::Add("set-cookie".into(), b"b=2".into()),
            HeaderEdit::Set("x-a".into(), b"3".into()),
            HeaderEdit::Remove("X-B".into()),
        ];
        let expected = [("Set-Cookie", &b"a=1"[..]), ("set-cookie", b"b=2"), ("x-a", b"3")];
        let expected: Vec<Field> = expected.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect();
        assert_eq!(Headers::new(&fields).edited(&edits), expected);
    }

    #[test]
    fn a_token_has_no_separators() {
        for (bytes, expected) in
            [(&b"chat.v2"[..], true), (b"", false), (b"a b", false), (b"a/b", false), (b"\xff", false)]
        {
            assert_eq!(is_token(bytes), expected, "{bytes:?}");
        }
    }
}
