//! One document with every key, and what becomes of each.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    Audiences, Backlog, Carrier, Compression, Counted, CsrfCarrier, DefaultPolicy, DrainWithEnvoy, Expiry,
    GlobalCount, HostPattern, Issuer, KeySource, Log, LogFormat, MessageType, Missing, Mode, OnExceed,
    OtherUpgrades, Per, Policy, Provider, Secret, Test, Tls,
};

fn whole() -> Config {
    let (_, text) = files("tests/fixtures/whole").remove(0);
    Config::from_value(document(&text)).unwrap_or_else(|problems| panic!("{problems}"))
}

fn smallest() -> Policy {
    let policy = json!({"policies": {"chat": {"origins": {"allow": ["*"]}, "auth": "none"}}});
    Config::from_value(policy).unwrap().policies.remove("chat").unwrap()
}

#[test]
fn the_budget_of_memory_is_read_and_a_quarter_of_a_gibibyte_by_default() {
    assert_eq!(whole().memory.budget, 64 << 20);
    let document = json!({"policies": {"chat": {"origins": {"allow": ["*"]}, "auth": "none"}}});
    for (memory, budget) in [(json!({}), 256 << 20), (json!({"budget": "384MiB"}), 384 << 20)] {
        let mut document = document.clone();
        document["memory"] = memory;
        assert_eq!(Config::from_value(document).unwrap().memory.budget, budget);
    }
    assert_eq!(Config::from_value(document).unwrap().memory.budget, 256 << 20);
}

#[test]
fn the_end_with_envoy_is_read_and_half_a_minute_by_default() {
    let read = |drain: Value| {
        let mut document = json!({"policies": {"chat": {"origins": {"allow": ["*"]}, "auth": "none"}}});
        document["drain_with_envoy"] = drain;
        Config::from_value(document).unwrap().drain_with_envoy
    };
    let of =
        |over| Some(DrainWithEnvoy { cluster: "envoy_admin".to_owned(), over: Duration::from_secs(over) });
    assert_eq!(whole().drain_with_envoy, of(45));
    assert_eq!(read(json!({"cluster": "envoy_admin"})), of(30));
    assert_eq!(read(json!("none")), None);
}

#[test]
fn every_key_of_a_policy_is_read() {
    let config = whole();
    let policy = &config.policies["chat"];
    assert_eq!((policy.name.as_str(), policy.mode, policy.tls), ("chat", Mode::Shadow, Tls::Mutual));
    assert_eq!(policy.other_upgrades, OtherUpgrades::Pass);
    assert_eq!(policy.drain, Some(Duration::from_secs(30)));
    assert!(policy.upgrade_only);
    assert_eq!((policy.origins.allow.len(), policy.origins.missing), (3, Missing::Allow));
    assert_eq!(policy.subprotocols.allow.as_deref(), Some(&["chat.v2".to_owned()][..]));
    assert!(policy.subprotocols.require);
    assert_eq!(policy.compression, Compression::Inspect);
    let messages = &policy.messages;
    assert_eq!(messages.types, [MessageType::Text]);
    assert_eq!((messages.max_frame_bytes, messages.max_message_bytes), (32 << 10, 64 << 10));
    assert_eq!((messages.max_fragments, messages.content.max_json_depth), (16, Some(8)));
    assert_eq!(messages.content.schema.as_ref().unwrap()["properties"]["type"]["const"], Value::Null);
    assert!(!messages.utf8 && !messages.deny_tunnels);
    let upstream = &policy.upstream_messages;
    assert_eq!(
        (upstream.max_frame_bytes, upstream.max_message_bytes, upstream.utf8),
        (1 << 20, 2 << 20, true)
    );
    let rates: Vec<_> = policy
        .rates
        .iter()
        .map(|rate| (rate.count, rate.per, rate.limit, rate.burst, rate.on_exceed))
        .collect();
    assert_eq!(
        rates,
        [
            (Counted::Handshakes, Per::User, 100, 100, OnExceed::Deny),
            (Counted::Messages, Per::Connection, 100, 20, OnExceed::Drop),
            (Counted::Bytes, Per::User, 1 << 20, 1 << 20, OnExceed::Close),
            (Counted::ControlFrames, Per::Ip, 20, 20, OnExceed::Close),
        ]
    );
    assert_eq!((policy.connections.per_ip, policy.connections.per_user), (Some(10), Some(5)));
    assert_eq!(policy.ipv6_prefix, 56);
    assert_eq!(policy.liveness.ping_interval, None);
    assert_eq!(policy.liveness.close_timeout, Duration::from_millis(1500));
    let backpressure = policy.backpressure.unwrap();
    assert_eq!((backpressure.max_backlog_bytes, backpressure.on_exceed), (1 << 20, Backlog::Drop));
    let global = policy.global_rate_limit.as_ref().unwrap();
    assert_eq!(global.descriptors, [Per::Ip, Per::User, Per::Policy]);
    let all = [
        GlobalCount::Handshakes,
        GlobalCount::Messages,
        GlobalCount::Bytes,
        GlobalCount::Connections,
        GlobalCount::Tickets,
    ];
    assert_eq!(global.counts, all);
    assert!(global.failure_deny);
}

