//! Warnings of rules on what messages say: where they can be walked round, and where they can never hold.

use postern_config::{Allowance, Auth, ClaimPath, Compression, Content, MessageType, Path, Policy, Test};

use super::schemas;
use crate::finding::{Code, Remark};

/// Returns warnings of rules of `policy` on content that are sound and probably not meant; `at` is the policy.
pub(super) fn warnings(policy: &Policy, at: &Path) -> Vec<Remark> {
    let sides = [
        ("messages", &policy.messages.content, policy.messages.types.contains(&MessageType::Binary)),
        ("upstream_messages", &policy.upstream_messages.content, true),
    ];
    let mut warnings = Vec::new();
    for (section, content, has_binary) in sides {
        let Some(key) = first_key(content) else { continue };
        let place = at.key(section).key(key);
        if has_binary && section == "messages" {
            let what = "judges text messages only, and binary ones may pass";
            warnings.push(Remark::new(Code::BinaryUnjudged, &place, what, "write `types: [text]` beside it"));
        }
        if policy.compression == Compression::Pass {
            let what = "does not judge compressed messages, which `compression: pass` lets through unread";
            warnings.push(Remark::new(
                Code::CompressedUnjudged,
                &place,
                what,
                "write `compression: inspect` or `strip`",
            ));
        }
        if section == "messages" && policy.auth.as_ref().is_some_and(keeps_what_is_no_json) {
            let what =
                "refuses every first message, which `keep_token` lets go on: with its `prefix` it is no JSON";
            let remedy = "leave `keep_token` out, or all rules on what messages say";
            warnings.push(Remark::new(Code::RefusedFirstMessage, &place, what, remedy));
        }
    }
    for (section, content, _) in sides {
        warnings.extend(schemas::warnings(content, &at.key(section)));
    }
    warnings.extend(never_both(&policy.messages.content.allow, &at.key("messages").key("allow")));
    warnings
}

/// The first key that makes Postern read messages.
fn first_key(content: &Content) -> Option<&'static str> {
    [
        ("schema", content.schema.is_some()),
        ("schemas", content.schemas.is_some()),
        ("allow", !content.allow.is_empty()),
        ("max_json_depth", content.max_json_depth.is_some()),
    ]
    .into_iter()
    .find_map(|(key, is_set)| is_set.then_some(key))
}

/// Says whether a first message that brings a token goes on to the service and cannot be JSON.
fn keeps_what_is_no_json(auth: &Auth) -> bool {
    // Blanks alone may stand before JSON (RFC 8259 §2).
    let is_blank = |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    auth.keep_token && auth.first_message().is_some_and(|first| !first.prefix.bytes().all(is_blank))
}

/// Lines that speak of the same message and ask for claims that nobody can have at once.
fn never_both(lines: &[Allowance], at: &Path) -> Vec<Remark> {
    let mut found = Vec::new();
    for (later, line) in lines.iter().enumerate() {
        for (earlier, other) in lines.iter().enumerate().take(later) {
            if !may_speak_of_one(line, other) {
                continue;
            }
            if let Some(claim) = conflict(line, other) {
                let what = format!(
                    "can never hold together with {}: no `{}` satisfies both",
                    at.index(earlier),
                    claim.as_str()
                );
                let remedy = "let no message fit both, or write one line";
                found.push(Remark::new(Code::NeverBoth, &at.index(later), what, remedy));
            }
        }
    }
    found
}

/// Says whether one message may fit both lines: wherever both look, some value fits both.
fn may_speak_of_one(one: &Allowance, other: &Allowance) -> bool {
    one.when.iter().all(|(place, values)| {
        let also = other.when.iter().find(|(other, _)| other == place);
        also.is_none_or(|(_, others)| values.iter().any(|value| others.contains(value)))
    })
}

/// The claim of which both lines ask for one of two lists that share no value.
fn conflict<'l>(one: &'l Allowance, other: &Allowance) -> Option<&'l ClaimPath> {
    let lists = |line: &'l Allowance| line.require.iter();
    lists(one).find_map(|requirement| {
        let Test::OneOf(values) = &requirement.test else { return None };
        let is_apart = other.require.iter().any(|also| match &also.test {
            Test::OneOf(others) => {
                also.claim == requirement.claim && !values.iter().any(|value| others.contains(value))
            }
            Test::Contains(_) => false,
        });
        is_apart.then_some(&requirement.claim)
    })
}

