//! A message read as JSON, once for all rules: `max_json_depth`, and what every rule on content takes for granted.

use serde_json::Value;

use crate::decision::Violation;
use crate::decision::cause::ContentFault;
use crate::strict_json::{self, JsonError};

use super::ContentRules;

/// Reads a message that is to be one JSON value. What is nested too deep is refused before anything is built.
pub(super) fn read(text: &[u8], rules: &ContentRules) -> Result<Value, Violation> {
    if strict_json::is_deeper(text, rules.max_depth) {
        return Err(rules.unfit(ContentFault::TooDeep(rules.max_depth)));
    }
    strict_json::parse(text, rules.max_depth).map_err(|error| {
        rules.unfit(match error {
            JsonError::Duplicate => ContentFault::DuplicateMember,
            JsonError::Malformed => ContentFault::NotJson,
            JsonError::TooDeep => ContentFault::TooDeep(rules.max_depth),
        })
    })
}
