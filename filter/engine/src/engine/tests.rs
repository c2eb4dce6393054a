use postern_config::Counted;
use serde_json::json;

use super::*;
use crate::rate::Quota;
use crate::rate::bucket_keys::Buckets;
use crate::rate::slots::KeySpace;
use crate::session::Input;
use crate::testing::{Tables, agreement, compile, request, with, without};

mod forged_claims;
mod odd_hosts;

const NOW: Duration = Duration::from_secs(1_800_000_000);

/// The response to [`request`], which took `route`.
struct Answered {
    fields: Vec<Field>,
    route: RouteFacts,
}

impl ResponseFacts for Answered {
    fn status(&self) -> Vec<u8> {
        self.fields.iter().find(|(name, _)| name == ":status").map(|(_, value)| value.clone()).unwrap()
    }

    fn fields(&self) -> Vec<Field> {
        self.fields.clone()
    }

    fn request_fields(&self) -> Vec<Field> {
        request().fields
    }

    fn route(&self) -> RouteFacts {
        self.route.clone()
    }
}

/// Returns an engine of two policies that differ by the one thing that shows without a token or a frame.
fn two_policies(routes: Value, default_policy: &str) -> Engine {
    let policy = |origin: &str| json!({"origins": {"allow": [origin]}, "auth": "none"});
    compile(json!({
        "policies": {"chat": policy("https://chat.example.com"), "feed": policy("https://feed.example.com")},
        "routes": routes,
        "default_policy": default_policy,
    }))
}

fn metadata(postern: &Value) -> Option<Vec<u8>> {
    postern.as_object().map(configuration::serialize_route)
}

/// Returns the policy's name, `pass`, or the reason of the refusal.
fn selected(engine: &Engine, head: &RequestHead, route: &RouteFacts) -> String {
    match engine.select(head, route) {
        Selection::Pass(edits) if edits.is_empty() => "pass".to_owned(),
        Selection::Judge(session) => session.policy().to_owned(),
        Selection::Pass(edits) => format!("pass without {edits:?}"),
        Selection::Refuse(outputs) => match &outputs[..] {
            [Output::Tell(Event::Refused { violation, .. }), Output::Reply(_, reply)] => {
                assert_eq!(violation.reason, reply.reason);
                reply.reason.id().to_owned()
            }
            outputs => panic!("{outputs:?}"),
        },
    }
}

#[test]
fn the_first_route_that_matches_wins() {
    let routes = json!([
        {"match": {"host": "*.example.com", "path_prefix": "/ws/chat"}, "policy": "chat"},
        {"match": {"route_name": "legacy"}, "policy": "feed"},
        {"match": {"path_prefix": "/ws"}, "policy": "feed"},
    ]);
    let engine = two_policies(routes, "deny");
    let at = |host: &[u8], path: &[u8]| with(&with(&request(), ":authority", host), ":path", path);
    let legacy = RouteFacts { name: Some("legacy".to_owned()), metadata: None };
    let cases: [(&[u8], &[u8], &RouteFacts, &str); 11] = [
        (b"a.example.com", b"/ws/chat?x=1", &RouteFacts::default(), "chat"),
        (b"A.EXAMPLE.com:8443", b"/ws/chat/room", &RouteFacts::default(), "chat"),
        (b"a.example.com", b"//ws/./x/../%63hat", &RouteFacts::default(), "chat"),
        (b"a.example.com", b"/ws/chatter", &RouteFacts::default(), "feed"),
        (b"example.com", b"/ws/chat", &RouteFacts::default(), "feed"),
        (b"example.org", b"/other", &legacy, "feed"),
        (b"example.org", b"/other", &RouteFacts::default(), "no_policy"),
        (b"a.example.com", b"/ws%2fchat", &RouteFacts::default(), "malformed_handshake"),
        (b"a.example.com", b"/ws%5cchat", &RouteFacts::default(), "malformed_handshake"),
        (b"a.example.com", b"/ws/chat%00", &RouteFacts::default(), "malformed_handshake"),
        (b"\xff", b"/ws/chat", &RouteFacts::default(), "malformed_handshake"),
    ];
    for (host, path, route, expected) in cases {
        assert_eq!(selected(&engine, &at(host, path), route), expected, "{}", path.escape_ascii());
    }
}

