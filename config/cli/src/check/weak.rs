//! Warnings of settings that are sound and weak, each with the requirement that it breaks: an item of OWASP's ASVS 5.0, or a
//! section of its WebSocket Security Cheat Sheet.

mod admission;
mod traffic;

use postern_config::{Config, DefaultPolicy, Mode, Path, Policy};

use crate::finding::{Code, Remark};

const CHEAT_SHEET: &str = "OWASP's WebSocket cheat sheet";

/// A requirement that a setting breaks.
#[derive(Clone, Copy)]
enum Source {
    /// An item of the Application Security Verification Standard 5.0.
    Asvs(&'static str),
    /// A section of the WebSocket Security Cheat Sheet.
    CheatSheet(&'static str),
    /// A section of a standard.
    Rfc(&'static str),
}

/// Returns a warning of what is at `path`, against `source`.
fn against(source: Source, code: Code, path: &Path, what: &str, remedy: &str) -> Remark {
    let what = match source {
        Source::Asvs(item) => format!("{what}, against ASVS {item}"),
        Source::Rfc(section) => format!("{what}, against {section}"),
        Source::CheatSheet(section) => format!("{what}, against {CHEAT_SHEET} (\"{section}\")"),
    };
    Remark::new(code, path, what, remedy)
}

/// Returns the warnings of a whole configuration.
pub(super) fn warnings(config: &Config) -> Vec<Remark> {
    let of_policies = config.policies.values().flat_map(|policy| {
        let at = Path::root().key("policies").key(policy.name.as_str());
        of_policy(policy, &at)
    });
    let of_providers = config.providers.values().flat_map(admission::of_provider);
    of_providers.chain(of_policies).chain(unmatched(config)).collect()
}

/// Returns the warnings of one policy, which lies at `at`.
pub(super) fn of_policy(policy: &Policy, at: &Path) -> Vec<Remark> {
    let of_rules = admission::of_policy(policy, at).into_iter().chain(traffic::of_policy(policy, at));
    of_rules.chain(shadowed(policy, &at.key("mode"))).collect()
}

/// Warns of a policy that is not enforced.
fn shadowed(policy: &Policy, at: &Path) -> Option<Remark> {
    let what = "lets every WebSocket through, whatever its Origin and whoever opens it";
    let remedy = "leave it out once the findings in the log have ended, or write under `shadow` what is still tried out";
    (policy.mode == Mode::Shadow).then(|| against(Source::Asvs("4.4.2"), Code::Shadowed, at, what, remedy))
}

/// Warns of upgrades that no policy judges.
fn unmatched(config: &Config) -> Option<Remark> {
    let path = Path::root().key("default_policy");
    let what = "lets every WebSocket that no route picks pass, whatever its Origin";
    let remedy = "write `deny`, or the name of a policy";
    let warning = against(Source::Asvs("4.4.2"), Code::UnmatchedUpgrades, &path, what, remedy);
    (config.default_policy == DefaultPolicy::Pass).then_some(warning)
}

#[cfg(test)]
mod tests {
    use postern_config::Config;
    use serde_json::{Value, json};

    use super::*;

    fn told(config: &Config, code: Code) -> Vec<String> {
        let mut warnings = warnings(config);
        warnings.retain(|warning| warning.code == code);
        warnings.iter().map(ToString::to_string).collect()
    }

    /// Returns the codes of the warnings of a policy with tokens, with these keys in place of its own.
    fn codes(keys: Value) -> Vec<&'static str> {
        let edge =
            json!({"issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "S"}});
        let mut chat = json!({"origins": {"allow": ["https://app.example.com"]},
            "auth": {"providers": ["edge"], "from": [{"header": "authorization"}]}});
        chat.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let config = Config::from_value(json!({"providers": {"edge": edge}, "policies": {"chat": chat}}));
        warnings(&config.unwrap()).iter().map(|warning| warning.code.id()).collect()
    }

    #[test]
    fn a_setting_is_weak_only_where_it_opens_something() {
        let from = |carrier: Value| json!({"providers": ["edge"], "from": [carrier]});
        let kept = |carrier: Value| json!({"providers": ["edge"], "from": [carrier], "keep_token": true});
        let cookie = json!({"cookie": "ws_token"});
        let csrf = json!({"secret": {"env": "C"}, "session_cookie": "sid", "from": {"query": "csrf"}});
        let origins = |allow: &str, missing: &str| json!({"allow": [allow], "missing": missing});
        let handshakes = json!({"count": "handshakes", "per": "ip", "limit": 9, "window": "1m"});
        let messages = json!({"count": "messages", "per": "connection", "limit": 9, "window": "1m"});
        for (keys, expected) in [
            (json!({}), &[][..]),
            (json!({"auth": from(cookie.clone())}), &[]),
            (
                json!({"auth": from(cookie.clone()), "origins": origins("https://*.a.example", "deny")}),
                &["PST0105"],
            ),
            (
                json!({"auth": from(cookie.clone()), "origins": origins("https://*.a.example", "deny"), "csrf": csrf}),
                &[],
            ),
            (json!({"origins": origins("https://*.a.example", "allow")}), &[]),
            (
                json!({"auth": from(cookie.clone()), "origins": origins("https://a.example", "allow")}),
                &["PST0104"],
            ),
            (json!({"origins": origins("https://*", "deny")}), &["PST0102"]),
            (json!({"auth": "none", "csrf": csrf}), &[]),
            (json!({"auth": "none"}), &["PST0106"]),
            (json!({"auth": from(json!({"query": "t"}))}), &[]),
            (json!({"auth": kept(json!({"query": "t"}))}), &["PST0108"]),
            (json!({"auth": kept(json!({"header": "authorization"}))}), &["PST0107"]),
            (json!({"tls": "forwarded"}), &[]),
            (json!({"rates": []}), &["PST0113", "PST0114"]),
            (json!({"rates": [handshakes]}), &["PST0113"]),
            (json!({"rates": [messages], "connections": {"per_user": 5}}), &[]),
            (json!({"rates": [messages]}), &["PST0114"]),
            (json!({"rates": [], "global_rate_limit": {"cluster": "r", "domain": "d"}}), &[]),
            (json!({"messages": {"utf8": false, "types": ["binary"]}}), &[]),
            (json!({"messages": {"max_message_bytes": "16MiB"}}), &[]),
            (json!({"shadow": ["origins"]}), &[]),
            (json!({"mode": "shadow"}), &["PST0122"]),
            (json!({"liveness": {"ping_interval": "none"}}), &[]),
            (json!({"liveness": {"ping_interval": "none", "idle_timeout": "6m"}}), &["PST0121"]),
        ] {
            assert_eq!(codes(keys.clone()), expected, "{keys}");
        }
    }

    #[test]
    fn tokens_for_anybody_are_warned_of() {
        let warnings = |audiences: Value| {
            let config = Config::from_value(json!({
                "providers": {"edge": {"audiences": audiences, "algorithms": ["HS256"], "secret": {"env": "SECRET"}}},
                "policies": {"chat": {"origins": {"allow": ["*"]}, "auth": "none"}},
            }));
            told(&config.unwrap(), Code::AnyAudience)
        };
        assert_eq!(
            warnings(json!("none")),
            ["providers.edge.audiences: lets in with tokens that the issuer made for any other service, \
              against ASVS 9.2.3; write what `aud` must contain, or `{claim: …, values: […]}` where another claim says whom a token is for"]
        );
        assert!(warnings(json!(["chat"])).is_empty());
        assert!(warnings(json!({"claim": "client_id", "values": ["chat"]})).is_empty());
    }

    #[test]
    fn a_cookie_that_a_neighbour_may_set_is_warned_of() {
        for (name, is_warned) in [("csrf", true), ("__Secure-csrf", true), ("__Host-csrf", false)] {
            let csrf = json!({
                "secret": {"env": "S"}, "session_cookie": "sid", "from": {"query": "t"}, "issue": {"cookie": name},
            });
            let chat = json!({"origins": {"allow": ["*"]}, "auth": "none", "csrf": csrf});
            let config = Config::from_value(json!({"policies": {"chat": chat}})).unwrap();
            let warnings = told(&config, Code::SharedCookie);
            let warning = format!(
                "policies.chat.csrf.issue.cookie: is a cookie that other hosts of the same site may set as well, \
                 against ASVS 3.3.3; write `__Host-{name}`"
            );
            assert_eq!(warnings, if is_warned { vec![warning] } else { vec![] });
        }
    }
}
