//! Overrides laid over a policy.

use serde_json::json;

use super::*;
use crate::Policy;

fn base() -> Config {
    Config::from_value(json!({
        "providers": {"edge": {"audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "S"}}},
        "policies": {
            "chat": {
                "origins": {"allow": ["https://app.example.com"]},
                "auth": {"providers": ["edge"], "from": [{"header": "authorization"}], "forward": {"x-user-id": "sub"}},
                "messages": {"max_frame_bytes": "64KiB", "max_message_bytes": "64KiB"},
            },
            "feed": {"origins": {"allow": ["*"]}, "auth": "none"},
        },
    }))
    .unwrap()
}

fn laid(name: &str, overrides: Value) -> Result<Policy, String> {
    base().overlay(name, &overrides).map_err(|problems| problems.to_string())
}

#[test]
fn an_override_changes_what_it_names_and_nothing_else() {
    let policy = laid("chat", json!({"messages": {"max_message_bytes": 4096.0}})).unwrap();
    assert_eq!((policy.messages.max_frame_bytes, policy.messages.max_message_bytes), (64 << 10, 4096));
    assert_eq!(policy.name, "chat");
    assert!(policy.auth.is_some());
}

#[test]
fn objects_merge_and_lists_and_words_replace() {
    let policy =
        laid("chat", json!({"auth": {"from": [{"query": "t"}], "forward": {"x-tier": "tier"}}})).unwrap();
    let auth = policy.auth.unwrap();
    assert_eq!((auth.from.len(), auth.forward.len()), (1, 2));
    assert!(laid("chat", json!({"auth": "none"})).unwrap().auth.is_none());
    assert!(laid("chat", json!({"rates": []})).unwrap().rates.is_empty());
}

#[test]
fn nothing_to_override_gives_the_policy_itself() {
    let config = base();
    for name in ["chat", "feed"] {
        let laid = config.overlay(name, &json!({})).unwrap();
        assert_eq!(format!("{laid:?}"), format!("{:?}", config.policies[name]));
    }
}

#[test]
fn an_override_lies_below_the_tiers_and_replaces_their_list() {
    let pro =
        json!({"require": [{"claim": "plan", "one_of": ["pro"]}], "messages": {"max_message_bytes": 8}});
    let free = json!({"require": [{"claim": "plan", "one_of": ["free"]}]});
    let chat = json!({"origins": {"allow": ["https://app.example.com"]},
        "auth": {"providers": ["edge"], "from": [{"header": "authorization"}]}, "tiers": [pro, free]});
    let edge = json!({"audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "S"}});
    let config = json!({"providers": {"edge": edge}, "policies": {"chat": chat}});
    let config = Config::from_value(config).unwrap();
    let limits = |overrides: Value| {
        let policy = config.overlay("chat", &overrides).map_err(|problems| problems.to_string())?;
        let of = |policy: &Policy| (policy.messages.max_message_bytes, policy.messages.max_fragments);
        Ok::<_, String>((of(&policy), policy.tiers.iter().map(|tier| of(&tier.policy)).collect::<Vec<_>>()))
    };
    let laid = limits(json!({"messages": {"max_message_bytes": 4, "max_fragments": 2}}));
    assert_eq!(laid, Ok(((4, 2), vec![(8, 2), (4, 2)])));
    assert_eq!(limits(json!({"tiers": []})), Ok(((65_536, 128), vec![])));
    let other = json!({"require": [{"claim": "plan", "one_of": ["free"]}], "messages": {"max_fragments": 1}});
    assert_eq!(limits(json!({"tiers": [other]})), Ok(((65_536, 128), vec![(65_536, 1)])));
    for (overrides, expected) in [
        (json!({"auth": "none"}), "policies.chat.tiers: asks for claims, and there is no token"),
        (json!({"messages": {"max_fragments": 0}}), "policies.chat.messages.max_fragments: is zero"),
        (json!({"tiers": [{"require": 1}]}), "policies.chat.tiers[0].require: is a number"),
    ] {
        let problems = limits(overrides).unwrap_err();
        assert!(problems.starts_with(expected) && problems.lines().count() == 1, "{problems}");
    }
}

#[test]
fn a_shorter_session_of_an_override_cuts_the_jitter_beneath_and_a_jitter_of_its_own_has_to_fit() {
    let edge = json!({"audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "S"}});
    let auth = json!({"providers": ["edge"], "from": [{"header": "authorization"}],
        "max_session": "8h", "max_session_jitter": "30m"});
    let chat = json!({"origins": {"allow": ["https://app.example.com"]}, "auth": auth});
    let config = json!({"providers": {"edge": edge}, "policies": {"chat": chat}});
    let config = Config::from_value(config).unwrap();
    let longest = |auth: Value| {
        let policy =
            config.overlay("chat", &json!({"auth": auth})).map_err(|problems| problems.to_string())?;
        Ok::<_, String>(policy.auth.and_then(|auth| auth.max_session))
    };
    let minutes = |minutes: u64| Some(std::time::Duration::from_secs(60 * minutes));
    for (auth, expected) in [
        (json!({"max_session": "5m"}), minutes(5)),
        (json!({"max_session": "none"}), None),
        (json!({"max_session": "5m", "max_session_jitter": "5m"}), minutes(5)),
        (json!({"max_session": "5m", "max_session_jitter": "0s"}), minutes(5)),
    ] {
        assert_eq!(longest(auth.clone()), Ok(expected), "{auth}");
    }
    for auth in [
        json!({"max_session_jitter": "9h"}),
        json!({"max_session": "5m", "max_session_jitter": "6m"}),
        json!({"max_session": "none", "max_session_jitter": "30m"}),
    ] {
        let problems = longest(auth).unwrap_err();
        let expected = "policies.chat.auth.max_session_jitter: is longer than `max_session`";
        assert!(problems.starts_with(expected) && problems.lines().count() == 1, "{problems}");
    }
}

#[test]
fn a_bad_override_is_told_at_the_policys_path() {
    for (name, overrides, expected) in [
        (
            "chat",
            json!({"mesages": {}}),
            "policies.chat.mesages: is an unknown key; did you mean `messages`?",
        ),
        ("chat", json!({"policy": "feed"}), "policies.chat.policy: is an unknown key"),
        (
            "chat",
            json!({"messages": {"max_message_bytes": 0}}),
            "policies.chat.messages.max_message_bytes: is zero",
        ),
        ("chat", json!({"tls": null}), "policies.chat.tls: has no value"),
        (
            "chat",
            json!({"mode": "shadows"}),
            "policies.chat.mode: `shadows` is unknown; did you mean `shadow`?",
        ),
        ("chat", json!([]), "policies.chat: is overridden by something that is not an object"),
        (
            "chat",
            json!({"auth": {"providers": ["egde"]}}),
            "policies.chat.auth.providers[0]: `egde` names no provider",
        ),
        (
            "chat",
            json!({"messages": {"max_frame_bytes": 2, "max_message_bytes": 1}}),
            "policies.chat.messages.max_frame_bytes: is more than `max_message_bytes`",
        ),
        (
            "feed",
            json!({"rates": [{"count": "handshakes", "per": "user", "limit": 1, "window": "1s"}]}),
            "policies.feed.rates[0].per: there are no users",
        ),
        (
            "caht",
            json!({}),
            "policies.caht: `caht` names no policy; did you mean `chat`? allowed: `chat` and `feed`",
        ),
    ] {
        let problems = laid(name, overrides).unwrap_err();
        assert!(problems.starts_with(expected), "{expected}\n{problems}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
    }
}

#[test]
fn json_text_reads_as_the_same_document() {
    let text = br#"{"policies": {"chat": {"origins": {"allow": ["*"]}, "auth": "none"}}}"#;
    assert!(Config::from_json(text).is_ok());
    let twice = br#"{"policies": {"chat": {"origins": {"allow": ["*"]}, "auth": "none", "auth": "none"}}}"#;
    let problems = Config::from_json(twice).unwrap_err().to_string();
    assert_eq!(problems, "policies.chat.auth: is written twice; leave one of them");
    let broken = Config::from_json(b"{\n\"policies\"}").unwrap_err().to_string();
    assert!(broken.contains("at line 2 column 11"), "{broken}");
}
