//! Every manifest that is shipped, rendered or on a page, against the schema that its kind has in a cluster.
//!
//! `POSTERN_CRDS` names a folder of CustomResourceDefinitions, which are not ours. What a cluster would drop without a word,
//! since the schema does not know it, is a fault here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use postern_engine::json_schema::{Budget, Schema};
use serde_json::{Map, Value, json};

use crate::pages::{pages, read, root};
use crate::postern::run;
use crate::schema::documents;

/// The kinds of manifests that are shipped and have no schema in the folder.
const WITHOUT_A_SCHEMA: [&str; 5] =
    ["BackendTrafficPolicy", "ClientTrafficPolicy", "DestinationRule", "EnvoyProxy", "ServiceEntry"];

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
            None if WITHOUT_A_SCHEMA.iter().any(|name| kind.starts_with(name)) => None,
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
    for name in files_in("config/examples") {
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
