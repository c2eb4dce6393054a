//! Random configurations, sound ones for the most part.

use serde_json::{Map, Value, json};

use crate::fixtures::ORIGIN;
use crate::numbers::Numbers;

/// Where the tokens of a policy are.
const CARRIERS: [&str; 7] =
    ["header", "query", "cookie", "subprotocol", "subprotocol_pair", "first_message", "other_header"];

/// A policy that this configuration calls `chat`, and others beside it.
pub(crate) fn document(numbers: &mut Numbers) -> Value {
    let mut document = json!({
        "providers": {
            "edge": {
                "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
                "secret": {"inline": "a secret for tests, 32 bytes or more"},
            },
            "far": {
                "issuer": "far", "audiences": ["chat"], "algorithms": ["RS256", "ES256"],
                "jwks": {"remote": {"cluster": "auth", "uri": "https://far.example.com/keys"}},
            },
        },
        "policies": {"chat": policy(numbers), "other": policy(numbers)},
        "routes": [{"match": {"host": "other.example.com"}, "policy": "other"}],
        "default_policy": numbers.of(&["chat", "chat", "chat", "chat", "chat", "chat", "chat", "deny", "pass"]),
    });
    if numbers.one_in(6) {
        document["memory"] = json!({"budget": numbers.of(&["1MiB", "2MiB", "64MiB"])});
    }
    if numbers.one_in(12) {
        break_something(&mut document, numbers);
    }
    document
}

fn break_something(document: &mut Value, numbers: &mut Numbers) {
    let (pointer, key, value) = numbers.of(&[
        ("/policies/chat", "origin", json!([])),
        ("/policies/chat", "tls", json!("maybe")),
        ("/policies/chat/origins", "allow", json!(["app.example.com", 7])),
        ("/policies/chat", "rates", json!([{"count": "frames", "per": "ip", "limit": 0, "window": "1"}])),
        ("/policies/chat", "liveness", json!({"idle_timeout": -1, "pong_timeout": "1 s"})),
        ("/policies/other", "messages", json!({"max_frame_bytes": "64 kB", "typs": []})),
        ("/providers/edge", "algorithms", json!(["HS256", "RS256", "none"])),
        ("/providers/far", "audiences", json!([])),
        ("", "default_policy", json!("chatt")),
        ("/memory", "budget", json!(0)),
        ("", "memory", json!({"budget": 12})),
    ]);
    if let Some(object) = document.pointer_mut(pointer).and_then(Value::as_object_mut) {
        object.insert(key.to_owned(), value);
    }
}

fn policy(numbers: &mut Numbers) -> Value {
    let missing = numbers.of(&["deny", "allow"]);
    let allow = numbers.of(&[
        json!([ORIGIN]),
        json!([ORIGIN]),
        json!(["https://*.example.com"]),
        json!(["*"]),
        json!(["https://localhost:*", "null", "file://"]),
    ]);
    let mut policy = Map::from_iter([("origins".to_owned(), json!({"allow": allow, "missing": missing}))]);
    let has_auth = numbers.one_in(2);
    policy.insert("auth".to_owned(), if has_auth { auth(numbers) } else { json!("none") });
    let mut set = |key: &str, value: Value| policy.insert(key.to_owned(), value);
    if numbers.one_in(2) {
        set("rates", rates(numbers));
    } else {
        set("rates", json!([]));
    }
    if numbers.one_in(2) {
        set("messages", messages(numbers, true, has_auth));
    }
    if numbers.one_in(3) {
        set("upstream_messages", messages(numbers, false, has_auth));
    }
    set("liveness", liveness(numbers));
    if numbers.one_in(4) {
        let most = numbers.of(&[700, 4_000, 100_000]);
        set("backpressure", json!({"max_backlog_bytes": most, "on_exceed": numbers.of(&["close", "drop"])}));
    }
    if numbers.one_in(2) {
        set(
            "compression",
            json!(if has_auth { "inspect" } else { numbers.of(&["strip", "inspect", "pass"]) }),
        );
    }
    if numbers.one_in(12) {
        set("tls", json!(numbers.of(&["required", "mutual", "forwarded", "optional"])));
    }
    if numbers.one_in(5) {
        set("subprotocols", json!({"allow": ["chat.v2", "chat.v1"], "require": numbers.one_in(2)}));
    }
    if numbers.one_in(12) {
        set("csrf", csrf(numbers));
    }
    if numbers.one_in(8) {
        set("upgrade_only", json!(true));
    }
    if numbers.one_in(6) {
        set("other_upgrades", json!("pass"));
    }
    if numbers.one_in(8) {
        set("drain", json!(numbers.of(&["none", "2s", "10s"])));
    }
    Value::Object(policy)
}

