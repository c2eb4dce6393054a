//! The most memory that one connection under a policy can make Postern take for its peers.

use postern_config::{Auth, Compression, Content, MessageType, Policy, Problem, ProblemKind};

use crate::connection::MAX_WITHHELD_HEADERS;
use crate::memory::blocks;
use crate::ruleset::judged_compression;
use crate::websocket::MAX_HEADER_LEN;
use crate::websocket::inflate::{self, Inflater};

/// The memory for what peers send and for copies of it, in bytes: what Envoy lets a VM take, but for what the
/// VM needs for itself.
const VM: u64 = (1 << 30) - (64 << 20);

/// The most memory that a message takes while it is read as JSON, for each byte of it: objects of one
/// member with an empty name within each other take 5 bytes as text, and some 420 as a value.
const READ: u64 = 96;

/// Returns the problem of a budget of `budget` bytes for connections under `policy`, if there is one: within a VM of 1 GiB there has to
/// be room for the largest message twice more, which is copied as it grows and when it passes, and for what it takes to read
/// one message.
pub fn judge_budget(budget: u64, policy: &Policy) -> Option<Problem> {
    let most = most_held(policy);
    let taken = budget.saturating_add(most.saturating_mul(2)).saturating_add(most_read(policy));
    (taken > VM).then(|| {
        let what =
            format!("leaves no room for what one connection under `{}` may hold, {most} bytes", policy.name);
        Problem::new(
            ProblemKind::TooMuch,
            "memory.budget",
            what,
            "write less, or smaller limits of frames and messages",
        )
    })
}

/// Returns the memory that the largest message takes while it is read by what it says, in bytes. Nothing of it is kept.
fn most_read(policy: &Policy) -> u64 {
    let of = |content: &Content, len: u64| if content.is_empty() { 0 } else { len.saturating_mul(READ) };
    let of = |policy: &Policy| {
        let (client, upstream) = (&policy.messages, &policy.upstream_messages);
        of(&client.content, client.max_message_bytes).max(of(&upstream.content, upstream.max_message_bytes))
    };
    all(policy).map(of).max().unwrap_or(0)
}

/// Returns the most memory that one connection under `policy` can take, in bytes. A policy that needs to see
/// no payload holds single headers, and the first 64 bytes of a direction, which do not count.
///
/// Each direction may be under another tier, since a message that is under way goes on as it began.
pub fn most_held(policy: &Policy) -> u64 {
    let waits = |auth: &&Auth| auth.first_message().is_some_and(|first| !first.greeting);
    let unauthenticated = policy.auth.as_ref().filter(waits).map_or(0, |auth| auth.max_unauthenticated_bytes);
    let most = |of: &dyn Fn(&Policy) -> u64| all(policy).map(of).max().unwrap_or(0);
    let client = most(&|policy| Direction::client(policy).most(judged_compression(policy)));
    let upstream = most(&|policy| Direction::upstream(policy).most(judged_compression(policy)));
    // When both sides send more, earlier bytes of the service may still wait to go on, and so may a token
    // whose key has to be fetched.
    let token = most(&|policy| {
        let client = Direction::client(policy);
        if client.hears { client.max_message_bytes } else { 0 }
    });
    client.saturating_add(upstream).saturating_add(blocks::most(unauthenticated)).saturating_add(token)
}

/// Returns a policy and those that its tiers make of it.
fn all(policy: &Policy) -> impl Iterator<Item = &Policy> {
    [policy].into_iter().chain(policy.tiers.iter().map(|tier| &tier.policy))
}

/// The demands of a policy on one direction.
struct Direction {
    max_frame_bytes: u64,
    max_message_bytes: u64,
    proves_text: bool,
    hears: bool,
    /// The most bytes of headers that are held with a message.
    headers: u64,
}

impl Direction {
    fn client(policy: &Policy) -> Self {
        let auth = policy.auth.as_ref();
        let messages = &policy.messages;
        // A first message has to be text, whatever types there are.
        let awaits = auth.is_some_and(|auth| auth.first_message().is_some());
        let reads = !messages.content.is_empty();
        let hears = awaits || reads || auth.is_some_and(|auth| auth.refresh.is_some());
        let has_text = awaits || messages.types.contains(&MessageType::Text);
        Self {
            max_frame_bytes: messages.max_frame_bytes,
            max_message_bytes: messages.max_message_bytes,
            proves_text: messages.utf8 && has_text,
            hears: hears && has_text,
            headers: u64::from(messages.max_fragments).saturating_mul(MAX_HEADER_LEN as u64),
        }
    }

    fn upstream(policy: &Policy) -> Self {
        let messages = &policy.upstream_messages;
        Self {
            max_frame_bytes: messages.max_frame_bytes,
            max_message_bytes: messages.max_message_bytes,
            proves_text: messages.utf8,
            hears: !messages.content.is_empty(),
            headers: MAX_WITHHELD_HEADERS,
        }
    }

