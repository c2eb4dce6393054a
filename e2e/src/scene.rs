//! A whole scene: an upstream, an Envoy with a policy before it, and clients.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::access_log::AccessLog;
use crate::bootstrap::{Bootstrap, HCM, wasm_module};
use crate::deadline::PATIENCE;
use crate::envoy::Envoy;
use crate::http::Response;
use crate::place;
use crate::raw_client::RawClient;
use crate::record::Record;
use crate::request::Request;
use crate::tls::{Certificate, LOCAL};
use crate::token::EDGE_SECRET;
use crate::upstream::{Behaviour, Upstream, accept_of};

/// The only policy of [`Scene::policy`].
const POLICY: &str = "chat";

/// A change that only one test needs.
type Change = Box<dyn FnOnce(&mut Value) + Send>;

/// What a test asks for. Without any wishes: the shipped `envoy.yaml` with TLS, its own policies, one worker, and an
/// upstream that echoes.
#[derive(Default)]
#[must_use = "a scene is nothing before `start`"]
pub struct Scene {
    document: Option<Value>,
    policy: Option<Value>,
    providers: Map<String, Value>,
    behaviours: Vec<(String, Behaviour)>,
    environment: Vec<(String, String)>,
    route_metadata: Option<Value>,
    service: Option<SocketAddr>,
    clusters: Vec<(String, SocketAddr)>,
    workers: Option<u32>,
    module: Option<PathBuf>,
    bare: bool,
    plaintext: bool,
    verify_clients: bool,
    discovered: bool,
    forbidden: Option<String>,
    configuration_changes: Vec<Change>,
    changes: Vec<Change>,
}

