//! Every manifest that is shipped, rendered or on a page, against the schema that its kind has in a cluster.
//!
//! `POSTERN_CRDS` names a folder of CustomResourceDefinitions, which are not ours. What a cluster would drop without a word,
//! since the schema does not know it, is a fault here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use postern_engine::json_schema::{Budget, Schema};
use serde_json::{Map, Value, json};

use crate::pages::{pages, read, root};
use crate::postern::run;
use crate::schema::documents;

/// The kinds of manifests that have a schema in the folder, with the page that says so.
const WITH_A_SCHEMA: [(&str, &str); 6] = [
    ("EnvoyExtensionPolicy", "docs/envoy-gateway.md"),
    ("EnvoyFilter", "docs/istio.md"),
    ("EnvoyPatchPolicy", "docs/envoy-gateway.md"),
    ("PeerAuthentication", "docs/istio.md"),
    ("TrafficExtension", "docs/istio.md"),
    ("WasmPlugin", "docs/istio.md"),
];

/// The kinds of manifests that have none, with the page that says so.
const WITHOUT_A_SCHEMA: [(&str, &str); 6] = [
    ("BackendTrafficPolicy", "docs/envoy-gateway.md"),
    ("ClientTrafficPolicy", "docs/envoy-gateway.md"),
    ("DestinationRule", "docs/istio.md"),
    ("EnvoyProxy", "docs/envoy-gateway.md"),
    ("Gateway", "docs/envoy-gateway.md"),
    ("ServiceEntry", "docs/istio.md"),
];

