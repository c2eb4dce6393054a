//! The places of Postern's configurations in a file, and everything else that concerns them.

mod any;
mod dynamic_module;
pub(crate) mod envoy;
mod found;
mod gateway;
mod istio;
mod kubernetes;
pub(crate) mod resource;
mod shape;
mod unfold;

use std::rc::Rc;

pub(crate) use found::{
    Bypass, Carrier, Chain, Cluster, Configuration, Found, Lead, Manager, Module, NamedCluster, Narrowed,
    Neighbour, OfRoute, OpenFailure, Override, Senderless, Speech, Stray, SwitchedOff, Unread, Upgrade,
    Written,
};
pub(crate) use unfold::{Document, Unfolded, unfold};

use crate::yaml::{Node, Position};
use resource::Resource;
use shape::Shape;

/// Looks through every document of a file.
pub(crate) fn find(documents: &[Document]) -> Found<'_> {
    let mut found = Found::default();
    for (number, Document { node, shape, is_first_of_file }) in documents.iter().enumerate() {
        let before = found.configurations.len();
        match shape {
            Shape::Manifest => kubernetes::search(node, number, &mut found),
            Shape::Policy | Shape::PerhapsPolicy => found.configurations.push(Configuration {
                written: Written::Object(node),
                position: node.position,
                manager: None,
                clusters: None,
                allowed: None,
                module: None,
            }),
            Shape::Discovery => {
                found.untyped.extend(untyped(node));
                envoy::search(node, Resource::Other, number, &mut found);
            }
            Shape::Bootstrap => envoy::search(node, Resource::Other, number, &mut found),
            Shape::Resource(resource) => search_part(node, *resource, number, &mut found),
        }
        if matches!(shape, Shape::Bootstrap | Shape::Discovery) && !is_first_of_file {
            found.later_documents.push(node.position);
        }
        let clusters = envoy::clusters(node).map(Rc::new);
        found.clusters.extend(clusters.iter().map(|clusters| (number, Rc::clone(clusters))));
        for configuration in found.configurations.iter_mut().skip(before) {
            configuration.clusters.clone_from(&clusters);
        }
    }
    found
}

/// Looks at a part of an Envoy configuration, or at a list of such.
fn search_part<'a>(node: &'a Node, resource: Resource, number: usize, found: &mut Found<'a>) {
    if node.items().is_empty() {
        envoy::search(node, resource, number, found);
    }
    for item in node.items() {
        let resource = match shape::of(item) {
            Shape::Resource(resource) => resource,
            _ => Resource::Other,
        };
        envoy::search(item, resource, number, found);
    }
}

/// Returns the places of resources of a discovery that have no type.
fn untyped(discovery: &Node) -> impl Iterator<Item = Position> {
    let resources = discovery.get("resources").map(Node::items).unwrap_or_default();
    resources.iter().filter(|resource| resource.get("@type").is_none()).map(|resource| resource.position)
}

/// Says whether a name, an address or a path has Postern in it.
fn speaks_of_postern(node: Option<&Node>) -> bool {
    node.and_then(Node::text).is_some_and(says_postern)
}

/// Says whether a text has Postern in it.
fn says_postern(text: &str) -> bool {
    text.to_ascii_lowercase().contains("postern")
}
