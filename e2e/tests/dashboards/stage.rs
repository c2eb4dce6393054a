//! Two Envoys with all that can go wrong: `edge`, whose sources, services and clients do, and `crippled`, which is forbidden
//! some of what Postern asks of its host.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postern_e2e::client::token::{edge_claims, jwks};
use postern_e2e::scene::module;
use postern_e2e::scene::{document, trapping_module};
use postern_e2e::{
    Answer, Behaviour, Documents, RateLimits, Request, RunningScene, Scene, Served, Signer, Value, json,
};
use tempfile::TempDir;

const ISSUER: &str = "https://auth.example.com/";

/// The most that `edge` may hold for peers in each worker, in bytes.
pub(crate) const BUDGET: usize = 4 << 20;

/// The longest message under `holds`, in bytes.
pub(crate) const MESSAGE: usize = 64 << 10;

/// The most connections of `crippled` to its service at once.
pub(crate) const CONNECTIONS: u32 = 12;

/// What `crippled` is forbidden: to have Envoy verify, and to change what passes.
const FORBIDDEN: [&str; 2] = ["proxy_call_foreign_function", "proxy_set_buffer_bytes"];

/// The Envoys, and what they fetch from and ask.
pub(crate) struct Stage {
    pub(crate) edge: RunningScene,
    pub(crate) crippled: RunningScene,
    pub(crate) documents: Documents,
    pub(crate) limits: RateLimits,
    pub(crate) signer: Signer,
    _folder: TempDir,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (signer, documents, limits) =
            (Signer::es256("a"), Documents::start().await, RateLimits::start().await);
        documents.serve("/keys", Served::Document(jwks(&[&signer])));
        documents.serve("/revoked", Served::Document(json!({"jti": ["gone", "too"], "sub": {"eve": 1}})));
        let edge = edge(&folder, &documents, &limits).start();
        let (edge, crippled) = tokio::join!(edge, crippled(&signer).start());
        Self { edge, crippled, documents, limits, signer, _folder: folder }
    }

    /// Returns what Prometheus scrapes.
    pub(crate) fn targets(&self) -> [(&'static str, SocketAddr); 2] {
        [("edge", self.edge.envoy().admin()), ("crippled", self.crippled.envoy().admin())]
    }

    /// Makes a handshake with a good token.
    pub(crate) fn bearing(&self, path: &str) -> Request {
        bearing(&self.signer, path)
    }
}

/// Makes a handshake with a good token that no other has, so that it is verified anew.
pub(crate) fn bearing(signer: &Signer, path: &str) -> Request {
    static TOKENS: AtomicU64 = AtomicU64::new(0);
    let mut claims = edge_claims("alice");
    claims["iss"] = json!(ISSUER);
    claims["jti"] = json!(TOKENS.fetch_add(1, Ordering::Relaxed).to_string());
    Request::upgrade(path).header("Authorization", format!("Bearer {}", signer.mint(&claims)))
}

/// Returns the policies of `edge`, and one more with this revocation list.
pub(crate) fn configuration(list: Option<&str>) -> Value {
    let providers = json!({"main": {"issuer": ISSUER, "audiences": ["chat"], "jwks": {"remote": {
        "cluster": "auth", "uri": "https://auth.example.com/keys", "refresh_interval": "1s", "max_stale": "6s",
    }}}});
    let users = |path: &str| {
        json!({"auth": {
            "providers": ["main"], "from": [{"header": "authorization"}],
            "revocation": {"cluster": "auth", "path": path, "interval": "1s"},
        }})
    };
    let liveness = json!({"ping_interval": "1s", "pong_timeout": "1m", "idle_timeout": "5m"});
    // A service that leaves one Ping unanswered is asked no more.
    let stray = json!({"ping_interval": "2s", "pong_timeout": "4s", "idle_timeout": "5m"});
    let mut policies = json!({
        "chat": {
            "origins": {"allow": ["https://app.example.com"], "missing": "allow"},
            "rates": [
                {"count": "handshakes", "per": "ip", "limit": 100_000, "window": "1h"},
                {"count": "messages", "per": "connection", "limit": 5, "window": "1s", "on_exceed": "drop"},
            ],
            "connections": {"per_ip": 1000},
            "backpressure": {"max_backlog_bytes": 100_000},
            "liveness": liveness,
        },
        "users": users("/revoked"),
        "mesh": {"global_rate_limit": {"cluster": "ratelimit", "domain": "postern", "timeout": "1s"}},
        "reach": {"liveness": stray, "upstream_messages": {"utf8": true}},
        "holds": {"messages": {"max_message_bytes": MESSAGE, "max_frame_bytes": MESSAGE}},
        "spoiled": {},
        "tried": {"shadow": ["origins"], "origins": {"allow": ["https://app.example.com"], "missing": "allow"}},
    });
    if let Some(path) = list {
        policies["listed"] = users(path);
    }
    let mut document = document(providers, policies);
    document["memory"] = json!({ "budget": BUDGET });
    document
}

fn edge(folder: &TempDir, documents: &Documents, limits: &RateLimits) -> Scene {
    let module = module::path().expect("a module");
    Scene::new()
        .document(configuration(None))
        .module(&trapping_module::on_trailers(&module, folder.path()))
        .cluster("auth", documents.address())
        .cluster_http2("ratelimit", limits.address())
        .upstream("/ws/reach", Behaviour::Silent)
        .upstream("/ws/spoiled", Behaviour::Answer(Answer::switching().without("Sec-WebSocket-Accept")))
        .discovered()
        .plaintext()
        .change_connection_manager(|manager| {
            manager["http_protocol_options"] = json!({"enable_trailers": true});
            let routes =
                manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().expect("routes");
            let mut astray = routes[0].clone();
            astray["match"] = json!({"prefix": "/ws/astray"});
            astray["metadata"] = json!({"filter_metadata": {"postern": {"policy": "nowhere"}}});
            routes.insert(0, astray);
        })
}

fn crippled(signer: &Signer) -> Scene {
    let providers =
        json!({"main": {"issuer": ISSUER, "audiences": ["chat"], "jwks": {"inline": jwks(&[signer])}}});
    let one =
        json!({"count": "messages", "per": "connection", "limit": 1, "window": "1h", "on_exceed": "drop"});
    let policies = json!({
        "plain": {},
        "verified": {"auth": {"providers": ["main"], "from": [{"header": "authorization"}]}},
        "drops": {"rates": [one]},
    });
    let scene = Scene::new().document(document(providers, policies)).plaintext();
    FORBIDDEN.into_iter().fold(scene, Scene::forbid).change(|bootstrap| {
        let breaker = json!({"thresholds": [{"max_connections": CONNECTIONS}]});
        bootstrap["static_resources"]["clusters"][0]["circuit_breakers"] = breaker;
    })
}

/// The pause of a client between two things that it does.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);
