//! One Envoy for all rows: its policies, its service, and the server that it fetches keys and lists from.

use postern_e2e::client::csrf::CSRF_SECRET;
use postern_e2e::client::token::jwks;
use postern_e2e::scene::{Shareable, document};
use postern_e2e::{Answer, Behaviour, Documents, RateLimits, RunningScene, Scene, Served, Value, json};

use crate::connections;
use crate::handshakes::answers;
use crate::mesh;
use crate::tokens::{ISSUER, KEYS};

/// The path of the list of revoked tokens.
pub(crate) const REVOKED: &str = "/revoked.json";

/// The path of a service that never answers.
const MUTE: &str = "/ws/mute";

/// The budget of memory. Only rows that are about it hold as much.
pub(crate) const BUDGET: usize = 1 << 20;

/// The scene and what it fetches from.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) scene: RunningScene,
    pub(crate) documents: Documents,
    /// The rate limit service, which answers as long as it is kept.
    _limits: RateLimits,
}

impl Shareable for Stage {
    async fn start(scene: fn() -> Scene) -> Self {
        let documents = Documents::start().await;
        let keys: Vec<_> = KEYS.iter().collect();
        documents.serve("/keys", Served::Document(jwks(&keys)));
        documents.serve(MUTE, Served::Silence);
        documents.serve(REVOKED, Served::Document(json!({"jti": ["gone"]})));
        let limits = mesh::service().await;
        let scene = scene().cluster("auth", documents.address()).cluster_http2("ratelimit", limits.address());
        Self { scene: scene.start().await, documents, _limits: limits }
    }

    fn scenes(&self) -> Vec<&RunningScene> {
        vec![&self.scene]
    }
}

