//! The judgement of everything of Postern in a file.

mod accepted;
mod admin;
mod buffering;
mod bypass;
mod circuits;
mod clusters;
mod content;
mod dynamic_module;
mod failure;
mod kept;
mod managers;
mod memory;
mod narrowed;
mod overrides;
mod schemas;
pub(crate) mod silence;
mod strays;
mod taken;
mod tiers;
mod unheard;
mod unread;
mod weak;
mod websockets;

use postern_config::{Config, Path, Policy, Problem, ProblemKind};
use postern_engine::auth::keys::Keyring;
use postern_engine::judge_schemas;
use serde_json::Value;

use crate::finding::{Code, Finding, Remark, Severity};
use crate::source::{self, Configuration, Found, Module, Unfolded, Written};
use crate::yaml::{self, Hidden, Node, Position};

/// The judgement of a file.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// The findings, in the order of their places.
    pub(crate) findings: Vec<Finding>,
    /// The lines on what was found sound; empty when there is a problem.
    pub(crate) sound: Vec<String>,
    /// The configurations without problems.
    pub(crate) configs: Vec<Config>,
    /// The overrides of policies by routes that have a name, by that name.
    pub(crate) overrides: Vec<(String, Value)>,
    /// Says whether there was something of Postern, or something that cannot be read.
    pub(crate) has_anything: bool,
    /// The places of secrets, which are not shown.
    pub(crate) hidden: Vec<Hidden>,
}

/// A configuration that was judged.
#[derive(Debug)]
struct Judged {
    /// The configuration; `None` when it has problems, which are told.
    config: Option<Config>,
    manager: Option<usize>,
    module: Option<Module>,
}

