//! The clusters that a configuration names, against those that Envoy has.

use std::collections::BTreeMap;

use postern_config::{Config, KeySource, Path, Policy};

use crate::finding::{Code, Finding};
use crate::source::{Cluster, Configuration, Speech};

/// A cluster that is named.
struct Named<'c> {
    path: Path,
    cluster: &'c str,
    /// The way in which it must be spoken to.
    speech: Speech,
}

/// Judges the clusters that `config` names; `known` are all that there are.
pub(super) fn judge(
    configuration: &Configuration<'_>,
    config: &Config,
    known: &BTreeMap<String, Cluster>,
    findings: &mut Vec<Finding>,
) {
    for Named { path, cluster, speech } in named(config) {
        let path = path.to_string();
        let position = configuration.locate(&path);
        match known.get(cluster) {
            None => {
                let what = format!("names the cluster `{cluster}`, which is not in this bootstrap");
                let remedy = "add it to `static_resources.clusters`, or correct the name";
                findings.push(Finding::new(position, Code::UnknownCluster, path, what, remedy));
            }
            Some(Cluster { speech: Speech::Http1, .. }) if speech == Speech::Http2 => {
                let what = format!(
                    "names the cluster `{cluster}`, to which Envoy speaks no HTTP/2, as gRPC demands"
                );
                let remedy = "give the cluster `http2_protocol_options`, or no call is answered";
                findings.push(Finding::new(position, Code::NoHttp2, path, what, remedy));
            }
            Some(_) => {}
        }
    }
}

/// Returns every cluster that is named.
fn named(config: &Config) -> Vec<Named<'_>> {
    let providers = config.providers.values().filter_map(|provider| match &provider.keys {
        KeySource::Remote(remote) => {
            let at = Path::root().key("providers").key(&provider.name).key("jwks").key("remote");
            Some(Named { path: at.key("cluster"), cluster: remote.cluster.as_str(), speech: Speech::Http1 })
        }
        KeySource::Inline(_) | KeySource::Secret(_) => None,
    });
    let admin = config.drain_with_envoy.as_ref().map(|drain| Named {
        path: Path::root().key("drain_with_envoy").key("cluster"),
        cluster: drain.cluster.as_str(),
        speech: Speech::Http1,
    });
    providers.chain(config.policies.values().flat_map(named_by_policy)).chain(admin).collect()
}

fn named_by_policy(policy: &Policy) -> impl Iterator<Item = Named<'_>> {
    let at = |key: &str| Path::root().key("policies").key(&policy.name).key(key);
    let revocation = policy.auth.as_ref().and_then(|auth| auth.revocation.as_ref());
    let revocation = revocation.map(|revocation| Named {
        path: at("auth").key("revocation").key("cluster"),
        cluster: revocation.cluster.as_str(),
        speech: Speech::Http1,
    });
    let rate_limit = policy.global_rate_limit.as_ref().map(|rule| Named {
        path: at("global_rate_limit").key("cluster"),
        cluster: rule.cluster.as_str(),
        speech: Speech::Http2,
    });
    revocation.into_iter().chain(rate_limit)
}
