//! Postern in Istio's manifests: WasmPlugin, TrafficExtension and EnvoyFilter.

use postern_config::{Problem, ProblemKind};

use super::resource::Resource;
use super::{
    Bypass, Configuration, Found, Narrowed, OpenFailure, Written, envoy, says_postern, speaks_of_postern,
};
use crate::yaml::{Member, Node};

/// Looks at a WasmPlugin.
pub(super) fn plugin<'a>(manifest: &'a Node, found: &mut Found<'a>) {
    if let Some(spec) = manifest.member("spec") {
        wasm(spec, "spec", manifest, found);
    }
}

/// Looks at a TrafficExtension.
pub(super) fn extension<'a>(manifest: &'a Node, found: &mut Found<'a>) {
    if let Some(own) = manifest.get("spec").and_then(|spec| spec.member("wasm")) {
        wasm(own, "spec.wasm", manifest, found);
    }
}

/// Notes a plugin if it is Postern by its name, by the address of its module, or by its configuration.
fn wasm<'a>(written: &'a Member, path: &str, manifest: &'a Node, found: &mut Found<'a>) {
    let name = manifest.get("metadata").and_then(|metadata| metadata.get("name"));
    let plugin = &written.value;
    let configuration = plugin.member("pluginConfig");
    let has_policies = configuration.is_some_and(|member| member.value.get("policies").is_some());
    let names = [name, plugin.get("pluginName"), plugin.get("url")];
    if !has_policies && !names.into_iter().any(speaks_of_postern) {
        return;
    }
    found.filter_names.extend(name.and_then(Node::text));
    let text_is =
        |key: &str, text: &str| plugin.member(key).filter(|member| member.value.text() == Some(text));
    if let Some(network) = text_is("type", "NETWORK") {
        let (position, role, remedy) = (network.position, "as a network filter", "write `type: HTTP`");
        found.bypasses.push(Bypass::LoadedElsewhere { position, role, remedy });
    }
    if let Some(open) = text_is("failStrategy", "FAIL_OPEN") {
        let remedy = "write `failStrategy: FAIL_RELOAD` in its place";
        found.open_failures.push(OpenFailure {
            position: open.position,
            path: format!("{path}.failStrategy"),
            remedy,
        });
    }
    if let Some(bound) = plugin.member("match") {
        found.narrowed.push(Narrowed { position: bound.position, path: format!("{path}.match") });
    }
    let (written, position) = match configuration {
        Some(configuration) => (Written::Object(&configuration.value), configuration.position),
        None => {
            let problem = Problem::new(
                ProblemKind::MissingKey,
                format!("{path}.pluginConfig"),
                "is missing",
                "write the policies under it",
            );
            (Written::Wrong(problem), written.position)
        }
    };
    found.configurations.push(Configuration {
        written,
        position,
        manager: None,
        clusters: None,
        allowed: None,
    });
}

/// Looks at the patches of an EnvoyFilter.
pub(super) fn patches<'a>(manifest: &'a Node, document: usize, found: &mut Found<'a>) {
    let patches = manifest.get("spec").and_then(|spec| spec.get("configPatches"));
    for patch in patches.map(Node::items).unwrap_or_default() {
        let resource = patch.get("applyTo").and_then(Node::text).map_or(Resource::Other, Resource::of_patch);
        let before = found.times_seen;
        let Some(laid) = patch.get("patch") else { continue };
        if let Some(value) = laid.get("value") {
            envoy::search(value, resource, document, found);
        }
        let operation = laid.member("operation");
        let takes_out = |member: &&Member| matches!(member.value.text(), Some("REMOVE" | "REPLACE"));
        let is_of_postern = patch.get("match").is_some_and(names_postern) && resource == Resource::HttpFilter;
        // The value of a removal is not put in.
        let puts_in = |member: &&Member| found.times_seen > before && member.value.text() != Some("REMOVE");
        if let Some(operation) =
            operation.filter(takes_out).filter(|member| is_of_postern && !puts_in(member))
        {
            found.bypasses.push(Bypass::Removed(operation.position));
        }
    }
}

/// Says whether a name inside has Postern in it.
fn names_postern(node: &Node) -> bool {
    node.text().is_some_and(says_postern)
        || node.items().iter().any(names_postern)
        || node.members().iter().any(|member| names_postern(&member.value))
}
