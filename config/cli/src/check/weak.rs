//! Warnings of settings that are sound and weak, each with the requirement that it breaks: an item of OWASP's ASVS 5.0, or a
//! section of its WebSocket Security Cheat Sheet.

mod admission;
mod traffic;

use postern_config::{Config, DefaultPolicy, Path, Policy};

use crate::finding::{Code, Remark};

const CHEAT_SHEET: &str = "OWASP's WebSocket cheat sheet";

/// A requirement that a setting breaks.
#[derive(Clone, Copy)]
enum Source {
    /// An item of the Application Security Verification Standard 5.0.
    Asvs(&'static str),
    /// A section of the WebSocket Security Cheat Sheet.
    CheatSheet(&'static str),
    /// A section of a standard.
    Rfc(&'static str),
}

/// Returns a warning of what is at `path`, against `source`.
fn against(source: Source, code: Code, path: &Path, what: &str, remedy: &str) -> Remark {
    let what = match source {
        Source::Asvs(item) => format!("{what}, against ASVS {item}"),
        Source::Rfc(section) => format!("{what}, against {section}"),
        Source::CheatSheet(section) => format!("{what}, against {CHEAT_SHEET} (\"{section}\")"),
    };
    Remark::new(code, path, what, remedy)
}

/// Returns the warnings of a whole configuration.
pub(super) fn warnings(config: &Config) -> Vec<Remark> {
    let of_policies = config.policies.values().flat_map(|policy| {
        let at = Path::root().key("policies").key(policy.name.as_str());
        of_policy(policy, &at)
    });
    let of_providers = config.providers.values().flat_map(admission::of_provider);
    of_providers.chain(of_policies).chain(unmatched(config)).collect()
}

/// Returns the warnings of one policy, which lies at `at`.
pub(super) fn of_policy(policy: &Policy, at: &Path) -> Vec<Remark> {
    admission::of_policy(policy, at).into_iter().chain(traffic::of_policy(policy, at)).collect()
}

/// Warns of upgrades that no policy judges.
fn unmatched(config: &Config) -> Option<Remark> {
    let path = Path::root().key("default_policy");
    let what = "lets every WebSocket that no route picks pass, whatever its Origin";
    let remedy = "write `deny`, or the name of a policy";
    let warning = against(Source::Asvs("4.4.2"), Code::UnmatchedUpgrades, &path, what, remedy);
    (config.default_policy == DefaultPolicy::Pass).then_some(warning)
}
