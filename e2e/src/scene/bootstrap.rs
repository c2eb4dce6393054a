//! The shipped `envoy.yaml` as a value, and the changes that a run makes to it. The file is never copied: an
//! operator gets what is not changed here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::scene::{capabilities, module};

const LISTENER: &str = "/static_resources/listeners/0";
const CHAIN: &str = "/static_resources/listeners/0/filter_chains/0";
/// The place of the HTTP connection manager.
pub(crate) const HCM: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
/// The place of Postern among the HTTP filters.
pub(crate) const FILTER: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0";
const ENDPOINT: &str =
    "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
/// The place of the plugin in its filter.
pub(crate) const PLUGIN: &str = "/typed_config/config";

/// The reason why the shipped file, or the module that it names, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The file cannot be read.
    #[error("cannot read {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file is no YAML.
    #[error("{0} is not YAML: {1}")]
    Unparsable(PathBuf, String),
    /// There is no module.
    #[error("the module {0} is not built: `make build` builds it")]
    NoModule(PathBuf),
    /// There is no dynamic module.
    #[error("the dynamic module {0} is not built: `make native` builds it")]
    NoDynamicModule(PathBuf),
}

/// A host by its name, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    host: String,
    port: u16,
}

impl Name {
    /// Splits `<host>:<port>` into its two parts.
    pub fn of(text: &str) -> std::io::Result<Self> {
        let strange = || std::io::Error::other(format!("{text:?} is no host and port"));
        let (host, port) = text.rsplit_once(':').ok_or_else(strange)?;
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| strange())? })
    }

    fn cluster(&self, name: &str) -> Value {
        let address = json!({"socket_address": {"address": self.host, "port_value": self.port}});
        json!({
            "name": name, "type": "STRICT_DNS", "connect_timeout": "2s",
            "dns_lookup_family": "V4_ONLY", "dns_refresh_rate": "1s",
            "load_assignment": {"cluster_name": name, "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": address}}]},
            ]},
        })
    }
}

/// An Envoy bootstrap.
#[derive(Clone, Debug)]
pub struct Bootstrap(Value);

/// The part of a bootstrap that is one scene's: a listener and the clusters that it leads to.
#[derive(Debug)]
pub(crate) struct Part {
    /// The name of the listener.
    pub(crate) name: String,
    pub(crate) listener: Value,
    pub(crate) clusters: Vec<Value>,
}

/// Returns the directory of the workspace, where `envoy.yaml` is.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Returns the built module: `$POSTERN_WASM`, or where `make build` leaves it.
pub fn wasm_module() -> Result<PathBuf, BootstrapError> {
    let target = || std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let built = || workspace().join(target()).join("wasm32-wasip1/release/postern.wasm");
    let path = std::env::var_os("POSTERN_WASM").map_or_else(built, PathBuf::from);
    if path.is_file() { Ok(path) } else { Err(BootstrapError::NoModule(path)) }
}

impl From<Value> for Bootstrap {
    /// Takes a whole configuration that is written for the module of WebAssembly.
    fn from(configuration: Value) -> Self {
        Self(configuration)
    }
}