/// A policy that asks a service outside of a mesh.
const OUTSIDE: &str = "
providers:
  edge:
    issuer: https://auth.example.com/
    audiences: [chat]
    algorithms: [RS256]
    jwks: {remote: {cluster: \"outbound|443||auth.example.com\", uri: https://auth.example.com/jwks}}
policies:
  chat: {origins: {allow: [\"https://app.example.com\"]}, auth: {providers: [edge], from: [{header: authorization}]}}
default_policy: chat
";

/// The folder of the schemas; without one, what is not run is to be seen.
#[expect(clippy::print_stderr, reason = "what is not run is to be seen")]
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("POSTERN_CRDS").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    if folder.is_none() {
        eprintln!("NOT RUN: POSTERN_CRDS names no folder of CustomResourceDefinitions");
    }
    folder
}

/// The schemas by kind and version, such as `WasmPlugin extensions.istio.io/v1alpha1`.
struct Schemas(BTreeMap<String, Schema>);

impl Schemas {
    fn read(folder: &Path) -> Self {
        let entries =
            std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let yaml = paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        let definitions = yaml.flat_map(|path| documents(&std::fs::read_to_string(path).expect("text")));
        let schemas: BTreeMap<String, Schema> =
            definitions.flat_map(|definition| of_versions(&definition)).collect();
        assert!(schemas.len() > 3, "{}", folder.display());
        Self(schemas)
    }

    /// Returns what is wrong with a manifest, if its kind has a schema.
    fn fault(&self, manifest: &Value) -> Option<String> {
        let kind = kind_of(manifest);
        match self.0.get(&kind) {
            Some(schema) => schema
                .validate(manifest, Budget::for_bytes(1 << 20))
                .err()
                .map(|fault| format!("{kind}: {fault:?}")),
            None if WITHOUT_A_SCHEMA.iter().any(|(name, _)| manifest["kind"] == *name) => None,
            None => Some(format!("{kind} has no schema")),
        }
    }
}

fn kind_of(manifest: &Value) -> String {
    let text = |key: &str| manifest[key].as_str().unwrap_or_default().to_owned();
    format!("{} {}", text("kind"), text("apiVersion"))
}

/// Returns the schema of each version of a definition.
fn of_versions(definition: &Value) -> Vec<(String, Schema)> {
    let spec = &definition["spec"];
    let (kind, group) = (&spec["names"]["kind"], &spec["group"]);
    let versions = spec["versions"].as_array().expect("versions");
    let of = |version: &Value| {
        let name = &version["name"];
        let [kind, group, name] = [kind, group, name].map(|text| text.as_str().expect("text"));
        let mut schema = strict(&version["schema"]["openAPIV3Schema"]);
        for every in ["apiVersion", "kind", "metadata"] {
            schema["properties"][every] = json!({});
        }
        let schema = Schema::compile(&schema).unwrap_or_else(|problems| panic!("{kind}: {problems:#?}"));
        (format!("{kind} {group}/{name}"), schema)
    };
    versions.iter().map(of).collect()
}

/// Returns a structural schema of Kubernetes as one of JSON Schema that takes no members but those that it knows.
fn strict(schema: &Value) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    let mut strict: Map<String, Value> = members
        .iter()
        .filter(|(keyword, _)| !keyword.starts_with("x-kubernetes-") && *keyword != "nullable")
        .map(|(keyword, value)| (keyword.clone(), strict_keyword(keyword, value)))
        .collect();
    let keeps_all = members.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    if members.contains_key("properties") && !keeps_all {
        strict.entry("additionalProperties").or_insert(json!(false));
    }
    if members.get("nullable") == Some(&json!(true)) {
        strict.insert("type".to_owned(), json!([members["type"], "null"]));
    }
    Value::Object(strict)
}

fn strict_keyword(keyword: &str, value: &Value) -> Value {
    match (keyword, value) {
        ("properties", Value::Object(properties)) => {
            properties.iter().map(|(name, schema)| (name.clone(), strict(schema))).collect()
        }
        ("items" | "additionalProperties" | "not", schema) => strict(schema),
        ("oneOf" | "anyOf" | "allOf", Value::Array(schemas)) => schemas.iter().map(strict).collect(),
        _ => value.clone(),
    }
}

/// Returns every manifest, with its place: those that are shipped, those of the pages, and those that examples are rendered to.
fn manifests() -> Vec<(String, Value)> {
    let mut texts = Vec::new();
    for folder in ["e2e/istio", "e2e/envoy-gateway"] {
        texts.extend(files_in(folder).map(|name| (name.clone(), read(&name))));
    }
    for page in pages() {
        let blocks = page.blocks();
        let of_kubernetes =
            blocks.iter().filter(|block| ["yaml istio", "yaml envoy-gateway"].contains(&block.kind.as_str()));
        texts
            .extend(of_kubernetes.map(|block| (format!("{}:{}", page.name, block.line), block.text.clone())));
    }
    let asking = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(asking.path(), OUTSIDE).expect("a writable file");
    let asking = asking.path().to_str().expect("text");
    for name in files_in("config/examples").chain([asking.to_owned()]) {
        for platform in
            [["istio"].as_slice(), &["istio", "--sidecar", "--selector", "app=chat"], &["envoy-gateway"]]
        {
            let outcome = run(&root(), &[&["render"], platform, &["--policy-file", &name]].concat());
            assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.stderr);
            texts.push((format!("{name} rendered for {platform:?}"), outcome.stdout));
        }
    }
    let of_text = |(name, text): (String, String)| {
        documents(&text).into_iter().map(move |manifest| (name.clone(), manifest))
    };
    texts.into_iter().flat_map(of_text).collect()
}

/// Returns the name of the EnvoyProxy that a manifest names.
fn named_proxy(manifest: &Value) -> Option<&Value> {
    let place = match manifest["kind"].as_str()? {
        "Gateway" => "/spec/infrastructure/parametersRef",
        "GatewayClass" => "/spec/parametersRef",
        _ => return None,
    };
    let named = manifest.pointer(place)?;
    let is_proxy = named["group"] == "gateway.envoyproxy.io" && named["kind"] == "EnvoyProxy";
    is_proxy.then(|| &named["name"])
}

#[test]
fn every_envoy_proxy_is_named_by_a_gateway_or_its_class_in_the_same_place() {
    let manifests = manifests();
    let proxies = manifests.iter().filter(|(_, manifest)| manifest["kind"] == "EnvoyProxy");
    let mut found = 0;
    for (place, proxy) in proxies {
        let here = manifests.iter().filter(|(other, _)| other == place).map(|(_, manifest)| manifest);
        let mut named = here.filter_map(named_proxy);
        assert!(named.any(|name| *name == proxy["metadata"]["name"]), "{place}: nothing names {proxy}");
        found += 1;
    }
    assert!(found > 0, "no EnvoyProxy");
}

#[test]
fn the_pages_say_which_kinds_are_judged_by_a_schema_and_which_are_not() {
    let manifests = manifests();
    let used: BTreeSet<&str> =
        manifests.iter().map(|(_, manifest)| manifest["kind"].as_str().expect("a kind")).collect();
    let told: BTreeSet<&str> = WITH_A_SCHEMA.iter().chain(&WITHOUT_A_SCHEMA).map(|(kind, _)| *kind).collect();
    assert_eq!(used, told);
    for page in ["docs/envoy-gateway.md", "docs/istio.md"] {
        let text = read(page).replace('\n', " ");
        // The sentences on what is judged, and on what is not.
        let (judged, other) = text.split_once(" are judged by none here").map_or_else(
            || panic!("{page} says nothing of kinds that are judged by none"),
            |(before, _)| before.rsplit_once([';', '.']).expect("a sentence before"),
        );
        for (kind, of) in WITH_A_SCHEMA.iter().filter(|(_, of)| *of == page) {
            assert!(judged.contains(kind) && !other.contains(kind), "{of}: {kind} is judged");
        }
        for (kind, of) in WITHOUT_A_SCHEMA.iter().filter(|(_, of)| *of == page) {
            assert!(other.contains(kind), "{of}: {kind} is not judged");
        }
    }
    let Some(folder) = folder() else { return };
    let schemas = Schemas::read(&folder);
    let has_one = |kind: &str| schemas.0.keys().any(|name| name.split(' ').next() == Some(kind));
    assert!(WITH_A_SCHEMA.iter().all(|(kind, _)| has_one(kind)), "{:?}", schemas.0.keys());
    assert!(!WITHOUT_A_SCHEMA.iter().any(|(kind, _)| has_one(kind)), "{:?}", schemas.0.keys());
}

#[test]
fn a_patch_of_clusters_is_for_one_service_and_binds_to_no_family_of_addresses() {
    let mut found = 0;
    for (place, manifest) in manifests() {
        let patches = manifest["spec"]["configPatches"].as_array().into_iter().flatten();
        for patch in
            patches.filter(|patch| patch["applyTo"] == "CLUSTER" && patch["patch"]["operation"] == "MERGE")
        {
            assert!(patch["match"]["cluster"]["service"].is_string(), "{place}: {patch}");
            let bound = &patch["patch"]["value"]["upstream_bind_config"];
            assert!(bound.get("source_address").is_none(), "{place}: {patch}");
            found += 1;
        }
    }
    assert!(found > 0, "no patch of a cluster");
}

/// Returns the YAML files of a folder, from the root of the repository.
fn files_in(folder: &str) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.retain(|name| name.ends_with(".yaml"));
    names.sort();
    assert!(!names.is_empty(), "{folder}");
    names.into_iter().map(move |name| format!("{folder}/{name}"))
}

#[test]
fn every_manifest_applies_to_the_schema_of_its_kind_and_has_no_member_that_a_cluster_would_drop() {
    let Some(folder) = folder() else { return };
    let schemas = Schemas::read(&folder);
    let manifests = manifests();
    assert!(manifests.len() > 30, "{}", manifests.len());
    let faults: Vec<String> = manifests
        .iter()
        .filter_map(|(name, manifest)| Some(format!("{name}: {}", schemas.fault(manifest)?)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_member_that_no_schema_knows_a_wrong_word_and_a_wrong_type_are_faults() {
    let Some(folder) = folder() else { return };
    let schemas = Schemas::read(&folder);
    let plugin = documents(&read("e2e/istio/sidecar.yaml")).remove(0);
    assert_eq!(schemas.fault(&plugin), None);
    for (place, value) in [
        ("/spec/phase", json!("BEFORE")),
        ("/spec/failStrategy", json!("FAIL_SAFE")),
        ("/spec/match/0/mode", json!("INBOUND")),
        ("/spec/match/0", json!({"mode": "SERVER", "direction": "in"})),
        ("/spec/vmConfig/env/0", json!({"name": "A", "valueFrom": "SECRET"})),
        ("/spec/selector", json!({"labels": {"app": "chat"}})),
        ("/spec/pluginConfig", json!("policies: {}")),
    ] {
        let mut wrong = plugin.clone();
        *wrong.pointer_mut(place).unwrap_or_else(|| panic!("nothing at {place}")) = value;
        assert!(schemas.fault(&wrong).is_some(), "{place}");
    }
}
