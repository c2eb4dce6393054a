//! Answers of services that Envoy may not show to Postern's module (`capability_restriction_config`).

use postern_config::{Config, KeySource};

use crate::finding::{Code, Finding};
use crate::source::Configuration;

const OF_GRPC: [&str; 2] = ["proxy_on_grpc_close", "proxy_on_grpc_receive"];
const OF_HTTP: [&str; 1] = ["proxy_on_http_call_response"];

/// Warns of a callback that the policies need and that is not allowed.
pub(super) fn judge(configuration: &Configuration<'_>, config: &Config, findings: &mut Vec<Finding>) {
    let Some(allowed) = &configuration.allowed else { return };
    let counts = config.policies.values().any(|policy| policy.global_rate_limit.is_some());
    let revokes =
        |policy: &postern_config::Policy| policy.auth.as_ref().is_some_and(|auth| auth.revocation.is_some());
    let fetches = config.providers.values().any(|provider| matches!(provider.keys, KeySource::Remote(_)))
        || config.policies.values().any(revokes)
        || config.drain_with_envoy.is_some();
    let of_grpc = OF_GRPC.iter().filter(|_| counts);
    let needed = of_grpc.chain(OF_HTTP.iter().filter(|_| fetches));
    findings.extend(needed.filter(|callback| allowed.value.get(callback).is_none()).map(|callback| {
        let asked = if OF_GRPC.contains(callback) { "rate limit services" } else { "what it fetches from" };
        let what = format!("leaves out `{callback}`, so that Postern hears no answer of {asked}");
        let path = "config.capability_restriction_config.allowed_capabilities";
        let remedy = "add it, or leave `capability_restriction_config` out";
        Finding::new(allowed.position, Code::UnheardAnswer, path, what, remedy)
    }));
}
