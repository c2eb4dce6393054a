//! A control plane in this process: it governs one Envoy by one gRPC stream (ADS, state of the world), pushes filter,
//! routes and clusters to it, and tells the verdict of that Envoy on each push.
//!
//! Keeps nothing of what it has pushed, and sends nothing to a second Envoy: other control planes are written otherwise.

mod published;
mod resources;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;
use envoy_types::pb::google::protobuf::Any;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::deadline::{START, eventually};
use crate::environment;
use crate::scene::bootstrap::{FILTER, HCM, PLUGIN};
use crate::scene::{Scene, module};
use published::{Published, Service};
use resources::{CLUSTERS, FILTERS, ROUTES};

/// The cluster by which Envoy reaches the control plane.
const CLUSTER: &str = "control_plane";

/// Envoy's verdict on a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Envoy has taken it, and it is in force (ACK).
    Taken,
    /// Envoy has refused it (NACK), for this reason, and what was in force before stays so.
    Refused(String),
}

/// A control plane that runs until it is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    address: SocketAddr,
    desired: Arc<Mutex<Desired>>,
    published: Arc<Published>,
    serving: JoinHandle<()>,
}

/// The configuration that Envoy is meant to have, in the form of its bootstrap; one that it has refused is not kept.
#[derive(Clone, Debug, Default)]
struct Desired {
    filter: Value,
    routes: Value,
    clusters: Vec<(String, SocketAddr)>,
}

impl Desired {
    /// Returns where the filter has its module from.
    fn module(&self) -> &Value {
        &self.filter.pointer(PLUGIN).expect("a plugin")["vm_config"]["code"]["local"]
    }
}

impl ControlPlane {
    /// Starts a control plane on a free port, with these clusters of one host each.
    pub async fn start(clusters: &[(&str, SocketAddr)]) -> Self {
        let listener = environment::listener().await;
        let address = listener.local_addr().expect("the port just bound");
        let published = Arc::new(Published::default());
        let service = AggregatedDiscoveryServiceServer::new(Service(Arc::clone(&published)));
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let serving = tokio::spawn(async move {
            Server::builder().serve_with_incoming(service, incoming).await.expect("a gRPC server");
        });
        let desired = Desired { clusters: named(clusters), ..Desired::default() };
        published.publish(CLUSTERS, resources::clusters(&desired.clusters));
        Self { address, desired: Arc::new(Mutex::new(desired)), published, serving }
    }

    /// Has the Envoy of `scene` take its filter, its routes and more clusters from here, to begin with those that the
    /// scene has.
    pub fn governing(&self, scene: Scene) -> Scene {
        let (desired, published) = (Arc::clone(&self.desired), Arc::clone(&self.published));
        scene.cluster_http2(CLUSTER, self.address).change(move |bootstrap| {
            let mut desired = desired.lock().expect("a lock that no panic has poisoned");
            desired.filter = take_filter(bootstrap);
            desired.routes = take_routes(bootstrap);
            published.publish(FILTERS, vec![resources::filter(&desired.filter)]);
            published.publish(ROUTES, vec![resources::routes(&desired.routes, desired.module())]);
            let grpc = json!([{"envoy_grpc": {"cluster_name": CLUSTER}}]);
            bootstrap["dynamic_resources"] = json!({
                "ads_config": {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": grpc},
                "cds_config": source(),
            });
        })
    }

    /// Pushes a whole configuration of the filter.
    pub async fn push_document(&self, document: Value) -> Verdict {
        self.push_filter(|plugin| plugin["configuration"]["value"] = document).await
    }

    /// Pushes a filter of another module, and the routes if what they say of it names its module.
    pub async fn push_module(&self, module: &Path) -> Verdict {
        let change = |plugin: &mut Value| plugin["vm_config"]["code"]["local"]["filename"] = json!(module);
        let verdict = self.push_filter(change).await;
        if module::is_native() && module::configures_routes() {
            assert_eq!(self.push_routes(|_| {}).await, Verdict::Taken, "routes that name another module");
        }
        verdict
    }

    /// Pushes the filter with a change to its `config`.
    pub async fn push_filter(&self, change: impl FnOnce(&mut Value)) -> Verdict {
        let mut desired = self.desired().clone();
        change(desired.filter.pointer_mut(PLUGIN).expect("a plugin"));
        self.push(FILTERS, vec![resources::filter(&desired.filter)], desired).await
    }

    /// Pushes the routes with a change to their virtual host.
    pub async fn push_routes(&self, change: impl FnOnce(&mut Value)) -> Verdict {
        let mut desired = self.desired().clone();
        change(&mut desired.routes["virtual_hosts"][0]);
        self.push(ROUTES, vec![resources::routes(&desired.routes, desired.module())], desired).await
    }

    /// Pushes these clusters in the place of all that came from here.
    pub async fn push_clusters(&self, clusters: &[(&str, SocketAddr)]) -> Verdict {
        let desired = Desired { clusters: named(clusters), ..self.desired().clone() };
        self.push(CLUSTERS, resources::clusters(&desired.clusters), desired).await
    }

    async fn push(&self, of_type: &'static str, resources: Vec<Any>, desired: Desired) -> Verdict {
        let version = self.published.publish(of_type, resources);
        let look = || self.published.verdict(of_type, version);
        // A module is compiled before Envoy says anything.
        let verdict = eventually(START, "Envoy's verdict on a push", look).await;
        if verdict == Verdict::Taken {
            *self.desired() = desired;
        }
        verdict
    }

    fn desired(&self) -> MutexGuard<'_, Desired> {
        self.desired.lock().expect("a lock that no panic has poisoned")
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn named(clusters: &[(&str, SocketAddr)]) -> Vec<(String, SocketAddr)> {
    clusters.iter().map(|(name, address)| ((*name).to_owned(), *address)).collect()
}

/// Has the bootstrap take its first filter from the control plane, and returns the filter.
fn take_filter(bootstrap: &mut Value) -> Value {
    let place = bootstrap.pointer_mut(FILTER).expect("a filter");
    let filter = place.take();
    let type_urls = json!([filter["typed_config"]["@type"]]);
    *place = json!({
        "name": filter["name"],
        "config_discovery": {"config_source": source(), "type_urls": type_urls},
    });
    filter
}

/// Has the bootstrap take its routes from the control plane, and returns them.
fn take_routes(bootstrap: &mut Value) -> Value {
    let manager = bootstrap.pointer_mut(HCM).and_then(Value::as_object_mut).expect("a connection manager");
    let routes = manager.remove("route_config").expect("routes");
    manager.insert("rds".to_owned(), json!({"route_config_name": routes["name"], "config_source": source()}));
    routes
}

fn source() -> Value {
    json!({"ads": {}, "resource_api_version": "V3"})
}
