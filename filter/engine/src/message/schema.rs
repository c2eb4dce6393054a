//! JSON Schema for messages: `schema`, and `schemas` by the kind of a message.

use std::collections::BTreeMap;

use postern_config::{Content, JsonPointer, Path, Problem, ProblemKind};
use serde_json::Value;

use crate::decision::cause::{ContentFault, Shown};
use crate::json_schema::{self, Budget, Fault, Schema};

/// The most memory of the schemas of one direction, in bytes. Every worker has them.
const MAX_BYTES: usize = 32 << 20;

/// The schemas of one direction.
#[derive(Debug)]
pub(super) enum Schemas {
    /// None: any JSON fits.
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

/// A problem of a schema, with the keys that lead to the schema.
#[derive(Debug)]
pub(crate) struct UnfitSchema {
    keys: Vec<String>,
    problem: json_schema::Problem,
}

impl UnfitSchema {
    /// The problem of a schema that takes too much memory, together with those before it.
    fn too_large(keys: &[&str]) -> Self {
        let problem = json_schema::Problem {
            at: String::new(),
            what: "needs, with the schemas before it, more than 32 MiB".to_owned(),
            remedy: "write fewer schemas, or ones with smaller patterns".to_owned(),
        };
        Self { keys: keys.iter().copied().map(str::to_owned).collect(), problem }
    }

    /// Returns the problem for the user, where the section of the policy that has the schema is at `at`.
    pub(crate) fn at(self, at: &Path) -> Problem {
        let schema = self.keys.into_iter().fold(at.clone(), |path, key| path.key(key));
        let place = self.problem.keys().fold(schema, |path, key| path.key(key));
        Problem::new(ProblemKind::UnfitSchema, place.to_string(), self.problem.what, self.problem.remedy)
    }
}

impl Schemas {
    /// Compiles the schemas of `content`.
    pub(super) fn new(content: &Content) -> Result<Self, Vec<UnfitSchema>> {
        let mut unfit = Vec::new();
        if let Some(schema) = &content.schema {
            let compiled = compile(schema, &["schema"], &mut unfit);
            return compiled.map(Self::One).ok_or(unfit);
        }
        let Some(schemas) = &content.schemas else { return Ok(Self::None) };
        let (mut each, mut bytes) = (BTreeMap::new(), 0_usize);
        for (kind, schema) in &schemas.each {
            let keys = ["schemas", "each", kind];
            let Some(schema) = compile(schema, &keys, &mut unfit) else { continue };
            bytes = bytes.saturating_add(schema.bytes());
            if bytes > MAX_BYTES {
                unfit.push(UnfitSchema::too_large(&keys));
                break;
            }
            each.insert(kind.clone(), schema);
        }
        if !unfit.is_empty() {
            return Err(unfit);
        }
        Ok(Self::ByKind { by: schemas.by.clone(), each, other_passes: schemas.other_passes })
    }

    /// Returns the memory that they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(schema) => schema.bytes(),
            Self::ByKind { each, .. } => each.values().map(Schema::bytes).sum(),
        }
    }

    /// Judges a message, which was read from a text of `len` bytes, by the schema for it.
    pub(super) fn judge(&self, message: &Value, len: usize) -> Result<(), ContentFault> {
        match self.of(message)? {
            Some(schema) => Ok(schema.validate(message, Budget::for_bytes(len))?),
            None => Ok(()),
        }
    }

    /// Returns the schema for a message, or nothing where any passes.
    fn of(&self, message: &Value) -> Result<Option<&Schema>, ContentFault> {
        let (by, each, other_passes) = match self {
            Self::None => return Ok(None),
            Self::One(schema) => return Ok(Some(schema)),
            Self::ByKind { by, each, other_passes } => (by, each, *other_passes),
        };
        let kind = message.pointer(by.as_str()).and_then(Value::as_str);
        match kind.and_then(|kind| each.get(kind)) {
            None if !other_passes => Err(ContentFault::Kind),
            found => Ok(found),
        }
    }
}

fn compile(schema: &Value, keys: &[&str], unfit: &mut Vec<UnfitSchema>) -> Option<Schema> {
    let keys = || keys.iter().copied().map(str::to_owned).collect();
    let told = |problem| UnfitSchema { keys: keys(), problem };
    Schema::compile(schema).map_err(|problems| unfit.extend(problems.into_iter().map(told))).ok()
}

impl From<Fault> for ContentFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Keyword(at) => Self::Schema(Shown::of([at.as_bytes()].into_iter())),
            Fault::Work => Self::SchemaWork,
        }
    }
}