impl std::fmt::Debug for Scene {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scene")
            .field("document", &self.document)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Scene {
    /// The shipped example.
    pub fn new() -> Self {
        Self::default()
    }

    /// One policy, `chat`, for every path. Its keys are laid over the least demanding one: any origin or none, no
    /// token, TLS or not.
    pub fn policy(mut self, policy: Value) -> Self {
        self.policy = Some(policy);
        self
    }

    /// A provider for [`Scene::policy`].
    pub fn provider(mut self, name: &str, provider: Value) -> Self {
        self.providers.insert(name.to_owned(), provider);
        self
    }

    /// A whole configuration: providers, policies, routes.
    pub fn document(mut self, document: Value) -> Self {
        self.document = Some(document);
        self
    }

    /// A change to the shipped configuration.
    pub fn configured(mut self, change: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.configuration_changes.push(Box::new(change));
        self
    }

    /// What the upstream does on paths that begin with `prefix`; the first that fits counts.
    pub fn upstream(mut self, prefix: &str, behaviour: Behaviour) -> Self {
        self.behaviours.push((prefix.to_owned(), behaviour));
        self
    }

    /// A variable that the module sees, such as a secret.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Envoy does not let the module call this function of the ABI.
    pub fn forbid(mut self, function: &str) -> Self {
        self.forbidden = Some(function.to_owned());
        self
    }

    /// Laid over the policy in the metadata of every route.
    pub fn route_metadata(mut self, metadata: Value) -> Self {
        self.route_metadata = Some(metadata);
        self
    }

    /// Envoy sends everything to this service, and nothing to the scene's own upstream.
    pub fn service(mut self, address: SocketAddr) -> Self {
        self.service = Some(address);
        self
    }

    /// One more cluster that Envoy knows, of one host.
    pub fn cluster(mut self, name: &str, address: SocketAddr) -> Self {
        self.clusters.push((name.to_owned(), address));
        self
    }

    /// So many worker threads instead of one.
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Without Postern, to see what Envoy does alone.
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Another module in Postern's place.
    pub fn module(mut self, path: &Path) -> Self {
        self.module = Some(path.to_owned());
        self
    }

    /// Without TLS.
    pub fn plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    /// Envoy verifies a client certificate if there is one; see [`RunningScene::connect_certified`].
    pub fn verify_clients(mut self) -> Self {
        self.verify_clients = true;
        self
    }

    /// The filter comes by ECDS, so that [`RunningScene::push`] works.
    pub fn discovered(mut self) -> Self {
        self.discovered = true;
        self
    }

    /// Any other change to the bootstrap, made last.
    pub fn change(mut self, change: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// A change to the HTTP connection manager, such as another upgrade or route.
    pub fn change_connection_manager(self, change: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.change(|bootstrap| change(bootstrap.pointer_mut(HCM).expect("an HTTP connection manager")))
    }

    /// Starts it all, and panics with Envoy's own words when Envoy does not start.
    pub async fn start(self) -> RunningScene {
        match self.try_start().await {
            Ok(scene) => scene,
            Err(error) => panic!("{error}"),
        }
    }

    /// Starts it all; the error is what Envoy said.
    pub async fn try_start(mut self) -> Result<RunningScene, crate::envoy::EnvoyError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let upstream = Upstream::start(std::mem::take(&mut self.behaviours)).await;
        let place = place::current();
        let certificate = Certificate::self_signed(&[&LOCAL[..], &[place.host()]].concat());
        let client_certificate = Certificate::self_signed(&["client.example.com"]);
        let access_log = folder.path().join("access.log");

        let mut bootstrap = Bootstrap::shipped().unwrap_or_else(|error| panic!("{error}"));
        let anywhere = SocketAddr::from((place.envoy(), 0));
        bootstrap.listen(anywhere);
        bootstrap.admin(anywhere);
        bootstrap.upstream(self.service.unwrap_or(upstream.address()));
        for (name, address) in &self.clusters {
            bootstrap.cluster(name, *address);
        }
        bootstrap.access_log(&access_log);
        self.secure(&mut bootstrap, &folder, &certificate, &client_certificate);
        if let Some(metadata) = &self.route_metadata {
            bootstrap.route_metadata(metadata);
        }
        let discovery = if self.bare {
            bootstrap.without_filter();
            None
        } else {
            self.configure(&mut bootstrap, &folder)
        };
        for change in std::mem::take(&mut self.changes) {
            change(bootstrap.value_mut());
        }

        let mut environment = std::mem::take(&mut self.environment);
        environment.push(("POSTERN_EDGE_SECRET".to_owned(), EDGE_SECRET.to_owned()));
        let envoy = Envoy::start(&bootstrap, folder.path(), self.workers.unwrap_or(1), &environment).await?;
        let tls = (!self.plaintext).then_some(certificate);
        let access_log = AccessLog::at(&access_log);
        let providers = self.providers;
        Ok(RunningScene {
            envoy,
            upstream,
            access_log,
            tls,
            client_certificate,
            discovery,
            providers,
            folder,
        })
    }

    fn secure(&self, bootstrap: &mut Bootstrap, folder: &TempDir, own: &Certificate, client: &Certificate) {
        if self.plaintext {
            bootstrap.without_tls();
            return;
        }
        let (chain, key) = own.write(folder.path()).expect("a writable folder");
        bootstrap.certificate(&chain, &key);
        if self.verify_clients {
            let clients = folder.path().join("clients");
            std::fs::create_dir(&clients).expect("a writable folder");
            let (authority, _) = client.write(&clients).expect("a writable folder");
            bootstrap.verify_clients(&authority);
        }
    }

    fn configure(&mut self, bootstrap: &mut Bootstrap, folder: &TempDir) -> Option<Discovery> {
        let built = || wasm_module().unwrap_or_else(|error| panic!("{error}"));
        bootstrap.wasm(&self.module.take().unwrap_or_else(built));
        if let Some(function) = &self.forbidden {
            bootstrap.forbid(function);
        }
        for (name, _) in &self.environment {
            bootstrap.environment(name);
        }
        if let Some(document) = self.document.take() {
            *bootstrap.configuration() = document;
        }
        if let Some(policy) = self.policy.take() {
            *bootstrap.configuration() = document_of(policy, &self.providers);
        }
        for change in std::mem::take(&mut self.configuration_changes) {
            change(bootstrap.configuration());
        }
        if !self.discovered {
            return None;
        }
        let discovery =
            Discovery { source: bootstrap.clone(), path: folder.path().join("filter.json"), version: 1 };
        discovery.write();
        bootstrap.discover_filter(&discovery.path);
        Some(discovery)
    }
}

/// The document in which `policy`, over the least demanding one, is the only policy.
fn document_of(policy: Value, providers: &Map<String, Value>) -> Value {
    let mut whole =
        json!({"tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "auth": "none"});
    for (key, value) in policy.as_object().expect("an object") {
        whole[key] = value.clone();
    }
    json!({"providers": providers, "policies": {POLICY: whole}, "default_policy": POLICY})
}

/// The file from which Envoy takes the filter.
#[derive(Debug)]
struct Discovery {
    source: Bootstrap,
    path: PathBuf,
    version: u64,
}

impl Discovery {
    /// Envoy watches for a file moved into place.
    fn write(&self) {
        let draft = self.path.with_extension("draft");
        let response = self.source.discovery_response(self.version).to_string();
        std::fs::write(&draft, response)
            .and_then(|()| std::fs::rename(&draft, &self.path))
            .expect("a writable folder");
    }
}

/// What became of a pushed configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// New connections fall under it.
    Taken,
    /// The old one serves on.
    Rejected,
}

/// A scene that runs until it is dropped.
#[derive(Debug)]
pub struct RunningScene {
    envoy: Envoy,
    upstream: Upstream,
    access_log: AccessLog,
    tls: Option<Certificate>,
    client_certificate: Certificate,
    discovery: Option<Discovery>,
    providers: Map<String, Value>,
    // Dropped last: Envoy's files are in it.
    folder: TempDir,
}

impl RunningScene {
    /// The Envoy process: its stats, log and admin interface.
    pub fn envoy(&self) -> &Envoy {
        &self.envoy
    }

    /// The service behind Envoy.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.envoy.listener().port()
    }

    /// `wss://localhost:<port><path>`, or `ws://` without TLS. Where Envoy runs elsewhere, its name stands there.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}:{}{path}", place::current().host(), self.port())
    }

