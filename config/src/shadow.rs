//! Rules that are judged, counted and logged, and not enforced: the key `policies.*.shadow`.
//!
//! Owns which rules may stand there, and whether a policy has one. Knows a rule by its id, which is the path of its key.

use crate::auth::Expiry;
use crate::policy::{OtherUpgrades, Policy, Tier};

/// The rules of a policy that are not enforced, by their ids. An id names all rules below it, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShadowedRules {
    ids: Vec<String>,
}

/// A rule that may be shadowed.
struct Shadowable {
    id: &'static str,
    /// Returns the number of such rules that a policy has: at most one, unless the rule is a line of a list.
    count: fn(&Policy) -> usize,
    /// Says whether the key is a list, each of whose lines is a rule.
    is_list: bool,
}

/// The ids that cannot be shadowed, since nothing can be judged without these rules.
const NEVER: [&str; 3] = ["tls", "auth", "protocol"];

const fn one(id: &'static str, count: fn(&Policy) -> usize) -> Shadowable {
    Shadowable { id, count, is_list: false }
}

const fn lines(id: &'static str, count: fn(&Policy) -> usize) -> Shadowable {
    Shadowable { id, count, is_list: true }
}

/// Every rule that may be shadowed.
const SHADOWABLE: [Shadowable; 34] = [
    one("origins", |_| 1),
    one("subprotocols", |_| 1),
    one("csrf", |policy| policy.csrf.is_some().into()),
    one("other_upgrades", |policy| (policy.other_upgrades == OtherUpgrades::Deny).into()),
    one("upgrade_only", |policy| policy.upgrade_only.into()),
    one("drain", |policy| policy.drain.is_some().into()),
    lines("auth.require", |policy| policy.auth.as_ref().map_or(0, |auth| auth.require.len())),
    one("auth.expiry", |policy| policy.auth.as_ref().is_some_and(|auth| auth.expiry == Expiry::Close).into()),
    one("auth.revocation", |policy| {
        policy.auth.as_ref().is_some_and(|auth| auth.revocation.is_some()).into()
    }),
    one("auth.max_session", |policy| {
        policy.auth.as_ref().is_some_and(|auth| auth.max_session.is_some()).into()
    }),
    one("auth.single_use", |policy| policy.auth.as_ref().is_some_and(|auth| auth.single_use).into()),
    one("messages.types", |_| 1),
    one("messages.max_frame_bytes", |_| 1),
    one("messages.max_message_bytes", |_| 1),
    one("messages.max_fragments", |_| 1),
    one("messages.utf8", |policy| policy.messages.utf8.into()),
    one("messages.schema", |policy| policy.messages.content.schema.is_some().into()),
    one("messages.schemas", |policy| policy.messages.content.schemas.is_some().into()),
    lines("messages.allow", |policy| policy.messages.content.allow.len()),
    one("messages.max_json_depth", |policy| policy.messages.content.max_json_depth.is_some().into()),
    one("messages.tunnels", |policy| policy.messages.deny_tunnels.into()),
    one("upstream_messages.max_frame_bytes", |_| 1),
    one("upstream_messages.max_message_bytes", |_| 1),
    one("upstream_messages.utf8", |policy| policy.upstream_messages.utf8.into()),
    one("upstream_messages.schema", |policy| policy.upstream_messages.content.schema.is_some().into()),
    one("upstream_messages.schemas", |policy| policy.upstream_messages.content.schemas.is_some().into()),
    one("upstream_messages.max_json_depth", |policy| {
        policy.upstream_messages.content.max_json_depth.is_some().into()
    }),
    lines("rates", |policy| policy.rates.len()),
    one("connections.per_ip", |policy| policy.connections.per_ip.is_some().into()),
    one("connections.per_user", |policy| policy.connections.per_user.is_some().into()),
    one("connections.per_policy", |policy| policy.connections.per_policy.is_some().into()),
    one("connections.unauthenticated_per_ip", |policy| {
        policy.connections.unauthenticated_per_ip.is_some().into()
    }),
    one("global_rate_limit", |policy| policy.global_rate_limit.is_some().into()),
    one("backpressure", |policy| policy.backpressure.is_some().into()),
];

/// The reason why an id cannot stand in `shadow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotShadowable {
    /// Nothing can be judged without the rule.
    Needed,
    /// The policy has no such rule.
    NotSet,
    /// There is no such rule.
    Unknown,
}

impl ShadowedRules {
    pub(crate) fn new(ids: Vec<String>) -> Self {
        Self { ids }
    }

    /// Says whether no rule is shadowed.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Says whether the rule with this id is shadowed.
    pub fn has(&self, rule: &str) -> bool {
        self.ids.iter().any(|id| is_at_or_below(rule, id))
    }
}

/// Returns every id that may stand in `shadow`, without the numbers of lines.
pub(crate) fn ids() -> Vec<&'static str> {
    SHADOWABLE.iter().map(|rule| rule.id).collect()
}

/// Judges an id of `shadow` by what `policy`, or one of its tiers, has.
pub(crate) fn judge(id: &str, policy: &Policy) -> Result<(), NotShadowable> {
    let (name, line) = match id.strip_suffix(']').and_then(|id| id.rsplit_once('[')) {
        Some((name, line)) => (name, Some(number(line).ok_or(NotShadowable::Unknown)?)),
        None => (id, None),
    };
    let named = |rule: &&Shadowable| match line {
        Some(_) => rule.is_list && rule.id == name,
        None => is_at_or_below(rule.id, name),
    };
    let is_needed = NEVER.contains(&name) || is_at_or_below(name, "liveness");
    let mut found = SHADOWABLE.iter().filter(named).peekable();
    match found.peek() {
        _ if is_needed => Err(NotShadowable::Needed),
        None => Err(NotShadowable::Unknown),
        Some(_) => {
            let is_set = |rule: &Shadowable| most(rule, policy) > line.unwrap_or(0);
            if found.any(is_set) { Ok(()) } else { Err(NotShadowable::NotSet) }
        }
    }
}

/// Returns the number of a line, written as in the ids of rules: `00` and `+0` are none.
fn number(line: &str) -> Option<usize> {
    line.parse().ok().filter(|number: &usize| number.to_string() == line)
}

/// Returns the most rules of this id that the policy or one of its tiers has.
fn most(rule: &Shadowable, policy: &Policy) -> usize {
    let of_tiers = policy.tiers.iter().map(|Tier { policy, .. }| (rule.count)(policy));
    of_tiers.fold((rule.count)(policy), usize::max)
}

/// Says whether the rule is `id`, or below it.
fn is_at_or_below(rule: &str, id: &str) -> bool {
    rule.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_itself_and_what_is_below_it_and_nothing_that_only_begins_alike() {
        let rules = ShadowedRules::new(["rates[1]", "messages", "auth.require"].map(str::to_owned).to_vec());
        for rule in ["rates[1]", "messages.allow[3]", "messages.utf8", "auth.require[0]"] {
            assert!(rules.has(rule), "{rule}");
        }
        for rule in ["rates[0]", "rates[10]", "upstream_messages.utf8", "auth", "auth.expiry", "messagesx"] {
            assert!(!rules.has(rule), "{rule}");
        }
        assert!(!ShadowedRules::default().has("origins"));
    }
}
