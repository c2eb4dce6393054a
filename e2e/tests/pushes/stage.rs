//! One Envoy that a control plane governs, what it fetches from, and what can be pushed to it.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use postern_e2e::client::token::{edge_claims, jwks};
use postern_e2e::control_plane::{ControlPlane, Verdict};
use postern_e2e::deadline::{START, within};
use postern_e2e::scene::module;
use postern_e2e::scene::{Shareable, document};
use postern_e2e::{Documents, Frame, RawClient, Request, RunningScene, Scene, Served, Signer, Value, json};
use tokio::time::sleep;

/// The path of the list of what is revoked.
pub(crate) const REVOKED: &str = "/revoked.json";

const KEYS: &str = "/keys";

const ISSUER: &str = "https://auth.example.com/";

/// The two lengths, in bytes, of which the longest message of `probe` has one.
const LENGTHS: [usize; 2] = [100, 200];

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::es256("current"));

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) scene: RunningScene,
    pub(crate) plane: ControlPlane,
    /// Two servers of the same keys and list.
    pub(crate) documents: [Documents; 2],
    /// A server that has the same list, and another key.
    pub(crate) bare: Documents,
    /// The module as it is built, and another build of it.
    modules: [PathBuf; 2],
    /// A part of it.
    pub(crate) broken: PathBuf,
}

impl Shareable for Stage {
    async fn start(scene: fn() -> Scene) -> Self {
        let documents = [serving(&SIGNER).await, serving(&SIGNER).await];
        let plane = ControlPlane::start(&[("auth", documents[0].address())]).await;
        let scene = plane.governing(scene()).start().await;
        let module = module::path().expect("a module");
        let bytes = std::fs::read(&module).expect("a module");
        let beside = |name: &str, bytes: &[u8]| write(&scene.certificate().with_file_name(name), bytes);
        let another = beside("another.wasm", &[&bytes, &ANOTHER[..]].concat());
        // Half a library may hold all that the system looks at when it is loaded.
        let part = if module::is_native() { 100 } else { bytes.len() / 2 };
        let broken = beside("broken.wasm", &bytes[..part]);
        let bare = serving(&Signer::es256("another")).await;
        Self { scene, plane, documents, bare, modules: [module, another], broken }
    }

    fn scenes(&self) -> Vec<&RunningScene> {
        vec![&self.scene]
    }
}

/// A custom section, by which another build of the module differs.
const ANOTHER: [u8; 10] = *b"\x00\x08\x07another";

fn write(path: &Path, bytes: &[u8]) -> PathBuf {
    std::fs::write(path, bytes).expect("a writable folder");
    path.to_owned()
}

async fn serving(signer: &Signer) -> Documents {
    let documents = Documents::start().await;
    documents.serve(KEYS, Served::Document(jwks(&[signer])));
    documents.serve(REVOKED, Served::Document(json!({"sid": []})));
    documents
}

pub(crate) fn scene() -> Scene {
    Scene::new().document(configuration(LENGTHS[0], &json!({}))).workers(2).plaintext()
}

/// Returns the configuration in which messages of `probe` have so many bytes at most, and `feed` has these keys.
pub(crate) fn configuration(longest: usize, feed: &Value) -> Value {
    let remote = json!({"cluster": "auth", "uri": "https://auth.example.com/keys", "refresh_interval": "1s"});
    let main = json!({"issuer": ISSUER, "audiences": ["chat"], "jwks": {"remote": remote}});
    let auth = |more: Value| {
        let mut auth = json!({"providers": ["main"], "from": [{"header": "authorization"}]});
        auth.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "auth": auth })
    };
    let revocation = json!({"cluster": "auth", "path": REVOKED, "interval": "1s"});
    let seldom = json!([{"count": "handshakes", "per": "ip", "limit": 2, "window": "1h"}]);
    let mut policies = json!({
        "chat": auth(json!({"revocation": revocation})),
        "feed": feed,
        "few": {"connections": {"per_ip": 2}},
        "keys": auth(json!({})),
        "once": auth(json!({"single_use": true})),
        "probe": {"messages": {"max_message_bytes": longest, "max_frame_bytes": longest}},
        "seldom": {"rates": seldom},
        "shut": {"origins": {"allow": ["https://app.example.com"], "missing": "deny"}},
    });
    // A push of a module may take longer on a busy machine than clients that only wait may leave a Ping unanswered.
    let patient = json!({"pong_timeout": "5m", "idle_timeout": "10m"});
    for policy in policies.as_object_mut().expect("policies").values_mut() {
        policy["liveness"] = patient.clone();
    }
    document(json!({"main": main}), policies)
}

/// Returns a handshake with a token that nobody has used before.
pub(crate) fn bearing(path: &str) -> Request {
    let request = Request::upgrade(path);
    let mut claims = edge_claims("alice");
    claims["iss"] = json!(ISSUER);
    claims["sid"] = json!("session");
    claims["jti"] = json!(request.case());
    request.header("Authorization", format!("Bearer {}", SIGNER.mint(&claims)))
}

