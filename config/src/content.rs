//! Rules on what whole text messages say: schemas, claims by message, depth.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::auth::{JsonPointer, Requirement};

/// Rules for what the whole text messages of one direction say. By default there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// JSON Schema for every message.
    pub schema: Option<Value>,
    /// JSON Schemas by the kind of a message; never beside `schema`.
    pub schemas: Option<Schemas>,
    /// The claims that messages take. Always empty for the upstream.
    pub allow: Vec<Allowance>,
    /// The deepest nesting of arrays and objects, at least 1 and at most [`Content::MAX_JSON_DEPTH`].
    pub max_json_depth: Option<u32>,
    /// The fate of a message that one of these refuses, and of its connection.
    pub on_violation: OnViolation,
}

/// A schema for each kind of message.
#[derive(Clone, Debug, PartialEq)]
pub struct Schemas {
    /// The place of the string that tells the kind.
    pub by: JsonPointer,
    /// The schemas by kind; never empty.
    pub each: BTreeMap<String, Value>,
    /// Says whether a message of another kind, or of none, passes.
    pub other_passes: bool,
}

/// One line of `allow`.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowance {
    /// The messages that this line speaks of: those that have, at each of these places, one of its values. Never empty.
    pub when: Vec<(JsonPointer, Vec<Value>)>,
    /// The requirements that the claims of the newest token meet then; never empty.
    pub require: Vec<Requirement>,
}

/// The fate of a message that is refused by what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnViolation {
    /// The connection ends.
    #[default]
    Close,
    /// The message goes no further, and its sender is told.
    Drop,
}

impl Content {
    /// The deepest nesting that can be allowed.
    pub const MAX_JSON_DEPTH: u32 = 126;

    /// Says whether messages may be dropped, and the connection goes on without them.
    pub fn drops(&self) -> bool {
        self.on_violation == OnViolation::Drop && !self.is_empty()
    }

    /// Says whether nothing is asked of a message.
    pub fn is_empty(&self) -> bool {
        self.schema.is_none()
            && self.schemas.is_none()
            && self.allow.is_empty()
            && self.max_json_depth.is_none()
    }
}
