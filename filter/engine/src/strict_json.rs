//! JSON (RFC 8259) read so that two readers cannot disagree about it.
//!
//! Owns the refusal of duplicate members, of deep nesting and of anything after the value. Knows no schema
//! and gives no meaning to what it reads; never keeps more than the bytes ask for.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// The deepest nesting that can be asked for. `serde_json` guards its own recursion at 128 and would then
/// report a syntax error; one level below, the refusal is ours and has a name.
pub const MAX_DEPTH: usize = 126;

/// The reason why bytes are not JSON that everybody reads alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// An object names a member twice, also when one name is written with escapes.
    #[error("a member occurs twice")]
    Duplicate,
    /// The bytes are not UTF-8, not JSON, have a number beyond an IEEE double, or something after the value.
    #[error("not JSON")]
    Malformed,
    /// Arrays and objects lie deeper in one another than allowed.
    #[error("nested too deeply")]
    TooDeep,
}

/// Reads one JSON value from all of `bytes`.
///
/// `max_depth` counts arrays and objects inside one another: 0 allows a scalar only, 1 a flat
/// object. More than [`MAX_DEPTH`] is taken as [`MAX_DEPTH`].
pub fn parse(bytes: &[u8], max_depth: usize) -> Result<Value, JsonError> {
    let refusal = Cell::new(JsonError::Malformed);
    let strict = Strict { depth_left: max_depth.min(MAX_DEPTH), refusal: &refusal };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    strict
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|_| refusal.get())
}

/// Says whether more brackets are open at once outside of strings than `max_depth`. Builds nothing; what is no JSON may be
/// deeper or not.
pub fn is_deeper(bytes: &[u8], max_depth: usize) -> bool {
    // Most messages have too few brackets to be deep, and counting them takes a fraction of the time.
    opening_brackets(bytes) > max_depth && has_deeper_nesting(bytes, max_depth)
}

fn opening_brackets(bytes: &[u8]) -> usize {
    // `[` and `{` differ by one bit. A sum of bytes is what vectors are fast at.
    let of_part = |part: &[u8]| part.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    bytes.chunks(usize::from(u8::MAX)).map(|part| usize::from(of_part(part))).sum()
}

fn has_deeper_nesting(bytes: &[u8], max_depth: usize) -> bool {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => depth = depth.saturating_add(1),
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > max_depth {
            return true;
        }
    }
    false
}

/// The visitor that builds a [`Value`]. Its refusal is left in `refusal`, since serde's errors are only text.
#[derive(Clone, Copy)]
struct Strict<'r> {
    depth_left: usize,
    refusal: &'r Cell<JsonError>,
}

impl Strict<'_> {
    fn refuse<E: serde::de::Error>(self, why: JsonError) -> E {
        self.refusal.set(why);
        E::custom(why)
    }

    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left, ..self }),
            None => Err(self.refuse(JsonError::TooDeep)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner::<A::Error>()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            // The member is refused before its value is read: nothing is spent on a document already lost.
            match object.entry(name) {
                Entry::Occupied(_) => return Err(self.refuse(JsonError::Duplicate)),
                Entry::Vacant(member) => member.insert(members.next_value_seed(inner)?),
            };
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_value_is_read_as_serde_json_reads_it() {
        let text = br#" {"a": [null, true, -1, 18446744073709551615, 1.5, 1e3, "\u00e9\n", {}], "b": []} "#;
        assert_eq!(parse(text, 3), Ok(serde_json::from_slice(text).unwrap()));
    }

    #[test]
    fn a_number_is_the_double_that_is_nearest_however_many_digits_it_is_written_with() {
        for (text, double) in [
            ("6.0392003859619445800781250e+09", 6_039_200_385.961_945),
            ("4.6923233761902163678314537e+04", 46_923.233_761_902_164),
            ("9007199254740993.0", 9_007_199_254_740_992.0),
            ("2.2250738585072011e-308", 2.225_073_858_507_201e-308),
        ] {
            assert_eq!(parse(text.as_bytes(), 0), Ok(json!(double)), "{text}");
        }
    }

    #[test]
    fn a_member_named_twice_is_refused_because_readers_pick_different_ones() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"":1,"":2}"#,
            r#"[{"x":{"b":1,"c":2,"b":3}}]"#,
            r#"{"a":{"b":1},"a":{"c":1}}"#,
        ] {
            assert_eq!(parse(text.as_bytes(), 10), Err(JsonError::Duplicate), "{text}");
        }
        assert_eq!(parse(br#"{"a":{"a":1},"A":2}"#, 10), Ok(json!({"a": {"a": 1}, "A": 2})));
    }

    #[test]
    fn nesting_is_allowed_up_to_the_bound_and_not_beyond_it() {
        for bound in [0, 1, 2, 32, MAX_DEPTH] {
            let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            if bound > 0 {
                assert!(parse(nested(bound).as_bytes(), bound).is_ok(), "{bound}");
            }
            assert_eq!(parse(nested(bound + 1).as_bytes(), bound), Err(JsonError::TooDeep), "{bound}");
        }
        assert_eq!(parse(b"1", 0), Ok(json!(1)));
        assert_eq!(parse(br#"{"a":{"b":1}}"#, 1), Err(JsonError::TooDeep));
    }

    #[test]
    fn depth_is_known_before_anything_is_built_and_brackets_in_strings_have_none() {
        for (text, depth) in [
            ("1", 0),
            (r#"{"a": [[1], {}]}"#, 3),
            (r#"["[[[", "\"[[", "\\"]"#, 1),
            ("[][][]", 1),
            ("]]][", 1),
            ("", 0),
        ] {
            assert!(!is_deeper(text.as_bytes(), depth), "{text}");
            assert!(depth == 0 || is_deeper(text.as_bytes(), depth - 1), "{text}");
        }
        let many = "[{}]".repeat(10_000);
        assert!(
            !is_deeper(many.as_bytes(), 2) && is_deeper(many.as_bytes(), 1),
            "many brackets are not deep"
        );
    }

    #[test]
    fn a_bound_beyond_what_can_be_recursed_is_lowered_instead_of_trusted() {
        let nested = "[".repeat(MAX_DEPTH + 1);
        assert_eq!(parse(nested.as_bytes(), usize::MAX), Err(JsonError::TooDeep));
        assert_eq!(parse("{\"a\":".repeat(100_000).as_bytes(), usize::MAX), Err(JsonError::TooDeep));
    }

    #[test]
    fn what_is_not_one_json_value_is_malformed() {
        for text in [
            &b""[..],
            b" ",
            b"{} {}",
            b"{}x",
            b"{\"a\":1,}",
            b"\xef\xbb\xbf{}",
            b"{'a':1}",
            b"{\"a\":\"\xff\"}",
            b"\"\\ud800\"",
            b"1e999",
            b"NaN",
            b"01",
            b"{\"a\" 1}",
            b"[1",
            b"{1:2}",
            b"\"a\nb\"",
        ] {
            assert_eq!(parse(text, 10), Err(JsonError::Malformed), "{text:?}");
        }
    }
}
