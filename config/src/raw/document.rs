//! The document as a whole, and one policy of it on its own.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::envoy_drain::DrainWithEnvoy;
use crate::log::Log;
use crate::memory::Memory;
use crate::path::Path;
use crate::policy::Policy;
use crate::problem::ProblemKind;
use crate::provider::Provider;
use crate::raw::claim_headers;
use crate::raw::envoy_drain::RawDrainWithEnvoy;
use crate::raw::list::List;
use crate::raw::log::RawLog;
use crate::raw::memory::RawMemory;
use crate::raw::or_none::OrNone;
use crate::raw::policy::RawPolicy;
use crate::raw::provider::RawProvider;
use crate::raw::reference::{Names, Surroundings};
use crate::raw::routes::{self, RawRoute};
use crate::raw::tiers;
use crate::report::Report;
use crate::routes::{DefaultPolicy, Route};
#[cfg(feature = "schema")]
use crate::schema;
use crate::shape;

/// The document as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `policies`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct RawDocument {
    #[cfg_attr(feature = "schema", schemars(extend("propertyNames" = schema::provider_names())))]
    providers: Option<BTreeMap<String, RawProvider>>,
    #[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1, "propertyNames" = schema::policy_names())))]
    policies: Option<BTreeMap<String, RawPolicy>>,
    routes: Option<List<RawRoute>>,
    default_policy: Option<String>,
    drain_with_envoy: Option<OrNone<RawDrainWithEnvoy>>,
    log: Option<RawLog>,
    memory: Option<RawMemory>,
}

/// The parts of a document that are sound.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) providers: BTreeMap<String, Provider>,
    pub(crate) policies: BTreeMap<String, Policy>,
    pub(crate) routes: Vec<Route>,
    pub(crate) default_policy: DefaultPolicy,
    pub(crate) drain_with_envoy: Option<DrainWithEnvoy>,
    pub(crate) log: Log,
    pub(crate) memory: Memory,
}

impl Document {
    /// Reads `document`, and notes everything wrong with it. `sources` are its policies as written.
    pub(crate) fn read(
        mut document: Value,
        sources: &BTreeMap<String, Value>,
        report: &mut Report,
    ) -> Option<Self> {
        let root = Path::root();
        shape::refuse_nulls(&mut document, &root, report);
        let raw: RawDocument = shape::read(&mut document, &root, report)?;

        let written = raw.providers.unwrap_or_default();
        let provider_names = Names::new("provider", written.keys().cloned());
        let at = root.key("providers");
        let providers = each(written, &at, |name, raw, at| raw.read(name, at, report));
        let around = Surroundings { names: provider_names, providers: &providers };

        let at = root.key("policies");
        let written = report.required(raw.policies, &at, "write at least one policy");
        if written.as_ref().is_some_and(BTreeMap::is_empty) && !report.is_broken_below(&at) {
            report.push(ProblemKind::ImpossibleValue, &at, "is empty", "write at least one policy");
        }
        let written = written.unwrap_or_default();
        let policy_names = Names::new("policy", written.keys().cloned());
        let policies = each(written, &at, |name, raw, at| {
            tiers::read_policy(raw, (sources.get(name)?, false), name, &around, at, report)
        });
        claim_headers::check(&policies, &at, report);

        let routes = routes::read(raw.routes, &policy_names, &root.key("routes"), report);
        let default_policy =
            routes::read_default(raw.default_policy, &policy_names, &root.key("default_policy"), report);
        let drain_with_envoy = match raw.drain_with_envoy.and_then(|written| written.0) {
            Some(written) => written.read(&root.key("drain_with_envoy"), report).map(Some),
            None => Some(None),
        };
        let log = raw.log.unwrap_or_default().read(&root.key("log"), report);
        let memory = raw.memory.unwrap_or_default().read(&root.key("memory"), report);
        Some(Self {
            providers,
            policies,
            routes: routes?,
            default_policy: default_policy?,
            drain_with_envoy: drain_with_envoy?,
            log: log?,
            memory: memory?,
        })
    }
}

/// Reads one policy, as written with `overrides` laid over it, beside `providers` that are sound.
pub(crate) fn read_policy(
    name: &str,
    mut written: Value,
    overrides: &Value,
    providers: &BTreeMap<String, Provider>,
    report: &mut Report,
) -> Option<Policy> {
    let at = Path::root().key("policies").key(name);
    let source = written.clone();
    shape::refuse_nulls(&mut written, &at, report);
    let raw: RawPolicy = shape::read(&mut written, &at, report)?;
    let names = Names::new("provider", providers.keys().cloned());
    // Who lays a jitter over the policy is held to it.
    let is_jitter_cut = overrides.pointer("/auth/max_session_jitter").is_none();
    tiers::read_policy(raw, (&source, is_jitter_cut), name, &Surroundings { names, providers }, &at, report)
}

/// Reads every member of an object, and leaves out those that are not sound.
fn each<T, U>(
    written: BTreeMap<String, T>,
    at: &Path,
    mut read: impl FnMut(&str, T, &Path) -> Option<U>,
) -> BTreeMap<String, U> {
    written
        .into_iter()
        .filter_map(|(name, raw)| {
            let sound = read(&name, raw, &at.key(name.as_str()))?;
            Some((name, sound))
        })
        .collect()
}