impl Stage {
    /// Makes the push of this turn, another kind in each, and sees to it that it is in force.
    pub(crate) async fn push(&self, turn: u64) {
        let other = usize::try_from((turn / 4 + 1) % 2).expect("one of two");
        match turn % 4 {
            0 => self.push_policies(other).await,
            1 => self.push_routes(other).await,
            2 => self.push_clusters(other).await,
            _ => self.push_module(other).await,
        }
    }

    async fn push_policies(&self, other: usize) {
        let verdict = self.plane.push_document(configuration(LENGTHS[other], &json!({}))).await;
        assert_eq!(verdict, Verdict::Taken);
        within(START, "a pushed policy to be in force", async {
            while self.probe().await != (other == 1) {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    async fn push_routes(&self, other: usize) {
        let (policy, status, reason) = [("feed", 101, None), ("shut", 403, Some("origin_missing"))][other];
        assert_eq!(self.push_routed(&json!({ "policy": policy })).await, Verdict::Taken);
        self.becomes(&Request::upgrade("/ws/routed"), status, reason).await;
    }

    /// Pushes routes among which that of `/ws/routed` has this metadata.
    pub(crate) async fn push_routed(&self, metadata: &Value) -> Verdict {
        let push = |host: &mut Value| {
            let routes = host["routes"].as_array_mut().expect("routes");
            routes.retain(|route| route["name"] != "routed");
            let route = json!({
                "name": "routed", "match": {"prefix": "/ws/routed"},
                "route": {"cluster": "service", "timeout": "0s"},
                "metadata": {"filter_metadata": {"postern": metadata}},
            });
            routes.insert(0, route);
        };
        self.plane.push_routes(push).await
    }

    async fn push_clusters(&self, other: usize) {
        let documents = &self.documents[other];
        let before = documents.hits(REVOKED);
        assert_eq!(self.plane.push_clusters(&[("auth", documents.address())]).await, Verdict::Taken);
        documents.hits_become(REVOKED, before + 1).await;
    }

    /// Pushes one of the two builds, and has somebody served by it.
    pub(crate) async fn push_module(&self, module: usize) {
        assert_eq!(self.plane.push_module(&self.modules[module]).await, Verdict::Taken);
        self.probe().await;
    }

    /// Has in force again what was so at first, in the module that is.
    pub(crate) async fn reset(&mut self) {
        for documents in &self.documents {
            documents.serve(REVOKED, Served::Document(json!({"sid": []})));
        }
        self.push_clusters(0).await;
        self.push_policies(0).await;
    }

    /// Says whether a message of 150 bytes passes on a new socket; else it must be refused as too long.
    async fn probe(&self) -> bool {
        let mut client = self.scene.open("/ws/probe").await;
        let message = Frame::binary(vec![7; 150]);
        client.send(message.clone().masked().bytes()).await;
        let answer = client.frame().await;
        let passes = answer == Ok(message);
        assert!(passes || answer == Ok(Frame::closing(1009, "frame_too_big")), "{answer:?}");
        passes
    }

    /// Returns the status of a handshake, and the reason of a refusal.
    pub(crate) async fn refusal(&self, request: &Request) -> (u16, Option<String>) {
        let response = self.scene.ask(request).await;
        (response.status, response.reason())
    }

    /// Waits until such a handshake is answered so.
    pub(crate) async fn becomes(&self, request: &Request, status: u16, reason: Option<&str>) {
        let expected = (status, reason.map(str::to_owned));
        within(START, &format!("{expected:?}"), async {
            while self.refusal(request).await != expected {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

/// Limits that are used up: of handshakes, of live connections, and of a token that may be used once.
#[derive(Debug)]
pub(crate) struct Limits {
    open: [RawClient; 2],
    used: Request,
}

impl Limits {
    pub(crate) async fn use_up(stage: &Stage) -> Self {
        let used = bearing("/ws/once");
        assert_eq!(stage.refusal(&used).await, (101, None));
        for _ in 0..2 {
            assert_eq!(stage.refusal(&Request::upgrade("/ws/seldom")).await, (101, None));
        }
        let few = async || stage.scene.open("/ws/few").await;
        Self { open: [few().await, few().await], used }
    }

    pub(crate) async fn assert_used_up(&self, stage: &Stage, turn: u64) {
        let refused = |status, reason: &str| (status, Some(reason.to_owned()));
        let seldom = stage.refusal(&Request::upgrade("/ws/seldom")).await;
        assert_eq!(seldom, refused(429, "handshake_rate"), "push {turn}");
        // The part of a VM that a busy machine has had stand still for five seconds is not counted until it goes on.
        stage.becomes(&Request::upgrade("/ws/few"), 429, Some("connection_limit")).await;
        assert_eq!(stage.refusal(&self.used).await, refused(401, "token_replayed"), "push {turn}");
    }

    /// Ends one of the connections; another can be opened in its place then.
    pub(crate) async fn give_back_in(self, stage: &Stage) {
        let [stays, goes] = self.open;
        drop(goes);
        stage.becomes(&Request::upgrade("/ws/few"), 101, None).await;
        drop(stays);
    }
}
