//! Postern in Kubernetes manifests: Istio's WasmPlugin and EnvoyFilter.

use postern_config::Problem;

use super::{Configuration, Found, Written, envoy, speaks_of_postern};
use crate::yaml::Node;

/// Looks at one manifest, or at those of a `List`. Other kinds have nothing of Postern.
pub(super) fn search<'a>(manifest: &'a Node, found: &mut Found<'a>) {
    match manifest.get("kind").and_then(Node::text) {
        Some("EnvoyFilter") => {
            if let Some(spec) = manifest.get("spec") {
                envoy::search(spec, found);
            }
        }
        Some("List") => {
            for item in manifest.get("items").map(Node::items).unwrap_or_default() {
                search(item, found);
            }
        }
        Some("WasmPlugin") => plugin(manifest, found),
        _ => {}
    }
}

fn plugin<'a>(manifest: &'a Node, found: &mut Found<'a>) {
    let Some(spec) = manifest.member("spec") else { return };
    let name = manifest.get("metadata").and_then(|metadata| metadata.get("name"));
    let configuration = spec.value.member("pluginConfig");
    let has_policies = configuration.is_some_and(|member| member.value.get("policies").is_some());
    let names = [name, spec.value.get("pluginName"), spec.value.get("url")];
    if !has_policies && !names.into_iter().any(speaks_of_postern) {
        return;
    }
    let (written, position) = match configuration {
        Some(configuration) => (Written::Object(&configuration.value), configuration.position),
        None => (
            Written::Wrong(Problem::new("spec.pluginConfig", "is missing", "write the policies under it")),
            spec.position,
        ),
    };
    found.configurations.push(Configuration { written, position, manager: None, clusters: None });
}
