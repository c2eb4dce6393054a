//! A message read as JSON, once for all rules: `max_json_depth`, and what every rule on content takes for granted.

use serde_json::Value;

use crate::decision::cause::ContentFault;
use crate::strict_json::{self, JsonError};

/// Reads a message that is to be one JSON value. What is nested too deep is refused before anything is built.
pub(super) fn read(text: &[u8], max_depth: usize) -> Result<Value, ContentFault> {
    if strict_json::is_deeper(text, max_depth) {
        return Err(ContentFault::TooDeep(max_depth));
    }
    strict_json::parse(text, max_depth).map_err(|error| match error {
        JsonError::Duplicate => ContentFault::DuplicateMember,
        JsonError::Malformed => ContentFault::NotJson,
        JsonError::TooDeep => ContentFault::TooDeep(max_depth),
    })
}
