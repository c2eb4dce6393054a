//! The policy that a request falls under: by Postern's own routes, by the metadata of Envoy's, or by default.

use postern_e2e::scene::document;
use postern_e2e::{Attack, ControlPair, Frame, Request, Scene, Shared, Value, json};

const APP: &str = "https://app.example.com";

/// Returns a policy that shows itself by the origin that it allows.
fn only(origin: &str) -> Value {
    json!({"origins": {"allow": [origin], "missing": "deny"}})
}

/// Makes a scene with routes of Postern's own, by host, path and the name of Envoy's route.
fn routed() -> Scene {
    let mut whole =
        document(json!({}), json!({"host": only(APP), "path": only(APP), "named": only(APP), "first": {}}));
    whole["routes"] = json!([
        {"match": {"path_prefix": "/ws/first"}, "policy": "first"},
        {"match": {"path_prefix": "/ws/first/inner"}, "policy": "path"},
        {"match": {"host": "*.tenants.example.com", "path_prefix": "/ws"}, "policy": "host"},
        {"match": {"path_prefix": "/ws/chat"}, "policy": "path"},
        {"match": {"route_name": "pages"}, "policy": "named"},
    ]);
    Scene::new().document(whole)
}

static ROUTED: Shared<ControlPair> = Shared::new(routed);

#[tokio::test]
async fn an_upgrade_that_no_route_names_is_refused() {
    let pair = ROUTED.alone().await;
    let cases = [
        ("another path", Request::upgrade("/ws/other")),
        ("a longer segment", Request::upgrade("/ws/chatter")),
        ("another case", Request::upgrade("/ws/CHAT")),
        ("the parent of a wildcard", Request::upgrade("/ws/x").set("Host", "tenants.example.com")),
        (
            "the host in another header",
            Request::upgrade("/ws/x").header("X-Forwarded-Host", "a.tenants.example.com"),
        ),
    ];
    for (name, request) in cases {
        let attack = Attack { name, request, policy: "none", status: 403, reason: "no_policy" };
        pair.assert_refused(&attack).await;
    }
}

/// Each policy refuses the request for its origin; on a way around the policy it would not be refused.
#[tokio::test]
async fn a_route_matches_however_host_and_path_are_written() {
    let pair = ROUTED.alone().await;
    let tenant = |host: &str| Request::upgrade("/ws/x").set("Host", host);
    let cases = [
        ("a prefix as such", "path", Request::upgrade("/ws/chat")),
        ("a segment further", "path", Request::upgrade("/ws/chat/room")),
        ("a query", "path", Request::upgrade("/ws/chat?x=/ws/first")),
        ("a dot segment", "path", Request::upgrade("/ws/./chat")),
        ("two dots", "path", Request::upgrade("/ws/first/../chat")),
        ("encoded dots", "path", Request::upgrade("/ws/first/%2e%2E/chat")),
        ("repeated slashes", "path", Request::upgrade("/ws//chat")),
        ("an encoded letter", "path", Request::upgrade("/ws/%63hat")),
        ("a host", "host", tenant("a.tenants.example.com")),
        ("two labels", "host", tenant("a.b.tenants.example.com")),
        ("a host with a port", "host", tenant("a.tenants.example.com:8443")),
        ("a host in upper case", "host", tenant("A.Tenants.EXAMPLE.com")),
        ("the name of Envoy's route", "named", Request::upgrade("/pages/x")),
    ];
    for (name, policy, request) in cases {
        let request = request.header("Origin", "https://evil.example");
        pair.assert_refused(&Attack { name, request, policy, status: 403, reason: "origin_denied" }).await;
    }
    let inner = Request::upgrade("/ws/first/inner").header("Origin", "https://evil.example");
    assert_eq!(pair.guarded.ask(&inner).await.status, 101, "the first route that matches counts");
}

/// A router and its service may disagree on the meaning of such a path.
#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_is_refused() {
    let pair = ROUTED.alone().await;
    for path in ["/ws/first%2f..%2fchat", "/ws/first%5Cchat"] {
        let request = Request::upgrade(path);
        let attack =
            Attack { name: path, request, policy: "none", status: 400, reason: "malformed_handshake" };
        pair.assert_refused(&attack).await;
    }
    let backslash = Request::upgrade("/ws/first\\..\\chat").header("Origin", "https://evil.example");
    let attack = Attack {
        name: "a backslash",
        request: backslash,
        policy: "path",
        status: 403,
        reason: "origin_denied",
    };
    pair.assert_refused(&attack).await;
    pair.assert_envoy_refuses("an encoded NUL", &Request::upgrade("/ws/first%00"), 400).await;
}

