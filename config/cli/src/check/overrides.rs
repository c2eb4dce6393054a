//! The overrides that routes lay over policies, judged by the configuration that they will meet.

use postern_config::{Config, DefaultPolicy, Path, Policy, Problem, ProblemKind, Problems, Secret, Segment};
use postern_engine::judge_schemas;
use serde_json::Value;

use super::{Judged, unclear_words, weak};
use crate::finding::{Code, Finding, Remark};
use crate::source::{Carrier, Override, Written};
use crate::yaml::Position;

/// Judges one override against the configurations beside it: those of its own connection manager if there are
/// any, else those of the whole file. Says whether there was anything to judge it by.
pub(super) fn judge(written: &Override<'_>, judged: &[Judged], findings: &mut Vec<Finding>) -> bool {
    let is_beside = |judged: &Judged| written.manager.is_some() && judged.manager == written.manager;
    let any_beside = judged.iter().any(is_beside);
    let told =
        |code, what, remedy| Finding::new(written.position, code, written.path.to_string(), what, remedy);
    if judged.is_empty() {
        let what = "is not judged: no configuration of Postern is in this file";
        findings.push(told(Code::UnjudgedOverride, what, "check it together with the policies it names"));
        return false;
    }
    let configurations = judged.iter().filter(|judged| !any_beside || is_beside(judged));
    let reading: Vec<&Judged> =
        configurations.filter(|judged| written.carrier.is_read_by(judged.module)).collect();
    if reading.is_empty() {
        let (what, remedy) = unread(written.carrier);
        findings.push(told(Code::StrayMetadata, what, remedy));
        return false;
    }
    if written.is_one_of_two {
        let what = "is not alone: `typed_per_filter_config` and `typed_filter_metadata` both have something for the route, and \
             every upgrade is refused with `policy_invalid`";
        findings.push(told(Code::Contradiction, what, "write one of them"));
        return false;
    }
    let configs: Vec<&Config> = reading.iter().filter_map(|judged| judged.config.as_ref()).collect();
    let is_judged = lay(written, &configs, findings);
    if !is_judged && !configs.is_empty() {
        let what = "lies over no policy: it names none, and no route and no default picks one";
        findings.push(told(Code::IdleOverride, what, "write `policy:` and the name of a policy"));
    }
    is_judged
}

/// Returns what is wrong with an override of which no module in the file knows, and what to do.
fn unread(carrier: Carrier) -> (&'static str, &'static str) {
    let on_each = "write `metadata: {filter_metadata: {postern: …}}` on each route that it is for";
    match carrier {
        Carrier::Metadata => (
            "cannot be read by the dynamic module, which refuses every upgrade of the route with `policy_invalid`",
            "write it under `typed_filter_metadata`, as a google.protobuf.Struct",
        ),
        Carrier::RouteConfig => ("is for the dynamic module, and Postern here is of WebAssembly", on_each),
        Carrier::TypedMetadata => ("has a type, and Postern does not read it", on_each),
    }
}

/// Tells whatever is wrong or weak where an override lies over each of `configs`. Says whether it lies over any policy, or was
/// found wrong by itself.
fn lay(written: &Override<'_>, configs: &[&Config], findings: &mut Vec<Finding>) -> bool {
    let document = match document(&written.written) {
        Ok(document) => document,
        Err(problem) => {
            let path =
                if problem.path.is_empty() { written.root().to_string() } else { problem.path.clone() };
            findings.push(Finding::problem(written.position, Problem { path, ..problem }));
            return true;
        }
    };
    if let Written::Object(node) = &written.written {
        unclear_words(node, &written.root(), findings);
    }
    let (policy, overrides) = split(&document);
    let mut is_judged = false;
    for config in configs {
        let policies = match &policy {
            Some(Value::String(name)) => vec![name.as_str()],
            Some(_) => {
                let remedy = "write the name of a policy";
                let problem = Problem::new(ProblemKind::WrongType, "policy", "is not a string", remedy);
                tell(problem, written, findings);
                return true;
            }
            None => picked(config),
        };
        is_judged |= !policies.is_empty();
        for problem in problems_of(&policies, &overrides, config) {
            tell(problem, written, findings);
        }
        for remark in weak_settings(&policies, &overrides, config) {
            let position = locate(&remark.path, written);
            findings.push(Remark { path: below_root(&remark.path, written), ..remark }.at(position));
        }
    }
    is_judged
}

