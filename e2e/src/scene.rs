//! A whole scene: an upstream, an Envoy with a policy before it, and clients. A [`Scene`] is what a test asks
//! for, a [`RunningScene`] what it gets, alone or [`Shared`] with the other tests of its file.

pub mod access_log;
mod admin_pipe;
pub mod bootstrap;
mod capabilities;
pub mod checked;
mod common;
mod discovery;
pub mod envoy;
pub mod launcher;
pub mod module;
pub mod order;
mod policy;
mod prepared;
mod process;
mod running;
mod shared;
pub mod stats;
pub mod trapping_module;
mod watchdog;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::client::token::EDGE_SECRET;
use crate::environment;
use crate::scene::access_log::AccessLog;
use crate::scene::bootstrap::HCM;
use crate::scene::common::Place;
use crate::scene::discovery::Discovery;
use crate::scene::prepared::Prepared;
use crate::scene::running::Host;
use crate::tls::{Certificate, LOCAL};
use crate::upstream::{Behaviour, Upstream};

pub use bootstrap::Bootstrap;
pub use discovery::Pushed;
pub use envoy::{Envoy, EnvoyError, HotRestart};
pub use policy::document;
use running::Row;
pub use running::RunningScene;
pub use shared::{Lent, Shareable, Shared};

/// A change that only one test needs.
type Change = Box<dyn FnOnce(&mut Value) + Send>;

/// A change that goes with files of its own in the scene's folder.
type ChangeWithFiles = Box<dyn FnOnce(&mut Value, &Path) + Send>;

