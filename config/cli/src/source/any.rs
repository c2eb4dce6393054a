//! What a `google.protobuf.Any` has for Postern: a Struct, or JSON in a StringValue.

use postern_config::{Problem, ProblemKind};

use super::Written;
use super::envoy::type_name;
use crate::yaml::{Member, Node};

const STRING_VALUE: &str = "google.protobuf.StringValue";
const STRUCT: &str = "google.protobuf.Struct";

/// Returns what the `Any` at `path` has, which is to be `content`.
pub(super) fn content<'a>(any: Option<&'a Member>, path: &str, content: &str) -> Written<'a> {
    let wrong = |kind, what: &str, remedy: String| Written::Wrong(Problem::new(kind, path, what, remedy));
    let Some(any) = any.map(|member| &member.value) else {
        let remedy = format!("write a {STRUCT} with {content} under `value`");
        return wrong(ProblemKind::MissingKey, "is missing", remedy);
    };
    let value = any.get("value");
    match (any.get("@type").and_then(Node::text).map(type_name), value, value.and_then(Node::text)) {
        (Some(STRUCT), Some(value), _) => Written::Object(value),
        (Some(STRING_VALUE), _, Some(text)) => Written::Text(text),
        (Some(STRUCT | STRING_VALUE), _, _) => {
            wrong(ProblemKind::MissingKey, "has no `value`", format!("write {content} under `value`"))
        }
        _ => {
            let what = format!("is neither a {STRUCT} nor a {STRING_VALUE}");
            wrong(ProblemKind::WrongType, &what, as_struct(content))
        }
    }
}

/// Returns what the `Any` at `path` has, which is to be `content` and no text.
pub(super) fn object<'a>(any: &'a Member, path: &str, what: &str) -> Written<'a> {
    let of_struct = any.value.get("@type").and_then(Node::text).is_some_and(|name| type_name(name) == STRUCT);
    if of_struct {
        return content(Some(any), path, what);
    }
    let problem = format!("is no {STRUCT}");
    Written::Wrong(Problem::new(ProblemKind::WrongType, path, problem, as_struct(what)))
}

fn as_struct(content: &str) -> String {
    format!("write `\"@type\": type.googleapis.com/{STRUCT}` and {content} under `value`")
}
