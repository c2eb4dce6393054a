//! Which steps of the handshake a policy asks anything of.

use postern_config::{Auth, Counted, GlobalCount, Per, Tls};

use crate::ruleset::Ruleset;

/// Says whether the policy sets anything that the step of this id judges. What every policy has by default counts as set.
pub(super) fn is_asked(ruleset: &Ruleset, id: &str) -> bool {
    let policy = &ruleset.policy;
    let auth = policy.auth.as_ref();
    let connections = &policy.connections;
    let has_rate = |counted, per| ruleset.handshake_rates(counted, per).next().is_some();
    let counts =
        |count| policy.global_rate_limit.as_ref().is_some_and(|global| global.counts.contains(&count));
    let is_single_use = auth.is_some_and(|auth| auth.single_use);
    let awaits = auth.and_then(Auth::first_message).is_some();
    let of_address = connections.per_ip.is_some()
        || connections.per_policy.is_some()
        || (awaits && connections.unauthenticated_per_ip.is_some());
    match id {
        "drain" => policy.drain.is_some() || ruleset.server_info.is_some(),
        "tls" => policy.tls != Tls::Optional,
        "rates by ip" => has_rate(Counted::Handshakes, Per::Ip),
        "refusals by ip" => has_rate(Counted::Refusals, Per::Ip),
        "rates by policy" => has_rate(Counted::Handshakes, Per::Policy),
        "connections by ip and policy" => of_address,
        "auth" => auth.is_some(),
        "refusals by user" => has_rate(Counted::Refusals, Per::User),
        "csrf" => policy.csrf.is_some(),
        "auth.forward" => auth.is_some_and(|auth| !auth.forward.is_empty()),
        "rates by user" => has_rate(Counted::Handshakes, Per::User),
        "connections by user" => connections.per_user.is_some(),
        "global_rate_limit" => counts(GlobalCount::Handshakes),
        "global_rate_limit of connections" => counts(GlobalCount::Connections),
        "global_rate_limit of tickets" => is_single_use && counts(GlobalCount::Tickets),
        "connections" => of_address || connections.per_user.is_some(),
        "auth.single_use" => is_single_use,
        _ => true,
    }
}