/// Returns an override as JSON, or the problem that keeps it from being read; its path is empty where it begins inside.
pub(super) fn document(written: &Written<'_>) -> Result<Value, Problem> {
    match written {
        Written::Object(node) => Ok(node.to_json()),
        Written::Text(text) => serde_json::from_str(text).map_err(|error| {
            let what = format!("is not JSON: {error}");
            Problem::new(ProblemKind::Syntax, "", what, "write one JSON value")
        }),
        Written::Wrong(problem) => Err(problem.clone()),
    }
}

/// Notes a problem whose path begins inside the override.
fn tell(problem: Problem, written: &Override<'_>, findings: &mut Vec<Finding>) {
    let position = locate(&problem.path, written);
    let path = below_root(&problem.path, written);
    findings.push(Finding::problem(position, Problem { path, ..problem }));
}

/// Returns the place of a path that begins inside the override.
fn locate(path: &str, written: &Override<'_>) -> Position {
    match &written.written {
        Written::Object(node) => node.locate(&Path::parse(path).unwrap_or_default(), written.position),
        Written::Text(_) | Written::Wrong(_) => written.position,
    }
}

/// Returns a path that begins inside the override, as told.
fn below_root(path: &str, written: &Override<'_>) -> String {
    let (root, path) = (written.root(), Path::parse(path).unwrap_or_default());
    root.segments().iter().chain(path.segments()).cloned().collect::<Path>().to_string()
}

/// Returns the weak settings that an override of `policies` brings; paths begin inside it.
fn weak_settings(policies: &[&str], overrides: &Value, config: &Config) -> Vec<Remark> {
    let of = |name: &&str| {
        let at = Path::root();
        let beneath =
            config.policies.get(*name).map(|policy| weak::of_policy(policy, &at)).unwrap_or_default();
        let laid = config.overlay(name, overrides).map(|policy| weak::of_policy(&policy, &at));
        let mut brought = laid.unwrap_or_default();
        brought.retain(|remark| !beneath.contains(remark));
        brought
    };
    policies.iter().flat_map(of).collect()
}

/// Returns the policy that an override names, and what it lays over it.
fn split(written: &Value) -> (Option<Value>, Value) {
    let mut overrides = written.clone();
    let policy = overrides.as_object_mut().and_then(|members| members.remove("policy"));
    (policy, overrides)
}

/// Finds everything wrong with an override of `policies`; paths begin inside it.
fn problems_of(policies: &[&str], overrides: &Value, config: &Config) -> Vec<Problem> {
    policies
        .iter()
        .flat_map(|name| {
            let laid = config.overlay(name, overrides);
            let problems = match laid {
                Ok(policy) => {
                    unknown_variable(&policy, config).into_iter().chain(judge_schemas(&policy)).collect()
                }
                Err(Problems(problems)) => problems,
            };
            let is_known = config.policies.contains_key(*name);
            problems.into_iter().map(move |problem| {
                let path = if is_known { inside(&problem.path) } else { "policy".to_owned() };
                Problem { path, ..problem }
            })
        })
        .collect()
}

/// Returns the problem of a variable that the filter does not know: it reads its environment once, for what
/// the policies name.
fn unknown_variable(policy: &Policy, config: &Config) -> Option<Problem> {
    let secret = &policy.csrf.as_ref()?.secret;
    let is_known = |policy: &Policy| policy.csrf.as_ref().is_some_and(|csrf| csrf.secret == *secret);
    let is_inline = matches!(secret, Secret::Inline(_));
    let path = Path::root().key("policies").key(policy.name.as_str()).key("csrf").key("secret").key("env");
    let what = "names an environment variable that no policy names";
    (!is_inline && !config.policies.values().any(is_known)).then(|| {
        Problem::new(
            ProblemKind::UnknownVariable,
            path.to_string(),
            what,
            "write the one of a policy, or a policy of its own",
        )
    })
}

/// Returns the policies that an override without a name may lie over: those of the routes and the default.
fn picked(config: &Config) -> Vec<&str> {
    let default = match &config.default_policy {
        DefaultPolicy::Policy(name) => Some(name.as_str()),
        DefaultPolicy::Deny | DefaultPolicy::Pass => None,
    };
    let mut names: Vec<&str> =
        config.routes.iter().map(|route| route.policy.as_str()).chain(default).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns the path without `policies.<name>`, with which the problems of an overlay begin.
fn inside(path: &str) -> String {
    let path = Path::parse(path).unwrap_or_default();
    let steps: &[Segment] = path.segments().get(2..).unwrap_or_default();
    steps.iter().cloned().collect::<Path>().to_string()
}
