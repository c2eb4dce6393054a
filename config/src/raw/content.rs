//! What is written of the text messages of one direction: `schema`, `schemas`, `allow`, `max_json_depth`, `on_violation`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::auth::JsonPointer;
use crate::content::{Allowance, Content, OnViolation, Schemas};
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::raw::claims::{RawRequirement, pointer, scalar};
use crate::raw::list::{List, distinct, distinct_some};
use crate::raw::or_none::OrNone;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::strict;
use crate::units::{count, exact, is_none, kind};

const WRITE_SCHEMA: &str = "write a JSON Schema: an object, true, false, or their JSON text; or `none`";

/// The nesting that is allowed where messages are read and nothing is said of depth.
const DEPTH_WHERE_READ: u32 = 32;

/// Rules as written, each absent where nothing is written.
#[derive(Default)]
pub(super) struct RawContent {
    pub(super) schema: Option<Value>,
    pub(super) schemas: Option<OrNone<RawSchemas>>,
    pub(super) allow: Option<List<RawAllowance>>,
    pub(super) max_json_depth: Option<Value>,
    pub(super) on_violation: Option<OnViolation>,
}

/// The object `schemas` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawSchemas {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Pointer>"))]
    by: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<BTreeMap<String, schema::MessageSchema>>", extend("minProperties" = 1)))]
    each: Option<BTreeMap<String, Value>>,
    other: Option<Other>,
}

/// What becomes of a message of no kind that is listed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum Other {
    Allow,
    Deny,
}

/// One line of `allow` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `when` and `require`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawAllowance {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Conditions>"))]
    when: Option<BTreeMap<String, Value>>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    require: Option<List<RawRequirement>>,
}

impl RawContent {
    /// The valid form. `has_claims` says whether there is a token whose claims `allow` can ask for.
    pub(super) fn read(self, has_claims: bool, at: &Path, report: &mut Report) -> Option<Content> {
        let schema_at = at.key("schema");
        let schema = match self.schema.filter(|written| !is_none(written)) {
            Some(written) => schema(written, &schema_at, report).map(Some),
            None => Some(None),
        };
        let schemas = match self.schemas.and_then(|written| written.0) {
            Some(written) => written.read(&at.key("schemas"), report).map(Some),
            None => Some(None),
        };
        if !matches!(schema, Some(None)) && !matches!(schemas, Some(None)) {
            report.push(
                ProblemKind::Contradiction,
                &schema_at,
                "stands beside `schemas`",
                "write one of them",
            );
        }
        let allow_at = at.key("allow");
        let written = self.allow.unwrap_or_default();
        if !written.is_empty() && !has_claims {
            report.push(
                ProblemKind::Contradiction,
                &allow_at,
                "asks for claims, and there is no token",
                "write `auth`, or leave it out",
            );
        }
        let allow = distinct(written, &allow_at, report, RawAllowance::read);
        let reads =
            !matches!((&schema, &schemas, &allow), (Some(None), Some(None), Some(lines)) if lines.is_empty());
        let max_json_depth = match &self.max_json_depth {
            None => Some(reads.then_some(DEPTH_WHERE_READ)),
            Some(word) if is_none(word) => Some(None),
            Some(value) => depth(value, &at.key("max_json_depth"), report).map(Some),
        };
        Some(Content {
            schema: schema?,
            schemas: schemas?,
            allow: allow?,
            max_json_depth: max_json_depth?,
            on_violation: self.on_violation.unwrap_or_default(),
        })
    }
}

impl RawSchemas {
    fn read(self, at: &Path, report: &mut Report) -> Option<Schemas> {
        let (by_at, each_at) = (at.key("by"), at.key("each"));
        let by = report
            .required(self.by, &by_at, "write a JSON pointer to a string in the message, such as `/type`")
            .and_then(|text| pointer(text, &by_at, report));
        let each = report.required(self.each, &each_at, "write a schema for each kind of message");
        let each = each.and_then(|written| {
            if written.is_empty() {
                report.push(
                    ProblemKind::ImpossibleValue,
                    &each_at,
                    "is empty",
                    "write a schema for each kind of message",
                );
                return None;
            }
            let len = written.len();
            let read = |(kind, value): (String, Value)| {
                schema(value, &each_at.key(&kind), report).map(|schema| (kind, schema))
            };
            let each: BTreeMap<_, _> = written.into_iter().filter_map(read).collect();
            (each.len() == len).then_some(each)
        });
        Some(Schemas { by: by?, each: each?, other_passes: matches!(self.other, Some(Other::Allow)) })
    }
}

impl RawAllowance {
    fn read(self, at: &Path, report: &mut Report) -> Option<Allowance> {
        let (when_at, require_at) = (at.key("when"), at.key("require"));
        let when = report.required(self.when, &when_at, "write which messages the line speaks of");
        let when = when.and_then(|written| conditions(written, &when_at, report));
        let require =
            report.required(self.require, &require_at, "write what the claims of the sender have to be");
        let require = require.and_then(|list| distinct_some(list, &require_at, report, RawRequirement::read));
        Some(Allowance { when: when?, require: require? })
    }
}

/// The places of `when`, each with the values that fit.
fn conditions(
    written: BTreeMap<String, Value>,
    at: &Path,
    report: &mut Report,
) -> Option<Vec<(JsonPointer, Vec<Value>)>> {
    if written.is_empty() {
        report.push(
            ProblemKind::ImpossibleValue,
            at,
            "is empty",
            "write a JSON pointer and a value, such as `{/type: kick}`",
        );
        return None;
    }
    let len = written.len();
    let read = |(place, value): (String, Value)| {
        let place_at = at.key(&place);
        let values = match value {
            Value::Array(list) => {
                distinct_some(list.into_iter().map(Some).collect(), &place_at, report, scalar_or_null)
            }
            one => scalar_or_null(one, &place_at, report).map(|value| vec![value]),
        };
        let pointer = pointer(place, &place_at, report);
        Some((pointer?, values?))
    };
    let when: Vec<_> = written.into_iter().filter_map(read).collect();
    (when.len() == len).then_some(when)
}

fn scalar_or_null(value: Value, at: &Path, report: &mut Report) -> Option<Value> {
    if value.is_null() { Some(value) } else { scalar(value, at, report) }
}

/// A schema as it is compiled; whether it is a good one is known then.
fn schema(written: Value, at: &Path, report: &mut Report) -> Option<Value> {
    let value = match written {
        Value::String(text) if text.trim_start().starts_with(['{', 't', 'f']) => {
            strict::parse(text.as_bytes(), at, report)?
        }
        other => other,
    };
    match value {
        Value::Object(_) | Value::Bool(_) => Some(whole_numbers(value)),
        other => {
            report.push(ProblemKind::WrongType, at, format!("is {}", kind(&other)), WRITE_SCHEMA);
            None
        }
    }
}

/// A value in which whole numbers are integers, though they came as doubles, as all do in `google.protobuf.Struct`.
fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => exact(&number).map_or(Value::Number(number), Value::from),
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, whole_numbers(value))).collect()
        }
        other => other,
    }
}

fn depth(value: &Value, at: &Path, report: &mut Report) -> Option<u32> {
    count(value, u64::from(Content::MAX_JSON_DEPTH), at, report).and_then(|read| u32::try_from(read).ok())
}
