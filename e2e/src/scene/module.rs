//! The module under test: the one of WebAssembly, or with `MODULE=native` the dynamic module.
//!
//! Scenes are made for the first. For the other, whatever Envoy is given is exchanged on its way there, so that every test runs
//! with either.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::not_run::not_run;
use crate::scene::bootstrap::{BootstrapError, wasm_module, workspace};

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const DYNAMIC: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
const NETWORK: &str =
    "type.googleapis.com/envoy.extensions.filters.network.dynamic_modules.v3.DynamicModuleNetworkFilter";
const PER_ROUTE: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute";

/// The runtime key by which Envoy takes the namespace of a dynamic module out of its metrics' names.
const STRIP: &str = "envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix";

/// The variable that is there if Envoy is to look for dynamic modules by their names, as 1.38 does, in the folder that its own variable
/// `ENVOY_DYNAMIC_MODULES_SEARCH_PATH` names.
const BY_NAME: &str = "POSTERN_MODULE_BY_NAME";

/// The variable that is there if routes say by a configuration what their metadata would.
const BY_CONFIGURATION: &str = "POSTERN_ROUTES_BY_CONFIGURATION";

/// The variable that is there if the network filter alone is to send to clients, as it can on HTTP/1.1.
const WITHOUT_SENDER: &str = "POSTERN_WITHOUT_SENDER";

/// Says whether the dynamic module is under test.
pub fn is_native() -> bool {
    match std::env::var("MODULE").as_deref() {
        Ok("native") => true,
        Ok("wasm") | Err(_) => false,
        Ok(other) => panic!("MODULE={other}: there are only wasm and native"),
    }
}

/// Says whether the dynamic module is under test, which has nothing of `subject`, and tells so: the test ends there.
#[must_use]
pub fn lacks(subject: &str) -> bool {
    if is_native() {
        eprintln!("not with the dynamic module: {subject}");
    }
    is_native()
}

/// Returns the file of the module under test; `$POSTERN_NATIVE`, or where `make native` leaves it, if it is the dynamic one.
pub fn path() -> Result<PathBuf, BootstrapError> {
    if !is_native() {
        return wasm_module();
    }
    let built = || workspace().join(target()).join("native/libpostern.so");
    let path = std::env::var_os("POSTERN_NATIVE").map_or_else(built, PathBuf::from);
    if path.is_file() { Ok(path) } else { Err(BootstrapError::NoDynamicModule(path)) }
}

/// Returns the file of the dynamic module that panics on demand; `$POSTERN_NATIVE_PANICS`, or where `make native-panics` leaves it.
pub fn panicking() -> PathBuf {
    let path = std::env::var_os("POSTERN_NATIVE_PANICS")
        .map_or_else(|| workspace().join(target()).join("native/libpostern-panics.so"), PathBuf::from);
    assert!(path.is_file(), "{} is not there; `make native-panics` builds it", path.display());
    path
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from)
}

/// Returns the logger of Envoy that has what the module under test says.
pub fn logger() -> &'static str {
    if is_native() { "dynamic_modules" } else { "wasm" }
}

/// Returns what the module itself has written of a line of Envoy's log, behind Envoy's own mark.
pub fn said(line: &str) -> Option<&str> {
    if !is_native() {
        return line.split_once(" postern postern: ").map(|(_, said)| said);
    }
    // Between brackets is a place in Envoy's source, as some versions know it.
    let (_, behind) = line.split_once("[dynamic_modules] [")?;
    behind.split_once("] ").map(|(_, said)| said)
}

/// Returns the levels of the loggers in which tests read.
pub(crate) fn log_levels() -> String {
    format!("{}:info,config:info", logger())
}

/// Puts the dynamic module into a configuration of Envoy's wherever the other is, if it is under test. What has the other
/// nowhere is left alone.
pub fn exchange(configuration: &mut Value) {
    if is_native() && names_a_module(configuration) {
        exchange_all(configuration);
    }
}

/// Has Envoy name the metrics of the dynamic module as those of the other, if it is under test.
pub(crate) fn name_metrics_alike(bootstrap: &mut Value) {
    if is_native() {
        strip_namespace(bootstrap);
    }
}

/// Puts the dynamic module into a bootstrap wherever the other is, whichever is under test.
pub(crate) fn put(bootstrap: &mut Value) {
    exchange_all(bootstrap);
    strip_namespace(bootstrap);
}

/// Has Envoy put no namespace before the names of metrics.
fn strip_namespace(bootstrap: &mut Value) {
    let layer = json!({"name": "postern", "static_layer": {STRIP: true}});
    let layers = &mut bootstrap["layered_runtime"]["layers"];
    match layers.as_array_mut() {
        Some(layers) if layers.contains(&layer) => {}
        Some(layers) => layers.push(layer),
        None => *layers = json!([layer]),
    }
}

