//! A scene that runs: its Envoy, its upstream, and the clients of both.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::client::{RawClient, Request, http2};
use crate::deadline::{PATIENCE, eventually};
use crate::environment;
use crate::http::Response;
use crate::scene::access_log::AccessLog;
use crate::scene::bootstrap::Bootstrap;
use crate::scene::common::Place;
use crate::scene::discovery::{Discovery, Pushed};
use crate::scene::envoy::{Envoy, EnvoyError, HotRestart};
use crate::scene::policy;
use crate::scene::watchdog::Watchdog;
use crate::tls::Certificate;
use crate::upstream::{Record, Upstream, accept_of};

/// The Envoy in which a scene runs.
#[derive(Debug)]
pub(super) enum Host {
    Own(Envoy),
    Common(Place),
}

/// A scene that runs until it is dropped.
#[derive(Debug)]
pub struct RunningScene {
    pub(super) host: Host,
    pub(super) upstream: Upstream,
    pub(super) access_log: AccessLog,
    pub(super) tls: Option<Certificate>,
    pub(super) client_certificate: Certificate,
    pub(super) discovery: Option<Discovery>,
    pub(super) providers: Map<String, Value>,
    pub(super) row: Option<Row>,
    // Dropped last: Envoy's files are in it.
    pub(super) folder: TempDir,
}

/// A row of Envoys, of which each takes over from the one before.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) bootstrap: Bootstrap,
    pub(super) times: HotRestart,
    pub(super) workers: u32,
    /// The number of hot restarts so far.
    pub(super) epoch: u32,
}

impl Row {
    /// Starts the Envoy whose turn it is; the files of the row are in `folder`.
    pub(super) async fn start(
        &self,
        folder: &Path,
        environment: &[(String, String)],
    ) -> Result<Envoy, EnvoyError> {
        let at = (self.times, self.epoch);
        Envoy::start_epoch(&self.bootstrap, folder, self.workers, environment, at).await
    }
}

impl RunningScene {
    /// Returns the Envoy process: its stats, its log and its admin interface. Panics for a scene beside others, whose
    /// doings are in them too.
    pub fn envoy(&self) -> &Envoy {
        match &self.host {
            Host::Own(envoy) => envoy,
            Host::Common(_) => panic!("this scene has no Envoy of its own: it was started `beside_others`"),
        }
    }

    /// Returns the Envoy process with all that other scenes have done in it: for what none of them can have caused.
    pub fn common_envoy(&self) -> &Envoy {
        match &self.host {
            Host::Own(envoy) => envoy,
            Host::Common(place) => place.envoy(),
        }
    }

    /// Returns the lines of Envoy's log that contain `part`; for a scene beside others, those of its own VM.
    pub fn log_lines_with(&self, part: &str) -> Vec<String> {
        match &self.host {
            Host::Own(envoy) => envoy.log_lines_with(part),
            Host::Common(place) => place.log_lines_with(part),
        }
    }

    /// Returns such lines as [`RunningScene::log_lines_with`] does, once there is one.
    pub async fn logged(&self, part: &str) -> Vec<String> {
        let look = || Some(self.log_lines_with(part)).filter(|lines| !lines.is_empty());
        eventually(PATIENCE, &format!("`{part}` in Envoy's log"), look).await
    }

    /// Waits until the access log has a line with this reason, and returns all such lines.
    pub async fn told(&self, reason: &str) -> Vec<Value> {
        let has_reason = |line: &Value| line["reason"] == reason;
        let look = || {
            let lines: Vec<Value> = self.access_lines().into_iter().filter(has_reason).collect();
            Some(lines).filter(|lines| !lines.is_empty())
        };
        eventually(PATIENCE, &format!("`{reason}` in the access log"), look).await
    }

    fn listener(&self) -> SocketAddr {
        match &self.host {
            Host::Own(envoy) => envoy.listener(),
            Host::Common(place) => place.listener(),
        }
    }

    /// Prints the end of Envoy's log, for a test that fails.
    pub(super) fn show_log(&self) {
        self.common_envoy().show_log();
    }