#[test]
fn a_tier_is_the_policy_with_its_keys_laid_over_it() {
    let config = whole();
    let chat = &config.policies["chat"];
    let [pro, moderators] = chat.tiers.as_slice() else { panic!("two tiers: {:?}", chat.tiers) };
    assert_eq!(pro.require[0].test, Test::OneOf(vec![json!("pro")]));
    assert_eq!(moderators.require[0].test, Test::Contains(json!("moderate")));
    let policy = &pro.policy;
    assert_eq!((policy.messages.max_message_bytes, policy.messages.max_frame_bytes), (1 << 20, 32 << 10));
    assert!(!policy.upstream_messages.utf8 && policy.messages.content.schema.is_some());
    assert_eq!((policy.rates.len(), policy.rates[0].limit, pro.has_rates), (1, 600, true));
    assert_eq!((policy.connections.per_ip, policy.connections.per_user), (Some(10), Some(50)));
    assert_eq!(policy.backpressure, None);
    assert_eq!(policy.auth.as_ref().unwrap().max_session, Some(Duration::from_secs(9 * 3600)));
    assert!((policy.name.as_str(), policy.tiers.len()) == ("chat", 0), "it is no policy of its own");
    let same = Policy { tiers: Vec::new(), ..chat.clone() };
    assert_eq!(format!("{:?}", moderators.policy), format!("{same:?}"), "what lays nothing over it");
    assert!(!moderators.has_rates);
}

#[test]
fn every_key_of_auth_and_csrf_is_read() {
    let config = whole();
    let auth = config.policies["chat"].auth.as_ref().unwrap();
    assert_eq!(auth.providers, ["main", "edge"]);
    assert!(matches!(
        auth.from.as_slice(),
        [Carrier::Header(h), Carrier::Subprotocol { prefix: s, encoding: crate::Encoding::Plain }, Carrier::Query(q), Carrier::Cookie(c), Carrier::FirstMessage(m)]
            if h == "authorization" && s == "bearer." && q == "access_token" && c == "ws_token" && m.pointer.as_str() == "/token" && m.prefix.is_empty() && !m.greeting
    ));
    assert_eq!(auth.max_unauthenticated_bytes, 8 << 10);
    assert_eq!(auth.require[0].test, Test::Contains(json!("chat")));
    assert_eq!(auth.require[1].test, Test::OneOf(vec![json!("gold"), json!(2)]), "a double is an integer");
    assert_eq!(auth.forward.len(), 2);
    assert_eq!(auth.refresh.as_ref().map(|pointer| pointer.as_str()), Some("/auth/token"));
    assert!(!auth.refresh_reply && auth.keep_token && auth.single_use);
    assert_eq!((auth.expiry, auth.expiry_grace), (Expiry::Ignore, Duration::ZERO));
    assert_eq!(auth.max_session, Some(Duration::from_secs(8 * 3600)));
    assert_eq!(auth.max_session_jitter, Duration::from_secs(1800));
    assert_eq!(auth.revocation.as_ref().unwrap().path, "/revoked.json");
    let csrf = config.policies["chat"].csrf.as_ref().unwrap();
    assert_eq!(csrf.from, CsrfCarrier::Query("csrf_token".to_owned()));
    assert_eq!(csrf.issue.as_deref(), Some("postern_csrf"));
}

#[test]
fn providers_routes_and_the_default_are_read() {
    let config = whole();
    let KeySource::Remote(remote) = &config.providers["main"].keys else { panic!("main is remote") };
    assert_eq!((remote.cluster.as_str(), remote.uri.path()), ("auth", "/.well-known/jwks.json"));
    let KeySource::Secret(secret) = &config.providers["edge"].keys else { panic!("edge has a secret") };
    assert_eq!(*secret, Secret::Env("POSTERN_EDGE_SECRET".to_owned()));
    let (main, edge) = (&config.providers["main"], &config.providers["edge"]);
    let issuers: Vec<String> = main.issuers.iter().map(Issuer::example).collect();
    assert_eq!(issuers, ["https://auth.example.com/", "https://login.example.com/one/v2.0"]);
    assert!(main.issuers[1].matches("https://login.example.com/two/v2.0"));
    assert_eq!((main.subject.as_str(), edge.subject.as_str()), ("/user/id", "sub"));
    let of = |provider: &Provider| match &provider.audiences {
        Audiences::Bound { claim, values } => (claim.as_str().to_owned(), values.clone()),
        Audiences::Unbound => panic!("{} is bound", provider.name),
    };
    assert_eq!(of(main), ("aud".to_owned(), vec!["chat".to_owned()]));
    assert_eq!(of(edge), ("client_id".to_owned(), vec!["chat".to_owned(), "video".to_owned()]));
    let matches = &config.routes[0].matches;
    assert_eq!(matches.host, Some(HostPattern::Subdomains("example.com".to_owned())));
    assert_eq!(matches.path_prefix.as_deref(), Some("/ws/chat"));
    assert_eq!(config.default_policy, DefaultPolicy::Pass);
    let key = Secret::Env("POSTERN_LOG_KEY".to_owned());
    let log = Log { refusals_per_second: 20, format: LogFormat::Json, subject_key: Some(key) };
    assert_eq!(config.log, log);
}