fn exchange_all(value: &mut Value) {
    match value {
        Value::Object(members) if members.get("@type").is_some_and(|name| name == WASM) => {
            *value = dynamic(&value["config"]);
        }
        Value::Object(members) => {
            if let Some(Value::Array(filters)) = members.get_mut("filters") {
                put_injector(filters);
                // The chain that a route has for itself.
                if filters.iter().any(is_module) {
                    put_senders(filters);
                }
            }
            for key in ["http_filters", "httpFilters"] {
                if let Some(Value::Array(filters)) = members.get_mut(key) {
                    put_senders(filters);
                }
            }
            if configures_routes() {
                configure_route(members);
            }
            type_metadata(members);
            members.values_mut().for_each(exchange_all);
        }
        Value::Array(elements) => elements.iter_mut().for_each(exchange_all),
        Value::String(text) if text == WASM => DYNAMIC.clone_into(text),
        _ => {}
    }
}

/// Says whether what a route lays over a policy is said by its configuration for the filter: the only way of Envoy before 1.40, which
/// reads no metadata that have a type.
pub fn configures_routes() -> bool {
    std::env::var_os(BY_CONFIGURATION).is_some()
}

/// Says that a test cannot run where streams alone tell what is counted, and forget it with their configuration: with the dynamic
/// module in Envoy 1.38, which is also the only one that names it. The test ends there.
#[must_use]
pub fn is_counted_by_streams() -> bool {
    let is = is_native() && std::env::var_os(BY_NAME).is_some();
    if is {
        not_run("in Envoy 1.38 it is streams of the dynamic module that count");
    }
    is
}

/// Takes Postern's metadata from a route and gives it a configuration for the filter that says the same.
fn configure_route(members: &mut Map<String, Value>) {
    let namespaces = members.get_mut("metadata").and_then(|metadata| metadata.get_mut("filter_metadata"));
    let Some(said) = namespaces.and_then(Value::as_object_mut).and_then(|all| all.remove("postern")) else {
        return;
    };
    let settings = members.entry("typed_per_filter_config").or_insert_with(|| json!({}));
    settings["postern"] = per_route(&said);
}

/// Gives the metadata of a route that are Postern's a type, without which a dynamic module cannot read them.
fn type_metadata(members: &mut Map<String, Value>) {
    let Some(Value::Object(namespaces)) = members.get_mut("filter_metadata") else { return };
    let Some(said) = namespaces.remove("postern") else { return };
    let typed = json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": said});
    members.entry("typed_filter_metadata").or_insert_with(|| json!({}))["postern"] = typed;
}

/// Puts the filter that sends to clients before the first that has a module, wherever it has it from.
fn put_senders(filters: &mut Vec<Value>) {
    if std::env::var_os(WITHOUT_SENDER).is_some() {
        return;
    }
    let Some(first) = filters.iter().position(names_a_module) else { return };
    let local = file_of(&filters[first]);
    filters.insert(first, sender(&local));
}

/// Takes the filters that send to clients out of a bootstrap.
pub(crate) fn remove_senders(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Array(filters)) = members.get_mut("http_filters") {
                filters.retain(|filter| filter["name"] != "postern-sender");
            }
            members.values_mut().for_each(remove_senders);
        }
        Value::Array(elements) => elements.iter_mut().for_each(remove_senders),
        _ => {}
    }
}

/// Says whether the network filter alone can send to clients under test, on HTTP/1.1: not in Envoy 1.38, which is the only one that
/// names the module.
pub fn sends_by_connection() -> bool {
    is_native() && std::env::var_os(BY_NAME).is_none()
}

/// Puts the network filter by which frames go to the upstream before the connection manager of a filter chain that has the module.
fn put_injector(filters: &mut Vec<Value>) {
    let Some(manager) = filters.iter().position(|filter| http_filters(filter).is_some()) else { return };
    let http_filters = http_filters(&filters[manager]);
    if let Some(first) = http_filters.and_then(|filters| filters.iter().find(|filter| names_a_module(filter)))
    {
        let injector = injector(&file_of(first));
        filters.insert(manager, injector);
    }
}

/// Returns the HTTP filters of a connection manager, as Envoy's JSON may name them.
fn http_filters(filter: &Value) -> Option<&Vec<Value>> {
    let names = ["/typed_config/http_filters", "/typedConfig/httpFilters"];
    names.iter().find_map(|name| filter.pointer(name)).and_then(Value::as_array)
}

