//! What a connection may do: how much, how fast, how long, and what it may hide.

use std::time::Duration;

use postern_config::{
    Compression, Connections, Counted, GlobalCount, MessageType, Messages, OtherUpgrades, Path, Policy,
};

use super::{Source, against};
use crate::finding::{Code, Remark};

const DENIAL: Source = Source::CheatSheet("Denial-of-Service Protection");

/// The largest message that is not warned of.
const LARGE: u64 = 16 << 20;

/// The longest silence without a Ping that is not warned of.
const SILENCE: Duration = Duration::from_secs(300);

/// Returns the warnings of a policy, which lies at `at`.
pub(super) fn of_policy(policy: &Policy, at: &Path) -> Vec<Remark> {
    let mut warnings = Vec::new();
    warnings.extend(rates(policy, &at.key("rates")));
    warnings.extend(connections(policy, at));
    warnings.extend(messages(&policy.messages, &at.key("messages")));
    for (index, tier) in policy.tiers.iter().enumerate() {
        let at = at.key("tiers").index(index);
        warnings.extend(rates(&tier.policy, &at.key("rates")).filter(|_| tier.has_rates));
        let is_own = tier.policy.messages.max_message_bytes != policy.messages.max_message_bytes;
        warnings.extend(large(&tier.policy.messages, &at.key("messages")).filter(|_| is_own));
    }
    if policy.compression == Compression::Pass {
        let what = "lets compressed messages through unread, and compression may tell secrets by lengths";
        let source = Source::CheatSheet("WebSocket Protocol Configuration");
        let (path, remedy) = (at.key("compression"), "write `strip`, or `inspect`");
        warnings.push(against(source, Code::PassedCompression, &path, what, remedy));
    }
    if policy.other_upgrades == OtherUpgrades::Pass {
        let what = "lets upgrades that are no WebSockets go on, of which nothing is judged";
        let source = Source::CheatSheet("Service Tunneling Risks");
        let (path, remedy) = (at.key("other_upgrades"), "write `deny`");
        warnings.push(against(source, Code::OtherUpgrades, &path, what, remedy));
    }
    let live = &policy.liveness;
    if live.ping_interval.is_none() && live.idle_timeout > SILENCE {
        let what = "keeps connections open whose client may be gone for long";
        let (path, remedy) =
            (at.key("liveness").key("ping_interval"), "write `15s`, or a shorter `idle_timeout`");
        warnings.push(against(DENIAL, Code::DeadConnections, &path, what, remedy));
    }
    warnings
}

/// Says whether the mesh counts this for the policy.
fn is_global(policy: &Policy, counts: &[GlobalCount]) -> bool {
    policy
        .global_rate_limit
        .as_ref()
        .is_some_and(|rule| rule.counts.iter().any(|count| counts.contains(count)))
}

fn rates(policy: &Policy, at: &Path) -> Option<Remark> {
    let is_counted = policy.rates.iter().any(|rate| matches!(rate.count, Counted::Bytes | Counted::Messages))
        || is_global(policy, &[GlobalCount::Bytes, GlobalCount::Messages]);
    let what = "lets a client send as many messages as it likes";
    let remedy = "write a rate of `messages` or of `bytes`, such as \
        `{count: messages, per: connection, limit: 100, window: 1m}`";
    (!is_counted).then(|| against(DENIAL, Code::NoRates, at, what, remedy))
}

/// Warns where neither a rate nor a cap bounds how many connections an address may open.
fn connections(policy: &Policy, at: &Path) -> Option<Remark> {
    let Connections { per_ip, per_user, per_policy, .. } = policy.connections;
    let is_bounded = policy.rates.iter().any(|rate| rate.count == Counted::Handshakes)
        || [per_ip, per_user, per_policy].iter().any(Option::is_some)
        || is_global(policy, &[GlobalCount::Connections, GlobalCount::Handshakes]);
    let what = "bounds neither handshakes nor connections";
    let remedy = "write `connections: {per_ip: 10}` beside it, or a rate of `handshakes`";
    (!is_bounded).then(|| against(DENIAL, Code::UnboundedConnections, &at.key("rates"), what, remedy))
}

fn messages(messages: &Messages, at: &Path) -> Vec<Remark> {
    let mut warnings: Vec<Remark> = large(messages, at).into_iter().collect();
    let input = Source::CheatSheet("Input Validation");
    if !messages.utf8 && messages.types.contains(&MessageType::Text) {
        let what = "lets text through that may be no UTF-8";
        warnings.push(against(input, Code::UnprovedText, &at.key("utf8"), what, "leave it out"));
    }
    if !messages.deny_tunnels {
        let what = "lets SSH, databases and other protocols go through a WebSocket";
        let source = Source::CheatSheet("Service Tunneling Risks");
        let remedy = "write `deny`, unless the service is a tunnel";
        warnings.push(against(source, Code::PassedTunnels, &at.key("tunnels"), what, remedy));
    }
    warnings
}

fn large(messages: &Messages, at: &Path) -> Option<Remark> {
    let what = "is far above the 64 KiB that are typical";
    let remedy = "write what the service needs, and let large uploads go another way";
    (messages.max_message_bytes > LARGE)
        .then(|| against(DENIAL, Code::LargeMessages, &at.key("max_message_bytes"), what, remedy))
}
