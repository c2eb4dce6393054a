//! Claims on their way to the upstream, as header fields.
//!
//! Owns the form of a claim in a header. Every header of the policy is set or removed, so that a
//! client's own copy of it is never mistaken for a claim.

use std::collections::BTreeMap;

use postern_config::ClaimPath;
use serde_json::Value;

use super::claims::Claims;
use super::error::Cause;
use crate::headers::HeaderEdit;

impl Claims {
    /// The edits that `forward` (header name → claim) asks for, one per header.
    ///
    /// Strings stand as they are, numbers and booleans as JSON, arrays of these joined by commas;
    /// an absent claim removes the header. Refused are CR, LF and NUL, which would end the field
    /// (RFC 9110 §5.5), and objects and nested arrays, which have no form that an upstream could
    /// rely on: to leave them out would look like a token without the claim.
    pub fn forward(&self, forward: &BTreeMap<String, ClaimPath>) -> Result<Vec<HeaderEdit>, Cause> {
        let edit = |(header, claim): (&String, &ClaimPath)| {
            Ok(match self.get(claim) {
                None => HeaderEdit::Remove(header.clone()),
                Some(claim) => HeaderEdit::Set(header.clone(), header_value(claim)?),
            })
        };
        forward.iter().map(edit).collect()
    }
}

fn header_value(claim: &Value) -> Result<Vec<u8>, Cause> {
    let value = match claim {
        Value::Array(members) => members.iter().map(scalar).collect::<Result<Vec<_>, _>>()?.join(","),
        claim => scalar(claim)?,
    };
    if value.contains(['\r', '\n', '\0']) { Err(Cause::Forward) } else { Ok(value.into_bytes()) }
}

fn scalar(value: &Value) -> Result<String, Cause> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Cause::Forward),
    }
}

#[cfg(test)]
mod tests;
