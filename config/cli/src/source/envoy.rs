//! Postern in Envoy's own configuration: a bootstrap, a listener, a route configuration, a file of
//! ECDS resources, or any part of one.
//!
//! Fields may be written in their original or in their JSON names (`typed_config`, `typedConfig`).

use std::collections::BTreeSet;

use postern_config::Problem;

use super::{Configuration, Found, Manager, Override, Written, speaks_of_postern};
use crate::yaml::{Kind, Member, Node};

const CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const STRING_VALUE: &str = "type.googleapis.com/google.protobuf.StringValue";
const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";
const TYPED_STRUCTS: [&str; 2] =
    ["type.googleapis.com/udpa.type.v1.TypedStruct", "type.googleapis.com/xds.type.v3.TypedStruct"];
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// Looks at `node` and at everything inside it.
pub(super) fn search<'a>(node: &'a Node, found: &mut Found<'a>) {
    visit(node, None, None, found);
}

/// The names of the clusters of a bootstrap that has no others: none come by discovery.
pub(super) fn clusters(bootstrap: &Node) -> Option<BTreeSet<String>> {
    let resources = field(bootstrap, "static_resources")?;
    if field(bootstrap, "dynamic_resources").and_then(|dynamic| field(dynamic, "cds_config")).is_some() {
        return None;
    }
    let clusters = field(resources, "clusters").map(Node::items).unwrap_or_default();
    Some(clusters.iter().filter_map(|cluster| field(cluster, "name")?.text()).map(str::to_owned).collect())
}

/// The member called `name`, in either spelling.
pub(crate) fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Member> {
    node.member(name).or_else(|| node.member(&json_name(name)))
}

/// `lowerCamelCase` of a field's name, as protobuf's JSON mapping forms it.
fn json_name(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut joined, word| {
        let mut characters = word.chars();
        joined.extend(characters.next().map(|c| c.to_ascii_uppercase()));
        joined.push_str(characters.as_str());
        joined
    })
}

/// The value of the member called `name`, in either spelling.
pub(crate) fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    member(node, name).map(|member| &member.value)
}

/// The type of an `Any`, and the node that has its fields.
fn typed(node: &Node) -> Option<(&str, &Node)> {
    let name = node.get("@type")?.text()?;
    if !TYPED_STRUCTS.contains(&name) {
        return Some((name, node));
    }
    Some((field(node, "type_url")?.text()?, node.get("value")?))
}

/// `name` is that of the extension around `node`.
fn visit<'a>(node: &'a Node, manager: Option<usize>, name: Option<&'a Node>, found: &mut Found<'a>) {
    let mut manager = manager;
    match typed(node) {
        Some((WASM, fields)) => {
            plugin(fields, manager, name, found);
            return;
        }
        Some((CONNECTION_MANAGER, fields)) => {
            manager = Some(found.managers.len());
            found.managers.push(Manager { written: fields, has_postern: false });
        }
        _ => {}
    }
    let own_name = node.get("name");
    if field(node, "config_discovery").is_some() && speaks_of_postern(own_name) {
        found.is_discovered = true;
        mark(manager, found);
    }
    if let Some(postern) = field(node, "filter_metadata").and_then(|filters| filters.member("postern")) {
        found.overrides.push(Override { written: &postern.value, position: postern.position, manager });
    }
    match &node.kind {
        Kind::List(items) => items.iter().for_each(|item| visit(item, manager, None, found)),
        Kind::Object(members) => {
            members.iter().for_each(|member| visit(&member.value, manager, own_name, found))
        }
        Kind::Scalar(_) => {}
    }
}

/// Notes a Wasm filter if it is Postern: called so, loaded from such a path, or configured so.
fn plugin<'a>(fields: &'a Node, manager: Option<usize>, name: Option<&'a Node>, found: &mut Found<'a>) {
    let Some(config) = field(fields, "config") else { return };
    let code = field(config, "vm_config").and_then(|vm| field(vm, "code"));
    let path = code.and_then(|code| field(code, "local")).and_then(|local| field(local, "filename"));
    let address = code
        .and_then(|code| field(code, "remote"))
        .and_then(|remote| field(remote, "http_uri"))
        .and_then(|http| field(http, "uri"));
    let names = [name, field(config, "name"), field(config, "root_id"), path, address];
    let configuration = member(config, "configuration");
    let written = match configuration {
        Some(configuration) => written(&configuration.value),
        None => wrong("is missing", "write a google.protobuf.Struct with the policies under `value`"),
    };
    let has_policies = match &written {
        Written::Object(node) => node.get("policies").is_some(),
        // Whether it is JSON is judged later; a text that is not is still meant for Postern.
        Written::Text(text) => text.contains("\"policies\""),
        Written::Wrong(..) => false,
    };
    if has_policies || names.into_iter().any(speaks_of_postern) {
        let position = configuration.map_or(config.position, |configuration| configuration.position);
        found.configurations.push(Configuration { written, position, manager, clusters: None });
        mark(manager, found);
    }
}

fn written(any: &Node) -> Written<'_> {
    let value = any.get("value");
    match (any.get("@type").and_then(Node::text), value, value.and_then(Node::text)) {
        (Some(STRUCT), Some(value), _) => Written::Object(value),
        (Some(STRING_VALUE), _, Some(text)) => Written::Text(text),
        (Some(STRUCT | STRING_VALUE), _, _) => wrong("has no `value`", "write the policies under `value`"),
        _ => wrong(
            "is neither a google.protobuf.Struct nor a google.protobuf.StringValue",
            "write `\"@type\": type.googleapis.com/google.protobuf.Struct` and the policies under `value`",
        ),
    }
}

fn wrong<'a>(what: &str, remedy: &str) -> Written<'a> {
    Written::Wrong(Problem::new("config.configuration", what, remedy))
}

fn mark(manager: Option<usize>, found: &mut Found<'_>) {
    if let Some(manager) = manager.and_then(|index| found.managers.get_mut(index)) {
        manager.has_postern = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_known_by_both_their_names() {
        assert_eq!(json_name("use_remote_address"), "useRemoteAddress");
        assert_eq!(json_name("config"), "config");
    }
}