/// Makes a scene with Envoy's routes `/ws/<name>`, each with metadata under `postern`, the later ones first;
/// and one for the rest.
fn annotated() -> Scene {
    let policies = json!({"chat": only(APP), "open": {}, "free": {}});
    let mut whole = document(json!({}), policies);
    // The limit leaves room for as many lines as these tests may cause in a second.
    whole["log"] = json!({"refusals_per_second": 1000});
    let routes = [
        ("named", json!({"policy": "chat"})),
        // The policy that the path would have does not matter then.
        ("open", json!({"policy": "chat"})),
        ("stricter", json!({"policy": "open", "subprotocols": {"require": true}})),
        ("chat", json!({"origins": {"missing": "allow"}})),
        ("smaller", json!({"policy": "open", "messages": {"max_message_bytes": 4, "max_frame_bytes": "4"}})),
        ("unknown", json!({"policy": "nobody"})),
        ("typo", json!({"policy": "open", "mesages": {}})),
        ("free/value", json!({"messages": {"max_message_bytes": "4 elephants"}})),
        ("free/type", json!({"policy": 7})),
        ("nowhere", json!({"messages": {"max_message_bytes": 4}})),
        ("null", json!({"policy": "open", "origins": null})),
    ];
    Scene::new().document(whole).change_connection_manager(|hcm| {
        let annotated = routes.into_iter().rev().map(|(name, metadata)| {
            json!({
                "match": {"prefix": format!("/ws/{name}")},
                "route": {"cluster": "service", "timeout": "0s"},
                "metadata": {"filter_metadata": {"postern": metadata}},
            })
        });
        let rest = json!({"match": {"prefix": "/"}, "route": {"cluster": "service"}});
        hcm["route_config"]["virtual_hosts"][0]["routes"] = annotated.chain([rest]).collect();
    })
}

static ANNOTATED: Shared<ControlPair> = Shared::new(annotated);

#[tokio::test]
async fn metadata_of_envoys_route_names_the_policy_and_changes_it() {
    let pair = ANNOTATED.alone().await;
    let evil = |path| Request::upgrade(path).header("Origin", "https://evil.example");
    let cases = [
        ("named by metadata", evil("/ws/named"), "chat", "origin_denied"),
        ("metadata before routes", evil("/ws/open"), "chat", "origin_denied"),
        ("a rule added", Request::upgrade("/ws/stricter"), "open", "subprotocol_denied"),
        ("objects merge deep", evil("/ws/chat"), "chat", "origin_denied"),
    ];
    for (name, request, policy, reason) in cases {
        pair.assert_refused(&Attack { name, request, policy, status: 403, reason }).await;
    }
    assert_eq!(pair.guarded.ask(&Request::upgrade("/ws/chat")).await.status, 101, "a rule loosened");

    let mut client = pair.guarded.open("/ws/smaller").await;
    client.send(Frame::text("1234").masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::text("1234")));
    client.send(Frame::text("12345").masked().bytes()).await;
    assert_eq!(client.close().await.reason(), "frame_too_big");
}

#[tokio::test]
async fn metadata_that_cannot_be_followed_refuses_and_never_falls_back() {
    let pair = ANNOTATED.alone().await;
    let cases = [
        ("an unknown policy", "/ws/unknown", "policies.nobody: `nobody` names no policy; allowed: "),
        ("an unknown key", "/ws/typo", "policies.open.mesages: is an unknown key; did you mean `messages`?"),
        ("an impossible value", "/ws/free/value", "policies.free.messages.max_message_bytes: `4 elephants` "),
        ("a policy that is no name", "/ws/free/type", "policy: is no string; write the name of a policy"),
        (
            "a key taken away",
            "/ws/null",
            "policies.open.origins: has no value; write a value, or leave the key out",
        ),
    ];
    for (name, path, cause) in cases {
        let request = Request::upgrade(path);
        let refused = Attack { name, request, policy: "none", status: 503, reason: "policy_invalid" };
        let response = pair.assert_refused(&refused).await;
        let instance =
            response.json()["instance"].as_str().expect("an instance").replacen("urn:uuid:", "", 1);
        let line = pair.guarded.envoy().logged(&instance).await.pop().expect("a line");
        let detail = format!("cause=\"the route's metadata make no valid policy: {cause}");
        assert!(line.contains(&detail), "{name}: {line}");
    }
    let request = Request::upgrade("/ws/nowhere");
    let nothing =
        Attack { name: "a change to no policy", request, policy: "none", status: 403, reason: "no_policy" };
    pair.assert_refused(&nothing).await;
    assert_eq!(pair.guarded.ask(&Request::upgrade("/ws/free")).await.status, 101, "the routes beside them");
}

