//! The claims that a token must have, and those that the upstream gets.

use postern_e2e::client::token::edge_claims;
use postern_e2e::scene::document;
use postern_e2e::{Attack, ControlPair, Request, Scene, Shared, Signer, Value, json};

fn auth(rest: Value) -> Value {
    let mut auth = json!({"providers": ["edge"], "from": [{"header": "authorization"}]});
    for (key, value) in rest.as_object().expect("an object") {
        auth[key] = value.clone();
    }
    json!({"auth": auth})
}

/// Policies on the claims of a token, and one without tokens. Trailers pass, and another upgrade passes too.
fn scene(default: &'static str) -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let forward = json!({"forward": {
        "x-user-id": "sub",
        "x-user-tier": "/realm/tier",
        "x-user-roles": "roles",
        "x-user-level": "level",
        "x-user-active": "active",
    }});
    let policies = json!({
        "scope": auth(json!({"require": [{"claim": "scope", "contains": "chat"}]})),
        "tier": auth(json!({"require": [{"claim": "/realm/tier", "one_of": ["gold", "silver"]}]})),
        "level": auth(json!({"require": [{"claim": "level", "one_of": [1, true]}]})),
        "both": auth(json!({"require": [
            {"claim": "roles", "contains": "admin"}, {"claim": "scope", "contains": "chat"},
        ]})),
        "forwarded": auth(forward),
        "other": {"other_upgrades": "pass"},
    });
    let mut whole = document(json!({"edge": edge}), policies);
    whole["default_policy"] = json!(default);
    // The limit leaves room for as many lines as these tests may cause in a second.
    whole["log"] = json!({"refusals_per_second": 1000});
    Scene::new()
        .document(whole)
        .change_connection_manager(|hcm| {
            let configs = hcm["upgrade_configs"].as_array_mut().expect("upgrades");
            configs.push(json!({"upgrade_type": "custom"}));
            hcm["http_protocol_options"] = json!({"enable_trailers": true});
        })
        .change(|bootstrap| {
            let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
            let service = clusters.iter_mut().find(|cluster| cluster["name"] == "service").expect("service");
            service["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}},
                },
            });
        })
}

static PAIR: Shared<ControlPair> = Shared::new(|| scene("deny"));
static PASSING: Shared<ControlPair> = Shared::new(|| scene("pass"));

fn bearing(policy: &str, said: &Value) -> Request {
    let mut claims = edge_claims("alice");
    claims["scope"] = json!(null);
    for (name, value) in said.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let token = Signer::edge().mint(&claims);
    Request::upgrade(&format!("/ws/{policy}")).header("Authorization", format!("Bearer {token}"))
}

#[tokio::test]
async fn a_token_that_lacks_a_required_claim_is_denied() {
    let pair = PAIR.alone().await;
    let cases = [
        ("no such claim", "scope", json!({})),
        ("another word", "scope", json!({"scope": "mail"})),
        ("a part of a word", "scope", json!({"scope": "chatty chat2"})),
        ("another case", "scope", json!({"scope": "CHAT"})),
        ("words by commas", "scope", json!({"scope": "mail,chat"})),
        ("an object with that name", "scope", json!({"scope": {"chat": true}})),
        ("an array in an array", "scope", json!({"scope": [["chat"]]})),
        ("another value", "tier", json!({"realm": {"tier": "iron"}})),
        ("at another place", "tier", json!({"tier": "gold", "/realm/tier": "gold"})),
        ("an array of allowed ones", "tier", json!({"realm": {"tier": ["gold"]}})),
        ("text instead of a number", "level", json!({"level": "1"})),
        ("text instead of a boolean", "level", json!({"level": "true"})),
        ("one line of two", "both", json!({"scope": "chat"})),
    ];
    for (name, policy, said) in cases {
        let request = bearing(policy, &said);
        pair.assert_refused(&Attack { name, request, policy, status: 403, reason: "claims_denied" }).await;
    }
}

#[tokio::test]
async fn a_token_that_says_what_is_required_opens_a_socket() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let cases = [
        ("a word", "scope", json!({"scope": "chat"})),
        ("a word among others", "scope", json!({"scope": "mail chat"})),
        ("a member of an array", "scope", json!({"scope": ["mail", "chat"]})),
        ("a value at a pointer", "tier", json!({"realm": {"tier": "silver"}})),
        // The policy comes through a Struct, in which each number is a double.
        ("a number", "level", json!({"level": 1})),
        ("a boolean", "level", json!({"level": true})),
        ("both lines", "both", json!({"scope": "chat", "roles": ["admin"]})),
    ];
    for (name, policy, said) in cases {
        assert_eq!(scene.ask(&bearing(policy, &said)).await.status, 101, "{name}");
    }
}

#[tokio::test]
async fn claims_reach_the_upstream_as_headers() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let said = json!({
        "sub": "ålice", "realm": {"tier": "gold"}, "roles": ["a", "b"], "level": 7, "active": false,
    });
    let client = scene.open_with(&bearing("forwarded", &said)).await;
    let record = scene.record(&client).await;
    let forwarded = ["x-user-id", "x-user-tier", "x-user-roles", "x-user-level", "x-user-active"]
        .map(|name| record.head.headers.all(name).join(" | "));
    assert_eq!(forwarded, ["ålice", "gold", "a,b", "7", "false"]);

    let client = scene.open_with(&bearing("forwarded", &json!({}))).await;
    let record = scene.record(&client).await;
    assert_eq!(record.header("x-user-id").as_deref(), Some("alice"));
    assert_eq!(record.header("x-user-tier"), None);
}

