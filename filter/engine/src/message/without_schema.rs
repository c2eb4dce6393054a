//! The place of schemas in a build without the feature `json-schema`: a policy that has one is refused.

use postern_config::{Content, Path, Problem, ProblemKind};
use serde_json::Value;

use crate::decision::cause::ContentFault;

/// No schemas.
#[derive(Debug)]
pub(super) struct Schemas;

/// A key that asks for schemas.
#[derive(Debug)]
pub(crate) struct UnfitSchema(&'static str);

impl UnfitSchema {
    /// Returns the problem for the user, where the section of the policy that has the key is at `at`.
    pub(crate) fn at(self, at: &Path) -> Problem {
        let what = "is not part of this build, which has no feature `json-schema`";
        Problem::new(
            ProblemKind::UnfitSchema,
            at.key(self.0).to_string(),
            what,
            "build the filter with it, or leave it out",
        )
    }
}

impl Schemas {
    /// Refuses the schemas of `content`.
    pub(super) fn new(content: &Content) -> Result<Self, Vec<UnfitSchema>> {
        match content {
            Content { schema: Some(_), .. } => Err(vec![UnfitSchema("schema")]),
            Content { schemas: Some(_), .. } => Err(vec![UnfitSchema("schemas")]),
            _ => Ok(Self),
        }
    }

    /// Returns that no memory is taken.
    pub(super) fn bytes(&self) -> usize {
        0
    }

    /// Judges a message by no schema, since there can be none.
    pub(super) fn judge(&self, _: &Value, _: usize) -> Result<(), ContentFault> {
        Ok(())
    }
}
