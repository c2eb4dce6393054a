//! The overrides that routes lay over policies, judged by the configuration that they will meet.

use postern_config::{Config, DefaultPolicy, Path, Policy, Problem, Problems, Secret, Segment};
use postern_engine::judge_schemas;
use serde_json::Value;

use super::{Judged, unclear_words};
use crate::finding::Finding;
use crate::source::Override;

/// Returns the path of an override, as told.
fn root() -> Path {
    Path::root().key("filter_metadata").key("postern")
}

/// Judges one override against the configurations beside it: those of its own connection manager if there are
/// any, else those of the whole file. Says whether there was anything to judge it by.
pub(super) fn judge(written: &Override<'_>, judged: &[Judged], findings: &mut Vec<Finding>) -> bool {
    let is_beside = |judged: &Judged| written.manager.is_some() && judged.manager == written.manager;
    let any_beside = judged.iter().any(is_beside);
    let configurations = || judged.iter().filter(|judged| !any_beside || is_beside(judged));
    let warn = |what: &str, remedy: &str, findings: &mut Vec<Finding>| {
        let warning = Problem::new(root().to_string(), what, remedy);
        findings.push(Finding::warning(written.position, warning));
    };
    if judged.is_empty() {
        let what = "is not judged: no configuration of Postern is in this file";
        warn(what, "check it together with the policies it names", findings);
        return false;
    }
    unclear_words(written.written, &root(), findings);
    let document = written.written.to_json();
    let mut is_judged = false;
    for config in configurations().filter_map(|judged| judged.config.as_ref()) {
        let (policy, overrides) = split(&document);
        let policies = match &policy {
            Some(Value::String(name)) => vec![name.as_str()],
            Some(_) => {
                let problem = Problem::new("policy", "is not a string", "write the name of a policy");
                tell(problem, written, findings);
                return true;
            }
            None => picked(config),
        };
        is_judged |= !policies.is_empty();
        for problem in problems_of(&policies, &overrides, config) {
            tell(problem, written, findings);
        }
    }
    if !is_judged && configurations().any(|judged| judged.config.is_some()) {
        let what = "lies over no policy: it names none, and no route and no default picks one";
        warn(what, "write `policy:` and the name of a policy", findings);
    }
    is_judged
}

/// Notes a problem whose path begins inside the override.
fn tell(problem: Problem, written: &Override<'_>, findings: &mut Vec<Finding>) {
    let path = Path::parse(&problem.path).unwrap_or_default();
    let position = written.written.locate(&path, written.position);
    let path = root().segments().iter().chain(path.segments()).cloned().collect::<Path>().to_string();
    findings.push(Finding::problem(position, Problem { path, ..problem }));
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
    (!is_inline && !config.policies.values().any(is_known))
        .then(|| Problem::new(path.to_string(), what, "write the one of a policy, or a policy of its own"))
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