/// A scene as a test asks for it. Without any options: the shipped `envoy.yaml` with TLS, its own policies, one worker,
/// and an upstream that echoes.
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
    http2_clusters: Vec<(String, SocketAddr)>,
    workers: Option<u32>,
    module: Option<PathBuf>,
    bare: bool,
    plaintext: bool,
    verify_clients: bool,
    discovered: bool,
    beside_others: bool,
    forbidden: Vec<String>,
    configuration_changes: Vec<Change>,
    changes: Vec<ChangeWithFiles>,
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
    /// Returns the shipped example.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the one policy, `chat`, for every path. Its keys are laid over the least demanding one, as those
    /// of [`document`] are.
    pub fn policy(mut self, policy: Value) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Adds a provider for [`Scene::policy`].
    pub fn provider(mut self, name: &str, provider: Value) -> Self {
        self.providers.insert(name.to_owned(), provider);
        self
    }

    /// Sets a whole configuration: providers, policies, routes.
    pub fn document(mut self, document: Value) -> Self {
        self.document = Some(document);
        self
    }

    /// Changes the shipped configuration.
    pub fn configured(mut self, change: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.configuration_changes.push(Box::new(change));
        self
    }

    /// Has the upstream behave so on paths that begin with `prefix`; the first that fits counts.
    pub fn upstream(mut self, prefix: &str, behaviour: Behaviour) -> Self {
        self.behaviours.push((prefix.to_owned(), behaviour));
        self
    }

    /// Adds a variable that the module sees, such as a secret.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Forbids the module to call this function of the ABI, besides others.
    pub fn forbid(mut self, function: &str) -> Self {
        self.forbidden.push(function.to_owned());
        self
    }

    /// Sets what the metadata of every route lays over the policy.
    pub fn route_metadata(mut self, metadata: Value) -> Self {
        self.route_metadata = Some(metadata);
        self
    }

    /// Has Envoy send everything to this service, and nothing to the scene's own upstream.
    pub fn service(mut self, address: SocketAddr) -> Self {
        self.service = Some(address);
        self
    }

    /// Adds a cluster that Envoy knows, of one host.
    pub fn cluster(mut self, name: &str, address: SocketAddr) -> Self {
        self.clusters.push((name.to_owned(), address));
        self
    }

    /// Adds a cluster that Envoy knows, of one host that speaks HTTP/2.
    pub fn cluster_http2(mut self, name: &str, address: SocketAddr) -> Self {
        self.http2_clusters.push((name.to_owned(), address));
        self
    }

    /// Has Envoy run this number of workers instead of one.
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Leaves Postern out, to see what Envoy does alone.
    pub fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Puts another module in Postern's place.
    pub fn module(mut self, path: &Path) -> Self {
        self.module = Some(path.to_owned());
        self
    }

    /// Puts this dynamic module in Postern's place, whichever module is under test. What is changed behind that finds it there.
    pub fn dynamic_module(self, path: &Path) -> Self {
        self.module(path).change(module::put)
    }

    /// Takes out again the filter by which a dynamic module that was put in sends to clients, so that the network filter does it.
    pub fn without_sender(self) -> Self {
        self.change(module::remove_senders)
    }

    /// Leaves TLS out.
    pub fn plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    /// Has Envoy verify a client certificate if there is one; see [`RunningScene::connect_certified`].
    pub fn verify_clients(mut self) -> Self {
        self.verify_clients = true;
        self
    }

    /// Has the filter come by ECDS, so that [`RunningScene::push`] works.
    pub fn discovered(mut self) -> Self {
        self.discovered = true;
        self
    }

    /// Has the scene start beside the other such scenes of the process, in one Envoy, which compiles the module once for
    /// all of them. Such a scene has a listener, a VM, clusters, an upstream and an access log to itself. It shares
    /// Envoy's log and metrics, cannot change the rest of the bootstrap, and cannot be pushed to. Without Postern it has
    /// an Envoy of its own, which costs nothing.
    pub fn beside_others(mut self) -> Self {
        self.beside_others = true;
        self
    }

    /// Makes any other change to the bootstrap, last of all.
    pub fn change(self, change: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.change_with_files(|bootstrap, _| change(bootstrap))
    }

    /// Makes any other change to the bootstrap, with files in the folder that it is told; they go with the scene.
    pub fn change_with_files(mut self, change: impl FnOnce(&mut Value, &Path) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Changes the HTTP connection manager, such as by another upgrade or route.
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
    pub async fn try_start(self) -> Result<RunningScene, EnvoyError> {
        let workers = self.workers.unwrap_or(1);
        // The dynamic module has the environment of its Envoy, and starts at once.
        let may_share = environment::shares_envoys() && !module::is_native();
        let is_beside_others = self.beside_others && !self.bare && may_share;
        let prepared = self.prepare().await;
        if is_beside_others {
            let place = Place::take(&prepared.bootstrap, workers, &prepared.environment).await;
            return Ok(prepared.in_envoy(Host::Common(place)));
        }
        let folder = prepared.folder.path();
        let envoy = Envoy::start(&prepared.bootstrap, folder, workers, &prepared.environment).await?;
        Ok(prepared.in_envoy(Host::Own(envoy)))
    }

    /// Starts it all, with the first of a row of Envoys: [`RunningScene::hot_restart`] starts the next.
    pub async fn start_row(self, times: HotRestart) -> RunningScene {
        let workers = self.workers.unwrap_or(1);
        let prepared = self.prepare().await;
        let row = Row { bootstrap: prepared.bootstrap.clone(), times, workers, epoch: 0 };
        let first = row.start(prepared.folder.path(), &prepared.environment).await;
        let envoy = first.unwrap_or_else(|error| panic!("{error}"));
        let mut scene = prepared.in_envoy(Host::Own(envoy));
        scene.row = Some(row);
        scene
    }

    /// Makes all but the Envoy.
    async fn prepare(mut self) -> Prepared {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let upstream = Upstream::start(std::mem::take(&mut self.behaviours)).await;
        let here = environment::current();
        let certificate = Certificate::self_signed(&[&LOCAL[..], &[here.host()]].concat());
        let client_certificate = Certificate::self_signed(&["client.example.com"]);
        let access_log = folder.path().join("access.log");

        let mut bootstrap = Bootstrap::shipped().unwrap_or_else(|error| panic!("{error}"));
        let anywhere = SocketAddr::from((here.envoy(), 0));
        bootstrap.listen(anywhere);
        bootstrap.admin(anywhere);
        bootstrap.upstream(self.service.unwrap_or(upstream.address()));
        for (name, address) in &self.clusters {
            bootstrap.cluster(name, *address);
        }
        for (name, address) in &self.http2_clusters {
            bootstrap.cluster_http2(name, *address);
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
            change(bootstrap.value_mut(), folder.path());
        }

        let mut environment = std::mem::take(&mut self.environment);
        environment.push(("POSTERN_EDGE_SECRET".to_owned(), EDGE_SECRET.to_owned()));
        let tls = (!self.plaintext).then_some(certificate);
        let access_log = AccessLog::at(&access_log);
        let providers = self.providers;
        Prepared {
            bootstrap,
            environment,
            upstream,
            access_log,
            tls,
            client_certificate,
            discovery,
            providers,
            folder,
        }
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
        let built = || module::path().unwrap_or_else(|error| panic!("{error}"));
        bootstrap.wasm(&self.module.take().unwrap_or_else(built));
        if !self.forbidden.is_empty() {
            bootstrap.forbid(&self.forbidden);
        }
        for (name, _) in &self.environment {
            bootstrap.environment(name);
        }
        if let Some(document) = self.document.take() {
            *bootstrap.configuration() = document;
        }
        if let Some(policy) = self.policy.take() {
            *bootstrap.configuration() = policy::sole(&self.providers, &policy);
        }
        for change in std::mem::take(&mut self.configuration_changes) {
            change(bootstrap.configuration());
        }
        if !self.discovered {
            return None;
        }
        Some(Discovery::start(bootstrap, folder.path().join("filter.json")))
    }
}
