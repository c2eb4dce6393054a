//! The proxies of the mesh, one set for all tests, and what clients ask of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postern_e2e::client::token::edge_claims;
use postern_e2e::deadline::within;
use postern_e2e::mesh::{self, Authority, Credentials, Manifests, Watched};
use postern_e2e::scene::Shareable;
use postern_e2e::scene::module;
use postern_e2e::{
    Frame, RawClient, Request, Response, RunningScene, Scene, Shared, Signer, Upstream, Value, json,
};

/// The longest time in which everybody has to hear of an end.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The name by which workloads ask for the service.
pub(crate) const SERVICE: &str = "chat.chat.svc.cluster.local";

/// The name of the second port of the service, whose route has limits of its own.
pub(crate) const UPLOADS: &str = "uploads.chat.svc.cluster.local";

/// The limit of the policy `counted`.
pub(crate) const HANDSHAKES: usize = 3;

/// The limit of the policy `strict` for frames and messages of either side, below all of the outbound one's.
pub(crate) const STRICT_BYTES: usize = 8 * 1024;

/// A certificate of the mesh for every proxy, and the service behind them.
pub(crate) struct Mesh {
    pub(crate) authority: Arc<Authority>,
    pub(crate) service: Upstream,
    pub(crate) gateway: RunningScene,
    pub(crate) outbound: RunningScene,
    pub(crate) inbound: RunningScene,
}

impl Shareable for Mesh {
    async fn start(_: fn() -> Scene) -> Self {
        let (authority, service) = (Arc::new(Authority::new()), Upstream::start(Vec::new()).await);
        let inbound = inbound(service.address(), &authority).start().await;
        let listeners = inbound.envoy().listeners().await;
        let outbound = outbound(inbound.envoy().listener(), &authority).start().await;
        let gateway =
            gateway(inbound.envoy().listener(), listeners["behind_balancer"], &authority).start().await;
        Self { authority, service, gateway, outbound, inbound }
    }

    fn scenes(&self) -> Vec<&RunningScene> {
        vec![&self.gateway, &self.outbound, &self.inbound]
    }
}

pub(crate) static MESH: Shared<Mesh> = Shared::new(Scene::new);

/// Returns the credentials of a workload, in files of a scene.
fn watched(folder: &Path, account: &str, authority: &Authority) -> Credentials {
    Credentials::Watched(Watched::new(folder, &authority.identity(account), authority))
}

