//! Ways by which requests pass Postern, or by which it is not there.

use postern_config::Path;

use crate::finding::{Code, Finding, quoted};
use crate::source::{Bypass, Found, Manager, SwitchedOff, envoy};
use crate::yaml::Node;

/// Tells problems of everything that Postern would not judge.
pub(super) fn judge(found: &Found<'_>, findings: &mut Vec<Finding>) {
    findings.extend(found.bypasses.iter().map(bypass));
    findings.extend(found.switched_off.iter().filter_map(|switched_off| disabled_for(found, switched_off)));
    findings.extend(found.managers.iter().flat_map(|manager| own_filters(found, manager)));
}

fn bypass(bypass: &Bypass) -> Finding {
    match bypass {
        Bypass::AnotherDefault(position) => Finding::new(
            *position,
            Code::AnotherDefault,
            "config_discovery.default_config",
            "is another filter, which stands in for Postern until that is discovered",
            "leave it out, or write Postern's configuration",
        ),
        Bypass::Disabled(position) => Finding::new(
            *position,
            Code::DisabledFilter,
            "disabled",
            "is true, so that Postern judges nothing",
            "leave it out",
        ),
        Bypass::Incapable { position, missing } => Finding::new(
            *position,
            Code::MissingCallback,
            "config.capability_restriction_config.allowed_capabilities",
            format!("leaves out `{missing}`, so that what it brings passes Postern unjudged"),
            "add it, or leave `capability_restriction_config` out",
        ),
        Bypass::LoadedElsewhere { position, role, remedy } => Finding::new(
            *position,
            Code::LoadedElsewhere,
            "",
            format!("loads Postern {role}, where it judges no WebSocket"),
            *remedy,
        ),
        Bypass::OnlyWhereMatched(position) => Finding::new(
            *position,
            Code::SkippedByMatcher,
            "",
            "runs Postern only where a matcher says so, and all else passes unjudged",
            "write it in `http_filters` itself; `routes` and `default_policy` say what it judges",
        ),
        Bypass::Optional(position) => Finding::new(
            *position,
            Code::OptionalFilter,
            "is_optional",
            "is true, so that an Envoy that does not know the filter goes on without Postern",
            "leave it out",
        ),
        Bypass::Removed(position) => Finding::new(
            *position,
            Code::RemovedFilter,
            "",
            "takes Postern out of the filters",
            "take this patch out",
        ),
        Bypass::Skipped(position) => Finding::new(
            *position,
            Code::SkippedByMatcher,
            "xds_matcher",
            "lets requests past Postern",
            "write the filter without a matcher; `routes` and `default_policy` say what it judges",
        ),
    }
}

/// Returns the problem of Postern, or of what sends for it, being disabled by `typed_per_filter_config`.
fn disabled_for(found: &Found<'_>, switched_off: &SwitchedOff<'_>) -> Option<Finding> {
    let SwitchedOff { filter, position, on } = *switched_off;
    // Istio and Envoy Gateway put the namespace before the name.
    let is_called = |name: &str| {
        filter.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with(['.', '/']))
    };
    let filter_name = filter.to_ascii_lowercase();
    let is_sender =
        filter_name.contains("postern-sender") || found.sender_names.iter().any(|name| is_called(name));
    let is_postern = filter_name.contains("postern") || found.filter_names.iter().any(|name| is_called(name));
    let of = on.named().unwrap_or("what it stands on");
    let path = Path::root().key("typed_per_filter_config").key(filter).key("disabled").to_string();
    if is_sender {
        let but = if found.has_injector { ", unless `postern-injector` serves its connection" } else { "" };
        let what = format!("is true, so that Postern answers every upgrade of {of} with 500{but}");
        return Some(Finding::new(position, Code::NoSender, path, what, "leave it out"));
    }
    let remedy =
        "leave it out; to let a route pass unjudged, name no policy for it and write `default_policy: pass`";
    is_postern.then(|| {
        let what = format!("is true, so that Postern judges nothing of {of}");
        Finding::new(position, Code::DisabledFilter, path, what, remedy)
    })
}

/// Returns the problems of upgrades that go through filters of their own. A manager without any filters is
/// laid over another one, which has Postern.
fn own_filters(found: &Found<'_>, manager: &Manager<'_>) -> Vec<Finding> {
    let is_laid_over = envoy::field(manager.written, "http_filters").is_none();
    if !is_laid_over && !found.has_postern_somewhere(manager) {
        return Vec::new();
    }
    let own = manager.upgrades.iter().filter(|upgrade| !found.has_postern(upgrade.chain));
    own.map(|upgrade| {
        let name = envoy::field(upgrade.written, "upgrade_type").and_then(Node::text).unwrap_or_default();
        let what = format!(
            "are those of an upgrade to {} and have no Postern, so that it goes unjudged",
            quoted(name)
        );
        Finding::new(
            upgrade.filters,
            Code::UpgradeWithoutPostern,
            "upgrade_configs.filters",
            what,
            "leave them out, or write Postern first among them",
        )
    })
    .collect()
}
