//! The policy that was chosen, and the words for why.

use postern_config::{Config, DefaultPolicy, HostPattern, Policy, RouteMatch};
use postern_engine::Choice;
use serde_json::{Map, Value};

/// Returns the policy that a choice leads to, if it leads to one.
pub(crate) fn chosen(config: &Config, choice: Choice) -> Option<&Policy> {
    let name = match choice {
        Choice::Line(line) => &config.routes.get(line)?.policy,
        Choice::Default => match &config.default_policy {
            DefaultPolicy::Policy(name) => name,
            DefaultPolicy::Deny | DefaultPolicy::Pass => return None,
        },
        Choice::Denied | Choice::Metadata | Choice::Passed | Choice::Unclear => return None,
    };
    config.policies.get(name)
}

/// Returns the path of the key that chose, and what it says.
pub(crate) fn reason(config: &Config, choice: Choice) -> (String, String) {
    let told = |path: &str, what: &str| (path.to_owned(), what.to_owned());
    match choice {
        Choice::Line(line) => {
            let demands = config.routes.get(line).map(|line| demands(&line.matches)).unwrap_or_default();
            (format!("routes[{line}]"), format!("the first line that matches: {demands}"))
        }
        Choice::Default => told("default_policy", "no line of `routes` matches"),
        Choice::Denied => told("default_policy", "no line of `routes` matches, and no policy is the default"),
        Choice::Passed => {
            told("default_policy", "no line of `routes` matches, and what is left passes unjudged")
        }
        Choice::Metadata => told("policies", "the metadata of Envoy's route name the policy"),
        Choice::Unclear => {
            told("protocol", "host or path are such that no line of `routes` can be held against them")
        }
    }
}

/// Returns the words for what the metadata of a route lay over the policy, if that is anything.
pub(crate) fn overlaid(metadata: &Map<String, Value>) -> Option<String> {
    let keys: Vec<&str> = metadata.keys().map(String::as_str).filter(|key| *key != "policy").collect();
    (!keys.is_empty()).then(|| format!("; the metadata of Envoy's route lay over it: {}", keys.join(", ")))
}

fn demands(matches: &RouteMatch) -> String {
    let host = matches.host.as_ref().map(|host| match host {
        HostPattern::Any => "host *".to_owned(),
        HostPattern::Exact(host) => format!("host {host}"),
        HostPattern::Subdomains(parent) => format!("host *.{parent}"),
    });
    let path = matches.path_prefix.as_ref().map(|prefix| format!("path_prefix {prefix}"));
    let name = matches.route_name.as_ref().map(|name| format!("route_name {name}"));
    [host, path, name].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
