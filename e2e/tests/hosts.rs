//! The hosts of requests: every spelling of one meets its route, and a text that is no host gets under no
//! weaker policy.

use postern_e2e::scene::document;
use postern_e2e::{Attack, ControlPair, Request, Scene, Shared, json};

/// Makes a scene with a policy that lets nobody in for one host, and one that lets everybody in for the rest.
fn scene() -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let auth = json!({
        "providers": ["edge"], "from": [{"header": "authorization"}], "forward": {"x-user-id": "sub"},
    });
    let admin = json!({"auth": auth, "origins": {"allow": ["https://admin.example.com"], "missing": "deny"}});
    let mut whole = document(json!({"edge": edge}), json!({"admin": admin, "weak": {}}));
    whole["routes"] = json!([
        {"match": {"host": "admin.example.com"}, "policy": "admin"},
        {"match": {"host": "[::1]"}, "policy": "admin"},
    ]);
    whole["default_policy"] = json!("weak");
    Scene::new().document(whole)
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

fn to(host: &str) -> Request {
    Request::upgrade("/ws/x").set("Host", host)
}

/// Returns odd hosts that Envoy hands on. Envoy joins two Host fields by a comma.
fn odd() -> Vec<(&'static str, Request)> {
    let hosts = [
        "user@admin.example.com",
        "admin%2eexample.com",
        "admin.example.com..",
        "admin..example.com",
        ".admin.example.com",
        "admin.example.com:80:80",
        "admin.example.com:x",
        "admin.example.com:65536",
        "admin.example.com,a.example.com",
        "127.1",
        "[::1",
        "*",
        ":80",
        "",
    ];
    let mut odd: Vec<_> = hosts.map(|host| (host, to(host))).into();
    odd.push(("two fields", to("a.example.com").header("Host", "admin.example.com")));
    odd.push(("a whole target", to("a.example.com").target("http://admin.example.com../ws/x")));
    odd
}

#[tokio::test]
async fn what_is_no_host_opens_no_socket() {
    let pair = PAIR.alone().await;
    for (name, request) in odd() {
        let (status, reason) = (400, "malformed_handshake");
        pair.assert_refused(&Attack { name, request, policy: "none", status, reason }).await;
    }
    for host in ["admin.example.com a", "admin.example.com/x", "admin.example.com\\x", "bücher.example"] {
        pair.assert_envoy_refuses(host, &to(host), 400).await;
    }
}

#[tokio::test]
async fn what_is_no_host_opens_no_socket_where_all_pass_either() {
    let pair =
        ControlPair::start(|| scene().configured(|whole| whole["default_policy"] = json!("pass"))).await;
    for host in ["user@admin.example.com", "admin.example.com.."] {
        let (request, status, reason) = (to(host), 400, "malformed_handshake");
        pair.assert_refused(&Attack { name: host, request, policy: "none", status, reason }).await;
    }
    assert_eq!(pair.guarded.ask(&to("a.example.com")).await.status, 101);
}

#[tokio::test]
async fn every_spelling_of_a_host_meets_its_route() {
    let pair = PAIR.alone().await;
    let mut spellings: Vec<_> = [
        "admin.example.com",
        "ADMIN.Example.com:8443",
        "admin.example.com.",
        "admin.example.com.:80",
        "admin.example.com:",
        "[0:0::1]:80",
    ]
    .map(|host| (host, to(host)))
    .into();
    // Envoy takes the user away from such a target.
    for target in ["http://admin.example.com/ws/x", "http://user@admin.example.com/ws/x"] {
        spellings.push((target, to("a.example.com").target(target)));
    }
    for (name, request) in spellings {
        let (status, reason) = (403, "origin_missing");
        pair.assert_refused(&Attack { name, request, policy: "admin", status, reason }).await;
    }
    for other in ["a.example.com", "admin_x.example.com", "xn--bcher-kva.example", "127.0.0.1:80", "[::2]"] {
        assert_eq!(pair.guarded.ask(&to(other)).await.status, 101, "{other}");
    }
}

#[tokio::test]
async fn ordinary_http_with_an_odd_host_is_untouched_but_for_headers_with_claims() {
    let pair = PAIR.alone().await;
    for host in ["user@admin.example.com", "admin%2eexample.com", "admin.example.com.."] {
        let page = || Request::get("/page").set("Host", host);
        pair.assert_untouched(host, &page()).await;
        let spoofed = page().header("X-User-Id", "mallory");
        pair.guarded.ask(&spoofed).await;
        let record = pair.guarded.upstream().record(spoofed.case()).await;
        assert_eq!(record.header("x-user-id"), None, "{host}");
        assert_eq!(record.header("host").as_deref(), Some(host));
    }
}
