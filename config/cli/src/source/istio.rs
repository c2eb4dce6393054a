//! Postern in Istio's manifests: WasmPlugin, TrafficExtension and EnvoyFilter.

use postern_config::{Problem, ProblemKind};

use super::resource::Resource;
use super::{
    Bypass, Configuration, Found, Module, Narrowed, OpenFailure, Written, envoy, says_postern,
    speaks_of_postern,
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
    if let Some(spec) = manifest.get("spec") {
        found.narrowed.extend(narrowed(spec));
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
        module: Some(Module::Wasm),
    });
}

/// Returns the `match` of a plugin that leaves a part of the traffic to no policy. That of a workload which is no gateway may
/// be bound to what comes in; on a gateway nothing does so by Istio's words.
fn narrowed(spec: &Node) -> Option<Narrowed> {
    let bound = spec.member("match")?;
    let labels = spec.get("selector").and_then(|selector| selector.get("matchLabels"));
    let labels = labels.map(Node::members).unwrap_or_default();
    let is_of_a_workload = !labels.is_empty() && !labels.iter().any(names_a_gateway);
    let has_all_that_comes_in = |entry: &Node| {
        let mode = entry.get("mode").and_then(Node::text);
        matches!(mode, Some("SERVER" | "CLIENT_AND_SERVER")) && entry.get("ports").is_none()
    };
    if is_of_a_workload && bound.value.items().iter().any(has_all_that_comes_in) {
        return None;
    }
    Some(Narrowed { position: bound.position, path: "spec.match".to_owned() })
}

/// Says whether a label is one that gateways have, as far as names tell.
fn names_a_gateway(label: &Member) -> bool {
    let words = [Some(label.key.as_str()), label.value.text()];
    words.into_iter().flatten().any(|word| word.to_ascii_lowercase().contains("gateway"))
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
