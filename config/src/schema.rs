//! The shape of a document as a JSON Schema, derived from the types that serde reads it into, for editors.
//!
//! The schema never refuses what the language takes. It cannot tell what depends on another place of the document, and
//! says nothing of what keys mean, which have to be there, and what holds where they are not: whoever prints it adds that.

mod kinds;
mod rules;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

pub(crate) use kinds::{
    Address, AllowedOrigins, AllowedSegments, Claim, Conditions, Count32, CountOrNone, DepthOrNone,
    Descriptor, Duration, DurationOrNone, DurationOrZero, Forward, HeaderName, Host, KeySet, Line,
    MessageSchema, MessageSchemaOrNone, OneOrMore, PathPrefix, Pointer, PointerOrNone, PrefixLength,
    RequestPath, Scalar, Size, Subprotocol, Token, Variable, policy_names, provider_names,
};

pub(crate) use rules::{
    any_of, both_kinds_of_schemas, demands_what_is_nowhere, fit_the_keys, fit_what_is_counted,
    lets_somebody_in, needs, needs_a_cap_by_user,
};

use crate::raw::RawDocument;

/// Returns the schema: draft-07, which every editor reads, and without references.
pub fn policy_schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<RawDocument>().to_value();
    plain(&mut schema);
    schema
}

/// Takes out of a schema what the types have and the language does not: nulls, which are never values of keys that may be
/// left out, and texts that are meant for those who read the code. No list has an element twice, unless its schema says so.
fn plain(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    members.retain(|keyword, _| !matches!(keyword.as_str(), "title" | "description"));
    without_null(members);
    words(members);
    if members.get("type").is_some_and(|kind| kind == "array") {
        match members.get("uniqueItems") {
            None => drop(members.insert("uniqueItems".to_owned(), Value::Bool(true))),
            Some(_) => drop(members.remove("uniqueItems")),
        }
    }
    for (keyword, value) in members.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(plain),
            ("anyOf" | "oneOf" | "allOf", Value::Array(schemas)) => schemas.iter_mut().for_each(plain),
            ("additionalProperties" | "items", value) => plain(value),
            _ => {}
        }
    }
}

fn without_null(members: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = members.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            members.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(schemas)) = members.get_mut("anyOf") else { return };
    schemas.retain(|schema| *schema != json!({"type": "null"}));
    if let [Value::Object(only)] = schemas.as_mut_slice() {
        let only = std::mem::take(only);
        members.remove("anyOf");
        members.extend(only);
        without_null(members);
    }
}

/// Makes one list of words that have a schema each.
fn words(members: &mut Map<String, Value>) {
    let Some(Value::Array(schemas)) = members.get("oneOf") else { return };
    let words: Option<Vec<Value>> = schemas.iter().map(|schema| schema.get("const").cloned()).collect();
    if let Some(words) = words {
        members.remove("oneOf");
        members.insert("type".to_owned(), Value::from("string"));
        members.insert("enum".to_owned(), Value::Array(words));
    }
}
