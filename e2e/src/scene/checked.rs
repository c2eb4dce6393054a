//! The documents by which `postern check` is tested, as Envoy would read them.
//!
//! The documents are in `config/cli/tests/documents`. The first lines of each name the part of Envoy's
//! configuration that it is, if it is any, and the words that `postern check` prints on it. A part of a
//! configuration is wrapped in what must be around it.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::scene::bootstrap::workspace;

const CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// The words behind which a document says what it is of Envoy's.
const KIND: &str = "# envoy: ";

/// The module, the service and the file by which a filter is discovered, as every document names them.
const MODULE: &str = "/etc/envoy/postern.wasm";
const SERVICE: &str = "{address: 127.0.0.1, port_value: 8080}";
const DISCOVERED: &str = "/etc/envoy/ecds.yaml";

/// A document that is Envoy's, whole or in part.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The name of its file, without the ending.
    pub name: String,
    /// The output of `postern check`: each line of stderr after `! `, and of stdout after `> `.
    pub output: Vec<String>,
    kind: String,
    text: String,
}

/// The surroundings that a document is put into.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The module that is loaded for Postern.
    pub module: &'a Path,
    /// The service behind Envoy.
    pub service: SocketAddr,
    /// A file that exists, for what is discovered.
    pub discovered: &'a Path,
}

/// Returns every document that is Envoy's.
pub fn documents() -> Vec<Checked> {
    let folder = workspace().join("config/cli/tests/documents");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| Checked::read(path)).collect()
}

impl Checked {
    /// Reads a document; returns `None` if it is none of Envoy's.
    fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).expect("a document");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let first = || text.lines().take_while(|line| line.starts_with('#'));
        let kind = first().find_map(|line| line.strip_prefix(KIND))?.to_owned();
        let printed = |line: &&str| line.starts_with(['!', '>']);
        let output = first().filter_map(|line| line.strip_prefix('#').filter(printed));
        let output = output.map(str::to_owned).collect();
        Some(Self { name, output, kind, text })
    }

    /// Says whether `postern check` finds it sound.
    pub fn is_sound(&self) -> bool {
        self.output.iter().any(|line| line.starts_with("> sound: "))
    }

    /// Says whether `postern check` prints such words of it.
    pub fn prints(&self, words: &str) -> bool {
        self.output.iter().any(|line| line.contains(words))
    }

    /// Says whether it is a bootstrap as it stands.
    pub fn is_whole(&self) -> bool {
        self.kind == "bootstrap"
    }

    /// Returns its own text, with the addresses and files of its surroundings.
    pub fn text(&self, surroundings: &Surroundings<'_>) -> String {
        let Surroundings { module, service, discovered } = surroundings;
        let address = format!("{{address: {}, port_value: {}}}", service.ip(), service.port());
        self.text
            .replace(MODULE, &module.display().to_string())
            .replace(SERVICE, &address)
            .replace(DISCOVERED, &discovered.display().to_string())
    }

    /// Returns the bootstrap that Envoy starts with, at least in its first document.
    pub fn bootstrap(&self, surroundings: &Surroundings<'_>) -> String {
        if self.is_whole() { self.text(surroundings) } else { self.wrapped(surroundings).to_string() }
    }

    /// Returns the listener of the bootstrap that it is, or is wrapped in.
    pub fn listener(&self, surroundings: &Surroundings<'_>) -> Value {
        let mut bootstrap = match self.is_whole() {
            true => parsed(&self.text(surroundings)),
            false => self.wrapped(surroundings),
        };
        bootstrap["static_resources"]["listeners"][0].take()
    }

    /// Wraps a part of a configuration in what must be around it. Policies in a document of their own are
    /// Postern's.
    fn wrapped(&self, surroundings: &Surroundings<'_>) -> Value {
        let text = self.text(surroundings);
        let (own, policies) =
            text.split_once("\n---\n").map_or((text.as_str(), None), |(own, rest)| (own, Some(rest)));
        let own = parsed(own);
        let policies = policies.map(|policies| postern(parsed(policies), surroundings));
        let filters: Vec<Value> = policies.into_iter().chain([router()]).collect();
        let with_routes = |routes: Value| chain_of(manager(json!(filters), routes));
        let mut clusters = json!([cluster(surroundings.service)]);
        let listener = match self.kind.as_str() {
            "cluster" => {
                clusters[0] = own;
                listener_of(with_routes(routes(json!([host()]))))
            }
            "connection_manager" => listener_of(chain_of(own)),
            "filter_chain" => listener_of(own),
            "http_filter" => listener_of(chain_of(manager(json!([own, router()]), routes(json!([host()]))))),
            "listener" => own,
            "listeners" => without_type(&own["resources"][0]),
            "network_filters" => listener_of(json!({"filters": own})),
            "route" => listener_of(with_routes(routes(json!([host_of(json!([own]))])))),
            "route_configuration" => listener_of(with_routes(own)),
            "routes" => listener_of(with_routes(without_type(&own["resources"][0]))),
            "virtual_host" => listener_of(with_routes(routes(json!([own])))),
            other => panic!("{}: nothing is known of a {other}", self.name),
        };
        json!({"static_resources": {"listeners": [listener], "clusters": clusters}})
    }
}

fn parsed(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn without_type(resource: &Value) -> Value {
    let mut resource = resource.clone();
    resource.as_object_mut().expect("a resource").remove("@type");
    resource
}

fn listener_of(chain: Value) -> Value {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    json!({"name": "ws", "address": address, "filter_chains": [chain]})
}

fn chain_of(mut manager: Value) -> Value {
    manager["@type"] = json!(CONNECTION_MANAGER);
    json!({"filters": [{"name": "manager", "typed_config": manager}]})
}

fn manager(filters: Value, routes: Value) -> Value {
    json!({
        "stat_prefix": "ws", "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_filters": filters, "route_config": routes,
    })
}

fn routes(hosts: Value) -> Value {
    json!({"name": "ws", "virtual_hosts": hosts})
}

fn host() -> Value {
    host_of(json!([{"match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "0s"}}]))
}

fn host_of(routes: Value) -> Value {
    json!({"name": "service", "domains": ["*"], "routes": routes})
}

fn router() -> Value {
    json!({"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}})
}

fn postern(policies: Value, surroundings: &Surroundings<'_>) -> Value {
    let code = json!({"local": {"filename": surroundings.module}});
    let config = json!({
        "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": code},
        "configuration": {"@type": STRUCT, "value": policies},
    });
    json!({"name": "postern", "typed_config": {"@type": WASM, "config": config}})
}

/// Returns the cluster that every document names.
pub fn cluster(address: SocketAddr) -> Value {
    let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
    let endpoint = json!({"endpoint": {"address": {"socket_address": socket}}});
    json!({
        "name": "service", "type": "STATIC",
        "load_assignment": {"cluster_name": "service", "endpoints": [{"lb_endpoints": [endpoint]}]},
    })
}
