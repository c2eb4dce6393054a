//! The whole document.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::policy::Policy;
use crate::problem::Problems;
use crate::provider::Provider;
use crate::routes::{DefaultPolicy, Route};

/// The whole document; its values cannot be wrong.
#[derive(Clone, Debug)]
pub struct Config {
    /// By name.
    pub providers: BTreeMap<String, Provider>,
    /// By name.
    pub policies: BTreeMap<String, Policy>,
    /// In the order written; the first match wins.
    pub routes: Vec<Route>,
    /// What becomes of an upgrade that no route matches.
    pub default_policy: DefaultPolicy,
    /// The policies as written, on which [`Config::overlay`] lays overrides.
    sources: BTreeMap<String, Value>,
}

impl Config {
    /// Reads a document from JSON text, refusing duplicate members.
    pub fn from_json(text: &[u8]) -> Result<Self, Problems> {
        let _ = text;
        Err(Problems(Vec::new()))
    }

    /// Reads a document.
    pub fn from_value(document: Value) -> Result<Self, Problems> {
        let _ = document;
        Err(Problems(Vec::new()))
    }

    /// The policy `name` with `overrides` laid over it: objects merge deep, lists and scalars
    /// replace. The result keeps the policy's name.
    pub fn overlay(&self, name: &str, overrides: &Value) -> Result<Policy, Problems> {
        let _ = (name, overrides, &self.sources);
        Err(Problems(Vec::new()))
    }
}
