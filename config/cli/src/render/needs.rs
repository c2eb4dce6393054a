//! What a policy needs around it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postern_config::{Config, KeySource, Policy, Secret, Tls};

use super::endpoint::{Asked, Endpoint};
use crate::check::silence;

/// What Envoy reads at once from a connection where nothing is said of it, in bytes.
const READ_AT_ONCE: u64 = 1 << 20;

/// A cluster that a policy names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cluster {
    /// The places where it is named.
    pub(super) asked_by: BTreeSet<String>,
    /// The addresses that the policy says.
    pub(super) asked: Vec<Asked>,
    /// Says whether it is spoken to by gRPC.
    pub(super) is_grpc: bool,
    /// Says whether it is Envoy's own admin interface.
    pub(super) is_admin: bool,
}

/// Returns the environment variables that hold secrets.
pub(super) fn variables(config: &Config) -> BTreeSet<&str> {
    let of_providers = config.providers.values().filter_map(|provider| match &provider.keys {
        KeySource::Secret(secret) => Some(secret),
        _ => None,
    });
    let of_policies = config.policies.values().filter_map(|policy| Some(&policy.csrf.as_ref()?.secret));
    let names = of_providers.chain(of_policies).filter_map(|secret| match secret {
        Secret::Env(name) => Some(name.as_str()),
        Secret::Inline(_) => None,
    });
    names.collect()
}

/// Returns the clusters that are asked, by their names.
pub(super) fn clusters(config: &Config) -> BTreeMap<&str, Cluster> {
    let mut clusters: BTreeMap<&str, Cluster> = BTreeMap::new();
    for provider in config.providers.values() {
        let KeySource::Remote(remote) = &provider.keys else { continue };
        let cluster = clusters.entry(&remote.cluster).or_default();
        cluster.asked_by.insert(format!("providers.{}.jwks", provider.name));
        let host = remote.uri.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let endpoint = Endpoint { host, port: remote.uri.port_or_known_default().unwrap_or_default() };
        let asked = Asked { endpoint, is_tls: remote.uri.scheme() == "https" };
        if !cluster.asked.contains(&asked) {
            cluster.asked.push(asked);
        }
    }
    for policy in config.policies.values() {
        if let Some(revocation) = policy.auth.as_ref().and_then(|auth| auth.revocation.as_ref()) {
            let cluster = clusters.entry(&revocation.cluster).or_default();
            cluster.asked_by.insert(format!("policies.{}.auth.revocation", policy.name));
        }
        if let Some(service) = &policy.global_rate_limit {
            let cluster = clusters.entry(&service.cluster).or_default();
            cluster.asked_by.insert(format!("policies.{}.global_rate_limit", policy.name));
            cluster.is_grpc = true;
        }
    }
    if let Some(drain) = &config.drain_with_envoy {
        let cluster = clusters.entry(&drain.cluster).or_default();
        cluster.asked_by.insert("drain_with_envoy".to_owned());
        cluster.is_admin = true;
    }
    clusters
}

/// Says whether a policy asks for certificates of clients.
pub(super) fn asks_for_certificates(config: &Config) -> bool {
    config.policies.values().any(|policy| policy.tls == Tls::Mutual)
}

/// Returns an idle timeout that no connection under these policies reaches.
pub(super) fn idle_timeout(config: &Config) -> Duration {
    config.policies.values().map(silence::enough).max().unwrap_or_default()
}

/// Returns how much Envoy has to read at once, in bytes: more than what a policy lets wait in a connection.
pub(super) fn read_at_once(config: &Config) -> u64 {
    let tiers = config.policies.values().flat_map(|policy| policy.tiers.iter().map(|tier| &tier.policy));
    let waiting = |policy: &Policy| {
        let backlog = policy.backpressure.as_ref().map_or(0, |backpressure| backpressure.max_backlog_bytes);
        let first = policy.auth.as_ref().filter(|auth| auth.first_message().is_some());
        backlog.max(first.map_or(0, |auth| auth.max_unauthenticated_bytes))
    };
    let most = config.policies.values().chain(tiers).map(waiting).max().unwrap_or_default();
    // Twice of it has to be a number of 32 bits.
    most.saturating_add(1).next_power_of_two().clamp(READ_AT_ONCE, 1 << 30)
}