#[tokio::test]
async fn the_default_policy_may_pass_or_be_a_policy() {
    for (default, expected) in [("pass", 101), ("chat", 403)] {
        let mut whole = document(json!({}), json!({"chat": only(APP)}));
        whole["default_policy"] = json!(default);
        let scene = Scene::new().document(whole).beside_others().start().await;
        let request = Request::upgrade("/ws/elsewhere").header("Origin", "https://evil.example");
        assert_eq!(scene.ask(&request).await.status, expected, "{default}");
        assert_eq!(scene.upstream().has_seen(request.case()), expected == 101, "{default}");
    }
}

/// A change that Postern makes in a request has Envoy choose its route anew, after Postern has judged.
#[tokio::test]
async fn a_change_to_the_request_leads_under_no_other_policy() {
    const OFFERS: &str = "Sec-WebSocket-Protocol";
    let scene = || {
        let policies = json!({"strict": only(APP), "open": {"subprotocols": {"allow": ["admin"]}}});
        Scene::new().document(document(json!({}), policies)).change_connection_manager(|hcm| {
            let route = |policy: &str, more: Value| {
                let mut matched = json!({"prefix": "/"});
                matched
                    .as_object_mut()
                    .expect("an object")
                    .extend(more.as_object().expect("an object").clone());
                json!({
                    "match": matched,
                    "route": {"cluster": "service", "timeout": "0s"},
                    "metadata": {"filter_metadata": {"postern": {"policy": policy}}},
                })
            };
            let header = json!({"name": OFFERS, "string_match": {"exact": "admin"}});
            hcm["route_config"]["virtual_hosts"][0]["routes"] =
                json!([route("strict", json!({"headers": [header]})), route("open", json!({}))]);
        })
    };
    let pair = ControlPair::start(scene).await;
    // The request is judged under `open`, which takes `soap` out; the rest of it falls under `strict`, which
    // nobody judged.
    let request = Request::upgrade("/ws/admin").header(OFFERS, "soap, admin");
    let response = pair.guarded.ask(&request).await;
    assert_eq!((response.status, response.reason().as_deref()), (503, Some("policy_invalid")));
    assert_eq!(pair.guarded.access_line(request.case()).await["reason"], "policy_invalid");
    assert_eq!(pair.bare.ask(&request).await.status, 101);

    let sound = Request::upgrade("/ws/admin").header(OFFERS, "admin").header("Origin", APP);
    assert_eq!(pair.guarded.ask(&sound).await.status, 101, "judged under the policy of the route it takes");
}

/// Headers are taken out also of a request that passes unjudged, and Envoy chooses its route anew then as
/// well.
#[tokio::test]
async fn an_upgrade_that_passes_leads_under_no_policy_by_what_is_taken_out_of_it() {
    let scene = || {
        let edge = json!({
            "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
            "secret": {"env": "POSTERN_EDGE_SECRET"},
        });
        let auth = json!({
            "providers": ["edge"], "from": [{"header": "authorization"}], "forward": {"x-user-id": "sub"},
        });
        let mut whole = document(json!({"edge": edge}), json!({"strict": {"auth": auth}}));
        whole["default_policy"] = json!("pass");
        whole["routes"] = json!([]);
        Scene::new().document(whole).change_connection_manager(|hcm| {
            let service = json!({"cluster": "service", "timeout": "0s"});
            let present = json!({"name": "x-user-id", "present_match": true});
            hcm["route_config"]["virtual_hosts"][0]["routes"] = json!([
                {"match": {"prefix": "/", "headers": [present]}, "route": service},
                {"match": {"prefix": "/"}, "route": service,
                 "metadata": {"filter_metadata": {"postern": {"policy": "strict"}}}},
            ]);
        })
    };
    let pair = ControlPair::start(scene).await;
    let request = Request::upgrade("/anywhere").header("X-User-Id", "root");
    let response = pair.guarded.ask(&request).await;
    assert_eq!((response.status, response.reason().as_deref()), (503, Some("policy_invalid")));
    assert_eq!(pair.guarded.access_line(request.case()).await["reason"], "policy_invalid");
    assert_eq!(pair.bare.ask(&request).await.status, 101);
}