/// The scene, in which Envoy accepts more than the shipped one, so that more has to be judged.
pub(crate) fn scene() -> Scene {
    let scene = answers().into_iter().fold(Scene::new(), |scene, (name, answer)| {
        scene.upstream(&format!("/ws/plain/{name}"), Behaviour::Answer(answer))
    });
    let deflates = Answer::switching().header("Sec-WebSocket-Extensions", "permessage-deflate");
    scene
        .upstream("/ws/inflates/", Behaviour::Answer(deflates))
        .upstream("/ws/pings", Behaviour::Recorder)
        // Where a client may still be writing when the Close comes, its service does not hang up meanwhile.
        .upstream("/ws/drips", Behaviour::Silent)
        .upstream("/ws/large", Behaviour::Silent)
        .document(configuration("none"))
        .discovered()
        .change_connection_manager(|hcm| {
            hcm["upgrade_configs"] = json!([{"upgrade_type": "websocket"}, {"upgrade_type": "foo"}]);
            hcm["http_protocol_options"] =
                json!({"accept_http_10": true, "default_host_for_http_10": "localhost"});
            let routes = hcm["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().expect("routes");
            routes.splice(0..0, annotated());
        })
}

/// Routes of Envoy's: to a service that never answers, with metadata that make no policy, and two that tell requests
/// apart by what Postern changes.
fn annotated() -> [Value; 4] {
    let route = |matched: Value, cluster: &str, metadata: Value| {
        json!({
            "match": matched,
            "route": {"cluster": cluster, "timeout": "0s"},
            "metadata": {"filter_metadata": {"postern": metadata}},
        })
    };
    let alone = json!({"name": "sec-websocket-protocol", "string_match": {"exact": "admin"}});
    [
        route(json!({"prefix": MUTE}), "auth", json!({})),
        route(json!({"prefix": "/ws/empty"}), "service", json!({"policy": "plain", "origins": null})),
        route(json!({"prefix": "/ws/offers", "headers": [alone]}), "service", json!({"policy": "plain"})),
        route(json!({"prefix": "/ws/offers"}), "service", json!({"policy": "offers"})),
    ]
}

/// The whole document, with this `drain` of the policy `drains`.
pub(crate) fn configuration(drain: &str) -> Value {
    let mut policies = json!({"drains": {"drain": drain}});
    let of_others = [connections::policies(auth), mesh::policies()];
    for part in [of_handshakes(), of_frames(), of_times(), of_tokens()].into_iter().chain(of_others) {
        let part = part.as_object().expect("an object").clone();
        policies.as_object_mut().expect("an object").extend(part);
    }
    let mut whole = document(providers(), policies);
    whole["log"] = json!({"refusals_per_second": 1000});
    whole["memory"] = json!({"budget": BUDGET});
    whole
}

fn providers() -> Value {
    let remote = |issuer: &str, path: &str| {
        let uri = format!("https://auth.example.com{path}");
        json!({
            "issuer": issuer, "audiences": ["chat"],
            "jwks": {"remote": {"cluster": "auth", "uri": uri, "timeout": "1s"}},
        })
    };
    json!({
        "edge": {
            "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "clock_skew": "0s",
            "secret": {"env": "POSTERN_EDGE_SECRET"},
        },
        "fetched": remote(ISSUER, "/keys"),
        "lost": remote("lost", "/nothing"),
    })
}

fn of_handshakes() -> Value {
    let once = json!([{"count": "handshakes", "per": "policy", "limit": 1, "window": "1h"}]);
    json!({
        "plain": {},
        "mute": {},
        "pages": {"origins": {"allow": ["https://app.example.com"], "missing": "deny"}},
        "certified": {"tls": "mutual"},
        "only": {"upgrade_only": true},
        "offers": {"subprotocols": {"allow": ["admin"], "require": true}},
        "seldom": {"rates": once},
        "csrf": {"csrf": {
            "secret": {"inline": CSRF_SECRET}, "session_cookie": "sid", "from": {"query": "t"},
            "lifetime": "1m",
        }},
    })
}

fn of_frames() -> Value {
    let rates = |count: &str| {
        json!({"rates": [
            {"count": "messages", "per": "ip", "limit": 1000, "window": "1s"},
            {"count": count, "per": "connection", "limit": 1, "window": "1h"},
        ]})
    };
    json!({
        "small": {"messages": {
            "types": ["binary"], "max_frame_bytes": 8, "max_message_bytes": 12, "max_fragments": 2,
        }},
        "hears": {"upstream_messages": {"max_frame_bytes": 8, "max_message_bytes": 12, "utf8": true}},
        "inflates": {"compression": "inspect", "messages": {"max_frame_bytes": 1024, "max_message_bytes": 1024}},
        "read": {"messages": {"max_json_depth": 1}},
        "talks": rates("messages"),
        "weighs": rates("bytes"),
        "pings": rates("control_frames"),
        "behind": {"backpressure": {"max_backlog_bytes": 1000}},
        "large": {"messages": {"max_frame_bytes": 2 * BUDGET, "max_message_bytes": 2 * BUDGET}},
    })
}

fn of_times() -> Value {
    let liveness = |idle_timeout: &str, ping_interval: &str| {
        json!({
            "liveness": {"idle_timeout": idle_timeout, "ping_interval": ping_interval, "pong_timeout": "1s"},
            "upstream_messages": {"utf8": true},
        })
    };
    json!({
        "idle": liveness("1s", "none"),
        "drips": liveness("2s", "none"),
        "asked": liveness("30s", "1s"),
        "late": {"auth": auth(&json!({"from": [{"first_message": "/token"}], "first_message_timeout": "1s"}))},
        "ends": {"auth": auth(&json!({"max_session": "1s"}))},
        "expires": {"auth": auth(&json!({"expiry_grace": "0s"}))},
    })
}

fn of_tokens() -> Value {
    let first = json!([{"header": "authorization"}, {"first_message": "/token"}]);
    let revocation = |path: &str| json!({"cluster": "auth", "path": path, "interval": "1s"});
    let per_user = json!([{"count": "handshakes", "per": "user", "limit": 1, "window": "1h"}]);
    let require =
        json!([{"claim": "scope", "contains": "chat"}, {"claim": "/realm/tier", "one_of": ["gold"]}]);
    json!({
        "bears": {"auth": auth(&json!({"forward": {"x-user-id": "sub"}}))},
        "lost": {"auth": auth(&json!({"providers": ["lost"]}))},
        "first": {"auth": auth(&json!({"from": first, "providers": ["edge", "fetched", "lost"]}))},
        "once": {"auth": auth(&json!({"from": first, "single_use": true}))},
        "claims": {"auth": auth(&json!({"from": first, "require": require}))},
        "renews": {"auth": auth(&json!({"refresh": "/token"}))},
        "listed": {"auth": auth(&json!({"revocation": revocation(REVOKED)}))},
        "unlisted": {"auth": auth(&json!({"revocation": revocation("/nowhere")}))},
        "users": {"auth": auth(&json!({"from": first})), "rates": per_user},
    })
}

/// `auth` with `changes` laid over it.
fn auth(changes: &Value) -> Value {
    let mut auth = json!({
        "providers": ["edge", "fetched"], "from": [{"header": "authorization"}, {"query": "token"}],
        "first_message_timeout": "30s",
    });
    auth.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    if auth["from"].as_array().expect("a list").iter().all(|from| from.get("first_message").is_none()) {
        auth.as_object_mut().expect("an object").remove("first_message_timeout");
    }
    auth
}
