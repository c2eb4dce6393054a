//! JSON that two readers cannot disagree about.
//!
//! Input: a byte for the depth allowed, and the text. What is taken is what `serde_json` reads;
//! what it reads and is not taken is too deep or names a member twice.

use postern_engine::strict_json::{JsonError, parse};
use serde_json::Value;

/// Runs one input.
pub fn run(input: &[u8]) {
    let Some((depth, text)) = input.split_first() else { return };
    let lenient = serde_json::from_slice::<Value>(text);
    match parse(text, usize::from(*depth)) {
        Ok(value) => {
            assert_eq!(value, lenient.expect("it is JSON"));
            assert!(nesting(&value) <= usize::from(*depth));
        }
        Err(JsonError::Malformed) => assert!(lenient.is_err(), "it is JSON"),
        Err(JsonError::Duplicate | JsonError::TooDeep) => {}
    }
}

fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(nesting).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}