    /// Starts an Envoy that takes over the listener and the admin interface of the scene's, waits until it is ready, and
    /// returns the one before, which will end by itself.
    pub async fn hot_restart(&mut self) -> Envoy {
        let (Some(row), Host::Own(envoy)) = (&mut self.row, &mut self.host) else {
            panic!("this scene has no row of Envoys: `start_row` gives it one");
        };
        row.bootstrap.listen(envoy.listener());
        row.bootstrap.admin(envoy.admin());
        row.epoch += 1;
        let next = row.start(self.folder.path(), &[]).await;
        std::mem::replace(envoy, next.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Ends the Envoy as a supervisor does, and waits until it has ended.
    pub async fn terminate(&mut self) {
        match &mut self.host {
            Host::Own(envoy) => envoy.terminate().await,
            Host::Common(_) => panic!("this scene has no Envoy of its own"),
        }
    }

    /// Returns the service behind Envoy.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Returns the watchdog that ends the Envoy of a scene that is never dropped.
    pub(super) fn watchdog(&self) -> Option<Watchdog> {
        match &self.host {
            Host::Own(envoy) => Watchdog::of(envoy, self.folder.path()),
            Host::Common(_) => None,
        }
    }

    /// Returns the port that clients connect to.
    pub fn port(&self) -> u16 {
        self.listener().port()
    }

    /// Returns `wss://localhost:<port><path>`, or `ws://` without TLS. An Envoy that runs elsewhere is named
    /// by its host.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}:{}{path}", environment::current().host(), self.port())
    }

    /// Returns the folder of the scene's files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the PEM file of Envoy's certificate, for clients that have to trust it by name.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// Opens a connection.
    pub async fn connect(&self) -> RawClient {
        self.connection(None, None).await
    }

    /// Opens a connection from another address, such as 127.0.0.2; see
    /// [`Environment::address_of`](environment::Environment::address_of).
    pub async fn connect_from(&self, address: [u8; 4]) -> RawClient {
        self.connection(Some(IpAddr::from(address)), None).await
    }

    /// Opens a connection with a client certificate that Envoy verifies under
    /// [`Scene::verify_clients`](crate::Scene::verify_clients).
    pub async fn connect_certified(&self) -> RawClient {
        self.connection(None, Some(&self.client_certificate)).await
    }

    async fn connection(&self, from: Option<IpAddr>, certificate: Option<&Certificate>) -> RawClient {
        let tls = self.tls.as_ref().map(|tls| tls.client(certificate));
        RawClient::connect(self.listener(), from, tls).await.expect("a connection to Envoy")
    }

    /// Opens a connection of HTTP/2 on which Envoy allows extended CONNECT.
    pub async fn connect_http2(&self) -> SendRequest<Bytes> {
        http2::connect(self.listener(), &self.certificate()).await
    }

    /// Sends one request on a connection of its own and returns its response.
    pub async fn ask(&self, request: &Request) -> Response {
        self.connect().await.ask(request).await
    }

    /// Opens a WebSocket by a sound handshake without token and Origin.
    pub async fn open(&self, path: &str) -> RawClient {
        self.open_with(&Request::upgrade(path)).await
    }

    /// Opens a WebSocket on `path` for a client at `address`.
    pub async fn open_from(&self, address: [u8; 4], path: &str) -> RawClient {
        Self::upgrade(self.connect_from(address).await, &Request::upgrade(path)).await
    }

    /// Opens a WebSocket by this handshake, which must be answered by a right 101.
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

    /// Waits for the upstream's record of the client's request.
    pub async fn record(&self, client: &RawClient) -> Arc<Record> {
        self.upstream.record(client.case()).await
    }

    /// Waits for the access-log line of a request; that of a WebSocket comes when the WebSocket has ended.
    pub async fn access_line(&self, case: &str) -> Value {
        self.access_log.line(case).await
    }

    /// Returns all that the access log has so far.
    pub fn access_log_text(&self) -> String {
        self.access_log.text()
    }

    /// Returns every line of the access log so far.
    pub fn access_lines(&self) -> Vec<Value> {
        self.access_log.lines()
    }

    /// Pushes a policy like that of [`Scene::policy`](crate::Scene::policy) to the running Envoy, and waits for Envoy's
    /// verdict.
    pub async fn push(&mut self, policy: Value) -> Pushed {
        let document = policy::sole(&self.providers, &policy);
        self.push_document(document).await
    }

    /// Pushes a whole configuration to the running Envoy, and waits for Envoy's verdict.
    pub async fn push_document(&mut self, document: Value) -> Pushed {
        let discovery = self.discovery.as_mut().expect("a scene that was asked to be `discovered`");
        let Host::Own(envoy) = &self.host else { panic!("a scene beside others cannot tell verdicts apart") };
        discovery.push(document, envoy).await
    }
}