#[test]
fn what_is_left_out_has_the_default_of_the_language() {
    let policy = smallest();
    assert_eq!((policy.mode, policy.tls, policy.drain), (Mode::Enforce, Tls::Required, None));
    assert_eq!(policy.origins.missing, Missing::Deny);
    assert_eq!(policy.compression, Compression::Strip);
    assert_eq!(policy.subprotocols.allow, None);
    let messages = &policy.messages;
    assert_eq!(messages.types, [MessageType::Text, MessageType::Binary]);
    assert_eq!((messages.max_frame_bytes, messages.max_message_bytes), (64 << 10, 64 << 10));
    assert_eq!((messages.max_fragments, messages.content.max_json_depth), (128, None));
    assert!(messages.utf8 && messages.deny_tunnels);
    assert_eq!(policy.upstream_messages.max_message_bytes, 1 << 20);
    assert!(!policy.upstream_messages.utf8);
    let rates: Vec<_> =
        policy.rates.iter().map(|rate| (rate.count, rate.per, rate.limit, rate.window.as_secs())).collect();
    assert_eq!(
        rates,
        [(Counted::Handshakes, Per::Ip, 100, 3600), (Counted::Messages, Per::Connection, 100, 60)]
    );
    assert_eq!(policy.ipv6_prefix, 64);
    assert_eq!(policy.liveness.idle_timeout, Duration::from_secs(30));
    assert_eq!(policy.liveness.ping_interval, Some(Duration::from_secs(15)));
}

#[test]
fn what_a_document_leaves_out_has_the_default_of_the_language() {
    let policies = json!({"chat": {"origins": {"allow": ["*"]}, "auth": "none"}});
    for document in [json!({"policies": policies}), json!({"policies": policies, "log": {}})] {
        let config = Config::from_value(document).unwrap();
        assert_eq!(config.default_policy, DefaultPolicy::Deny);
        assert_eq!(config.log, Log { refusals_per_second: 50, format: LogFormat::Text, subject_key: None });
    }
}

#[test]
fn a_schema_brings_a_depth() {
    let depth = |messages: Value| {
        let policy = json!({"policies": {"chat": {"origins": {"allow": ["*"]}, "auth": "none", "messages": messages}}});
        Config::from_value(policy).unwrap().policies["chat"].messages.content.max_json_depth
    };
    assert_eq!(depth(json!({"schema": {}})), Some(32));
    assert_eq!(depth(json!({"schema": {}, "max_json_depth": "none"})), None);
    assert_eq!(depth(json!({"schema": "none"})), None);
}

#[test]
fn no_debug_text_and_no_problem_shows_a_secret() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    assert!(!format!("{:?}", whole()).contains(SECRET));
    for at_fault in [
        json!({"secret": SECRET}),
        json!({"secret": [SECRET]}),
        json!({"secret": {"env": format!("{SECRET}!")}}),
        json!({"secret": {"env": SECRET, "inline": SECRET}}),
        json!({"secret": {"inline": {"key": SECRET}}}),
        json!({"secret": {"inlne": SECRET}}),
        json!({"jwks": SECRET}),
        json!({"jwks": {"inline": SECRET}}),
        json!({"jwks": {"inline": {"keys": [{"kty": "oct", "k": SECRET}]}}}),
        json!({"jwks": {"inline": {"keys": [SECRET]}}}),
        json!({"jwks": {"remote": {"cluster": "c", "uri": format!("https://me:{SECRET}@auth.example.com/")}}}),
    ] {
        let document = json!({"providers": {"main": at_fault}, "policies": {}});
        let problems = Config::from_value(document).unwrap_err().to_string();
        assert!(!problems.contains(SECRET), "{problems}");
    }
}

#[test]
fn hostile_documents_get_a_bounded_answer() {
    let many: Value = (0..10_000).map(|i| (format!("k{i}"), Value::Null)).collect::<Map<_, _>>().into();
    assert!(Config::from_value(many).is_err());
    let wrong: Value = (0..2_000).map(|i| (format!("k{i}"), Value::from(1))).collect::<Map<_, _>>().into();
    let problems = Config::from_value(wrong).unwrap_err();
    assert!(problems.0.len() < 200, "{}", problems.0.len());
    assert!(problems.0.iter().any(|problem| problem.what == "more is wrong than is told here"));
    let origins: Value = (0..20_000).map(|i| Value::from(format!("https://a{i}.example.com"))).collect();
    let long = json!({"policies": {"chat": {"origins": {"allow": origins}, "auth": "none"}}});
    let problems = Config::from_value(long).unwrap_err().to_string();
    assert_eq!(problems, "policies.chat.origins.allow: has 20000 elements; write at most 10000");
}