    /// The PEM file of Envoy's certificate, for clients that must be told to trust it.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// A connection.
    pub async fn connect(&self) -> RawClient {
        self.connection(None, None).await
    }

    /// A connection of somebody else, such as 127.0.0.2; see [`Place::address_of`](place::Place::address_of).
    pub async fn connect_from(&self, address: [u8; 4]) -> RawClient {
        self.connection(Some(IpAddr::from(address)), None).await
    }

    /// A connection with a client certificate that Envoy verifies under [`Scene::verify_clients`].
    pub async fn connect_certified(&self) -> RawClient {
        self.connection(None, Some(&self.client_certificate)).await
    }

    async fn connection(&self, from: Option<IpAddr>, certificate: Option<&Certificate>) -> RawClient {
        let tls = self.tls.as_ref().map(|tls| tls.client(certificate));
        RawClient::connect(self.envoy.listener(), from, tls).await.expect("a connection to Envoy")
    }

    /// One request on a connection of its own, and its response.
    pub async fn ask(&self, request: &Request) -> Response {
        self.connect().await.ask(request).await
    }

    /// An open WebSocket by a sound handshake without token and Origin.
    pub async fn open(&self, path: &str) -> RawClient {
        self.open_with(&Request::upgrade(path)).await
    }

    /// An open WebSocket of a client at `address`, on `path`.
    pub async fn open_from(&self, address: [u8; 4], path: &str) -> RawClient {
        Self::upgrade(self.connect_from(address).await, &Request::upgrade(path)).await
    }

    /// An open WebSocket by this handshake, which must be answered by a right 101.
    pub async fn open_with(&self, request: &Request) -> RawClient {
        Self::upgrade(self.connect().await, request).await
    }

    async fn upgrade(mut client: RawClient, request: &Request) -> RawClient {
        let response = client.ask(request).await;
        assert_eq!(response.status, 101, "{} was not upgraded: {}", request.case(), response.text());
        let key =
            String::from_utf8_lossy(request.value("sec-websocket-key").unwrap_or_default()).into_owned();
        assert_eq!(response.header("sec-websocket-accept"), Some(accept_of(&key)), "the accept key");
        client
    }

    /// What the upstream saw of the client's request.
    pub async fn record(&self, client: &RawClient) -> Arc<Record> {
        self.upstream.record(client.case()).await
    }

    /// The access-log line of the client's request; a WebSocket's comes when it has ended.
    pub async fn access_line(&self, case: &str) -> Value {
        self.access_log.line(case).await
    }

    /// Pushes a policy like that of [`Scene::policy`] to the running Envoy, and waits for Envoy's verdict.
    pub async fn push(&mut self, policy: Value) -> Pushed {
        let document = document_of(policy, &self.providers);
        self.push_document(document).await
    }

    /// Pushes a whole configuration to the running Envoy, and waits for Envoy's verdict.
    pub async fn push_document(&mut self, document: Value) -> Pushed {
        let before = Verdicts::of(&self.envoy).await;
        let discovery = self.discovery.as_mut().expect("a scene that was asked to be `discovered`");
        *discovery.source.configuration() = document;
        discovery.version += 1;
        discovery.write();
        let end = Instant::now() + PATIENCE;
        loop {
            let now = Verdicts::of(&self.envoy).await;
            if now.taken > before.taken {
                return Pushed::Taken;
            }
            if now.rejected > before.rejected {
                return Pushed::Rejected;
            }
            assert!(Instant::now() < end, "waited {PATIENCE:?} for Envoy's verdict on a pushed policy");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How often Envoy has taken and rejected a filter configuration.
struct Verdicts {
    taken: f64,
    rejected: f64,
}

impl Verdicts {
    async fn of(envoy: &Envoy) -> Self {
        let stats = envoy.stats().await;
        let sum = |ending: &str| -> f64 {
            let ours =
                |name: &str| name.starts_with("envoy_extension_config_discovery") && name.ends_with(ending);
            stats.0.iter().filter(|sample| ours(&sample.name)).map(|sample| sample.value).sum()
        };
        Self { taken: sum("_update_success"), rejected: sum("_update_rejected") }
    }
}
