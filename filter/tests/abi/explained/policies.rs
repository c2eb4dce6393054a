//! Random documents, in which each rule of the handshake is set now and then.

use serde_json::{Value, json};

use super::chance::Chance;
use crate::host::{Fields, value_of};

pub(super) const SECRET: &str = "a secret for tests, 32 bytes or more";
pub(super) const CSRF_SECRET: &str = "a secret for pages, 32 bytes or more";
pub(super) const NAMES: [&str; 3] = ["chat", "feed", "admin"];

/// A document, and what a client has to know of its policies.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) document: Value,
    /// The revocation list that is fetched; absent where there is none.
    pub(super) revoked: Option<String>,
}

impl Rules {
    pub(super) fn random(chance: &mut Chance) -> Self {
        let policies: serde_json::Map<String, Value> =
            NAMES.iter().map(|name| ((*name).to_owned(), policy(chance))).collect();
        let default = chance.one(&[json!("deny"), json!("pass"), json!("chat"), json!("feed")]).clone();
        let mut routes = vec![json!({"match": {"path_prefix": "/chat"}, "policy": "chat"})];
        if chance.hits(50) {
            routes
                .push(json!({"match": {"host": "*.feed.example.com", "path_prefix": "/"}, "policy": "feed"}));
        }
        if chance.hits(50) {
            routes.push(json!({"match": {"route_name": "admin"}, "policy": "admin"}));
        }
        let document = json!({
            "log": {"refusals_per_second": 1_000_000},
            "providers": {
                "edge": {
                    "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"inline": SECRET},
                },
                "far": {
                    "issuer": "far", "audiences": ["chat"], "algorithms": ["RS256"],
                    "jwks": {"remote": {"cluster": "auth", "uri": "http://auth/jwks", "timeout": "2s"}},
                },
            },
            "policies": policies,
            "routes": routes,
            "default_policy": default,
        });
        let list = json!({"jti": ["t0", "t1"], "sub": {"mallory": 4_000_000_000_u64}}).to_string();
        let is_fetched = document.to_string().contains("/revoked") && chance.hits(50);
        Self { document, revoked: is_fetched.then_some(list) }
    }

    /// Whether a request of one of the three forms falls under this policy, for sure.
    pub(super) fn leads_to(&self, policy: &str, fields: &Fields, route: Option<&str>) -> bool {
        let routes = self.document["routes"].to_string();
        let is = |name: &str, value: &str| {
            value_of(fields, name).is_some_and(|of| of.starts_with(value.as_bytes()))
        };
        let is_clear = value_of(fields, "host").is_none();
        is_clear
            && match policy {
                "chat" => is(":path", "/chat") && !is(":path", "/chat/%"),
                "feed" => is(":path", "/live/1") && is(":authority", "eu.feed.") && routes.contains("*.feed"),
                _ => {
                    is(":path", "/")
                        && !is(":path", "/chat")
                        && route.is_some()
                        && routes.contains("route_name")
                }
            }
    }

    /// The policy of this name, as written.
    pub(super) fn policy(&self, name: &str) -> &Value {
        &self.document["policies"][name]
    }
}

fn policy(chance: &mut Chance) -> Value {
    let auth = if chance.hits(20) { json!("none") } else { auth(chance) };
    let (has_users, awaits) = (auth.is_object(), auth.to_string().contains("first_message"));
    let is_single_use = auth.get("single_use").is_some();
    let mut policy = json!({
        "origins": {
            "allow": ["https://app.example.com", "https://*.preview.example.com"],
            "missing": if chance.hits(50) { "deny" } else { "allow" },
        },
        "auth": auth,
        "liveness": {"idle_timeout": "20h", "ping_interval": "none"},
        "tls": chance.one(&["required", "required", "optional", "forwarded", "mutual"]),
    });
    let mut set = |key: &str, value: Value| policy[key] = value;
    if chance.hits(4) {
        set("drain", json!("10s"));
    }
    if chance.hits(30) {
        set("other_upgrades", json!("pass"));
    }
    if chance.hits(30) {
        set("upgrade_only", json!(true));
    }
    if chance.hits(50) {
        set("subprotocols", json!({"allow": ["chat.v1", "chat.v2"], "require": chance.hits(30)}));
    }
    if chance.hits(50) {
        let hides = if awaits { "strip" } else { "pass" };
        set("compression", json!(chance.one(&["inspect", hides, "strip"])));
    }
    if chance.hits(25) {
        let from = if chance.hits(50) { json!({"query": "csrf"}) } else { json!({"subprotocol": "csrf."}) };
        set("csrf", json!({"secret": {"inline": CSRF_SECRET}, "session_cookie": "sid", "from": from}));
    }
    if chance.hits(20) {
        let counts = match is_single_use {
            true => json!(["handshakes", "connections", "tickets"]),
            false => json!(["handshakes", "connections"]),
        };
        set(
            "global_rate_limit",
            json!({
                "cluster": "auth", "domain": "postern", "counts": counts,
                "timeout": "100ms",
            }),
        );
    }
    set("rates", rates(chance, has_users));
    set("connections", connections(chance, has_users));
    policy
}

fn auth(chance: &mut Chance) -> Value {
    let carriers = [
        json!({"header": "authorization"}),
        json!({"query": "token"}),
        json!({"cookie": "token"}),
        json!({"subprotocol": "bearer."}),
    ];
    let mut from = vec![chance.one(&carriers).clone()];
    if chance.hits(50) {
        let second = chance.one(&carriers);
        if !from.contains(second) {
            from.push(second.clone());
        }
    }
    if chance.hits(25) {
        from.insert(0, json!({"first_message": "/token"}));
    }
    let providers =
        chance.one(&[json!(["edge"]), json!(["edge"]), json!(["edge", "far"]), json!(["far"])]).clone();
    let mut auth = json!({"providers": providers, "from": from});
    let mut set = |key: &str, value: Value| auth[key] = value;
    if chance.hits(40) {
        set("require", json!([{"claim": "scope", "contains": "chat"}]));
    }
    if chance.hits(40) {
        set("forward", json!({"x-user-id": "sub"}));
    }
    if chance.hits(30) {
        set("single_use", json!(true));
    }
    if chance.hits(30) {
        set("revocation", json!({"cluster": "auth", "path": "/revoked", "interval": "30s"}));
    }
    if chance.hits(20) {
        set("keep_token", json!(true));
    }
    auth
}

/// Rates that fill so slowly that some time more or less does not matter.
fn rates(chance: &mut Chance, has_users: bool) -> Value {
    let mut rates = Vec::new();
    for (count, per) in [
        ("handshakes", "ip"),
        ("refusals", "ip"),
        ("handshakes", "policy"),
        ("handshakes", "user"),
        ("refusals", "user"),
    ] {
        if chance.hits(30) && (has_users || per != "user") {
            let limit = if per == "policy" { 20 + chance.below(200) } else { 1 + chance.below(30) };
            rates.push(json!({"count": count, "per": per, "limit": limit, "window": "8000h"}));
        }
    }
    json!(rates)
}

fn connections(chance: &mut Chance, has_users: bool) -> Value {
    let mut caps = json!({});
    for (cap, most) in [("per_ip", 20), ("per_user", 12), ("per_policy", 60)] {
        if chance.hits(20) && (has_users || cap != "per_user") {
            caps[cap] = json!(1 + chance.below(most));
        }
    }
    if caps.get("per_user").is_some() && chance.hits(30) {
        caps["on_full"] = json!("replace");
    }
    caps
}
