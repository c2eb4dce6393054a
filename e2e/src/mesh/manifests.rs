//! The manifests of `e2e/istio` and of pages as Istio's control plane reads them: plugins become filters, and the patches of
//! EnvoyFilters are laid over what Envoy is configured with.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::pages;
use crate::scene::bootstrap::{HCM, workspace};

/// Manifests of one file.
#[derive(Clone, Debug)]
pub struct Manifests(Vec<Value>);

impl Manifests {
    /// Reads a file of `e2e/istio`.
    pub fn shipped(name: &str) -> Self {
        let path = workspace().join("e2e/istio").join(name);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::of(&text)
    }

    /// Reads a text of several documents.
    pub fn of(text: &str) -> Self {
        let documents = serde_saphyr::from_multiple(text);
        Self(documents.unwrap_or_else(|error| panic!("{error}\n{text}")))
    }

    /// Reads the blocks of a page that are manifests.
    pub fn of_page(name: &str) -> Vec<Self> {
        pages::blocks(name, "yaml istio").iter().map(|block| Self::of(block)).collect()
    }

    /// Returns the name of each plugin by which Envoy knows it, and the context in which it is.
    pub fn plugins(&self) -> Vec<(String, &'static str)> {
        let plugins = self.0.iter().filter(|manifest| wasm(manifest).is_some());
        plugins.map(|manifest| (name_of(manifest), context_of(manifest))).collect()
    }

    /// Changes the configuration of every plugin.
    #[must_use]
    pub fn configured(mut self, change: impl Fn(&mut Value)) -> Self {
        for manifest in &mut self.0 {
            for place in ["/spec/pluginConfig", "/spec/wasm/pluginConfig"] {
                manifest.pointer_mut(place).map(&change);
            }
        }
        self
    }

    /// Puts the plugin `name`, such as `chat.postern`, into a bootstrap, with another module, and lays every patch for
    /// `context` over it.
    pub fn apply(&self, bootstrap: &mut Value, name: &str, module: &Path, context: &str) {
        let plugin = self.0.iter().find(|manifest| wasm(manifest).is_some() && name_of(manifest) == name);
        let filter = filter(plugin.unwrap_or_else(|| panic!("no plugin {name}")), module);
        for listener in listeners(bootstrap) {
            connection_manager(listener)["http_filters"][0] = filter.clone();
        }
        for patch in self.0.iter().flat_map(patches).filter(|patch| patch["match"]["context"] == context) {
            lay_over(patch, bootstrap);
        }
    }
}

/// Returns the part of a manifest that is about a module, whichever of the two kinds it is of.
fn wasm(manifest: &Value) -> Option<&Value> {
    match manifest["kind"].as_str()? {
        "WasmPlugin" => manifest.get("spec"),
        "TrafficExtension" => manifest["spec"].get("wasm"),
        _ => None,
    }
}

fn name_of(manifest: &Value) -> String {
    let text = |key: &str| manifest["metadata"][key].as_str().expect("text").to_owned();
    format!("{}.{}", text("namespace"), text("name"))
}

/// Returns the context in which patches are for the proxies that a plugin is bound to.
fn context_of(manifest: &Value) -> &'static str {
    let spec = &manifest["spec"];
    let target = &spec["targetRefs"][0];
    match spec["match"][0]["mode"].as_str() {
        Some("SERVER") => "SIDECAR_INBOUND",
        Some("CLIENT") => "SIDECAR_OUTBOUND",
        _ if target["kind"] == "Service" || target["name"] == "waypoint" => "WAYPOINT",
        _ => "GATEWAY",
    }
}

/// Returns a plugin as the control plane hands it to Envoy: the configuration is a text, no VM is named, and what the agent
/// of the proxy would fetch is a file.
fn filter(manifest: &Value, module: &Path) -> Value {
    let plugin = wasm(manifest).expect("a plugin");
    let name = name_of(manifest);
    let resource = match manifest["kind"].as_str() {
        Some("TrafficExtension") => format!("extensions.istio.io/trafficextension/{name}"),
        _ => name.clone(),
    };
    let policy = match plugin["failStrategy"].as_str() {
        Some("FAIL_RELOAD") => "FAIL_RELOAD",
        _ => "FAIL_CLOSED",
    };
    let variables = plugin["vmConfig"]["env"].as_array().into_iter().flatten();
    let of_host =
        variables.filter(|variable| variable["valueFrom"] == "HOST").map(|variable| &variable["name"]);
    json!({
        "name": resource,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "failure_policy": policy,
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": plugin["pluginConfig"].to_string(),
                },
                "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": module}},
                    "environment_variables": {"host_env_keys": of_host.collect::<Vec<_>>()},
                },
            },
        },
    })
}

fn patches(manifest: &Value) -> impl Iterator<Item = &Value> {
    manifest["spec"]["configPatches"].as_array().into_iter().flatten()
}

/// Returns the listeners of a bootstrap.
pub(super) fn listeners(bootstrap: &mut Value) -> impl Iterator<Item = &mut Value> {
    bootstrap["static_resources"]["listeners"].as_array_mut().expect("a list of listeners").iter_mut()
}

/// Returns the connection manager of a listener.
pub(super) fn connection_manager(listener: &mut Value) -> &mut Value {
    let (_, within) = HCM.split_at("/static_resources/listeners/0".len());
    listener.pointer_mut(within).expect("an HTTP connection manager")
}

/// Lays the value of a patch over all that it matches, in every listener, or adds it as a cluster.
fn lay_over(patch: &Value, bootstrap: &mut Value) {
    let value = &patch["patch"]["value"];
    let adds = patch["patch"]["operation"] == "ADD";
    assert!(adds || patch["patch"]["operation"] == "MERGE", "{patch}");
    if patch["applyTo"] == "CLUSTER" {
        let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("a list of clusters");
        if adds {
            clusters.push(value.clone());
            return;
        }
        // Patches are for one service, whose cluster is the first.
        assert!(patch["match"]["cluster"]["service"].is_string(), "{patch}");
        merge(&mut clusters[0], value);
        return;
    }
    assert!(!adds, "nothing but a cluster can be added here: {patch}");
    let host = &patch["match"]["routeConfiguration"]["vhost"];
    let mut matched = 0;
    for listener in listeners(bootstrap) {
        let manager = connection_manager(listener);
        if patch["applyTo"] == "NETWORK_FILTER" {
            merge(manager, &value["typed_config"]);
            matched += 1;
            continue;
        }
        let hosts =
            manager["route_config"]["virtual_hosts"].as_array_mut().expect("virtual hosts").iter_mut();
        for found in hosts.filter(|found| is_called(found, &host["name"])) {
            if patch["applyTo"] == "VIRTUAL_HOST" {
                merge(found, value);
                matched += 1;
                continue;
            }
            assert_eq!(patch["applyTo"], "HTTP_ROUTE", "{patch}");
            let routes = found["routes"].as_array_mut().expect("routes").iter_mut();
            for route in routes.filter(|route| is_called(route, &host["route"]["name"])) {
                merge(route, value);
                matched += 1;
            }
        }
    }
    assert!(matched > 0, "nothing is matched by {}", patch["match"]);
}

/// Says whether something is meant by a name that may be missing.
fn is_called(found: &Value, name: &Value) -> bool {
    name.is_null() || found["name"] == *name
}

fn merge(under: &mut Value, over: &Value) {
    match over {
        Value::Object(members) => {
            if !under.is_object() {
                *under = Value::Object(Map::new());
            }
            for (key, value) in members {
                merge(&mut under[key], value);
            }
        }
        other => *under = other.clone(),
    }
}
