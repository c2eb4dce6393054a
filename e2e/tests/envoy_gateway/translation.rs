//! The Envoy configuration that Envoy Gateway makes of its manifests, as it is read in its sources.
//!
//! An EnvoyExtensionPolicy is translated in two ways: as [`Shape::Filters`] by earlier versions and as [`Shape::Chains`] by
//! later ones, which can change it without a change to the listener.

use postern_e2e::{Value, json};

/// The name of the Gateway.
const NAME: &str = "eg";

/// The name of the listener, and of its route configuration.
const LISTENER: &str = "default/eg/https";

/// The name under which Envoy Gateway says in a route's metadata what the route is made of.
pub(crate) const OWN_METADATA: &str = "envoy-gateway";

/// The hostnames of the Gateway's routes, each of which becomes a virtual host.
const HOSTNAMES: [&str; 2] = ["*", "www.example.com"];

const FILTERS: &str = "envoy.extensions.filters.http";
const WASM_FILTER: &str = "envoy.filters.http.wasm";
const CHAIN_OF_LISTENER: &str = "envoy.filters.http.filter_chain.eep.listener";
const CHAIN_OF_ROUTE: &str = "envoy.filters.http.filter_chain.eep.route";

/// The way in which EnvoyExtensionPolicies are translated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A filter of the listener for each policy, disabled, and enabled on the routes that the policy is bound to.
    Filters,
    /// Two filters of the listener for all policies, of which a virtual host or a route has what is in them.
    Chains,
}

/// The module, where Envoy Gateway serves it to Envoy.
#[derive(Clone)]
pub(crate) struct Module {
    pub(crate) path: String,
    pub(crate) sha256: String,
}

/// An Envoy Gateway with one Gateway, `eg`.
pub(crate) struct Gateway {
    pub(crate) shape: Shape,
    pub(crate) manifests: Vec<Value>,
    /// The rules of HTTPRoutes, each with the name of its HTTPRoute and the prefix of its paths.
    pub(crate) routes: Vec<(&'static str, &'static str)>,
    pub(crate) module: Module,
}

impl Gateway {
    /// Returns the listener that clients connect to, on any free port of an address.
    pub(crate) fn listener(&self, address: &Value) -> Value {
        let routes = self.routes();
        let manager = any(
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            json!({
                "statPrefix": "https", "useRemoteAddress": true, "normalizePath": true, "mergeSlashes": true,
                "pathWithEscapedSlashesAction": "UNESCAPE_AND_REDIRECT",
                "commonHttpProtocolOptions": {"headersWithUnderscoresAction": "REJECT_REQUEST"},
                "serverHeaderTransformation": "PASS_THROUGH",
                "httpFilters": self.filters(), "routeConfig": routes,
            }),
        );
        json!({
            "name": LISTENER, "address": address,
            "perConnectionBufferLimitBytes": self.buffer_limit(),
            "filterChains": [{"filters": [{"name": "manager", "typedConfig": manager}]}],
        })
    }

    /// Returns the route configuration of the listener, with all patches.
    pub(crate) fn routes(&self) -> Value {
        let mut routes = self.route_configuration();
        self.of_kind("EnvoyPatchPolicy").for_each(|policy| patch(policy, &mut routes));
        routes
    }

    /// Says whether a policy of Postern is bound to an HTTPRoute, or to its Gateway.
    pub(crate) fn is_judged(&self, route: &str) -> bool {
        [("HTTPRoute", route), ("Gateway", NAME)]
            .iter()
            .any(|(kind, name)| !self.wasm_of(kind, name).is_empty())
    }

    /// Returns the bounds of the cluster of the service, which is one for all routes here.
    pub(crate) fn circuit_breakers(&self) -> Value {
        let set =
            self.of_kind("BackendTrafficPolicy").find_map(|policy| policy.pointer("/spec/circuitBreaker"));
        let bound = |key: &str| set.and_then(|set| set.get(key)).cloned().unwrap_or(json!(1024));
        json!({"thresholds": [
            {"maxConnections": bound("maxConnections"), "maxRequests": bound("maxParallelRequests"), "maxRetries": 1024},
        ]})
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.manifests.iter().filter(move |manifest| manifest["kind"] == kind)
    }

    fn buffer_limit(&self) -> Value {
        let set = |policy: &Value| policy.pointer("/spec/connection/bufferLimit").cloned();
        self.of_kind("ClientTrafficPolicy").find_map(set).unwrap_or(json!(32768))
    }

    /// Returns the Wasm filters of all policies that are bound to a resource, with their names.
    fn wasm_of(&self, kind: &str, name: &str) -> Vec<(String, Value)> {
        let bound = self.of_kind("EnvoyExtensionPolicy").filter(|policy| is_bound_to(policy, kind, name));
        let filters = bound.flat_map(|policy| {
            let wasm = policy["spec"]["wasm"].as_array().expect("plugins").iter().enumerate();
            wasm.map(move |(index, wasm)| {
                let metadata = &policy["metadata"];
                let (namespace, name) = (metadata["namespace"].as_str(), metadata["name"].as_str());
                let id = [namespace.unwrap_or("default"), name.expect("a name")].join("/");
                let id = format!("envoyextensionpolicy/{id}/wasm/{index}");
                let filter = self.wasm(&id, wasm);
                (id, filter)
            })
        });
        filters.collect()
    }

