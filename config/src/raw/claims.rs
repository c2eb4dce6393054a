//! Claims: their places in a payload, and the demands on them.

use serde::Deserialize;
use serde_json::Value;

use crate::auth::{ClaimPath, JsonPointer, Requirement, Test};
use crate::grammar::is_line;
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::raw::list::{List, distinct_some};
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::{exact, kind};
use crate::words::shown;

/// One line of `auth.require` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `claim` and either `contains` or `one_of`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("oneOf" = schema::any_of(&["contains", "one_of"]))))]
pub(super) struct RawRequirement {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Claim>"))]
    claim: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Scalar>"))]
    contains: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::OneOrMore<schema::Scalar>>"))]
    one_of: Option<List<Value>>,
}

impl RawRequirement {
    /// Returns the requirement.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<Requirement> {
        let claim_at = at.key("claim");
        let claim = report
            .required(self.claim, &claim_at, "write the name of a claim, or a JSON pointer to it")
            .and_then(|text| claim_path(text, &claim_at, report));
        let (contains_at, one_of_at) = (at.key("contains"), at.key("one_of"));
        let test = match (self.contains, self.one_of) {
            (Some(value), None) => scalar(value, &contains_at, report).map(Test::Contains),
            (None, Some(list)) => distinct_some(list, &one_of_at, report, scalar).map(Test::OneOf),
            (Some(_), Some(_)) => {
                report.push(
                    ProblemKind::Contradiction,
                    at,
                    "has both `contains` and `one_of`",
                    "write two lines",
                );
                None
            }
            (None, None) => {
                if !report.is_broken_below(at) {
                    report.push(
                        ProblemKind::MissingKey,
                        at,
                        "has neither `contains` nor `one_of`",
                        "write one of them",
                    );
                }
                None
            }
        };
        Some(Requirement { claim: claim?, test: test? })
    }
}

/// Returns a pointer if `text` begins with `/`, else a name.
pub(super) fn claim_path(text: String, at: &Path, report: &mut Report) -> Option<ClaimPath> {
    if text.starts_with('/') {
        pointer(text, at, report).map(ClaimPath::Pointer)
    } else if is_line(&text) {
        Some(ClaimPath::Name(text))
    } else {
        report.push(
            ProblemKind::ImpossibleValue,
            at,
            format!("{} names no claim", shown(&text)),
            "write the name of a claim, or a JSON pointer to it",
        );
        None
    }
}

/// Reads a JSON pointer (RFC 6901 §3) to something inside a document.
pub(super) fn pointer(text: String, at: &Path, report: &mut Report) -> Option<JsonPointer> {
    let escapes_are_good = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if text.starts_with('/') && escapes_are_good {
        return Some(JsonPointer(text));
    }
    let remedy =
        "write a JSON pointer such as `/token`: each name after a `/`, with `~0` for `~` and `~1` for `/`";
    report.push(ProblemKind::ImpossibleValue, at, format!("{} is not a JSON pointer", shown(&text)), remedy);
    None
}

/// Reads a string, a number or a truth value. A whole number written as a double (as `google.protobuf.Struct`
/// does) becomes an integer, so that it equals the one in a token.
pub(super) fn scalar(value: Value, at: &Path, report: &mut Report) -> Option<Value> {
    match value {
        Value::Number(number) => Some(exact(&number).map_or(Value::Number(number), Value::from)),
        Value::Bool(_) | Value::String(_) => Some(value),
        Value::Array(_) | Value::Null | Value::Object(_) => {
            report.push(
                ProblemKind::WrongType,
                at,
                format!("is {}", kind(&value)),
                "write a string, a number, true or false",
            );
            None
        }
    }
}