    fn most(&self, compression: Compression) -> u64 {
        let message = |payload: u64| blocks::most(payload.saturating_add(self.headers));
        let text = match (self.hears, self.proves_text && compression != Compression::Pass) {
            // A captured message is there twice while it is judged: as it came and as it reads.
            (true, _) => message(self.max_message_bytes).saturating_mul(2),
            (false, true) => message(self.max_frame_bytes.min(self.max_message_bytes)),
            (false, false) => 0,
        };
        let inspected = match compression {
            Compression::Inspect => {
                // The message is there as it is on the wire, where it may not have been compressed at all,
                // and, if it is captured, as it reads.
                let wire = inflate::max_wire_bytes(self.max_message_bytes);
                let reads = if self.hears { self.max_message_bytes } else { 0 };
                let held = message(wire).saturating_add(blocks::most(reads));
                held.saturating_add(Inflater::MOST_HELD)
            }
            Compression::Strip | Compression::Pass => 0,
        };
        text.max(inspected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_config::Config;
    use serde_json::{Value, json};

    fn policy(changes: Value) -> Policy {
        let mut policy = json!({"origins": {"allow": ["*"]}, "auth": "none"});
        policy.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let edge = json!({"issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
            "secret": {"env": "SECRET"}});
        let config = Config::from_value(json!({"providers": {"edge": edge}, "policies": {"chat": policy}}));
        config.unwrap().policies.remove("chat").unwrap()
    }

    const KIB: u64 = 1024;

    #[test]
    fn a_policy_holds_at_worst_what_its_limits_let_it() {
        let cases = [
            ("no text is proved", json!({"messages": {"utf8": false}}), 0..=0),
            ("nothing is text", json!({"messages": {"types": ["binary"]}}), 0..=0),
            ("one text frame", json!({}), 64 * KIB..=76 * KIB),
            ("one small text", json!({"messages": {"max_frame_bytes": 1024}}), KIB..=4 * KIB),
            ("what a service says", json!({"upstream_messages": {"utf8": true}}), 1088 * KIB..=1280 * KIB),
            ("what is read", json!({"messages": {"max_json_depth": 8}}), 128 * KIB..=256 * KIB),
            (
                "both inflaters, since no offer is stripped in shadow",
                json!({"mode": "shadow"}),
                1172 * KIB..=1500 * KIB,
            ),
            ("both inflaters", json!({"compression": "inspect"}), 1172 * KIB..=1500 * KIB),
        ];
        for (name, changes, expected) in cases {
            let most = most_held(&policy(changes));
            assert!(expected.contains(&most), "{name}: {most}");
        }
    }

    #[test]
    fn a_policy_with_tiers_holds_at_worst_what_each_side_may_hold_under_any_of_them() {
        let auth = json!({"providers": ["edge"], "from": [{"header": "authorization"}]});
        let tier = |keys: Value| {
            let mut tier = json!({"require": [{"claim": "plan", "one_of": ["pro"]}]});
            tier.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
            tier
        };
        let most = |changes: &Value, tiers: Value| {
            let mut changes = changes.clone();
            (changes["auth"], changes["tiers"]) = (auth.clone(), tiers);
            let policy = policy(changes);
            (most_held(&policy), judge_budget(256 << 20, &policy).is_none())
        };
        let (policy, none) = (json!({}), json!([]));
        let (read, told) =
            (json!({"messages": {"max_json_depth": 8}}), json!({"upstream_messages": {"utf8": true}}));
        let both = json!({"messages": {"max_json_depth": 8}, "upstream_messages": {"utf8": true}});
        assert_eq!(most(&policy, json!([tier(read.clone())])), most(&read, none.clone()));
        assert_eq!(most(&policy, json!([tier(told.clone()), tier(read.clone())])), most(&both, none.clone()));
        assert_eq!(
            most(&read, json!([tier(json!({"messages": {"max_message_bytes": 1}}))])),
            most(&read, none.clone())
        );
        let large = json!({"messages": {"max_message_bytes": "16MiB", "max_json_depth": 8}});
        assert_eq!(most(&policy, json!([tier(json!({})), tier(large.clone())])), most(&large, none.clone()));
        assert!(!most(&large, none).1, "there is no room for it in the budget");
    }

    #[test]
    fn a_budget_leaves_room_for_copies_of_the_largest_message() {
        let large = json!({"max_frame_bytes": "256MiB", "max_message_bytes": "256MiB"});
        let cases = [
            ("the default, whatever the messages", 256, json!({"messages": large.clone()}), true),
            ("more, for small messages", 384, json!({}), true),
            ("more, for large messages", 512, json!({"messages": large.clone()}), false),
            (
                "the default, for messages that are read as JSON",
                256,
                json!({"messages": {"max_message_bytes": "4MiB", "max_json_depth": 8}}),
                true,
            ),
            (
                "the default, for messages whose reading takes more than there is",
                256,
                json!({"messages": {"max_message_bytes": "16MiB", "max_json_depth": 8}}),
                false,
            ),
            (
                "the default, for messages that are read whole when they are larger than a quarter of the VM",
                256,
                json!({"messages": large, "auth": {"providers": ["edge"], "from": [{"header": "authorization"}],
                    "refresh": "/token"}}),
                false,
            ),
        ];
        for (name, mebibytes, changes, is_sound) in cases {
            assert_eq!(judge_budget(mebibytes << 20, &policy(changes)).is_none(), is_sound, "{name}");
        }
    }
}
