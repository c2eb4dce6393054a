//! The manifests for Envoy Gateway, as the Envoy configuration that they amount to, in a real Envoy: which policy judges
//! which route, what two policies count together, and that nothing passes where the module is not there.

mod translation;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use postern_e2e::client::token::edge_claims;
use postern_e2e::environment;
use postern_e2e::scene::bootstrap::{wasm_module, workspace};
use postern_e2e::scene::{Shareable, Shared, module};
use postern_e2e::{
    Documents, Frame, RawClient, Request, Response, RunningScene, Scene, Served, Signer, Value, json,
};
use sha2::{Digest, Sha256};
use translation::{Gateway, Module, OWN_METADATA, Shape};

const APP: &str = "https://app.example.com";
const WWW: &str = "https://www.example.com";
const EVIL: &str = "https://evil.example.com";

/// The path at which Envoy Gateway serves the module.
const MODULE: &str = "/postern.wasm";

/// Reads manifests. Their policies take clients without TLS, which the listeners here do not end.
fn manifests(file: &str) -> Vec<Value> {
    let path = workspace().join("e2e/envoy-gateway").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut manifests: Vec<Value> =
        serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let policies =
        manifests.iter_mut().filter_map(|manifest| manifest.pointer_mut("/spec/wasm/0/config/policies"));
    for policy in policies.flat_map(|policies| policies.as_object_mut().expect("policies").values_mut()) {
        policy["tls"] = json!("optional");
    }
    manifests
}

/// Returns a Gateway with one policy for all its routes, and another one for `chat`.
fn with_policy_of_its_own(module: &Module) -> Gateway {
    let manifests = [manifests("postern.yaml"), manifests("http.yaml")].concat();
    let routes = vec![("chat", "/chat"), ("pages", "/pages")];
    Gateway { shape: Shape::Chains, manifests, routes, module: module.clone() }
}

/// Returns a Gateway with a policy for each of two routes, one of which is bound to a third route too, and a route without any.
fn with_policies_of_routes(module: &Module) -> Gateway {
    let is_of_gateway = |manifest: &Value| {
        let spec = &manifest["spec"];
        [&spec["targetRef"], &spec["targetRefs"][0]].iter().any(|target| target["kind"] == "Gateway")
    };
    let of_gateway = manifests("postern.yaml").into_iter().filter(is_of_gateway);
    let mut manifests: Vec<Value> = manifests("routes.yaml").into_iter().chain(of_gateway).collect();
    let more = json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "news"});
    let targets =
        manifests.iter_mut().filter_map(|manifest| manifest["spec"].get_mut("targetRefs")?.as_array_mut());
    for targets in targets.filter(|targets| targets.iter().any(|target| target["name"] == "feed")) {
        targets.push(more.clone());
    }
    let routes = vec![("chat", "/chat"), ("feed", "/feed"), ("news", "/news"), ("free", "/free")];
    Gateway { shape: Shape::Filters, manifests, routes, module: module.clone() }
}