#[test]
fn an_upgrade_without_a_policy_goes_the_default_way() {
    for (default_policy, expected) in [("deny", "no_policy"), ("pass", "pass"), ("feed", "feed")] {
        let engine = two_policies(json!([]), default_policy);
        assert_eq!(selected(&engine, &request(), &RouteFacts::default()), expected);
    }
}

#[test]
fn ordinary_http_without_a_policy_passes() {
    let engine = two_policies(json!([]), "deny");
    assert_eq!(selected(&engine, &without(&request(), "upgrade"), &RouteFacts::default()), "pass");
}

#[test]
fn ordinary_http_on_a_path_that_cannot_be_matched_passes_without_forged_claims() {
    let engine = compile(json!({
        "providers": {"edge": {
            "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
            "secret": {"inline": crate::testing::SECRET},
        }},
        "policies": {"chat": {
            "origins": {"allow": ["*"]},
            "auth": {"providers": ["edge"], "from": [{"query": "access_token"}], "forward": {"x-user-id": "sub"}},
        }},
        "routes": [{"match": {"path_prefix": "/ws"}, "policy": "chat"}],
    }));
    let plain = with(&without(&request(), "upgrade"), ":path", b"/api/projects/a%2fb");
    assert_eq!(selected(&engine, &plain, &RouteFacts::default()), "pass");
    let forged = with(&plain, "x-user-id", b"mallory");
    assert_eq!(selected(&engine, &forged, &RouteFacts::default()), r#"pass without [Remove("x-user-id")]"#);
}

#[test]
fn the_headers_that_only_a_policy_in_shadow_would_forward_stay_in_every_request() {
    let document = |mode: &str| {
        json!({
            "providers": {"edge": {
                "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
                "secret": {"inline": crate::testing::SECRET},
            }},
            "policies": {"chat": {
                "origins": {"allow": ["*"]}, "mode": mode,
                "auth": {"providers": ["edge"], "from": [{"query": "token"}], "forward": {"x-user-id": "sub"}},
            }},
            "routes": [{"match": {"path_prefix": "/ws"}, "policy": "chat"}],
        })
    };
    let plain = with(&with(&without(&request(), "upgrade"), ":path", b"/api"), "x-user-id", b"alice");
    for (mode, expected) in [("enforce", r#"pass without [Remove("x-user-id")]"#), ("shadow", "pass")] {
        assert_eq!(selected(&compile(document(mode)), &plain, &RouteFacts::default()), expected, "{mode}");
    }
}

#[test]
fn a_routes_metadata_name_and_change_the_policy() {
    let routes = json!([{"match": {"path_prefix": "/chat"}, "policy": "chat"}]);
    let engine = two_policies(routes, "deny");
    let cases = [
        ("a policy", json!({"policy": "feed"}), "feed"),
        (
            "an override over a policy",
            json!({"policy": "feed", "messages": {"max_message_bytes": 4096}}),
            "feed",
        ),
        ("an override over what routes pick", json!({"upgrade_only": true}), "chat"),
        ("nothing", json!({}), "chat"),
        ("an unknown policy", json!({"policy": "nope"}), "policy_invalid"),
        ("a policy that is no name", json!({"policy": 7}), "policy_invalid"),
        ("an unknown key", json!({"policy": "feed", "mesages": {}}), "policy_invalid"),
        ("a wrong value", json!({"policy": "feed", "messages": {"max_message_bytes": -1}}), "policy_invalid"),
    ];
    for (name, postern, expected) in cases {
        let route = RouteFacts { name: None, metadata: metadata(&postern) };
        for again in ["first", "again"] {
            assert_eq!(selected(&engine, &request(), &route), expected, "{name}, {again}");
        }
    }
    let garbage = RouteFacts { name: None, metadata: Some(b"\x0a\xff\xff".to_vec()) };
    assert_eq!(selected(&engine, &request(), &garbage), "policy_invalid");
}

#[test]
fn a_session_of_a_routes_metadata_that_is_shorter_than_the_jitter_beneath_makes_a_valid_policy() {
    let engine = compile(json!({
        "providers": {"edge": {"issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
            "secret": {"inline": crate::testing::SECRET}}},
        "policies": {"chat": {
            "origins": {"allow": ["*"]},
            "auth": {"providers": ["edge"], "from": [{"query": "token"}], "max_session": "8h", "max_session_jitter": "30m"},
        }},
        "default_policy": "chat",
    }));
    for (auth, expected) in [
        (json!({"max_session": "5m"}), "chat"),
        (json!({"max_session": "none"}), "chat"),
        (json!({"max_session": "5m", "max_session_jitter": "6m"}), "policy_invalid"),
    ] {
        let route = RouteFacts { name: None, metadata: metadata(&json!({ "auth": auth })) };
        assert_eq!(selected(&engine, &request(), &route), expected, "{auth}");
    }
}

/// Returns what the log says of a refusal beside its reason.
fn told(engine: &Engine, route: &RouteFacts) -> Option<String> {
    match engine.select(&request(), route) {
        Selection::Refuse(outputs) => match &outputs[..] {
            [Output::Tell(Event::Refused { violation, .. }), _] => {
                violation.cause.as_ref().map(ToString::to_string)
            }
            outputs => panic!("{outputs:?}"),
        },
        selection => panic!("{selection:?}"),
    }
}

#[test]
fn the_log_names_the_key_of_a_routes_metadata_that_makes_no_valid_policy_and_what_to_do() {
    let engine = two_policies(json!([{"match": {"path_prefix": "/chat"}, "policy": "chat"}]), "deny");
    let cases = [
        (json!({"policy": "nope"}), "policies.nope: `nope` names no policy; allowed: `chat` and `feed`"),
        (
            json!({"policy": "nope", "upgrade_only": true}),
            "policies.nope: `nope` names no policy; allowed: `chat` and `feed`",
        ),
        (json!({"policy": 7}), "policy: is no string; write the name of a policy"),
        (
            json!({"policy": "feed", "messages": {"max_message_bytes": -1, "types": 7}}),
            "policies.feed.messages.max_message_bytes: -1.0 is negative; write whole bytes, such as 4096, or a \
             string such as '64KiB', '1MiB' or '1GiB', and 1 more problem",
        ),
        (
            json!({"messages": {"types": ["smoke \"signals\""]}}),
            "policies.chat.messages.types[0]: `smoke \\'signals\\'` is unknown; allowed: `binary` and `text`",
        ),
    ];
    for (postern, expected) in cases {
        let route = RouteFacts { name: None, metadata: metadata(&postern) };
        for again in ["first", "again"] {
            let expected = format!("the route's metadata make no valid policy: {expected}");
            assert_eq!(told(&engine, &route).as_deref(), Some(expected.as_str()), "{again}");
        }
    }
    let elsewhere = two_policies(json!([]), "pass");
    let route = RouteFacts { name: None, metadata: metadata(&json!({"upgrade_only": true})) };
    let expected = "the route's metadata make no valid policy: policy: is missing, and no policy is the route's otherwise; \
                    write the name of one, or match the route in `routes`";
    assert_eq!(told(&elsewhere, &route).as_deref(), Some(expected));
    let garbage = RouteFacts { name: None, metadata: Some(b"\x0a\xff\xff".to_vec()) };
    let expected = "the route's metadata make no valid policy: Envoy hands them over in a form that cannot be read; \
                    update Envoy or Postern";
    assert_eq!(told(&engine, &garbage).as_deref(), Some(expected));
    let many: Map<String, Value> = (0..50).map(|i| (format!("{i}").repeat(200), json!(1))).collect();
    let route = RouteFacts { name: None, metadata: metadata(&json!({"policy": "chat", "auth": many})) };
    let told = told(&engine, &route).unwrap();
    assert!(told.len() < 700, "{} bytes: {told}", told.len());
}

#[test]
fn the_log_shows_no_secret_of_a_routes_metadata() {
    let engine = two_policies(json!([]), "deny");
    for secret in [
        json!({"inline": "hunter2"}),
        json!("hunter2"),
        json!({"env": "hunter 2"}),
        json!({"inline": ["hunter2"]}),
    ] {
        let csrf = json!({"secret": secret, "session_cookie": "sid", "from": {"query": "t"}});
        let route = RouteFacts { name: None, metadata: metadata(&json!({"policy": "chat", "csrf": csrf})) };
        let told = told(&engine, &route).unwrap();
        assert!(told.contains("policies.chat.csrf.secret") && !told.contains("hunter"), "{told}");
    }
}

#[test]
fn an_override_lies_over_the_policy_it_names() {
    let engine = two_policies(json!([]), "deny");
    let postern = json!({"policy": "feed", "upgrade_only": true});
    let route = RouteFacts { name: None, metadata: metadata(&postern) };
    let plain = without(&request(), "upgrade");
    let Selection::Judge(mut session) = engine.select(&plain, &route) else { panic!("not judged") };
    session.handle(Input::Request(plain), &mut Tables::default(), Duration::ZERO);
    let outputs: Vec<_> = std::iter::from_fn(|| session.poll_output()).collect();
    assert!(
        matches!(&outputs[..], [_, Output::Reply(_, reply)] if reply.reason == Reason::UpgradeRequired),
        "{outputs:?}"
    );
}

#[test]
fn a_refusal_without_a_policy_takes_tokens_out_of_the_path_as_well() {
    let engine = compile(json!({
        "providers": {"edge": {
            "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
            "secret": {"inline": crate::testing::SECRET},
        }},
        "policies": {"chat": {
            "origins": {"allow": ["*"]},
            "auth": {"providers": ["edge"], "from": [{"query": "access_token"}]},
        }},
    }));
    let head = with(&request(), ":path", b"/elsewhere?access_token=secret&b=2");
    let Selection::Refuse(outputs) = engine.select(&head, &RouteFacts::default()) else {
        panic!("not refused")
    };
    let [_, Output::Reply(edits, _)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(*edits, [HeaderEdit::Set(":path".to_owned(), b"/elsewhere?b=2".to_vec())]);
}

#[test]
fn a_secret_that_the_environment_lacks_is_a_problem_with_its_path() {
    let document = json!({
        "providers": {"edge": {
            "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
            "secret": {"env": "POSTERN_EDGE_SECRET"},
        }},
        "policies": {"chat": {
            "origins": {"allow": ["*"]},
            "auth": {"providers": ["edge"], "from": [{"query": "access_token"}]},
        }},
    });
    let config = || Config::from_value(document.clone()).unwrap();
    let error = Engine::compile(config(), &|_| None, [0; 16]).unwrap_err().to_string();
    assert!(error.contains("providers.edge.secret"), "{error}");
    let env = |name: &str| (name == "POSTERN_EDGE_SECRET").then(|| crate::testing::SECRET.to_owned());
    assert!(Engine::compile(config(), &env, [0; 16]).is_ok());
}

#[test]
fn ordinary_http_on_a_path_that_cannot_be_matched_does_not_get_around_upgrade_only() {
    let engine = compile(json!({
        "policies": {"chat": {"origins": {"allow": ["*"]}, "auth": "none", "upgrade_only": true}},
        "routes": [{"match": {"path_prefix": "/ws"}, "policy": "chat"}],
    }));
    let plain = with(&without(&request(), "upgrade"), ":path", b"/ws/a%2fb");
    assert_eq!(selected(&engine, &plain, &RouteFacts::default()), "malformed_handshake");
}

#[test]
fn a_segment_with_parameters_meets_no_route_by_chance() {
    let routes = json!([
        {"match": {"path_prefix": "/ws/chat"}, "policy": "chat"},
        {"match": {"path_prefix": "/ws"}, "policy": "feed"},
    ]);
    let engine = two_policies(routes, "deny");
    for path in [&b"/ws/public/..;/chat"[..], b"/ws/chat;x=1", b"/ws/;/chat"] {
        let head = with(&request(), ":path", path);
        let reason = selected(&engine, &head, &RouteFacts::default());
        assert_eq!(reason, "malformed_handshake", "{}", path.escape_ascii());
    }
}

#[test]
fn a_websocket_begins_on_another_route_only_under_the_policy_that_judged_it() {
    let engine = two_policies(json!([]), "feed");
    let before = RouteFacts::default();
    let opens = |postern: Value| {
        let head = with(&request(), "origin", b"https://feed.example.com");
        let Selection::Judge(mut session) = engine.select(&head, &before) else { panic!("not judged") };
        session.handle(Input::Request(head), &mut Tables::default(), NOW);
        let route = RouteFacts { name: None, metadata: metadata(&postern) };
        let answered = Answered { fields: agreement(), route };
        engine.on_response(&mut session, Some(&before), &answered, &mut Tables::default(), NOW);
        session.was_opened()
    };
    assert!(opens(json!({"policy": "feed"})));
    assert!(!opens(json!({"policy": "chat"})));
    assert!(!opens(json!({"policy": "feed", "upgrade_only": true})));
}

#[test]
fn an_override_may_change_the_rule_of_csrf_but_name_no_variable_that_no_policy_names() {
    let secrets = |name: &str| ["SECRET", "OTHER"].contains(&name).then(|| "s".repeat(32));
    let document = json!({
        "policies": {"chat": {
            "origins": {"allow": ["*"]}, "auth": "none",
            "csrf": {"secret": {"env": "SECRET"}, "session_cookie": "sid", "from": {"query": "csrf_token"}},
        }},
        "default_policy": "chat",
    });
    let compile = |env: &dyn Fn(&str) -> Option<String>| {
        Engine::compile(Config::from_value(document.clone()).unwrap(), env, [3; 16])
    };
    let problems = compile(&|_| None).unwrap_err().to_string();
    let told = "policies.chat.csrf.secret.env: the environment variable SECRET is not set";
    assert!(problems.contains(told), "{problems}");
    let engine = compile(&secrets).unwrap();
    for (env, is_valid) in [("SECRET", true), ("OTHER", false)] {
        let over = json!({"csrf": {"secret": {"env": env}, "from": {"query": "t"}}});
        let route = RouteFacts { name: None, metadata: metadata(&over) };
        let is_judged = matches!(engine.select(&request(), &route), Selection::Judge(_));
        assert_eq!(is_judged, is_valid, "{env}");
    }
}

#[test]
fn a_refusal_without_a_policy_takes_csrf_tokens_out_of_the_path_as_well() {
    let csrf = json!({
        "secret": {"inline": "s".repeat(32)}, "session_cookie": "sid", "from": {"query": "csrf_token"},
    });
    let policy = json!({"origins": {"allow": ["*"]}, "auth": "none", "csrf": csrf});
    let engine = compile(json!({"policies": {"chat": policy}}));
    let head = with(&request(), ":path", b"/elsewhere?csrf_token=1.x&b=2");
    let Selection::Refuse(outputs) = engine.select(&head, &RouteFacts::default()) else { panic!() };
    let edits = outputs.iter().find_map(|output| match output {
        Output::Reply(edits, _) => Some(edits.clone()),
        _ => None,
    });
    assert_eq!(edits, Some(vec![HeaderEdit::Set(":path".to_owned(), b"/elsewhere?b=2".to_vec())]));
}

#[test]
fn overrides_that_say_nothing_of_schemas_share_those_of_the_policy() {
    let engine = compile(json!({
        "policies": {"chat": {
            "origins": {"allow": ["https://chat.example.com"]},
            "auth": "none",
            "messages": {"schema": {"pattern": "^a{1,99}$"}},
        }},
        "default_policy": "chat",
    }));
    let overlaid = |overrides: Value| {
        let route = RouteFacts { name: None, metadata: metadata(&overrides) };
        engine.ruleset(&request(), &route).unwrap().unwrap()
    };
    let policy = engine.named("chat").unwrap();
    let same = overlaid(
        json!({"policy": "chat", "messages": {"max_message_bytes": 4096, "schema": {"pattern": "^a{1,99}$"}}}),
    );
    assert_eq!(same.own_schema_bytes(Some(&policy)), 0, "it is the same schema");
    let other = overlaid(json!({"policy": "chat", "messages": {"schema": {"pattern": "^b{1,99}$"}}}));
    assert!(other.own_schema_bytes(Some(&policy)) > 1000, "it is another one");
    let none = overlaid(json!({"policy": "chat", "messages": {"schema": "none"}}));
    assert!(none.client_content.is_none(), "it has none");
}

fn tiered(tiers: Value) -> Value {
    let mut document: Value = json!({
        "providers": {"edge": {"issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"inline": "s".repeat(32)}}},
        "policies": {"chat": {
            "origins": {"allow": ["https://chat.example.com"]},
            "auth": {"providers": ["edge"], "from": [{"header": "authorization"}]},
            "messages": {"schema": {"pattern": "^a{1,99}$"}},
        }},
        "default_policy": "chat",
    });
    document["policies"]["chat"]["tiers"] = tiers;
    document
}

fn plan(keys: Value) -> Value {
    let mut tier = json!({"require": [{"claim": "plan", "one_of": ["pro"]}]});
    tier.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    tier
}

#[test]
fn tiers_share_schemas_with_the_policy_with_each_other_and_with_overrides() {
    let engine = compile(tiered(json!([
        plan(json!({"messages": {"max_message_bytes": 4096}})),
        plan(json!({"messages": {"schema": {"pattern": "^b{1,99}$"}}})),
        plan(
            json!({"messages": {"schema": {"pattern": "^b{1,99}$"}, "max_fragments": 1}, "upstream_messages": {"schema": true}})
        ),
    ])));
    let policy = engine.named("chat").unwrap();
    let of =
        |ruleset: &Ruleset, place: usize| ruleset.all().nth(place).unwrap().client_content.clone().unwrap();
    assert!(Rc::ptr_eq(&of(&policy, 0), &of(&policy, 1)) && Rc::ptr_eq(&of(&policy, 2), &of(&policy, 3)));
    assert!(!Rc::ptr_eq(&of(&policy, 0), &of(&policy, 2)));
    let apart = [0, 2].map(|place| of(&policy, place).schema_bytes()).iter().sum::<usize>();
    let told = policy.all().nth(3).unwrap().upstream_content.as_ref().unwrap().schema_bytes();
    assert_eq!(policy.own_schema_bytes(None), apart + told, "each counts once");
    let route = RouteFacts { name: None, metadata: metadata(&json!({"messages": {"max_fragments": 7}})) };
    let overlaid = engine.ruleset(&request(), &route).unwrap().unwrap();
    assert_eq!((overlaid.tiers.len(), overlaid.own_schema_bytes(Some(&policy))), (3, 0), "all are the same");
    let limits: Vec<_> = overlaid.all().map(|ruleset| ruleset.policy.messages.max_fragments).collect();
    assert_eq!(limits, [7, 7, 7, 1], "a tier lies over the override");
    let route = RouteFacts { name: None, metadata: metadata(&json!({"tiers": []})) };
    assert_eq!(engine.ruleset(&request(), &route).unwrap().unwrap().all().count(), 1);
}

#[test]
fn a_schema_of_a_tier_is_compiled_at_load_and_told_at_its_place() {
    let of = |tiers: Value| {
        let config = Config::from_value(tiered(tiers)).unwrap();
        Engine::compile(config, &|_| None, [3; 16]).err().map(|problems| problems.to_string())
    };
    let bad = |key: &str| json!({key: {"schema": {"type": "text"}}});
    assert_eq!(of(json!([plan(json!({}))])), None);
    for key in ["messages", "upstream_messages"] {
        let told = of(json!([plan(json!({})), plan(bad(key))])).expect("a problem");
        assert!(told.starts_with(&format!("policies.chat.tiers[1].{key}.schema")), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn overrides_are_kept_ready_as_long_as_their_schemas_are_not_too_large_together() {
    let engine = two_policies(json!([]), "deny");
    let pattern = json!({"policy": "chat", "messages": {"schema": {"pattern": "^[a-y]{3999}$"}}});
    let route = RouteFacts { name: None, metadata: metadata(&pattern) };
    let ruleset = || engine.ruleset(&request(), &route).unwrap().unwrap();
    let first = ruleset();
    assert!(Rc::ptr_eq(&first, &ruleset()), "it is kept");
    let enough = MAX_OVERLAY_SCHEMA_BYTES / first.own_schema_bytes(None) + 1;
    assert!(enough < MAX_OVERLAYS, "{enough} would be too many in any case");
    for i in 0..enough {
        engine.overlays.borrow_mut().keep((i.to_string(), Vec::new()), Ok(Rc::clone(&first)), None);
        assert!(engine.overlays.borrow().schema_bytes <= MAX_OVERLAY_SCHEMA_BYTES, "{i}");
    }
    assert!(!Rc::ptr_eq(&first, &ruleset()), "it has been given up");
}

#[test]
fn tiers_of_a_route_have_buckets_of_their_own_unless_they_are_those_of_the_policy() {
    let pro = |limit: u64| {
        plan(json!({"rates": [{"count": "messages", "per": "user", "limit": limit, "window": "1m"}]}))
    };
    let engine = compile(tiered(json!([pro(60)])));
    let key = |mut overrides: Value| {
        overrides["policy"] = json!("chat");
        let route = RouteFacts { name: None, metadata: metadata(&overrides) };
        let ruleset = engine.ruleset(&request(), &route).unwrap().unwrap();
        let tier = ruleset.all().nth(1).unwrap();
        let (_, rate) = tier.rates().find(|(_, rate)| rate.count == Counted::Messages).unwrap();
        let buckets = Buckets::new(KeySpace::new([1; 16]), &ruleset, None).under(tier);
        buckets.key(rate.count, rate.per, &Quota::new(rate), None)
    };
    let of_policy = key(json!({}));
    assert_eq!(key(json!({"messages": {"max_message_bytes": 4096}})), of_policy);
    assert_eq!(key(json!({"tiers": [pro(60)]})), of_policy);
    assert_ne!(key(json!({"tiers": [pro(600)]})), of_policy);
    assert_ne!(key(json!({"tiers": [pro(60), pro(600)], "rates": []})), of_policy);
}

#[test]
fn a_tier_keeps_its_buckets_in_another_place() {
    let rates = json!([{"count": "messages", "per": "user", "limit": 60, "window": "1m"}]);
    let named = |name: &str| {
        let mut tier = plan(json!({ "rates": rates }));
        tier["require"][0]["one_of"][0] = json!(name);
        tier
    };
    let keys = |names: &[&str]| -> Vec<_> {
        let engine = compile(tiered(names.iter().map(|name| named(name)).collect()));
        let ruleset = engine.ruleset(&request(), &RouteFacts::default()).unwrap().unwrap();
        let key = |tier: &Ruleset| {
            let (_, rate) = tier.rates().find(|(_, rate)| rate.count == Counted::Messages).unwrap();
            let buckets = Buckets::new(KeySpace::new([1; 16]), &ruleset, None).under(tier);
            buckets.key(rate.count, rate.per, &Quota::new(rate), None)
        };
        ruleset.all().skip(1).map(key).collect()
    };
    let (before, after) = (keys(&["pro", "free"]), keys(&["staff", "free", "pro"]));
    assert_eq!(before, [after[2], after[1]]);
    assert!(!before.contains(&after[0]));
}