/// Finds everything wrong with a configuration as written, or returns the configuration if nothing is. The
/// environment is the filter's, so a secret named by a variable is taken on trust.
fn problems_of(document: &Value) -> Result<Config, Vec<Problem>> {
    let config = Config::from_value(document.clone()).map_err(|problems| problems.0)?;
    let mut problems = Keyring::check(&config.providers);
    problems.extend(memory::problems(&config));
    problems.extend(config.policies.values().flat_map(judge_schemas));
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// Judges the text of a file that is named.
pub(crate) fn check(text: &[u8]) -> Judgement {
    let mut judgement = check_any(text, true);
    if !judgement.has_anything {
        let remedy = "name a policy file, an Envoy configuration or a Kubernetes manifest that has";
        let what = "nothing of Postern is in this file";
        judgement.findings.push(Finding::new(Position::START, Code::NothingFound, "", what, remedy));
    }
    judgement
}

/// Judges the text of a file that is one of many, and that may have nothing of Postern.
pub(crate) fn check_in_folder(text: &[u8]) -> Judgement {
    check_any(text, false)
}

fn check_any(text: &[u8], is_named: bool) -> Judgement {
    let mut findings = Vec::new();
    let Unfolded { documents, hidden } = source::unfold(yaml::load(text), is_named, &mut findings);
    let found = source::find(&documents);
    let has_anything = !found.is_empty() || !findings.is_empty();
    let judged: Vec<Judged> =
        found.configurations.iter().map(|configuration| judge(configuration, &mut findings)).collect();
    let mut overrides_judged = 0_usize;
    for written in &found.overrides {
        overrides_judged += usize::from(overrides::judge(written, &judged, &mut findings));
    }
    for (configuration, judged) in found.configurations.iter().zip(&judged) {
        let Some(config) = &judged.config else { continue };
        unheard::judge(configuration, config, &mut findings);
        if let Some(known) = &configuration.clusters {
            clusters::judge(configuration, config, known, &mut findings);
        }
    }
    if has_anything {
        judge_surroundings(&found, &judged, &mut findings);
    }
    findings.sort();
    findings.dedup();
    accepted::take_out(text, &mut findings);
    let sound = sound(&found, &judged, overrides_judged, &findings);
    let named = found
        .overrides
        .iter()
        .filter_map(|said| Some((said.route?.to_owned(), overrides::document(&said.written).ok()?)));
    let overrides = named.collect();
    let configs = judged.into_iter().filter_map(|judged| judged.config).collect();
    Judgement { findings, sound, configs, overrides, has_anything, hidden }
}

/// Judges what is around the policies.
fn judge_surroundings(found: &Found<'_>, judged: &[Judged], findings: &mut Vec<Finding>) {
    bypass::judge(found, findings);
    dynamic_module::judge(found, findings);
    buffering::judge(found, findings);
    kept::judge(found, findings);
    admin::judge(found, judged, findings);
    taken::judge(found, judged, findings);
    failure::judge(&found.open_failures, findings);
    narrowed::judge(&found.narrowed, findings);
    strays::judge(found, findings);
    unread::judge(found, findings);
    for (index, manager) in found.managers.iter().enumerate() {
        websockets::judge(manager, found, findings);
        if found.has_postern_somewhere(manager) {
            managers::judge(manager, findings);
            circuits::judge(manager, found, findings);
            let own = judged.iter().filter(|judged| judged.manager == Some(index));
            silence::judge(manager, own.filter_map(|judged| judged.config.as_ref()), findings);
        }
    }
}

/// Returns the lines on what is sound, if nothing is wrong.
fn sound(found: &Found<'_>, judged: &[Judged], overrides_judged: usize, findings: &[Finding]) -> Vec<String> {
    let mut sound = Vec::new();
    if findings.iter().any(|finding| finding.severity() == Severity::Problem) {
        return sound;
    }
    for config in judged.iter().filter_map(|judged| judged.config.as_ref()) {
        sound.push(summary(config));
        sound.extend(memory::worst_cases(config));
    }
    if overrides_judged > 0 {
        sound.push(format!("sound: {}", counted(overrides_judged, "route override", "route overrides")));
    }
    let is_alone = found.configurations.is_empty() && found.overrides.is_empty() && !found.is_discovered;
    if is_alone && !found.libraries.is_empty() {
        sound.push("no policies are beside the dynamic module: check those as well".to_owned());
    }
    if found.is_discovered {
        sound.push("Postern is configured by discovery: check that file as well".to_owned());
    }
    sound
}

fn judge(configuration: &Configuration<'_>, findings: &mut Vec<Finding>) -> Judged {
    let (judged, node) = match &configuration.written {
        Written::Object(node) => (problems_of(&node.to_json()), Some(*node)),
        Written::Text(text) => (problems_of_text(text), None),
        Written::Wrong(problem) => (Err(vec![problem.clone()]), None),
    };
    let locate = |path: &str| configuration.locate(path);
    if let Some(node) = node {
        unclear_words(node, &Path::root(), findings);
    }
    let config = match judged {
        Ok(config) => {
            let warnings = warnings_of(&config);
            findings.extend(warnings.into_iter().map(|warning| {
                let position = locate(&warning.path);
                warning.at(position)
            }));
            Some(config)
        }
        Err(problems) => {
            findings
                .extend(problems.into_iter().map(|problem| Finding::problem(locate(&problem.path), problem)));
            None
        }
    };
    Judged { config, manager: configuration.manager, module: configuration.module }
}

/// Finds problems as [`problems_of`] does, in JSON text. Problems that its syntax hides are found once that
/// is mended.
fn problems_of_text(text: &str) -> Result<Config, Vec<Problem>> {
    Config::from_json(text.as_bytes()).map_err(|problems| problems.0)?;
    match serde_json::from_str(text) {
        Ok(document) => problems_of(&document),
        Err(error) => {
            let what = format!("is not JSON: {error}");
            Err(vec![Problem::new(ProblemKind::Syntax, "", what, "write one JSON value")])
        }
    }
}

/// Notes words that the filter would not receive as they look here.
fn unclear_words(node: &Node, path: &Path, findings: &mut Vec<Finding>) {
    let mut found = Vec::new();
    node.unclear(path, &mut found);
    findings.extend(found.into_iter().map(|(path, position)| {
        let what = "is true or false to Envoy and Kubernetes, which read YAML 1.1";
        let remedy = "write true or false, or put the word in quotes";
        Finding::new(position, Code::UnclearWord, path.to_string(), what, remedy)
    }));
}

/// Returns warnings of what is sound and weak, or probably not meant.
fn warnings_of(config: &Config) -> Vec<Remark> {
    let of_policies = config.policies.values().flat_map(|policy| {
        let at = path_of(policy);
        let content = content::warnings(policy, &at).into_iter().chain(tiers::warnings(policy, &at));
        content.chain(forward_warning(policy))
    });
    weak::warnings(config).into_iter().chain(of_policies).collect()
}

/// Warns of forwarded claims of a token in the first message: the request has gone up before that comes.
fn forward_warning(policy: &Policy) -> Option<Remark> {
    let auth = policy.auth.as_ref()?;
    let is_late = auth.first_message().is_some() && !auth.forward.is_empty();
    let path = path_of(policy).key("auth").key("forward");
    let what = "has no claims of a token in the first message";
    is_late.then(|| {
        Remark::new(Code::LateClaims, &path, what, "do not rely on these headers, or take another carrier")
    })
}

fn path_of(policy: &Policy) -> Path {
    Path::root().key("policies").key(policy.name.as_str())
}

fn summary(config: &Config) -> String {
    let names: Vec<String> = config.policies.keys().map(|name| format!("`{name}`")).collect();
    let noun = if names.len() == 1 { "policy" } else { "policies" };
    format!(
        "sound: {noun} {}, {}, {}",
        names.join(", "),
        counted(config.providers.len(), "provider", "providers"),
        counted(config.routes.len(), "route", "routes"),
    )
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn headers_from_claims_that_come_too_late_are_warned_of() {
        let warnings = |from: Value, forward: Value| {
            let auth = json!({"providers": ["edge"], "from": from, "forward": forward});
            let config = problems_of(&json!({
                "providers": {"edge": {
                    "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "SECRET"},
                }},
                "policies": {"chat": {"origins": {"allow": ["*"]}, "auth": auth}},
            }));
            let mut warnings = warnings_of(&config.unwrap());
            warnings.retain(|warning| warning.code == Code::LateClaims);
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let first = json!([{"cookie": "token"}, {"first_message": "/token"}]);
        assert_eq!(
            warnings(first.clone(), json!({"x-user-id": "sub"})),
            ["policies.chat.auth.forward: has no claims of a token in the first message; \
              do not rely on these headers, or take another carrier"]
        );
        assert!(warnings(first, json!({})).is_empty());
        assert!(warnings(json!([{"cookie": "token"}]), json!({"x-user-id": "sub"})).is_empty());
    }
}