/// Reads the manifests of a page.
fn manifests_of_page(name: &str) -> Vec<Value> {
    let text =
        std::fs::read_to_string(workspace().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let blocks = text.split("\n```").filter_map(|block| block.strip_prefix("yaml envoy-gateway\n"));
    let of_block = |block: &str| -> Vec<Value> {
        serde_saphyr::from_multiple(block).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    blocks.flat_map(of_block).collect()
}

/// Returns every route of a Gateway by the name of its HTTPRoute, with its virtual host.
fn routes_of(configuration: &Value) -> Vec<(&Value, &str, &Value)> {
    let hosts = configuration["virtual_hosts"].as_array().expect("virtual hosts");
    assert!(hosts.len() > 1, "{configuration}");
    let mut found = Vec::new();
    for host in hosts {
        for route in host["routes"].as_array().expect("routes") {
            let name = route["name"].as_str().and_then(|name| name.split('/').nth(2));
            found.push((host, name.expect("a name"), route));
        }
    }
    found
}

/// Has the Envoy of a scene be the one of these Gateways, with a listener for each.
fn with_gateways(scene: Scene, modules: &Documents, gateways: Vec<(&'static str, Gateway)>) -> Scene {
    let address = environment::current().envoy().to_string();
    let address = json!({"socketAddress": {"address": address, "portValue": 0}});
    scene.plaintext().bare().cluster("wasm_cluster", modules.address()).change(move |bootstrap| {
        let resources = &mut bootstrap["static_resources"];
        let listeners = gateways.iter().map(|(name, gateway)| {
            let mut listener = gateway.listener(&address);
            listener["name"] = json!(name);
            listener
        });
        resources["listeners"] = listeners.collect();
        resources["clusters"][0]["circuit_breakers"] = gateways[0].1.circuit_breakers();
    })
}

/// The Gateways in one Envoy.
struct Gateways {
    scene: RunningScene,
    listeners: BTreeMap<String, SocketAddr>,
    _modules: Documents,
}

impl Shareable for Gateways {
    async fn start(scene: fn() -> Scene) -> Self {
        let (modules, module) = serve_module().await;
        let gateways =
            vec![("own", with_policy_of_its_own(&module)), ("routes", with_policies_of_routes(&module))];
        let scene = with_gateways(scene(), &modules, gateways).start().await;
        let listeners = listeners(&scene).await;
        Self { scene, listeners, _modules: modules }
    }

    fn scenes(&self) -> Vec<&RunningScene> {
        vec![&self.scene]
    }
}

static GATEWAYS: Shared<Gateways> = Shared::new(Scene::new);

/// Serves the built module as Envoy Gateway does.
async fn serve_module() -> (Documents, Module) {
    let bytes = std::fs::read(wasm_module().unwrap_or_else(|error| panic!("{error}"))).expect("a module");
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let modules = Documents::start().await;
    modules.serve(MODULE, Served::Answer(200, bytes));
    (modules, Module { path: MODULE.to_owned(), sha256 })
}

/// Returns the address of each listener.
async fn listeners(scene: &RunningScene) -> BTreeMap<String, SocketAddr> {
    let listed = scene.envoy().ask_admin("/listeners?format=json").await.json();
    let address = |listener: &Value| {
        let socket = listener.pointer("/local_address/socket_address")?;
        let port = u16::try_from(socket.get("port_value")?.as_u64()?).ok()?;
        let ip = socket.get("address")?.as_str()?.parse().ok()?;
        Some((listener.get("name")?.as_str()?.to_owned(), SocketAddr::new(ip, port)))
    };
    listed["listener_statuses"].as_array().expect("listeners").iter().filter_map(address).collect()
}

impl Gateways {
    async fn connect(&self, listener: &str) -> RawClient {
        RawClient::connect(self.listeners[listener], None, None).await.expect("a connection to Envoy")
    }

    async fn ask(&self, listener: &str, request: &Request) -> Response {
        self.connect(listener).await.ask(request).await
    }

    /// Opens a WebSocket, or returns the status of the refusal.
    async fn open(&self, listener: &str, request: &Request) -> Result<RawClient, u16> {
        let mut client = self.connect(listener).await;
        let response = client.ask(request).await;
        if response.status == 101 { Ok(client) } else { Err(response.status) }
    }
}

/// Returns a handshake as a browser behind a proxy that ends TLS would make it.
fn upgrade(path: &str, origin: &str) -> Request {
    Request::upgrade(path).header("Origin", origin)
}

fn with_token(request: Request) -> Request {
    let token = Signer::edge().mint(&edge_claims("alice"));
    request.header("Sec-WebSocket-Protocol", format!("chat.v2, bearer.{token}"))
}

#[tokio::test]
async fn a_route_is_judged_by_its_own_policy_in_the_place_of_that_of_its_gateway() {
    let gateways = GATEWAYS.shared().await;
    for (path, policy) in [("/chat", "chat"), ("/pages", "everywhere")] {
        let labels = [("policy", policy), ("result", "allowed")];
        let allowed = gateways.scene.envoy().growth("postern_handshakes", &labels).await;
        let evil = gateways.ask("own", &with_token(upgrade(path, EVIL))).await;
        assert_eq!((evil.status, evil.reason().as_deref()), (403, Some("origin_denied")), "{path}");
        let anonymous = gateways.ask("own", &upgrade(path, APP)).await;
        assert_eq!((anonymous.status, anonymous.reason().as_deref()), (401, Some("token_missing")), "{path}");
        let mut client = gateways.open("own", &with_token(upgrade(path, APP))).await.expect("a WebSocket");
        client.send(Frame::text("echo").masked().bytes()).await;
        assert_eq!(client.frame().await, Ok(Frame::text("echo")), "{path}");
        allowed.becomes(1.0).await;
    }
}

#[tokio::test]
async fn two_policies_count_apart_and_one_policy_counts_all_its_routes_together() {
    let gateways = GATEWAYS.shared().await;
    let of_feed = |path: &str| upgrade(path, WWW);
    let of_chat = |path: &str| with_token(upgrade(path, APP));
    let mut open = Vec::new();
    for (request, expected) in [
        (of_feed("/feed"), 101),
        (of_feed("/news"), 101),
        // The policy of both has counted two of this address.
        (of_feed("/news"), 429),
        (of_feed("/feed"), 429),
        // That of the other route has counted none.
        (of_chat("/chat"), 101),
        (of_chat("/chat"), 101),
        (of_chat("/chat"), 429),
    ] {
        match gateways.open("routes", &request).await {
            Ok(client) => {
                assert_eq!(expected, 101, "{}", open.len());
                open.push(client);
            }
            Err(status) => assert_eq!(status, expected, "{}", open.len()),
        }
    }
}

#[tokio::test]
async fn a_route_without_a_policy_is_not_judged() {
    let gateways = GATEWAYS.shared().await;
    let evil = gateways.open("routes", &upgrade("/free", EVIL)).await;
    assert!(evil.is_ok());
    for path in ["/chat", "/feed", "/news"] {
        let refused = gateways.ask("routes", &with_token(upgrade(path, EVIL))).await;
        assert_eq!(refused.reason().as_deref(), Some("origin_denied"), "{path}");
    }
}

#[test]
fn every_route_with_a_policy_has_no_timeout_but_an_idle_one_and_its_host_a_limit_of_the_buffer() {
    let module = Module { path: MODULE.to_owned(), sha256: String::new() };
    for gateway in [with_policy_of_its_own(&module), with_policies_of_routes(&module)] {
        let configuration = gateway.routes();
        let mut judged = 0;
        for (host, name, route) in routes_of(&configuration) {
            assert_eq!(host["request_body_buffer_limit"], 2_097_152, "{host}");
            if !gateway.is_judged(name) {
                continue;
            }
            let (timeout, idle) = (&route["route"]["timeout"], &route["route"]["idle_timeout"]);
            assert_eq!(timeout, "0s", "{name} is cut by it: {route}");
            let is_set = idle.as_str().is_some_and(|idle| idle != "0s");
            assert!(is_set, "{name} has none for sockets of a worker that has trapped: {route}");
            judged += 1;
        }
        assert!(judged >= 4, "{judged}");
    }
}

#[test]
fn limits_of_the_page_lie_over_one_rule_on_every_hostname_beside_the_metadata_that_are_there() {
    let module = Module { path: MODULE.to_owned(), sha256: String::new() };
    let manifests = manifests_of_page("docs/envoy-gateway.md");
    let routes = vec![("chat", "/chat"), ("chat", "/chat/uploads"), ("pages", "/pages")];
    let gateway = Gateway { shape: Shape::Chains, manifests, routes, module };
    let configuration = gateway.routes();
    for (host, name, route) in routes_of(&configuration) {
        assert_eq!(host["request_body_buffer_limit"], 2_097_152, "{host}");
        let metadata = &route["metadata"]["filter_metadata"];
        assert!(metadata[OWN_METADATA]["resources"].is_array(), "{name}: {metadata}");
        let has_limits = metadata["postern"]["messages"]["max_message_bytes"] == "1MiB";
        let is_for_uploads = route["match"]["path_separated_prefix"] == "/chat/uploads";
        assert_eq!(has_limits, is_for_uploads, "{name}: {metadata}");
    }
}

#[tokio::test]
async fn nothing_passes_where_the_module_cannot_be_had() {
    if module::lacks("a module that is fetched") {
        return;
    }
    let modules = Documents::start().await;
    let module = Module { path: MODULE.to_owned(), sha256: "0".repeat(64) };
    let gateways = vec![("routes", with_policies_of_routes(&module))];
    let scene = with_gateways(Scene::new(), &modules, gateways).start().await;
    assert!(modules.hits(MODULE) > 0);
    let request = with_token(upgrade("/chat", APP));
    let refused = scene.ask(&request).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!scene.upstream().has_seen(request.case()));
    assert_eq!(scene.ask(&upgrade("/free", EVIL)).await.status, 101, "a route without a policy");
}