fn module() -> PathBuf {
    module::path().unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the sidecar in front of the service, with policies beside that of the manifest whose limits are soon reached.
pub(crate) fn inbound(service: SocketAddr, authority: &Arc<Authority>) -> Scene {
    let authority = Arc::clone(authority);
    let manifests = Manifests::shipped("sidecar.yaml").configured(|config| {
        let policies = config["policies"].as_object_mut().expect("policies");
        let mut counted = policies["chat"].clone();
        let mut strict = counted.clone();
        counted["rates"] = json!([{"count": "handshakes", "per": "ip", "limit": HANDSHAKES, "window": "1h"}]);
        let limits = json!({"max_frame_bytes": STRICT_BYTES, "max_message_bytes": STRICT_BYTES});
        (strict["messages"], strict["upstream_messages"]) = (limits.clone(), limits);
        policies.extend([("counted".to_owned(), counted), ("strict".to_owned(), strict)]);
        config["routes"] = json!([
            {"match": {"path_prefix": "/ws/chat/counted"}, "policy": "counted"},
            {"match": {"path_prefix": "/ws/strict"}, "policy": "strict"},
        ]);
    });
    Scene::new().service(service).change_with_files(move |bootstrap, folder| {
        let credentials = watched(folder, "chat", &authority);
        mesh::inbound(bootstrap, &credentials);
        manifests.apply(bootstrap, "chat.postern", &module(), "SIDECAR_INBOUND");
        mesh::permissive(bootstrap);
        mesh::behind_balancer(bootstrap);
    })
}

/// Returns the sidecar of a workload, with a policy of wide limits beside that of the manifest.
pub(crate) fn outbound(peer: SocketAddr, authority: &Arc<Authority>) -> Scene {
    let authority = Arc::clone(authority);
    let manifests = Manifests::shipped("outbound.yaml").configured(|config| {
        let mut wide = config["policies"]["bots"].clone();
        let limits = json!({"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB"});
        (wide["messages"], wide["upstream_messages"]) = (limits.clone(), limits);
        config["policies"]["wide"] = wide;
        let routes = config["routes"].as_array_mut().expect("routes");
        for host in [SERVICE, UPLOADS] {
            routes.insert(0, json!({"match": {"host": host, "path_prefix": "/ws/wide"}, "policy": "wide"}));
        }
    });
    Scene::new().plaintext().service(peer).change_with_files(move |bootstrap, folder| {
        let (credentials, name) = (watched(folder, "bot", &authority), authority.identity("chat").name);
        mesh::outbound(bootstrap, &credentials, &name);
        manifests.apply(bootstrap, "chat.postern-outbound", &module(), "SIDECAR_OUTBOUND");
    })
}

fn gateway(peer: SocketAddr, balanced: SocketAddr, authority: &Arc<Authority>) -> Scene {
    let authority = Arc::clone(authority);
    let manifests = Manifests::shipped("postern.yaml");
    Scene::new().service(peer).change_with_files(move |bootstrap, folder| {
        let (credentials, name) = (watched(folder, "gateway", &authority), authority.identity("chat").name);
        mesh::gateway(bootstrap, &credentials, &name);
        manifests.apply(bootstrap, "istio-ingress.postern", &module(), "GATEWAY");
        mesh::behind_balancer(bootstrap);
        lead_to(bootstrap, balanced);
    })
}

/// Has what comes by the second listener go to another port of the peer.
fn lead_to(bootstrap: &mut Value, peer: SocketAddr) {
    const PORT: &str =
        "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";
    const ROUTES: &str = "/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes";
    let resources = &mut bootstrap["static_resources"];
    let mut cluster = resources["clusters"][0].clone();
    cluster["name"] = json!("balanced");
    *cluster.pointer_mut(PORT).expect("an endpoint") = json!(peer.port());
    resources["clusters"].as_array_mut().expect("clusters").push(cluster);
    let routes = resources["listeners"][1].pointer_mut(ROUTES).and_then(Value::as_array_mut);
    for route in routes.expect("routes") {
        route["route"]["cluster"] = json!("balanced");
    }
}

fn bearer() -> String {
    Signer::edge().mint(&edge_claims("alice"))
}

/// Returns the handshake of a workload of the mesh.
pub(crate) fn of_a_workload(path: &str) -> Request {
    Request::upgrade(path).set("Host", SERVICE).header("Authorization", format!("Bearer {}", bearer()))
}

/// Returns the handshake of a browser in front of the gateway. The service's sidecar is shown a token of its own.
pub(crate) fn of_a_browser(path: &str) -> Request {
    let offers = format!("chat.v2, bearer.{}", bearer());
    of_a_workload(path)
        .set("Host", "app.example.com")
        .header("Origin", "https://app.example.com")
        .header("Sec-WebSocket-Protocol", offers)
}

pub(crate) async fn handshake(mut client: RawClient, request: &Request) -> (RawClient, Response) {
    let response = within(SOON, "the answer to a handshake", client.ask(request)).await;
    (client, response)
}

pub(crate) async fn open(client: RawClient, request: &Request) -> RawClient {
    let (client, response) = handshake(client, request).await;
    assert_eq!(response.status, 101, "{}", response.text());
    client
}

pub(crate) async fn assert_echoes(client: &mut RawClient) {
    client.send(Frame::text("still here").masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::text("still here")));
}

#[track_caller]
pub(crate) fn assert_refused(response: &Response, status: u16, reason: &str) {
    assert_eq!(
        (response.status, response.reason().as_deref()),
        (status, Some(reason)),
        "{}",
        response.text()
    );
}

pub(crate) async fn access_line(proxy: &RunningScene, case: &str) -> Value {
    within(SOON, "a line of the access log", proxy.access_line(case)).await
}