impl Bootstrap {
    /// Reads the shipped file.
    pub fn shipped() -> Result<Self, BootstrapError> {
        let path = workspace().join("envoy.yaml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return Err(BootstrapError::Unreadable(path, error)),
        };
        match serde_saphyr::from_str(&text) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(BootstrapError::Unparsable(path, error.to_string())),
        }
    }

    /// Returns the whole of it, for changes that only one test needs.
    pub fn value_mut(&mut self) -> &mut Value {
        &mut self.0
    }

    /// Returns the text that Envoy reads: JSON.
    pub fn render(&self) -> String {
        let mut value = self.0.clone();
        module::exchange(&mut value);
        module::name_metrics_alike(&mut value);
        format!("{value:#}")
    }

    /// Has clients connect to this address; port 0 takes a free one.
    pub fn listen(&mut self, address: SocketAddr) {
        self.at(&format!("{LISTENER}/address"))["socket_address"] = socket_address(address);
    }

    /// Puts the admin interface at this address; port 0 takes a free one.
    pub fn admin(&mut self, address: SocketAddr) {
        self.at("/admin/address")["socket_address"] = socket_address(address);
    }

    /// Names the address of the service.
    pub fn upstream(&mut self, address: SocketAddr) {
        self.at(ENDPOINT)["socket_address"] = socket_address(address);
    }

    /// Names the service's host, which Envoy looks up again and again.
    pub fn named_upstream(&mut self, name: &Name) {
        *self.at("/static_resources/clusters/0") = name.cluster("service");
    }

    /// Adds a cluster, of one host that Envoy looks up again and again.
    pub fn named_cluster(&mut self, cluster: &str, name: &Name) {
        let clusters = self.at("/static_resources/clusters").as_array_mut();
        clusters.expect("a list of clusters").push(name.cluster(cluster));
    }

    /// Adds a cluster, of one host.
    pub fn cluster(&mut self, name: &str, address: SocketAddr) {
        let endpoint = json!({"endpoint": {"address": {"socket_address": socket_address(address)}}});
        let cluster = json!({
            "name": name, "type": "STATIC", "connect_timeout": "2s",
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        });
        self.at("/static_resources/clusters").as_array_mut().expect("a list of clusters").push(cluster);
    }

    /// Adds a cluster, of one host, that is spoken to by HTTP/2, as gRPC demands.
    pub fn cluster_http2(&mut self, name: &str, address: SocketAddr) {
        const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        self.cluster(name, address);
        let clusters = self.at("/static_resources/clusters").as_array_mut().expect("a list of clusters");
        let cluster = clusters.last_mut().expect("the cluster just added");
        cluster["typed_extension_protocol_options"] = json!({OPTIONS: {
            "@type": format!("type.googleapis.com/{OPTIONS}"),
            "explicit_http_config": {"http2_protocol_options": {}},
        }});
    }

    /// Sets the listener's certificate and key.
    pub fn certificate(&mut self, chain: &Path, key: &Path) {
        let tls = self.at(&format!("{CHAIN}/transport_socket/typed_config/common_tls_context"));
        tls["tls_certificates"] =
            json!([{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}]);
    }

    /// Lets clients show a certificate, and turns away one that `authority` has not signed.
    pub fn verify_clients(&mut self, authority: &Path) {
        let tls = self.at(&format!("{CHAIN}/transport_socket/typed_config/common_tls_context"));
        tls["validation_context"] = json!({"trusted_ca": {"filename": authority}});
    }

    /// Has clients connect without TLS.
    pub fn without_tls(&mut self) {
        self.members(CHAIN).remove("transport_socket");
    }

    /// Sets the module that is loaded.
    pub fn wasm(&mut self, path: &Path) {
        self.at(&format!("{FILTER}{PLUGIN}/vm_config/code/local"))["filename"] = json!(path);
    }

    /// Lets the module do all that it does but call these functions of the ABI.
    pub fn forbid(&mut self, functions: &[String]) {
        let code = self.at(&format!("{FILTER}{PLUGIN}/vm_config/code/local"))["filename"].clone();
        let module = std::fs::read(code.as_str().expect("a path")).expect("a module that can be read");
        let allowed: Map<String, Value> = capabilities::of(&module)
            .into_iter()
            .filter(|capability| !functions.contains(capability))
            .map(|capability| (capability, json!({})))
            .collect();
        self.at(&format!("{FILTER}{PLUGIN}"))["capability_restriction_config"] =
            json!({"allowed_capabilities": allowed});
    }

    /// Adds a variable of Envoy's environment that the module sees.
    pub fn environment(&mut self, name: &str) {
        let variables = self.at(&format!("{FILTER}{PLUGIN}/vm_config/environment_variables"));
        if let Some(names) = variables["host_env_keys"].as_array_mut() {
            names.push(json!(name));
        }
    }

    /// Returns the filter's configuration: providers, policies, routes.
    pub fn configuration(&mut self) -> &mut Value {
        self.at(&format!("{FILTER}{PLUGIN}/configuration/value"))
    }

    /// Sets the metadata under the key `postern` on every route, as an operator would write them there.
    pub fn route_metadata(&mut self, metadata: &Value) {
        let hosts =
            self.at(&format!("{HCM}/route_config"))["virtual_hosts"].as_array_mut().expect("virtual hosts");
        for route in hosts.iter_mut().flat_map(|host| host["routes"].as_array_mut()).flatten() {
            route["metadata"] = json!({"filter_metadata": {"postern": metadata}});
        }
    }

    /// Takes Postern out, for an Envoy to compare with.
    pub fn without_filter(&mut self) {
        self.at(HCM)["http_filters"].as_array_mut().expect("a list of filters").remove(0);
    }

    /// Sends the access log to `path`, with the test's case ids.
    pub fn access_log(&mut self, path: &Path) {
        let log = self.at(&format!("{HCM}/access_log/0"));
        log["name"] = json!("envoy.access_loggers.file");
        log["typed_config"]["@type"] =
            json!("type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog");
        log["typed_config"]["path"] = json!(path);
        log["typed_config"]["log_format"]["json_format"]["case"] = json!("%REQ(X-CASE)%");
    }

    /// Has the filter come from the file `path`, which Envoy watches (ECDS). The file must have the
    /// [`Bootstrap::discovery_response`] of the bootstrap as it was before.
    pub fn discover_filter(&mut self, path: &Path) {
        let filter = self.at(FILTER);
        let type_url = filter["typed_config"]["@type"].take();
        *filter = json!({
            "name": "postern",
            "config_discovery": {
                "config_source": {"path_config_source": {"path": path}, "resource_api_version": "V3"},
                "type_urls": [type_url],
            },
        });
    }

    /// Returns the filter as an ECDS resource.
    pub fn discovery_response(&self, version: u64) -> Value {
        let mut resource = self.0.pointer(FILTER).cloned().unwrap_or_default();
        resource["@type"] = json!("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
        module::exchange(&mut resource);
        json!({"version_info": version.to_string(), "resources": [resource]})
    }

    /// Puts these variables into the environment of the module's VM, in the place of Envoy's own.
    pub(crate) fn set_environment(&mut self, variables: &[(String, String)]) {
        let values: Map<String, Value> =
            variables.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        self.at(&format!("{FILTER}{PLUGIN}/vm_config"))["environment_variables"] =
            json!({"key_values": values});
    }

    /// Has further listeners and clusters come from these files, which Envoy watches (LDS and CDS).
    pub(crate) fn discover_parts(&mut self, listeners: &Path, clusters: &Path) {
        let file = |path: &Path| json!({"path_config_source": {"path": path}, "resource_api_version": "V3"});
        self.0["dynamic_resources"] = json!({"lds_config": file(listeners), "cds_config": file(clusters)});
    }

    /// Returns the listener and the clusters as they can be discovered beside those of others: the names that differ from
    /// others' end in `number`. Panics if there is more to this bootstrap, which would be lost.
    pub(crate) fn part(mut self, number: usize) -> Part {
        let mut listener = self.at(LISTENER).take();
        let Value::Array(mut clusters) = self.at("/static_resources/clusters").take() else {
            panic!("no list of clusters")
        };
        self.assert_nothing_else();
        let name = format!("scene-{number}");
        let names: Vec<Value> = clusters.iter().map(|cluster| cluster["name"].clone()).collect();
        rename(&mut listener, "cluster", &names, &name);
        listener["name"] = json!(name);
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
        let filter = FILTER.strip_prefix(LISTENER).expect("a place in the listener");
        let vm = listener.pointer_mut(&format!("{filter}{PLUGIN}/vm_config")).expect("the module's VM");
        vm["vm_id"] = json!(name);
        for cluster in &mut clusters {
            rename(cluster, "name", &names, &name);
            rename(cluster, "cluster_name", &names, &name);
            cluster["@type"] = json!("type.googleapis.com/envoy.config.cluster.v3.Cluster");
        }
        Part { name, listener, clusters }
    }

    /// Asserts that nothing differs from the shipped file but the addresses, the listener and the clusters.
    fn assert_nothing_else(mut self) {
        let mut shipped = Self::shipped().unwrap_or_else(|error| panic!("{error}"));
        for bootstrap in [&mut self, &mut shipped] {
            bootstrap.at("/admin/address").take();
            bootstrap.at("/static_resources/clusters").take();
            bootstrap.at(LISTENER).take();
        }
        assert_eq!(self.0, shipped.0, "what only an Envoy of its own can have");
    }

    fn at(&mut self, pointer: &str) -> &mut Value {
        self.0.pointer_mut(pointer).unwrap_or_else(|| panic!("envoy.yaml has nothing at {pointer}"))
    }

    fn members(&mut self, pointer: &str) -> &mut Map<String, Value> {
        self.at(pointer).as_object_mut().unwrap_or_else(|| panic!("envoy.yaml has no object at {pointer}"))
    }
}

/// Has every `key` within `value` that is one of `names` end in `-<ending>`.
fn rename(value: &mut Value, key: &str, names: &[Value], ending: &str) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(text) if name == key && names.contains(member) => {
                        *member = json!(format!("{text}-{ending}"))
                    }
                    _ => rename(member, key, names, ending),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| rename(element, key, names, ending)),
        _ => {}
    }
}

fn socket_address(address: SocketAddr) -> Value {
    json!({"address": address.ip().to_string(), "port_value": address.port()})
}
