//! The demands that keys of one object make on each other.

use serde_json::{Value, json};

use super::kinds::WITHOUT_A_UNIT;

/// Returns demands for one of these keys each.
pub(crate) fn any_of(keys: &[&str]) -> Value {
    keys.iter().map(|key| json!({"required": [key]})).collect()
}

/// Returns the demand that `key` does not stand without `other`.
pub(crate) fn needs(key: &str, other: &str) -> Value {
    json!({"if": {"required": [key]}, "then": {"required": [other]}})
}

/// Returns the demands of what a rate counts on the rest of it.
pub(crate) fn fit_what_is_counted() -> Value {
    let where_counted = |counted: &[&str], then: Value| {
        let condition = json!({"properties": {"count": {"enum": counted}}, "required": ["count"]});
        json!({"if": condition, "then": {"properties": then}})
    };
    let whole = json!({"pattern": WITHOUT_A_UNIT});
    json!([
        where_counted(&["handshakes", "refusals"], json!({"on_exceed": {"const": "deny"}})),
        where_counted(&["control_frames"], json!({"on_exceed": {"const": "close"}})),
        where_counted(&["messages", "bytes"], json!({"on_exceed": {"enum": ["close", "drop"]}})),
        where_counted(&["handshakes"], json!({"per": {"enum": ["ip", "user", "policy"]}})),
        where_counted(&["refusals"], json!({"per": {"enum": ["ip", "user"]}})),
        where_counted(
            &["handshakes", "messages", "control_frames", "refusals"],
            json!({"limit": whole, "burst": whole}),
        ),
    ])
}

/// Returns the demand of `on_full: replace` for a cap by user.
pub(crate) fn needs_a_cap_by_user() -> Value {
    json!({
        "if": {"properties": {"on_full": {"const": "replace"}}, "required": ["on_full"]},
        "then": {"properties": {"per_user": {"not": {"const": "none"}}}, "required": ["per_user"]},
    })
}

/// Returns what may not be: `schema` beside `schemas`.
pub(crate) fn both_kinds_of_schemas() -> Value {
    let is_written = json!({"not": {"const": "none"}});
    json!({"properties": {"schema": is_written, "schemas": is_written}, "required": ["schema", "schemas"]})
}

/// Returns the demands of which one makes that anybody can connect.
pub(crate) fn lets_somebody_in() -> Value {
    json!([{"anyOf": [
        {"properties": {"allow": {"minItems": 1}}},
        {"properties": {"missing": {"const": "allow"}}, "required": ["missing"]},
    ]}])
}

/// Returns what may not be: a subprotocol that is required where none is allowed.
pub(crate) fn demands_what_is_nowhere() -> Value {
    json!({
        "properties": {"allow": {"maxItems": 0}, "require": {"const": true}},
        "required": ["allow", "require"],
    })
}

/// Returns the demands of a provider's keys on its algorithms.
pub(crate) fn fit_the_keys() -> Value {
    let shared = json!(["HS256", "HS384", "HS512"]);
    json!([
        needs("secret", "algorithms"),
        {"if": {"required": ["secret"]}, "then": {"properties": {"algorithms": {"items": {"enum": shared}}}}},
        {"if": {"required": ["jwks"]}, "then": {"properties": {"algorithms": {"items": {"not": {"enum": shared}}}}}},
    ])
}
