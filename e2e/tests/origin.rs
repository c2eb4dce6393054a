//! The origins that may open a socket (RFC 6454, RFC 6455 §10.2).

use postern_e2e::scene::document;
use postern_e2e::{Attack, ControlPair, Request, Scene, Shared, json};

fn scene() -> Scene {
    let named = json!([
        "https://app.example.com",
        "https://*.tenants.example.com",
        "http://localhost:3000",
        "https://[2001:db8::1]:8443",
    ]);
    let policies = document(
        json!({}),
        json!({
            "named": {"origins": {"allow": named, "missing": "deny"}},
            "lenient": {"origins": {"allow": named, "missing": "allow"}},
            "opaque": {"origins": {"allow": ["null"], "missing": "deny"}},
            "any": {"origins": {"allow": ["*"], "missing": "deny"}},
            "apps": {"origins": {"allow": [
                "file://", "wss://device.example.com", "capacitor://localhost", "chrome-extension://*", "http://localhost:*",
            ]}},
        }),
    );
    // The limit leaves room for as many lines as these tests may cause in a second.
    Scene::new().document(policies).configured(|whole| whole["log"] = json!({"refusals_per_second": 1000}))
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

fn from(policy: &str, origins: &[&[u8]]) -> Request {
    let request = Request::upgrade(&format!("/ws/{policy}"));
    origins.iter().fold(request, |request, origin| request.header("Origin", origin))
}

#[tokio::test]
async fn an_origin_that_is_not_allowed_is_denied_however_near_it_comes() {
    let pair = PAIR.alone().await;
    let cases: [(&str, &str, &[&[u8]]); 32] = [
        ("another site", "named", &[b"https://evil.example"]),
        ("the name as a prefix", "named", &[b"https://app.example.com.evil.example"]),
        ("the name as a suffix", "named", &[b"https://evil-app.example.com"]),
        ("the name as a user", "named", &[b"https://app.example.com@evil.example"]),
        ("a user before the name", "named", &[b"https://evil@app.example.com"]),
        ("another scheme", "named", &[b"http://app.example.com"]),
        ("a scheme that is none", "named", &[b"app.example.com"]),
        ("another port", "named", &[b"https://app.example.com:8443"]),
        ("no port where one is named", "named", &[b"http://localhost"]),
        ("a port with a leading zero", "named", &[b"https://app.example.com:0443"]),
        ("a trailing slash", "named", &[b"https://app.example.com/"]),
        ("a path", "named", &[b"https://app.example.com/chat"]),
        ("a trailing dot", "named", &[b"https://app.example.com."]),
        ("a backslash", "named", &[b"https://app.example.com\\.evil.example"]),
        ("the parent of a wildcard", "named", &[b"https://tenants.example.com"]),
        ("an empty label under a wildcard", "named", &[b"https://.tenants.example.com"]),
        ("a wildcard sent by the client", "named", &[b"https://*.tenants.example.com"]),
        ("null where it is not spelled", "named", &[b"null"]),
        ("an empty value", "named", &[b""]),
        ("a list", "named", &[b"https://app.example.com https://evil.example"]),
        ("two headers", "named", &[b"https://app.example.com", b"https://evil.example"]),
        ("the same twice", "named", &[b"https://app.example.com", b"https://app.example.com"]),
        ("bytes that are not text", "named", &[b"https://app.example.com\xff"]),
        ("a stranger where none is also allowed", "lenient", &[b"https://evil.example"]),
        ("a site where null is allowed", "opaque", &[b"https://app.example.com"]),
        ("a page of another device", "apps", &[b"wss://other.example.com"]),
        ("the socket's address where the page's is allowed", "named", &[b"wss://app.example.com"]),
        ("a file with a host", "apps", &[b"file://evil.example"]),
        ("another kind of extension", "apps", &[b"moz-extension://0a1b"]),
        ("any port of another host", "apps", &[b"http://localhost.evil.example:5173"]),
        ("a web page where apps are allowed", "apps", &[b"https://localhost"]),
        ("two headers where any one is allowed", "any", &[b"https://a.example", b"https://b.example"]),
    ];
    for (name, policy, origins) in cases {
        let request = from(policy, origins);
        pair.assert_refused(&Attack { name, request, policy, status: 403, reason: "origin_denied" }).await;
    }
}

#[tokio::test]
async fn no_origin_at_all_is_denied_where_browsers_are_expected() {
    let pair = PAIR.alone().await;
    for policy in ["named", "opaque", "any"] {
        let attack = Attack {
            name: policy,
            request: from(policy, &[]),
            policy,
            status: 403,
            reason: "origin_missing",
        };
        pair.assert_refused(&attack).await;
    }
}

#[tokio::test]
async fn an_allowed_origin_is_known_in_every_way_to_write_it() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let cases: [(&str, &str, &[&[u8]]); 22] = [
        ("as named", "named", &[b"https://app.example.com"]),
        ("in upper case", "named", &[b"HTTPS://APP.Example.COM"]),
        ("with the scheme's own port", "named", &[b"https://app.example.com:443"]),
        ("one label under a wildcard", "named", &[b"https://a.tenants.example.com"]),
        ("two labels under a wildcard", "named", &[b"https://a.b.tenants.example.com"]),
        ("a port that is named", "named", &[b"http://localhost:3000"]),
        ("an address", "named", &[b"https://[2001:db8::1]:8443"]),
        ("none where none is allowed", "lenient", &[]),
        ("null where it is spelled", "opaque", &[b"null"]),
        ("any site", "any", &[b"https://whoever.example"]),
        ("null among any", "any", &[b"null"]),
        ("a file among any", "any", &[b"file://"]),
        ("a file with a path among any", "any", &[b"file:///android_asset/www"]),
        ("a URL with a path among any", "any", &[b"https://device.example/index.html"]),
        ("a host and a port among any", "any", &[b"device.example:8080"]),
        ("nothing written among any", "any", &[b""]),
        ("a file", "apps", &[b"file://"]),
        ("the address of the socket itself", "apps", &[b"wss://device.example.com"]),
        ("an app", "apps", &[b"capacitor://localhost"]),
        ("an extension", "apps", &[b"chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai"]),
        ("the scheme's own port among any", "apps", &[b"http://localhost"]),
        ("another port among any", "apps", &[b"http://localhost:5173"]),
    ];
    for (name, policy, origins) in cases {
        let request = from(policy, origins);
        assert_eq!(scene.ask(&request).await.status, 101, "{name}");
        let seen = scene.upstream().record(request.case()).await.head.headers.all("origin");
        let sent: Vec<_> = origins.iter().map(|origin| String::from_utf8_lossy(origin)).collect();
        assert_eq!(seen, sent, "{name}: the upstream's view of it");
    }
}

#[tokio::test]
async fn the_log_says_which_origin_was_refused_and_nothing_it_says_forges_a_line() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let forged = b"https://forger.example\"\tpostern: \xff";
    for (origin, shown) in [
        (&b"https://forger.example"[..], r#"cause="the origin is `https://forger.example`""#),
        (forged, r#"cause="the origin is `https://forger.example\"\tpostern: \xff`""#),
    ] {
        assert_eq!(scene.ask(&from("named", &[origin])).await.status, 403);
        assert_eq!(scene.envoy().logged(shown).await.len(), 1, "{shown}");
    }
}