    fn wasm(&self, id: &str, wasm: &Value) -> Value {
        let uri = format!("https://envoy-gateway:18002{}", self.module.path);
        let mut vm = json!({
            // Each policy has a VM of its own.
            "vmId": id, "runtime": "envoy.wasm.runtime.v8",
            "code": {"remote": {
                "httpUri": {"uri": uri, "cluster": "wasm_cluster", "timeout": "10s"}, "sha256": self.module.sha256,
            }},
        });
        if self.shape == Shape::Chains {
            vm["code"]["remote"]["retryPolicy"] =
                json!({"numRetries": 10, "retryBackOff": {"baseInterval": "1s", "maxInterval": "30s"}});
        }
        if let Some(keys) = wasm.pointer("/env/hostKeys") {
            vm["environmentVariables"] = json!({"hostEnvKeys": keys});
        }
        let configuration = any("google.protobuf.StringValue", json!({"value": wasm["config"].to_string()}));
        let fail_open = wasm.get("failOpen").cloned().unwrap_or(json!(false));
        let config = json!({
            "name": wasm["name"], "vmConfig": vm, "configuration": configuration, "failOpen": fail_open,
        });
        any(&format!("{FILTERS}.wasm.v3.Wasm"), json!({"config": config}))
    }

    fn filters(&self) -> Value {
        let disabled =
            |name: String, config: Value| json!({"name": name, "disabled": true, "typedConfig": config});
        let mut filters: Vec<Value> = match self.shape {
            Shape::Filters => {
                let of_routes = self.routes.iter().flat_map(|(route, _)| self.wasm_of("HTTPRoute", route));
                let all = of_routes.map(|(id, filter)| disabled(format!("{WASM_FILTER}/{id}"), filter));
                all.fold(Vec::new(), |mut once, filter| {
                    if !once.contains(&filter) {
                        once.push(filter);
                    }
                    once
                })
            }
            Shape::Chains => {
                let kind = format!("{FILTERS}.filter_chain.v3.FilterChainConfig");
                [CHAIN_OF_LISTENER, CHAIN_OF_ROUTE]
                    .map(|name| disabled(name.to_owned(), any(&kind, json!({}))))
                    .into()
            }
        };
        let router = any(&format!("{FILTERS}.router.v3.Router"), json!({"suppressEnvoyHeaders": true}));
        filters.push(json!({"name": "envoy.filters.http.router", "typedConfig": router}));
        json!(filters)
    }

    /// Returns the filters of a virtual host or a route, in the later shape.
    fn chain(filters: &[(String, Value)], slot: &str) -> Value {
        let filters: Vec<Value> = filters
            .iter()
            .enumerate()
            .map(|(index, (_, filter))| json!({"name": format!("{WASM_FILTER}/{slot}{index}"), "typedConfig": filter}))
            .collect();
        let kind = format!("{FILTERS}.filter_chain.v3.FilterChainConfigPerRoute");
        any(&kind, json!({"filterChain": {"filters": filters}}))
    }

    fn route_configuration(&self) -> Value {
        let hosts = HOSTNAMES.map(|hostname| self.virtual_host(hostname));
        json!({"name": LISTENER, "ignore_port_in_host_matching": true, "virtual_hosts": hosts})
    }

    fn virtual_host(&self, hostname: &str) -> Value {
        let suffix = hostname.replace('.', "_");
        let routes: Vec<Value> = self
            .routes
            .iter()
            .enumerate()
            .map(|(index, (name, prefix))| {
                let rule = self.routes.iter().take(index).filter(|(other, _)| other == name).count();
                let mut route = self.route(name, prefix);
                route["name"] = json!(format!("httproute/default/{name}/rule/{rule}/match/0/{suffix}"));
                route
            })
            .collect();
        let mut host =
            json!({"name": format!("{LISTENER}/{suffix}"), "domains": [hostname], "routes": routes});
        let of_gateway = self.wasm_of("Gateway", NAME);
        if self.shape == Shape::Chains && !of_gateway.is_empty() {
            host["typed_per_filter_config"] =
                json!({CHAIN_OF_LISTENER: Self::chain(&of_gateway, "listener/")});
        }
        host
    }

    /// Returns the policy that says how long the requests of an HTTPRoute may take: its own, or that of its Gateway.
    fn traffic_policy(&self, route: &str) -> Option<&Value> {
        let of = |kind: &str, name: &str| {
            self.of_kind("BackendTrafficPolicy").find(|policy| is_bound_to(policy, kind, name))
        };
        of("HTTPRoute", route).or_else(|| of("Gateway", NAME))
    }

