//! Where in a file Postern's configurations are, and what else there concerns them.

pub(crate) mod envoy;
mod istio;

use std::collections::BTreeSet;
use std::rc::Rc;

use postern_config::{Path, Problem};

use crate::yaml::{Node, Position};

/// A configuration of Postern.
#[derive(Debug)]
pub(crate) struct Configuration<'a> {
    pub(crate) written: Written<'a>,
    /// Where it is written.
    pub(crate) position: Position,
    /// The connection manager it is part of, by its place in [`Found::managers`].
    pub(crate) manager: Option<usize>,
    /// The clusters that its Envoy has, where the file says all of them.
    pub(crate) clusters: Option<Rc<BTreeSet<String>>>,
}

impl Configuration<'_> {
    /// Where `path` is written, or what is nearest above it.
    pub(crate) fn locate(&self, path: &str) -> Position {
        match (&self.written, Path::parse(path)) {
            (Written::Object(node), Some(path)) => node.locate(&path, self.position),
            _ => self.position,
        }
    }
}

/// How a configuration is written.
#[derive(Debug)]
pub(crate) enum Written<'a> {
    /// As an object.
    Object(&'a Node),
    /// As JSON text in a string.
    Text(&'a str),
    /// In no way that can be read.
    Wrong(Problem),
}

/// What a route lays over a policy.
#[derive(Debug)]
pub(crate) struct Override<'a> {
    pub(crate) written: &'a Node,
    /// Where its key is written.
    pub(crate) position: Position,
    /// As in [`Configuration::manager`].
    pub(crate) manager: Option<usize>,
}

/// An HttpConnectionManager.
#[derive(Debug)]
pub(crate) struct Manager<'a> {
    pub(crate) written: &'a Node,
    /// Whether Postern is among its filters.
    pub(crate) has_postern: bool,
}

/// Everything of Postern in a file.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    pub(crate) configurations: Vec<Configuration<'a>>,
    pub(crate) overrides: Vec<Override<'a>>,
    pub(crate) managers: Vec<Manager<'a>>,
    /// Whether a filter called so is configured by discovery, elsewhere.
    pub(crate) is_discovered: bool,
}

/// The keys of a policy document.
const POLICY_KEYS: [&str; 4] = ["default_policy", "policies", "providers", "routes"];

/// Looks through every document of a file.
pub(crate) fn find(documents: &[Node]) -> Found<'_> {
    let mut found = Found::default();
    for document in documents {
        if document.get("kind").is_some() && document.get("apiVersion").is_some() {
            istio::search(document, &mut found);
        } else if POLICY_KEYS.iter().any(|key| document.get(key).is_some()) {
            let written = Written::Object(document);
            found.configurations.push(Configuration {
                written,
                position: document.position,
                manager: None,
                clusters: None,
            });
        } else {
            let before = found.configurations.len();
            envoy::search(document, &mut found);
            let clusters = envoy::clusters(document).map(Rc::new);
            for configuration in found.configurations.iter_mut().skip(before) {
                configuration.clusters.clone_from(&clusters);
            }
        }
    }
    found
}

/// Whether a name, an address or a path speaks of Postern.
fn speaks_of_postern(node: Option<&Node>) -> bool {
    node.and_then(Node::text).is_some_and(|text| text.to_ascii_lowercase().contains("postern"))
}
