//! `postern schema`: the policy language as a JSON Schema (draft-07), for editors.
//!
//! The shape comes from the types that a policy is read into. What keys mean, which are required, and what holds where
//! they are left out come from the tables of docs/policy.md, which the tests hold against the language.

mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use table::{Row, Table};

/// Writes the schema to the standard output.
pub(crate) fn run() -> io::Result<ExitCode> {
    writeln!(io::stdout().lock(), "{:#}", schema())?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the schema with what the tables say.
fn schema() -> Value {
    let mut schema = postern_config::policy_schema();
    let table = Table::of_the_language();
    say(&mut schema, "", &table);
    if let Value::Object(members) = &mut schema {
        members.insert("title".to_owned(), json!("A policy document of Postern"));
        members.insert("required".to_owned(), json!(["policies"]));
    }
    schema
}

/// Adds to the schema of the value at `path`, and to all inside it, what the table says of it.
fn say(schema: &mut Value, path: &str, table: &Table) {
    let Value::Object(members) = schema else { return };
    for (keyword, value) in members.iter_mut() {
        match (keyword.as_str(), value) {
            ("anyOf" | "oneOf", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(|schema| say(schema, path, table));
            }
            ("additionalProperties", value) => say(value, &format!("{path}.*"), table),
            ("items", value) => say(value, &format!("{path}[]"), table),
            _ => {}
        }
    }
    let mut required = Vec::new();
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        for (key, property) in properties.iter_mut() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            say(property, &path, table);
            let Some(row) = table.row(&path) else { continue };
            if row.is_required {
                required.push(Value::from(key.as_str()));
            }
            describe(property, row);
        }
    }
    if !required.is_empty() {
        members.insert("required".to_owned(), Value::Array(required));
    }
}

fn describe(property: &mut Value, row: Row) {
    let Value::Object(members) = property else { return };
    let Row { meaning, default, .. } = row;
    let said: Map<String, Value> = [("description", Some(Value::from(meaning))), ("default", default)]
        .into_iter()
        .filter_map(|(keyword, value)| Some((keyword.to_owned(), value?)))
        .collect();
    members.extend(said);
}