    /// Returns the route of a rule, without its name.
    fn route(&self, name: &str, prefix: &str) -> Value {
        let wasm = self.wasm_of("HTTPRoute", name);
        let mut filters = json!({});
        match self.shape {
            Shape::Filters => {
                for (id, _) in &wasm {
                    filters[format!("{WASM_FILTER}/{id}")] = filter_config(json!({"config": {}}));
                }
            }
            Shape::Chains if wasm.is_empty() => {}
            // A policy of a route replaces that of the Gateway.
            Shape::Chains => {
                filters[CHAIN_OF_LISTENER] = filter_config(json!({"disabled": true}));
                filters[CHAIN_OF_ROUTE] = Self::chain(&wasm, "");
            }
        }
        let mut action = json!({"cluster": "service", "upgrade_configs": [{"upgrade_type": "websocket"}]});
        let policy = self.traffic_policy(name);
        if let Some(timeout) = policy.and_then(|policy| policy.pointer("/spec/timeout/http/requestTimeout")) {
            action["timeout"] = timeout.clone();
            action["idle_timeout"] = if timeout == "0s" { json!("0s") } else { json!("3600s") };
        }
        let resource = json!({"kind": "HTTPRoute", "name": name, "namespace": "default"});
        json!({
            "match": {"path_separated_prefix": prefix}, "route": action, "typed_per_filter_config": filters,
            "metadata": {"filter_metadata": {OWN_METADATA: {"resources": [resource]}}},
        })
    }
}

/// Says whether a policy is bound to a resource.
fn is_bound_to(policy: &Value, kind: &str, name: &str) -> bool {
    let targets = policy["spec"]["targetRefs"].as_array().expect("targets");
    targets.iter().any(|target| target["kind"] == kind && target["name"] == name)
}

fn any(kind: &str, mut fields: Value) -> Value {
    fields["@type"] = json!(format!("type.googleapis.com/{kind}"));
    fields
}

fn filter_config(fields: Value) -> Value {
    any("envoy.config.route.v3.FilterConfig", fields)
}

/// Carries out the patches of a policy, which add one member each. What is missing above the member is made, and a patch that
/// finds nothing is a fault.
fn patch(policy: &Value, routes: &mut Value) {
    for patch in policy["spec"]["jsonPatches"].as_array().expect("patches") {
        let operation = &patch["operation"];
        assert_eq!((&patch["name"], &operation["op"]), (&json!(LISTENER), &json!("add")));
        let path = operation["path"].as_str().expect("a path").trim_start_matches('/');
        let (chosen, places) = match operation["jsonPath"].as_str() {
            Some(chosen) => (chosen, places(routes, chosen)),
            None => ("", vec![String::new()]),
        };
        assert!(!places.is_empty(), "nothing at {chosen}");
        for place in places {
            add(routes, &format!("{place}/{path}"), &operation["value"]);
        }
    }
}

/// Adds a member, and the objects above it.
fn add(document: &mut Value, path: &str, value: &Value) {
    let place = path.split('/').skip(1).fold(document, |node, key| match node {
        Value::Array(items) => &mut items[key.parse::<usize>().expect("an index")],
        node => &mut node[key],
    });
    *place = value.clone();
}

/// Returns the JSON pointers of what a JSONPath chooses. Its steps are names, which may have `[*]` behind them, or
/// `[?(@.name =~ '^beginning')]`.
fn places(document: &Value, path: &str) -> Vec<String> {
    let mut places = vec![String::new()];
    let mut rest = path.trim_start_matches('$');
    while let Some(begun) = rest.strip_prefix('.') {
        let (name, after) = begun.split_at(begun.find(['.', '[']).unwrap_or(begun.len()));
        places = places.into_iter().map(|place| format!("{place}/{name}")).collect();
        places.retain(|place| document.pointer(place).is_some());
        rest = after;
        if let Some(selector) = after.strip_prefix('[') {
            let (selector, after) = selector.split_once(']').expect("the end of a selector");
            places = places.iter().flat_map(|place| items(document, place, selector)).collect();
            rest = after;
        }
    }
    assert_eq!(rest, "", "{path}");
    places
}

/// Returns the JSON pointers of the items of a list that a selector chooses.
fn items(document: &Value, list: &str, selector: &str) -> Vec<String> {
    let beginning = selector.strip_prefix("?(@.name =~ '^").and_then(|rest| rest.strip_suffix("')"));
    assert!(selector == "*" || beginning.is_some(), "{selector}");
    let is_chosen = |item: &Value| {
        beginning
            .is_none_or(|beginning| item["name"].as_str().is_some_and(|name| name.starts_with(beginning)))
    };
    let items = document.pointer(list).and_then(Value::as_array).into_iter().flatten().enumerate();
    items.filter(|(_, item)| is_chosen(item)).map(|(index, _)| format!("{list}/{index}")).collect()
}