#[cfg(test)]
mod tests {
    use postern_config::Config;
    use serde_json::{Value, json};

    use super::*;

    fn warned(changes: Value) -> Vec<String> {
        let edge = json!({"issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
            "secret": {"env": "SECRET"}});
        let mut policy = json!({"origins": {"allow": ["*"]},
            "auth": {"providers": ["edge"], "from": [{"header": "authorization"}]}});
        policy.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let config = Config::from_value(json!({"providers": {"edge": edge}, "policies": {"chat": policy}}));
        let at = Path::root().key("policies").key("chat");
        let warnings = warnings(&config.unwrap().policies["chat"], &at);
        warnings.iter().map(|problem| format!("{}: {}", problem.path, problem.what)).collect()
    }

    fn line(when: Value, roles: Value) -> Value {
        json!({"when": when, "require": [{"claim": "role", "one_of": roles}]})
    }

    #[test]
    fn ways_round_a_rule_on_content_are_told() {
        let text = json!({"types": ["text"], "max_json_depth": 4});
        let binary = json!({"max_json_depth": 4});
        let deny =
            ["policies.chat.messages.max_json_depth: judges text messages only, and binary ones may pass"];
        let pass = [
            "policies.chat.messages.max_json_depth: does not judge compressed messages, which `compression: pass` lets through unread",
        ];
        assert_eq!(warned(json!({})), [""; 0]);
        assert_eq!(warned(json!({"messages": text})), [""; 0]);
        assert_eq!(warned(json!({"messages": binary})), deny);
        assert_eq!(warned(json!({"messages": text, "compression": "pass"})), pass);
        assert_eq!(
            warned(json!({"upstream_messages": binary})),
            [""; 0],
            "what a service says in binary is its own"
        );
    }

    #[test]
    fn rules_that_refuse_every_first_message_that_is_kept_are_told() {
        let told = [
            "policies.chat.messages.max_json_depth: refuses every first message, which `keep_token` lets go on: \
            with its `prefix` it is no JSON",
        ];
        let no_json = json!({"pointer": "/token", "prefix": "40"});
        let blank = json!({"pointer": "/token", "prefix": "\n "});
        let text = json!({"types": ["text"], "max_json_depth": 4});
        for (first, keep_token, messages, is_told) in [
            (&no_json, true, &text, true),
            (&no_json, false, &text, false),
            (&blank, true, &text, false),
            (&json!("/token"), true, &text, false),
            (&no_json, true, &json!({"types": ["text"]}), false),
        ] {
            let auth =
                json!({"providers": ["edge"], "from": [{"first_message": first}], "keep_token": keep_token});
            let changes =
                json!({"auth": auth, "messages": messages, "upstream_messages": {"max_json_depth": 4}});
            let expected: &[&str] = if is_told { &told } else { &[] };
            assert_eq!(warned(changes.clone()), expected, "{changes}");
        }
    }

    #[test]
    fn lines_that_never_both_hold_are_told_where_one_message_may_fit_both() {
        let told = ["policies.chat.messages.allow[1]: can never hold together with \
            policies.chat.messages.allow[0]: no `role` satisfies both"];
        for (one, other, is_told) in [
            (
                line(json!({"/type": "kick"}), json!(["a"])),
                line(json!({"/type": "kick"}), json!(["b"])),
                true,
            ),
            (line(json!({"/type": "kick"}), json!(["a"])), line(json!({"/room": 7}), json!(["b"])), true),
            (
                line(json!({"/type": ["x", "kick"]}), json!(["a"])),
                line(json!({"/type": "kick"}), json!(["b"])),
                true,
            ),
            (
                line(json!({"/type": "kick"}), json!(["a"])),
                line(json!({"/type": "ban"}), json!(["b"])),
                false,
            ),
            (
                line(json!({"/type": "kick"}), json!(["a", "b"])),
                line(json!({"/type": "kick"}), json!(["b"])),
                false,
            ),
        ] {
            let lines = json!({"messages": {"types": ["text"], "allow": [one, other]}});
            let expected: &[&str] = if is_told { &told } else { &[] };
            assert_eq!(warned(lines.clone()), expected, "{lines}");
        }
    }
}
