//! Warnings of schemas for messages that are sound and let through what their author may not mean.

use postern_config::{Content, Path};
use postern_engine::json_schema::Schema;
use serde_json::Value;

use crate::finding::{Code, Remark};

/// Keywords that judge objects alone.
const ON_OBJECTS: [&str; 9] = [
    "additionalProperties",
    "dependentRequired",
    "maxProperties",
    "minProperties",
    "patternProperties",
    "properties",
    "propertyNames",
    "required",
    "unevaluatedProperties",
];
/// Keywords that may judge values that are no objects.
const ON_OTHERS: [&str; 10] =
    ["$dynamicRef", "$ref", "allOf", "anyOf", "const", "enum", "if", "not", "oneOf", "type"];

/// Returns warnings of the schemas of one direction; `at` is its section of the policy.
pub(super) fn warnings(content: &Content, at: &Path) -> Vec<Remark> {
    let mut warnings = Vec::new();
    if let Some(schema) = &content.schema {
        let at = at.key("schema");
        if passes_what_is_no_object(schema) {
            let what = "says what objects have, and lets through whatever is none";
            warnings.push(Remark::new(Code::NonObjects, &at, what, "write `type: object` beside it"));
        }
        warnings.extend(annotations(schema, &at));
    }
    let each = content.schemas.iter().flat_map(|schemas| &schemas.each);
    let at = at.key("schemas").key("each");
    warnings.extend(each.flat_map(|(kind, schema)| annotations(schema, &at.key(kind))));
    warnings
}

fn annotations(schema: &Value, at: &Path) -> Vec<Remark> {
    let warning = |keys: Vec<String>| {
        let place = keys.into_iter().fold(at.clone(), |path, key| path.key(key));
        let remedy = "write a `pattern` or the like, or leave it out";
        Remark::new(Code::Annotation, &place, "is an annotation, and refuses nothing", remedy)
    };
    Schema::annotations(schema).into_iter().map(warning).collect()
}

fn passes_what_is_no_object(schema: &Value) -> bool {
    let has_any = |keywords: &[&str]| keywords.iter().any(|keyword| schema.get(keyword).is_some());
    has_any(&ON_OBJECTS) && !has_any(&ON_OTHERS)
}
