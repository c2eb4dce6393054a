//! The clusters that a configuration names, against those that Envoy has.

use std::collections::BTreeSet;

use postern_config::{Config, KeySource, Path, Problem};

use crate::finding::Finding;
use crate::source::Configuration;

/// Judges the clusters that `config` names; `known` are all that there are.
pub(super) fn judge(
    configuration: &Configuration<'_>,
    config: &Config,
    known: &BTreeSet<String>,
    findings: &mut Vec<Finding>,
) {
    for (path, cluster) in named(config) {
        if known.contains(cluster) {
            continue;
        }
        let path = path.to_string();
        let position = configuration.locate(&path);
        let what = format!("names the cluster `{cluster}`, which is not in this bootstrap");
        let remedy = "add it to `static_resources.clusters`, or correct the name";
        findings.push(Finding::problem(position, Problem::new(path, what, remedy)));
    }
}

/// Returns every cluster that is named, and where.
fn named(config: &Config) -> Vec<(Path, &str)> {
    let providers = config.providers.values().filter_map(|provider| match &provider.keys {
        KeySource::Remote(remote) => {
            let at = Path::root().key("providers").key(&provider.name).key("jwks").key("remote");
            Some((at.key("cluster"), remote.cluster.as_str()))
        }
        KeySource::Inline(_) | KeySource::Secret(_) => None,
    });
    let policies = config.policies.values().filter_map(|policy| {
        let revocation = policy.auth.as_ref()?.revocation.as_ref()?;
        let at = Path::root().key("policies").key(&policy.name).key("auth").key("revocation");
        Some((at.key("cluster"), revocation.cluster.as_str()))
    });
    providers.chain(policies).collect()
}
