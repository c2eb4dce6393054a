//! Warnings of tiers that are sound and probably not meant: nobody is ever in one, or a rule of one never counts.

use postern_config::{Counted, Path, Per, Policy, Rate, Requirement, Test, Tier};

use super::content;
use crate::finding::{Code, Remark};

/// Returns warnings of the tiers of `policy`; `at` is the policy. What is told of the policy itself is not told again.
pub(super) fn warnings(policy: &Policy, at: &Path) -> Vec<Remark> {
    let at = at.key("tiers");
    let mut warnings = Vec::new();
    for (index, tier) in policy.tiers.iter().enumerate() {
        let place = at.index(index);
        warnings.extend(unreachable(index, &policy.tiers, &at));
        warnings.extend(uncounted(tier, &place));
        let of_policy = content::warnings(policy, &place);
        warnings.extend(
            content::warnings(&tier.policy, &place).into_iter().filter(|told| !of_policy.contains(told)),
        );
    }
    warnings
}

/// Warns of a tier whose users are all in an earlier one.
fn unreachable(index: usize, tiers: &[Tier], at: &Path) -> Option<Remark> {
    let (tier, earlier) = (tiers.get(index)?, tiers.iter().take(index));
    let (first, _) = earlier.enumerate().find(|(_, earlier)| {
        earlier.require.iter().all(|line| tier.require.iter().any(|other| implies(other, line)))
    })?;
    let what = format!("is never in force: whoever meets its `require` meets that of {}", at.index(first));
    let remedy = "write it before that one, or leave it out";
    Some(Remark::new(Code::UnreachableTier, &at.index(index), what, remedy))
}

/// Says whether whatever meets `line` meets `other`, as far as that can be told.
fn implies(line: &Requirement, other: &Requirement) -> bool {
    let is_same_test = match (&line.test, &other.test) {
        (Test::OneOf(values), Test::OneOf(others)) => values.iter().all(|value| others.contains(value)),
        (test, other) => test == other,
    };
    line.claim == other.claim && is_same_test
}

/// Warns of rates that count before the tier is known, where those of the policy count.
fn uncounted(tier: &Tier, at: &Path) -> Vec<Remark> {
    let rates = tier.policy.rates.iter().enumerate().filter(|_| tier.has_rates);
    let is_early =
        |rate: &Rate| matches!(rate.count, Counted::Handshakes | Counted::Refusals) && rate.per != Per::User;
    let early = rates.filter(|(_, rate)| is_early(rate));
    let warning = |(index, _)| {
        let what =
            "counts nothing: these are counted by the rates of the policy alone, before the token is known";
        Remark::new(
            Code::UncountedRate,
            &at.key("rates").index(index),
            what,
            "write `per: user`, or leave it out",
        )
    };
    early.map(warning).collect()
}

#[cfg(test)]
mod tests {
    use postern_config::Config;
    use serde_json::{Value, json};

    use super::*;

    fn warned(tiers: &Value, messages: Value) -> Vec<String> {
        let edge = json!({"issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
            "secret": {"env": "SECRET"}});
        let policy = json!({"origins": {"allow": ["*"]}, "messages": messages, "tiers": tiers,
            "auth": {"providers": ["edge"], "from": [{"header": "authorization"}]}});
        let config = Config::from_value(json!({"providers": {"edge": edge}, "policies": {"chat": policy}}));
        let at = Path::root().key("policies").key("chat");
        let warnings = warnings(&config.unwrap().policies["chat"], &at);
        warnings.iter().map(|problem| format!("{}: {}", problem.path, problem.what)).collect()
    }

    #[test]
    fn a_tier_that_an_earlier_one_leaves_nobody_for_is_told() {
        let plan = |plans: Value| json!({"claim": "plan", "one_of": plans});
        let scope = |word: &str| json!({"claim": "scope", "contains": word});
        for (earlier, later, is_told) in [
            (json!([plan(json!(["pro"]))]), json!([plan(json!(["pro"]))]), true),
            (json!([plan(json!(["pro"]))]), json!([plan(json!(["pro"])), scope("chat")]), true),
            (json!([plan(json!(["pro", "max"]))]), json!([plan(json!(["max"]))]), true),
            (
                json!([scope("chat"), plan(json!(["pro"]))]),
                json!([plan(json!(["pro"])), scope("chat")]),
                true,
            ),
            (json!([plan(json!(["pro"])), scope("chat")]), json!([plan(json!(["pro"]))]), false),
            (json!([plan(json!(["max"]))]), json!([plan(json!(["pro", "max"]))]), false),
            (json!([scope("chat")]), json!([scope("talk")]), false),
            (json!([{"claim": "plan", "contains": "pro"}]), json!([plan(json!(["pro"]))]), false),
            (json!([plan(json!(["pro"]))]), json!([{"claim": "/plan", "one_of": ["pro"]}]), false),
        ] {
            let other = json!({"require": [scope("other")]});
            let tiers = json!([other, {"require": earlier}, {"require": later}]);
            let told = "policies.chat.tiers[2]: is never in force: whoever meets its `require` meets that of \
                policies.chat.tiers[1]";
            let expected: &[&str] = if is_told { &[told] } else { &[] };
            assert_eq!(warned(&tiers, json!({})), expected, "{tiers}");
        }
    }

    #[test]
    fn rates_of_a_tier_that_count_before_it_is_known_are_told() {
        let rate = |count: &str, per: &str| json!({"count": count, "per": per, "limit": 9, "window": "1m"});
        let rates = [
            rate("messages", "ip"),
            rate("handshakes", "user"),
            rate("handshakes", "ip"),
            rate("handshakes", "policy"),
            rate("refusals", "ip"),
            rate("refusals", "user"),
        ];
        let tiers = json!([{"require": [{"claim": "plan", "one_of": ["pro"]}], "rates": rates}]);
        let told = |index| {
            format!(
                "policies.chat.tiers[0].rates[{index}]: counts nothing: these are counted by the rates of the policy \
                 alone, before the token is known"
            )
        };
        assert_eq!(warned(&tiers, json!({})), [told(2), told(3), told(4)]);
        let tiers = json!([{"require": [{"claim": "plan", "one_of": ["pro"]}]}]);
        assert_eq!(warned(&tiers, json!({})), [""; 0], "the rates of the policy are its own");
    }

    #[test]
    fn warnings_of_content_are_told_of_a_tier_and_not_again_where_they_are_the_policys() {
        let tier = |messages: Value| json!([{"require": [{"claim": "plan", "one_of": ["pro"]}], "messages": messages}]);
        let told = "policies.chat.tiers[0].messages.max_json_depth: judges text messages only, and binary ones may pass";
        assert_eq!(warned(&tier(json!({"max_json_depth": 4})), json!({})), [told]);
        assert_eq!(warned(&tier(json!({"max_json_depth": 4})), json!({"types": ["text"]})), [""; 0]);
        assert_eq!(warned(&tier(json!({"max_fragments": 4})), json!({"max_json_depth": 4})), [""; 0]);
    }
}