#[tokio::test]
async fn a_claim_that_would_break_a_header_or_be_another_in_it_is_refused() {
    let pair = PAIR.alone().await;
    let cases = [
        ("a line more", json!({"sub": "a\r\nx-admin: 1"}), "has a control character"),
        ("LF", json!({"sub": "a\nb"}), "has a control character"),
        ("NUL", json!({"sub": "a\0b"}), "has a control character"),
        ("a tab", json!({"sub": "admin\t"}), "has a control character"),
        ("a blank before", json!({"sub": " admin"}), "has a blank or an invisible character at an end"),
        ("a blank behind", json!({"sub": "admin "}), "has a blank or an invisible character at an end"),
        ("a comma in a member", json!({"roles": ["user,admin"]}), "member has a comma or a quote"),
        ("an empty member", json!({"roles": ["user", ""]}), "empty member"),
        ("a number too large", json!({"level": 1e20}), "number that is not exact"),
        ("an object", json!({"level": {}}), "no text, number or boolean"),
    ];
    for (name, said, detail) in cases {
        let request = bearing("forwarded", &said);
        let attack = Attack { name, request, policy: "forwarded", status: 401, reason: "token_invalid" };
        pair.assert_refused(&attack).await;
        let lines = pair.guarded.envoy().logged(detail).await;
        assert!(!lines.is_empty(), "{name}: {detail}");
    }
}

/// Spellings of Postern's own headers: many servers read any character that is no letter or digit as the same
/// one.
const SPOOFED: [&str; 7] =
    ["x-user-id", "X-USER-ID", "x_user_id", "X-User_Tier", "x-user-roles", "x.user.id", "x~user!id"];

fn spoofed(request: Request) -> Request {
    SPOOFED.iter().fold(request, |request, name| request.header(name, "mallory"))
}

#[tokio::test]
async fn a_clients_own_copies_of_these_headers_never_reach_the_upstream() {
    let pair = PAIR.alone().await;
    let upgrade = spoofed(bearing("forwarded", &json!({})));
    let plain = spoofed(Request::get("/ws/forwarded/page")).header("X-User-Name", "kept");
    for request in [&upgrade, &plain] {
        pair.guarded.ask(request).await;
        let record = pair.guarded.upstream().record(request.case()).await;
        let raw = String::from_utf8_lossy(&record.head.raw).into_owned();
        assert!(!raw.contains("mallory"), "{raw}");
        pair.bare.ask(request).await;
        let record = pair.bare.upstream().record(request.case()).await;
        assert!(String::from_utf8_lossy(&record.head.raw).contains("mallory"), "without Postern");
    }
    let record = pair.guarded.upstream().record(upgrade.case()).await;
    assert_eq!(record.head.headers.all("x-user-id"), ["alice"]);
    let record = pair.guarded.upstream().record(plain.case()).await;
    assert_eq!(record.header("x-user-name").as_deref(), Some("kept"));
}

/// A service trusts its headers on every path, and not all of its paths are under a policy.
#[tokio::test]
async fn a_clients_own_copies_reach_the_upstream_on_no_path_at_all() {
    let h2c = |path: &str| Request::upgrade(path).set("Upgrade", "custom");
    for (default, pair) in [("deny", &PAIR), ("pass", &PASSING)] {
        let pair = pair.shared().await;
        let mut requests = vec![
            ("ordinary HTTP without a policy", Request::get("/api")),
            ("ordinary HTTP under a policy without tokens", Request::get("/ws/other/page")),
            ("a WebSocket under a policy without tokens", Request::upgrade("/ws/other")),
            ("another upgrade", h2c("/ws/other")),
            ("an odd path", Request::get("/ws%2ftold")),
        ];
        if default == "pass" {
            requests.push(("a WebSocket that passes", Request::upgrade("/elsewhere")));
            requests.push(("another upgrade that passes", h2c("/elsewhere")));
        }
        for (name, request) in requests {
            let request = spoofed(request);
            for (scene, expected) in [(&pair.guarded, false), (&pair.bare, true)] {
                scene.ask(&request).await;
                let record = scene.upstream().record(request.case()).await;
                let raw = String::from_utf8_lossy(&record.head.raw).into_owned();
                assert_eq!(raw.contains("mallory"), expected, "{default}, {name}: {raw}");
            }
        }
    }
}

/// Some services take trailers for headers, where Envoy passes them.
#[tokio::test]
async fn a_clients_own_copies_reach_the_upstream_in_no_trailers_either() {
    for pair in [&PAIR, &PASSING] {
        let pair = pair.shared().await;
        for path in ["/ws/forwarded/page", "/elsewhere"] {
            let request = Request::get(path)
                .method("POST")
                .header("Transfer-Encoding", "chunked")
                .body("4\r\nbody\r\n0\r\nX-User-Id: mallory\r\nx.user_id: mallory\r\nX-Checksum: 1\r\n\r\n");
            for (scene, expected) in [(&pair.guarded, false), (&pair.bare, true)] {
                scene.ask(&request).await;
                let record = scene.upstream().record(request.case()).await;
                let body = String::from_utf8(record.bytes()).expect("text").to_ascii_lowercase();
                assert!(body.starts_with("body") && body.contains("x-checksum: 1"), "{path}: {body}");
                assert_eq!(body.contains("mallory"), expected, "{path}: {body}");
            }
        }
    }
}

/// A field that Connection names is meant for the next hop only, which takes it away (RFC 9110 §7.6.1).
#[tokio::test]
async fn a_client_cannot_have_these_headers_taken_for_those_of_a_hop() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let request = bearing("forwarded", &json!({})).set("Connection", "Upgrade, X-User-Id");
    let client = scene.open_with(&request).await;
    let record = scene.record(&client).await;
    assert_eq!(record.header("x-user-id").as_deref(), Some("alice"));
    assert!(!record.head.headers.lists("connection", "x-user-id"), "{:?}", record.head.headers);
}
