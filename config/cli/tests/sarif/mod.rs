//! The schema of SARIF 2.1.0, by which the tests judge what is written in that form.

use postern_engine::json_schema::Schema;
use serde_json::Value;

/// Returns the schema of OASIS, which is of JSON Schema draft 7, as one of draft 2020-12: the definitions have another name
/// there.
pub(crate) fn schema() -> Schema {
    let text = include_str!("sarif-schema-2.1.0.json").replace("#/definitions/", "#/$defs/");
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let members = document.as_object_mut().unwrap();
    members.remove("$schema");
    let definitions = members.remove("definitions").unwrap();
    members.insert("$defs".to_owned(), definitions);
    Schema::compile(&document).unwrap()
}
