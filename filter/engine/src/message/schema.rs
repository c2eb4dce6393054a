//! JSON Schema 2020-12 for messages: `schema`, and `schemas` by the kind of a message.

use std::collections::BTreeMap;

use postern_config::{Content, JsonPointer};
use serde_json::Value;

use crate::decision::Violation;
use crate::decision::cause::ContentFault;

use super::ContentRules;

/// A schema that is compiled.
#[derive(Debug)]
pub(crate) struct Schema;

impl Schema {
    fn compile(_: &Value) -> Result<Self, String> {
        Err("is not supported yet".to_owned())
    }

    fn judge(&self, _: &Value) -> Result<(), ContentFault> {
        Ok(())
    }
}

/// The schemas of one direction.
#[derive(Debug)]
pub(super) enum Schemas {
    /// Any JSON fits.
    None,
    /// One for every message.
    One(Schema),
    /// One for each kind of message.
    ByKind {
        /// The place of the string that tells the kind.
        by: JsonPointer,
        each: BTreeMap<String, Schema>,
        /// Says whether a message of another kind, or of none, passes.
        other_passes: bool,
    },
}

impl Schemas {
    pub(super) fn new(content: &Content) -> Result<Self, (Vec<String>, String)> {
        if let Some(schema) = &content.schema {
            let compiled = Schema::compile(schema).map_err(|why| (vec!["schema".to_owned()], why))?;
            return Ok(Self::One(compiled));
        }
        let Some(schemas) = &content.schemas else { return Ok(Self::None) };
        let compile = |(kind, schema): (&String, &Value)| {
            let at = || ["schemas", "each", kind].map(str::to_owned).to_vec();
            Schema::compile(schema).map(|schema| (kind.clone(), schema)).map_err(|why| (at(), why))
        };
        let each = schemas.each.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self::ByKind { by: schemas.by.clone(), each, other_passes: schemas.other_passes })
    }
}

/// Judges a message by the schema for it.
pub(super) fn judge(message: &Value, rules: &ContentRules) -> Result<(), Violation> {
    let schema = match &rules.schemas {
        Schemas::None => return Ok(()),
        Schemas::One(schema) => schema,
        Schemas::ByKind { by, each, other_passes } => {
            let kind = message.pointer(by.as_str()).and_then(Value::as_str);
            match kind.and_then(|kind| each.get(kind)) {
                Some(schema) => schema,
                None if *other_passes => return Ok(()),
                None => return Err(rules.unfit(ContentFault::Kind)),
            }
        }
    };
    schema.judge(message).map_err(|fault| rules.unfit(fault))
}
