//! The whole document.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::envoy_drain::DrainWithEnvoy;
use crate::log::Log;
use crate::memory::Memory;
use crate::merge::lay_over;
use crate::path::Path;
use crate::policy::Policy;
use crate::problem::{ProblemKind, Problems};
use crate::provider::Provider;
use crate::raw::{self, Document};
use crate::report::Report;
use crate::routes::{DefaultPolicy, Route};
use crate::strict;
use crate::words::{shown, suggestion};

/// The whole document; its values cannot be wrong.
#[derive(Clone)]
pub struct Config {
    /// The providers, by name.
    pub providers: BTreeMap<String, Provider>,
    /// The policies, by name; never empty.
    pub policies: BTreeMap<String, Policy>,
    /// The routes in the order written; the first match wins.
    pub routes: Vec<Route>,
    /// The fate of an upgrade that no route matches.
    pub default_policy: DefaultPolicy,
    /// The end of all policies with the Envoy that they are in force in.
    pub drain_with_envoy: Option<DrainWithEnvoy>,
    /// The bounds and the form of what is written to the log.
    pub log: Log,
    /// The memory that the sessions of one worker may hold for their peers.
    pub memory: Memory,
    /// The policies as written, on which [`Config::overlay`] lays overrides.
    sources: BTreeMap<String, Value>,
}

impl Config {
    /// Reads a document from JSON text, and refuses duplicate members. A syntax error is a problem with its
    /// line and column and an empty path.
    pub fn from_json(text: &[u8]) -> Result<Self, Problems> {
        let mut report = Report::default();
        let document = strict::parse(text, &Path::root(), &mut report);
        let read = document.and_then(|document| Self::read(document, &mut report));
        report.finish(read)
    }

    /// Reads a document.
    pub fn from_value(document: Value) -> Result<Self, Problems> {
        let mut report = Report::default();
        let read = Self::read(document, &mut report);
        report.finish(read)
    }

    /// Returns the policy `name` with `overrides` laid over it: objects merge deep, lists and scalars
    /// replace. The result keeps the policy's name. Paths of problems begin with `policies.<name>`, wherever
    /// the override was written.
    pub fn overlay(&self, name: &str, overrides: &Value) -> Result<Policy, Problems> {
        let mut report = Report::default();
        let at = Path::root().key("policies").key(name);
        let policy = match self.sources.get(name) {
            None => {
                let names: Vec<&String> = self.sources.keys().collect();
                report.push(
                    ProblemKind::UnknownName,
                    &at,
                    format!("{} names no policy", shown(name)),
                    suggestion(name, &names),
                );
                None
            }
            Some(_) if !overrides.is_object() => {
                report.push(
                    ProblemKind::WrongType,
                    &at,
                    "is overridden by something that is not an object",
                    "write an object of the keys to override",
                );
                None
            }
            Some(source) => {
                raw::contradictions(overrides, &at, &mut report);
                let mut merged = source.clone();
                lay_over(&mut merged, overrides);
                raw::read_policy(name, merged, overrides, &self.providers, &mut report)
            }
        };
        report.finish(policy)
    }

    fn read(document: Value, report: &mut Report) -> Option<Self> {
        let sources: BTreeMap<String, Value> = document
            .get("policies")
            .and_then(Value::as_object)
            .map(|policies| policies.iter().map(|(name, policy)| (name.clone(), policy.clone())).collect())
            .unwrap_or_default();
        for (name, policy) in &sources {
            raw::contradictions(policy, &Path::root().key("policies").key(name.as_str()), report);
        }
        let Document { providers, policies, routes, default_policy, drain_with_envoy, log, memory } =
            Document::read(document, &sources, report)?;
        Some(Self { providers, policies, routes, default_policy, drain_with_envoy, log, memory, sources })
    }
}

impl std::fmt::Debug for Config {
    /// Leaves out the policies as written, since they may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("providers", &self.providers)
            .field("policies", &self.policies)
            .field("routes", &self.routes)
            .field("default_policy", &self.default_policy)
            .field("drain_with_envoy", &self.drain_with_envoy)
            .field("log", &self.log)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}
