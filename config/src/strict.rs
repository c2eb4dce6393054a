//! The way from JSON text to a value, which refuses objects that have a member twice (RFC 8259 §4 leaves open
//! which one counts, and two readers that differ there are two policies).

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::path::Path;
use crate::problem::ProblemKind;
use crate::report::Report;

/// Reads `text`, the value at `at`. Returns `None` after a syntax error. Problems never show the text.
pub(crate) fn parse(text: &[u8], at: &Path, report: &mut Report) -> Option<Value> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = Strict { at: at.clone(), report }.deserialize(&mut json);
    match read.and_then(|value| json.end().map(|()| value)) {
        Ok(value) => Some(value),
        Err(error) => {
            report.push_broken(
                ProblemKind::Syntax,
                at,
                format!("is not JSON: {error}"),
                "write one JSON value",
            );
            None
        }
    }
}

struct Strict<'a> {
    at: Path,
    report: &'a mut Report,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) =
            list.next_element_seed(Strict { at: self.at.index(items.len()), report: self.report })?
        {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let at = self.at.key(key.as_str());
            if object.contains_key(&key) {
                self.report.push(ProblemKind::WrittenTwice, &at, "is written twice", "leave one of them");
            }
            let value = members.next_value_seed(Strict { at, report: self.report })?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        let mut report = Report::default();
        let value = parse(text.as_bytes(), &Path::root(), &mut report);
        report.finish(value).map_err(|problems| problems.to_string())
    }

    #[test]
    fn text_without_duplicates_reads_as_serde_json_reads_it() {
        let text = r#"{"a": [1, -2, 4096.0, 1e3, true, null, "\u00e9"], "b": {"a": {}}}"#;
        assert_eq!(read(text), Ok(serde_json::from_str(text).unwrap()));
    }

    #[test]
    fn every_duplicate_is_told_with_its_path() {
        assert_eq!(
            read(r#"{"a": {"x": 1, "x": 1}, "l": [0, {"y": 1, "\u0079": 2}], "a": 3}"#),
            Err("a: is written twice; leave one of them\n\
                 a.x: is written twice; leave one of them\n\
                 l[1].y: is written twice; leave one of them"
                .to_owned())
        );
    }

    #[test]
    fn a_syntax_error_tells_its_line_and_column() {
        for (text, expected) in [
            ("{\n  \"a\": }", "is not JSON: expected value at line 2 column 8; write one JSON value"),
            ("{} {}", "is not JSON: trailing characters at line 1 column 4; write one JSON value"),
            ("", "is not JSON: EOF while parsing a value at line 1 column 0; write one JSON value"),
        ] {
            assert_eq!(read(text), Err(expected.to_owned()));
        }
        assert!(read(&"[".repeat(100_000)).unwrap_err().contains("recursion limit exceeded"));
    }
}
