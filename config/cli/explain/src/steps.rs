//! The words for the steps of a handshake: whose key each carries out, and what that says.

use postern_config::{
    Compression, Connections, Counted, GlobalCount, OnFull, OtherUpgrades, Per, Policy, Tls,
};
use postern_engine::explain::{ChargedRate, ExplainedStep, Explanation, Verdict, WaitedFor};

use crate::instant::length;
use crate::token::named;

/// Returns the rule whose key a step carries out: the path of the key, or `protocol`.
pub(crate) fn rule(id: &str) -> &'static str {
    match id {
        "drain" => "drain",
        "tls" => "tls",
        "other_upgrades" => "other_upgrades",
        "compression" => "compression",
        "rates by ip" | "refusals by ip" | "rates by policy" | "refusals by user" | "rates by user" => {
            "rates"
        }
        "connections by ip and policy" | "connections by user" | "connections" => "connections",
        "origins" => "origins",
        "subprotocols" => "subprotocols",
        "auth" => "auth",
        "csrf" => "csrf",
        "memory" => "memory.budget",
        "auth.forward" => "auth.forward",
        "auth.single_use" => "auth.single_use",
        global if global.starts_with("global_rate_limit") => "global_rate_limit",
        _ => "protocol",
    }
}

/// Returns what the policy says at a step, and what the step has found there; empty where its name says all.
pub(crate) fn about(step: &ExplainedStep, explanation: &Explanation) -> String {
    let Some(policy) = &explanation.policy else { return String::new() };
    if step.verdict == Verdict::NotSet {
        return String::new();
    }
    let mut parts = Vec::new();
    parts.extend(said(step, explanation, policy));
    parts.extend(step.waited.map(|waited| waits(waited, policy)));
    parts.extend(step.charged.iter().map(|charged| format!("{}: 1 is charged", rate(charged))));
    parts.join("; ")
}

fn said(step: &ExplainedStep, explanation: &Explanation, policy: &Policy) -> Option<String> {
    let auth = policy.auth.as_ref();
    let has_passed = step.verdict == Verdict::Passed;
    match step.id {
        "drain" if has_passed => Some("this Envoy is taken not to drain".to_owned()),
        "tls" => Some(tls(policy.tls).to_owned()),
        "other_upgrades" => Some(match policy.other_upgrades {
            OtherUpgrades::Deny => "other protocols than WebSocket are refused".to_owned(),
            OtherUpgrades::Pass => "other protocols than WebSocket pass".to_owned(),
        }),
        "shape" if has_passed => Some("the request is a handshake by RFC 6455 §4.2.1".to_owned()),
        "compression" => Some(compression(policy.compression).to_owned()),
        "connections by ip and policy" | "connections by user" | "connections" => Some(caps(
            &explanation.terms.as_ref().map_or(policy.connections, |terms| terms.limits.connections),
        )),
        "memory" if has_passed => Some("is taken to be free".to_owned()),
        "subprotocols" => match &policy.subprotocols.allow {
            Some(allow) => Some(format!("only {}", allow.join(", "))),
            None => Some("any but known tunnels".to_owned()),
        },
        "auth" => match &explanation.token {
            _ if explanation.awaits_first_message => Some("the token comes in the first message".to_owned()),
            Some(token) => {
                let by = token.provider.as_ref();
                let by = by.map(|name| format!(", by provider `{name}`")).unwrap_or_default();
                Some(format!("the token is in {}{by}", named(&token.carrier)))
            }
            None => {
                let carriers: Vec<String> = auth?.from.iter().map(named).collect();
                Some(format!("a token may be in {}", carriers.join(", ")))
            }
        },
        "auth.forward" => {
            let lines = auth?.forward.iter().map(|(name, claim)| format!("{name}: {}", claim.as_str()));
            Some(lines.collect::<Vec<_>>().join(", "))
        }
        "auth.single_use" if has_passed => Some("the token is taken to be unused, and is spent".to_owned()),
        _ => None,
    }
}

fn tls(tls: Tls) -> &'static str {
    match tls {
        Tls::Forwarded => "TLS to Envoy, or `x-forwarded-proto: https`",
        Tls::Mutual => "TLS to Envoy with a client certificate",
        Tls::Optional => "no demand",
        Tls::Required => "TLS to Envoy",
    }
}

/// Returns the words for what becomes of compression.
pub(crate) fn compression(compression: Compression) -> &'static str {
    match compression {
        Compression::Inspect => "compressed messages are inflated and judged",
        Compression::Pass => "compressed messages pass as they are",
        Compression::Strip => "offers of compression are taken out",
    }
}

fn waits(waited: WaitedFor, policy: &Policy) -> String {
    match waited {
        WaitedFor::Keys(time) => {
            let providers = policy.auth.as_ref().map(|auth| auth.providers.join(", ")).unwrap_or_default();
            let given = "which are not at hand here; give them by --jwks";
            format!("would wait up to {} for keys of {providers}, {given}", length(time))
        }
        WaitedFor::RevocationList(time) => {
            let revocation = policy.auth.as_ref().and_then(|auth| auth.revocation.as_ref());
            let from = revocation.map(|list| format!(" {} from cluster {}", list.path, list.cluster));
            let given = "which is not at hand here; give it by --revoked";
            format!("would wait up to {} for the list{}, {given}", length(time), from.unwrap_or_default())
        }
        WaitedFor::RateLimit(count) => {
            let counted = match count {
                GlobalCount::Bytes => "bytes",
                GlobalCount::Connections => "connections",
                GlobalCount::Handshakes => "handshakes",
                GlobalCount::Messages => "messages",
                GlobalCount::Tickets => "tickets",
            };
            let service = policy.global_rate_limit.as_ref();
            let service =
                service.map(|global| format!("cluster {}, domain {}", global.cluster, global.domain));
            format!("asks {} for {counted}, and is taken to find room", service.unwrap_or_default())
        }
    }
}

/// Returns the words for a rate, with its place.
pub(crate) fn rate(charged: &ChargedRate) -> String {
    let ChargedRate { index, tier, rate } = charged;
    let counted = match rate.count {
        Counted::Bytes => "bytes",
        Counted::ControlFrames => "control frames",
        Counted::Handshakes => "handshakes",
        Counted::Messages => "messages",
        Counted::Refusals => "refusals",
    };
    let per = match rate.per {
        Per::Connection => "connection",
        Per::Ip => "address",
        Per::Policy => "policy",
        Per::User => "user",
    };
    let tier = tier.map(|tier| format!("tiers[{tier}].")).unwrap_or_default();
    let window = length(rate.window);
    format!("{tier}rates[{index}], {} {counted} per {per} in {window}, {} at once", rate.limit, rate.burst)
}

/// Returns the words for caps on live connections.
pub(crate) fn caps(connections: &Connections) -> String {
    let replaces = if connections.on_full == OnFull::Replace { " (the oldest makes way)" } else { "" };
    let caps = [
        (connections.per_ip, "per address", ""),
        (connections.per_user, "per user", replaces),
        (connections.per_policy, "under the policy", ""),
        (connections.unauthenticated_per_ip, "per address that wait for their first message", ""),
    ];
    let caps =
        caps.iter().filter_map(|(cap, of, more)| cap.map(|cap| format!("at most {cap} live {of}{more}")));
    caps.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_carries_out_a_key_or_the_protocol() {
        let of_protocol: Vec<&str> =
            postern_engine::handshake_order().filter(|id| rule(id) == "protocol").collect();
        assert_eq!(of_protocol, ["shape", "form of subprotocols"]);
    }
}
