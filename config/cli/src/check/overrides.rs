//! The overrides that routes lay over policies, judged by the configuration that they will meet.

use postern_config::{Config, DefaultPolicy, Path, Policy, Problem, ProblemKind, Problems, Secret, Segment};
use postern_engine::judge_schemas;
use serde_json::Value;

use super::{Judged, unclear_words, weak};
use crate::finding::{Code, Finding, Remark};
use crate::source::Override;
use crate::yaml::Position;

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
    let warning = |code, what, remedy| Finding::new(written.position, code, root().to_string(), what, remedy);
    if judged.is_empty() {
        let what = "is not judged: no configuration of Postern is in this file";
        findings.push(warning(Code::UnjudgedOverride, what, "check it together with the policies it names"));
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
                let problem = Problem::new(
                    ProblemKind::WrongType,
                    "policy",
                    "is not a string",
                    "write the name of a policy",
                );
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
            findings.push(Remark { path: below_root(&remark.path), ..remark }.at(position));
        }
    }
    if !is_judged && configurations().any(|judged| judged.config.is_some()) {
        let what = "lies over no policy: it names none, and no route and no default picks one";
        findings.push(warning(Code::IdleOverride, what, "write `policy:` and the name of a policy"));
    }
    is_judged
}

/// Notes a problem whose path begins inside the override.
fn tell(problem: Problem, written: &Override<'_>, findings: &mut Vec<Finding>) {
    let position = locate(&problem.path, written);
    let path = below_root(&problem.path);
    findings.push(Finding::problem(position, Problem { path, ..problem }));
}

/// Returns the place of a path that begins inside the override.
fn locate(path: &str, written: &Override<'_>) -> Position {
    written.written.locate(&Path::parse(path).unwrap_or_default(), written.position)
}

/// Returns a path that begins inside the override, as told.
fn below_root(path: &str) -> String {
    let path = Path::parse(path).unwrap_or_default();
    root().segments().iter().chain(path.segments()).cloned().collect::<Path>().to_string()
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
