//! The kind of a document, by its shape: no key decides it alone that several kinds have.

use super::envoy::field;
use super::resource::Resource;
use crate::yaml::{Kind, Node};

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The configuration that Envoy starts with.
    Bootstrap,
    /// Resources that Envoy discovers.
    Discovery,
    /// A manifest of Kubernetes.
    Manifest,
    /// A document with words that policies have, and other documents too.
    PerhapsPolicy,
    /// Policies of Postern.
    Policy,
    /// One resource of Envoy's, or a part of one.
    Resource(Resource),
}

/// The keys of a policy document of which one is enough, if nothing else has it.
const POLICY_KEYS: [&str; 4] = ["default_policy", "policies", "providers", "routes"];

/// The keys of a policy, of which any other document's `policies` would hardly have one.
const KEYS_OF_A_POLICY: [&str; 6] =
    ["auth", "csrf", "messages", "origins", "subprotocols", "upstream_messages"];

const BOOTSTRAP_KEYS: [&str; 6] = [
    "admin",
    "bootstrap_extensions",
    "dynamic_resources",
    "layered_runtime",
    "static_resources",
    "stats_config",
];

/// The actions of an Envoy route, of which one is required.
const ROUTE_ACTIONS: [&str; 5] =
    ["direct_response", "filter_action", "non_forwarding_action", "redirect", "route"];

/// Returns the kind of `document`. A document of no known shape is some part of an Envoy configuration.
pub(crate) fn of(document: &Node) -> Shape {
    let has = |keys: &[&str]| keys.iter().any(|key| field(document, key).is_some());
    let is_manifest = document.get("kind").and_then(Node::text).is_some()
        && ["apiVersion", "items", "metadata", "spec"].iter().any(|key| document.get(key).is_some());
    if is_manifest {
        Shape::Manifest
    } else if has_policies(document) || document.get("default_policy").is_some() {
        Shape::Policy
    } else if has(&BOOTSTRAP_KEYS) {
        Shape::Bootstrap
    } else if is_discovery(document) {
        Shape::Discovery
    } else if let Some(resource) = resource(document) {
        Shape::Resource(resource)
    } else if POLICY_KEYS.iter().any(|key| document.get(key).is_some()) && !has_routes_of_envoy(document) {
        Shape::PerhapsPolicy
    } else {
        Shape::Resource(Resource::Other)
    }
}

/// Says whether `policies` are Postern's.
pub(super) fn has_policies(node: &Node) -> bool {
    let is_policy = |policy: &Node| KEYS_OF_A_POLICY.iter().any(|key| policy.get(key).is_some());
    node.get("policies")
        .is_some_and(|policies| policies.members().iter().any(|policy| is_policy(&policy.value)))
}

/// Says whether a document is a list of typed resources, whatever else it has.
fn is_discovery(document: &Node) -> bool {
    let Some(resources) =
        document.get("resources").filter(|resources| matches!(resources.kind, Kind::List(_)))
    else {
        return false;
    };
    ["version_info", "type_url"].iter().any(|key| field(document, key).is_some())
        || resources.items().iter().any(|resource| resource.get("@type").is_some())
}

/// Returns the resource that alone has such keys.
fn resource(document: &Node) -> Option<Resource> {
    let has = |key: &str| field(document, key).is_some();
    if let Some(name) = document.get("@type").and_then(Node::text) {
        return Some(Resource::of_type(name).unwrap_or(Resource::Other));
    }
    let has_action = ROUTE_ACTIONS.iter().any(|action| has(action));
    Some(match () {
        () if has("filter_chains") || has("default_filter_chain") => Resource::Listener,
        () if has("virtual_hosts") && !has("http_filters") => Resource::RouteConfiguration,
        () if has("domains") => Resource::VirtualHost,
        () if has("match") && (has_action || has("metadata")) => Resource::Route,
        () if has("http_filters") && has("stat_prefix") => Resource::Manager,
        () if has("load_assignment") || has("lb_policy") || has("eds_cluster_config") => Resource::Cluster,
        () if has("typed_config") || has("config_discovery") => Resource::HttpFilter,
        () if has("filters") => Resource::FilterChain,
        () => return None,
    })
}

/// Says whether the routes of a nameless virtual host, or of a list of routes, are Envoy's.
fn has_routes_of_envoy(document: &Node) -> bool {
    let routes = document.get("routes").map(Node::items).unwrap_or_default();
    let has = |route: &Node, key: &str| field(route, key).is_some();
    routes.iter().any(|route| !has(route, "policy") && ROUTE_ACTIONS.iter().any(|action| has(route, action)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn a_document_is_known_by_its_shape_and_not_by_one_key() {
        for (text, expected) in [
            ("{policies: {chat: {origins: {}}}}", Shape::Policy),
            ("{default_policy: deny}", Shape::Policy),
            ("{policies: {a: {origins: {}}}, static_resources: {}}", Shape::Policy),
            ("{policies: {}}", Shape::PerhapsPolicy),
            ("{policies: [kyverno]}", Shape::PerhapsPolicy),
            ("{providers: {google: {}}}", Shape::PerhapsPolicy),
            ("{routes: [{match: {path: /}, policy: chat}]}", Shape::PerhapsPolicy),
            ("{routes: [{match: {prefix: /}, route: {cluster: a}}]}", Shape::Resource(Resource::Other)),
            ("{name: a, domains: ['*'], routes: []}", Shape::Resource(Resource::VirtualHost)),
            ("{name: a, virtual_hosts: [], routes: []}", Shape::Resource(Resource::RouteConfiguration)),
            ("{virtualHosts: []}", Shape::Resource(Resource::RouteConfiguration)),
            ("{match: {prefix: /}, route: {}}", Shape::Resource(Resource::Route)),
            ("{match: {prefix: /}, direct_response: {}}", Shape::Resource(Resource::Route)),
            ("{filters: []}", Shape::Resource(Resource::FilterChain)),
            ("{name: a, filter_chains: []}", Shape::Resource(Resource::Listener)),
            ("{name: a, load_assignment: {}}", Shape::Resource(Resource::Cluster)),
            ("{http_filters: [], stat_prefix: a}", Shape::Resource(Resource::Manager)),
            ("{http_filters: [], virtual_hosts: []}", Shape::Resource(Resource::Other)),
            ("{name: a, typed_config: {}}", Shape::Resource(Resource::HttpFilter)),
            (
                "{'@type': type.googleapis.com/envoy.config.route.v3.VirtualHost, routes: []}",
                Shape::Resource(Resource::VirtualHost),
            ),
            ("{static_resources: {}}", Shape::Bootstrap),
            ("{staticResources: {}}", Shape::Bootstrap),
            ("{version_info: '1', resources: []}", Shape::Discovery),
            ("{resources: [{'@type': a}]}", Shape::Discovery),
            ("{resources: [kustomize.yaml]}", Shape::Resource(Resource::Other)),
            ("{apiVersion: v1, kind: ConfigMap, policies: {chat: {origins: {}}}}", Shape::Manifest),
            ("{kind: List, items: []}", Shape::Manifest),
            ("{kind: policy, policies: {chat: {auth: none}}}", Shape::Policy),
            ("[]", Shape::Resource(Resource::Other)),
        ] {
            let loaded = yaml::load(text.as_bytes());
            assert_eq!(of(&loaded.documents[0]), expected, "{text}");
        }
    }
}
