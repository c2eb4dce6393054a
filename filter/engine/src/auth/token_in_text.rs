//! The token in a text message: the string that a JSON pointer (RFC 6901) points at.
//!
//! Reads a message leniently, since a service might take for a token what Postern takes for none: whatever is
//! beside the way to the token has only to look like JSON. Builds nothing but the token.

use std::fmt;

use postern_config::{FirstMessage, JsonPointer};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The place of tokens in messages.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The text that a message has before the JSON.
    prefix: String,
    names: Vec<String>,
}

/// The find at a place. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A member on the way occurs twice, so that readers may disagree on whether a string is there, and
    /// which.
    Ambiguous,
    /// No string, or the message is no JSON.
    Nothing,
    /// The string at the place.
    Token(String),
}

impl Found {
    /// Returns the memory that is taken for the find, in bytes.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Token(token) => token.capacity(),
            Self::Ambiguous | Self::Nothing => 0,
        }
    }
}

impl Place {
    /// Returns the place that `pointer` points at, in messages that are JSON.
    pub(crate) fn new(pointer: &JsonPointer) -> Self {
        Self { prefix: String::new(), names: pointer.names().collect() }
    }

    /// Returns the place of the token in a first message.
    pub(crate) fn of_first(first: &FirstMessage) -> Self {
        Self { prefix: first.prefix.clone(), ..Self::new(&first.pointer) }
    }

    /// Looks for the token in `message`.
    pub(crate) fn find(&self, message: &[u8]) -> Found {
        let Some(message) = message.strip_prefix(self.prefix.as_bytes()) else { return Found::Nothing };
        if !self.may_be_in(message) {
            return Found::Nothing;
        }
        let mut deserializer = serde_json::Deserializer::from_slice(message);
        let found = Way(&self.names).deserialize(&mut deserializer);
        found.and_then(|found| deserializer.end().map(|()| found)).unwrap_or(Found::Nothing)
    }

    /// Says whether the place may be in `message`, so that it is worth reading. Without escapes a name stands
    /// between two quotation marks as it is.
    fn may_be_in(&self, message: &[u8]) -> bool {
        let is_there = |name: &String| {
            let mut between = message.split(|byte| *byte == b'"');
            index(name).is_some() || between.any(|text| text == name.as_bytes())
        };
        message.contains(&b'\\') || self.names.iter().all(is_there)
    }
}

/// Returns the element of an array that a name stands for, if it does for one (RFC 6901 §4).
fn index(name: &str) -> Option<usize> {
    let is_index = name == "0" || !name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit());
    if is_index { name.parse().ok() } else { None }
}

/// The rest of the way to the token.
#[derive(Clone, Copy)]
struct Way<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Way<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Way<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_str<E>(self, text: &str) -> Result<Found, E> {
        Ok(if self.0.is_empty() { Found::Token(text.to_owned()) } else { Found::Nothing })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Found, A::Error> {
        let mut found = Found::Nothing;
        if let Some((name, rest)) = self.0.split_first()
            && let Some(index) = index(name)
        {
            let mut before = 0;
            while before < index && items.next_element::<IgnoredAny>()?.is_some() {
                before += 1;
            }
            found = items.next_element_seed(Way(rest))?.unwrap_or(Found::Nothing);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Found, A::Error> {
        let Some((name, rest)) = self.0.split_first() else {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Found::Nothing);
        };
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Name(name))? {
            if is_it {
                let next = members.next_value_seed(Way(rest))?;
                found = Some(match found {
                    None => next,
                    Some(Found::Nothing) if next == Found::Nothing => Found::Nothing,
                    Some(_) => Found::Ambiguous,
                });
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found.unwrap_or(Found::Nothing))
    }
}

/// A name that members are compared with. They compare as bytes, since some readers take names that are not
/// Unicode.
struct Name<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<bool, E> {
        Ok(name == self.0.as_bytes())
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ambiguous => "Ambiguous",
            Self::Nothing => "Nothing",
            Self::Token(_) => "Token(…)",
        })
    }
}

#[cfg(test)]
mod tests;
