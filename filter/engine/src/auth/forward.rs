//! Claims on their way to the upstream, as header fields.
//!
//! Owns the form of a claim in a header. No two claims that could mean different users to a service have the
//! same form, and nothing that carries a field on its way changes it: a claim that has no such form is
//! refused. Every header of the policy is set or removed, so that a client's own copy of it is never mistaken
//! for a claim.

use std::collections::BTreeMap;

use postern_config::ClaimPath;
use serde_json::{Number, Value};

use super::claims::Claims;
use crate::decision::cause::{InvalidToken, Unfit};
use crate::http::headers::HeaderEdit;

/// The bound below which all integers are doubles, and no two of them the same one.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Claims {
    /// Returns the edits that `forward` (header name → claim) asks for, one per header.
    ///
    /// Strings stand as they are, in UTF-8; integers in digits, other numbers and booleans as JSON; arrays
    /// of these joined by commas. An absent claim removes the header. An object, a nested array or a null
    /// in an array is refused: to leave it out would look like a token without the claim.
    pub fn forward(&self, forward: &BTreeMap<String, ClaimPath>) -> Result<Vec<HeaderEdit>, InvalidToken> {
        let edit = |(header, claim): (&String, &ClaimPath)| {
            Ok(match self.get(claim) {
                None => HeaderEdit::Remove(header.clone()),
                Some(claim) => HeaderEdit::Set(
                    header.clone(),
                    header_value(claim).map_err(InvalidToken::Forward)?.into_bytes(),
                ),
            })
        };
        forward.iter().map(edit).collect()
    }
}

fn header_value(claim: &Value) -> Result<String, Unfit> {
    match claim {
        Value::Array(members) => Ok(members.iter().map(member).collect::<Result<Vec<_>, _>>()?.join(",")),
        claim => scalar(claim),
    }
}

/// Writes a member of a list, which lists end at commas and read quoted strings in (RFC 9110 §5.6).
fn member(value: &Value) -> Result<String, Unfit> {
    let text = scalar(value)?;
    match text.as_str() {
        "" => Err(Unfit::EmptyMember),
        text if text.contains([',', '"']) => Err(Unfit::Separator),
        _ => Ok(text),
    }
}

fn scalar(value: &Value) -> Result<String, Unfit> {
    match value {
        Value::String(text) => line(text),
        Value::Number(value) => number(value),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Unfit::Structure),
    }
}

/// Writes a text that no hop cuts, trims or changes.
fn line(text: &str) -> Result<String, Unfit> {
    if text.chars().any(char::is_control) {
        return Err(Unfit::Control);
    }
    if text.starts_with(is_blank) || text.ends_with(is_blank) {
        return Err(Unfit::Blank);
    }
    Ok(text.to_owned())
}

/// Says whether software trims `c`, or shows nothing of it: U+FEFF is a blank to ECMAScript (ECMA-262 §12.2),
/// U+180E to older versions of Unicode, and the others are format characters, of which an honest name has
/// some within, but none at its ends.
fn is_blank(c: char) -> bool {
    let shows_nothing = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    c.is_whitespace() || shows_nothing
}

/// Writes a number, which is the same however the token writes it: 7, 7.0 and 70e-1 are one user.
fn number(value: &Number) -> Result<String, Unfit> {
    if value.is_u64() || value.is_i64() {
        return Ok(value.to_string());
    }
    match value.as_f64() {
        Some(double) if double.abs() < EXACT && double.fract() == 0.0 => Ok(format!("{:.0}", double + 0.0)),
        Some(double) if double.abs() < EXACT => Ok(value.to_string()),
        Some(_) | None => Err(Unfit::Inexact),
    }
}

#[cfg(test)]
mod tests;