fn csrf(numbers: &mut Numbers) -> Value {
    let mut csrf = json!({
        "secret": {"inline": "another secret for tests, 32 bytes or more"}, "session_cookie": "sid",
        "from": numbers.of(&[json!({"query": "csrf_token"}), json!({"subprotocol": "csrf."})]),
    });
    if numbers.one_in(2) {
        csrf["issue"] = json!({"cookie": "__Host-csrf"});
    }
    csrf
}

fn carrier(name: &str) -> Value {
    match name {
        "query" => json!({"query": "access_token"}),
        "cookie" => json!({"cookie": "ws_token"}),
        "subprotocol" => json!({"subprotocol": "bearer."}),
        "subprotocol_pair" => json!({"subprotocol_pair": "bearer"}),
        "first_message" => json!({"first_message": "/token"}),
        "other_header" => json!({"header": "x-token"}),
        _ => json!({"header": "authorization"}),
    }
}

fn auth(numbers: &mut Numbers) -> Value {
    let mut names = vec![numbers.of(&CARRIERS), "header", "first_message"];
    names.truncate(1 + numbers.len_to(2));
    names.sort_unstable();
    names.dedup();
    let mut auth = json!({
        "providers": if numbers.one_in(4) { json!(["edge", "far"]) } else { json!(["edge"]) },
        "from": names.iter().map(|name| carrier(name)).collect::<Vec<_>>(),
        "forward": {"x-user-id": "sub"},
    });
    let mut set = |key: &str, value: Value| auth[key] = value;
    if numbers.one_in(2) {
        set("refresh", json!("/auth/token"));
    }
    if numbers.one_in(3) {
        set("expiry_notice", json!("20s"));
    }
    if numbers.one_in(3) {
        set("expiry_grace", json!(numbers.of(&["0s", "1s"])));
    }
    if numbers.one_in(4) {
        set("require", json!([{"claim": "scope", "contains": "chat"}]));
    }
    if numbers.one_in(5) {
        set("single_use", json!(true));
    }
    if numbers.one_in(5) {
        set("max_session", json!("40s"));
    }
    if numbers.one_in(4) {
        set("revocation", json!({"cluster": "auth", "path": "/revoked.json"}));
    }
    if numbers.one_in(4) {
        set("keep_token", json!(true));
    }
    if numbers.one_in(3) {
        set("max_unauthenticated_bytes", json!(numbers.of(&[600, 2_000])));
    }
    auth
}

fn rates(numbers: &mut Numbers) -> Value {
    let mut rates = Vec::new();
    for _ in 0..=numbers.to(2) {
        let count = numbers.of(&["messages", "bytes", "control_frames", "handshakes"]);
        let per = match count {
            "handshakes" => numbers.of(&["ip", "policy"]),
            _ => numbers.of(&["connection", "ip", "policy"]),
        };
        let limit = if count == "bytes" { numbers.of(&[500, 5_000]) } else { numbers.of(&[2, 5, 20]) };
        let on_exceed = match count {
            "handshakes" => "deny",
            "messages" | "bytes" => numbers.of(&["close", "drop"]),
            _ => "close",
        };
        let window = numbers.of(&["1s", "10s"]);
        rates.push(
            json!({"count": count, "per": per, "limit": limit, "window": window, "on_exceed": on_exceed}),
        );
    }
    Value::Array(rates)
}

fn messages(numbers: &mut Numbers, of_client: bool, has_auth: bool) -> Value {
    let mut messages = json!({
        "max_frame_bytes": numbers.of(&[400, 2_000, 65_536]),
        "max_message_bytes": numbers.of(&[65_536, 65_536, 131_072]),
        "utf8": numbers.one_in(2),
    });
    if of_client && !has_auth && numbers.one_in(3) {
        messages["types"] = json!(numbers.of(&[["text"], ["binary"]]));
    }
    if of_client && numbers.one_in(3) {
        messages["max_fragments"] = json!(3);
    }
    messages
}

fn liveness(numbers: &mut Numbers) -> Value {
    let ping = numbers.of(&["none", "3s", "3s", "8s"]);
    json!({
        "idle_timeout": numbers.of(&["6s", "20s", "30s"]), "ping_interval": ping, "pong_timeout": "2s",
        "close_timeout": "2s", "ping_upstream": !numbers.one_in(5),
    })
}