/// Returns where a filter has its module from, or what is under test if it says so elsewhere.
fn file_of(filter: &Value) -> Value {
    file_of_plugin(filter.pointer("/typed_config/config").unwrap_or(&Value::Null))
}

/// Returns where a plugin has its module from, or what is under test if it is fetched: a library is never, since all passes without it.
fn file_of_plugin(plugin: &Value) -> Value {
    plugin.pointer("/vm_config/code/local").cloned().unwrap_or_else(|| {
        let path = path().unwrap_or_else(|error| panic!("{error}"));
        json!({"filename": path})
    })
}

/// Returns the network filter by which frames go to the upstream.
pub fn injector(local: &Value) -> Value {
    json!({"name": "postern-injector", "typed_config": {
        "@type": NETWORK,
        "dynamic_module_config": library(local),
        "filter_name": "postern-injector",
    }})
}

/// Puts the dynamic module into a connection manager whose first filter has the other, with nothing else that a scene is given for it
/// but the filter that sends, at a place of its own.
pub fn put_unaided(manager: &mut Value, sender_at: Option<usize>) {
    let filters = manager["http_filters"].as_array_mut().expect("filters");
    let plugin = filters[0]["typed_config"]["config"].clone();
    filters[0]["typed_config"] = dynamic(&plugin);
    if let Some(place) = sender_at {
        filters.insert(place, sender(&plugin["vm_config"]["code"]["local"]));
    }
}

/// Says whether a filter is one of WebAssembly itself.
fn is_module(filter: &Value) -> bool {
    ["/typed_config/@type", "/typedConfig/@type"]
        .iter()
        .any(|name| filter.pointer(name).is_some_and(|of| of == WASM))
}

fn names_a_module(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(names_a_module),
        Value::Array(elements) => elements.iter().any(names_a_module),
        Value::String(text) => text == WASM,
        _ => false,
    }
}

/// Returns what a route has for the filter alone: `said`, to be laid over its policy.
pub fn per_route(said: &Value) -> Value {
    per_route_of(&file_of_plugin(&Value::Null), said)
}

/// Returns the same for a filter that has its module from `local`.
pub fn per_route_of(local: &Value, said: &Value) -> Value {
    json!({
        "@type": PER_ROUTE,
        "dynamic_module_config": library(local),
        "per_route_config_name": "postern",
        "filter_config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": said},
    })
}

/// Returns how Envoy finds the module, and keeps it: by its file, or if [`BY_NAME`] is set by the name of that.
fn library(local: &Value) -> Value {
    let mut library = json!({"do_not_close": true, "metrics_namespace": "postern"});
    if std::env::var_os(BY_NAME).is_none() {
        library["module"] = json!({"local": local});
        return library;
    }
    let path = PathBuf::from(local["filename"].as_str().unwrap_or_default());
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    library["name"] = json!(stem.strip_prefix("lib").unwrap_or(stem));
    library
}

/// Returns the filter that sends to clients.
pub fn sender(local: &Value) -> Value {
    json!({"name": "postern-sender", "typed_config": {
        "@type": DYNAMIC,
        "dynamic_module_config": library(local),
        "filter_name": "postern-sender",
    }})
}

/// Returns the filter with the dynamic module in the place of a plugin: its file is where the other's would be.
pub fn dynamic(plugin: &Value) -> Value {
    json!({
        "@type": DYNAMIC,
        "dynamic_module_config": library(&file_of_plugin(plugin)),
        "filter_name": plugin["name"],
        "filter_config": plugin["configuration"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_becomes_a_filter_of_the_same_name_and_policies_and_a_type_that_is_named_too() {
        let plugin = json!({
            "name": "postern",
            "vm_config": {"code": {"local": {"filename": "/libpostern.so"}}},
            "configuration": {"@type": "struct", "value": {"policies": {}}},
        });
        let mut configuration = json!({
            "http_filters": [{"name": "postern", "typed_config": {"@type": WASM, "config": plugin}}],
            "type_urls": [WASM],
        });
        exchange_all(&mut configuration);
        assert_eq!(configuration["http_filters"][0]["typed_config"]["filter_name"], "postern-sender");
        let filter = &configuration["http_filters"][1];
        assert_eq!(filter["name"], "postern");
        assert_eq!(filter["typed_config"]["@type"], DYNAMIC);
        assert_eq!(filter["typed_config"]["filter_name"], "postern");
        assert_eq!(filter["typed_config"]["filter_config"], plugin["configuration"]);
        let module = &filter["typed_config"]["dynamic_module_config"]["module"];
        assert_eq!(module["local"]["filename"], "/libpostern.so");
        assert_eq!(configuration["type_urls"], json!([DYNAMIC]));
    }
}
