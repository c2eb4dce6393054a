//! The Kubernetes manifests: the kinds that are read, and the search in one that is not.

use super::resource::Resource;
use super::shape::{self, Shape};
use super::{Found, Unread, envoy, gateway, istio, says_postern};
use crate::yaml::{self, Member, Node, Position};

/// The members of a manifest that configure nothing.
const DESCRIPTIONS: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];

/// The keys whose text names an image.
const IMAGES: [&str; 3] = ["image", "reference", "repository"];

/// The keys whose text may name a module.
const ADDRESSES: [&str; 4] = ["filename", "path", "uri", "url"];

/// The most texts inside texts.
const DEEPEST_TEXT: usize = 4;

/// The kind of a manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind<'a> {
    /// The API group; `None` if the manifest does not have it.
    group: Option<&'a str>,
    name: &'a str,
}

impl Kind<'_> {
    pub(super) fn is(self, group: &str, name: &str) -> bool {
        self.name == name && self.group.is_none_or(|own| own == group)
    }
}

/// Hands over a manifest, or each one of a list.
pub(super) fn each<'a>(manifest: &'a Node, take: &mut impl FnMut(Kind<'a>, &'a Node)) {
    each_of(manifest, None, take);
}

/// Hands over a manifest or the items of a list, whose kind is `of_list` if that is one of a single kind.
fn each_of<'a>(manifest: &'a Node, of_list: Option<Kind<'a>>, take: &mut impl FnMut(Kind<'a>, &'a Node)) {
    let text = |key: &str| manifest.get(key).and_then(Node::text);
    let group = text("apiVersion").map(|version| version.split_once('/').map_or("", |(group, _)| group));
    let own = text("kind").map(|name| Kind { group, name });
    let Some(kind) = own.or(of_list) else { return };
    let Some((name, items)) = kind.name.strip_suffix("List").zip(manifest.get("items")) else {
        take(kind, manifest);
        return;
    };
    let of_list = Some(Kind { name, ..kind }).filter(|kind| !kind.name.is_empty());
    items.items().iter().for_each(|item| each_of(item, of_list, take));
}

/// Looks at a manifest, or at those of a list.
pub(super) fn search<'a>(manifest: &'a Node, document: usize, found: &mut Found<'a>) {
    search_within(manifest, document, &mut Search::default(), found);
}

/// Looks at a manifest that may be in a text of another one; `search` knows how many there are.
fn search_within<'a>(manifest: &'a Node, document: usize, search: &mut Search, found: &mut Found<'a>) {
    each(manifest, &mut |kind, manifest| search_one(kind, manifest, document, search, found));
}

fn search_one<'a>(
    kind: Kind<'a>,
    manifest: &'a Node,
    document: usize,
    search: &mut Search,
    found: &mut Found<'a>,
) {
    if kind.is("extensions.istio.io", "WasmPlugin") {
        istio::plugin(manifest, found);
    } else if kind.is("extensions.istio.io", "TrafficExtension") {
        istio::extension(manifest, found);
    } else if kind.is("networking.istio.io", "EnvoyFilter") {
        istio::patches(manifest, document, found);
    } else if kind.is("gateway.envoyproxy.io", "EnvoyExtensionPolicy") {
        gateway::extension(manifest, found);
    } else if kind.is("gateway.envoyproxy.io", "EnvoyPatchPolicy") {
        gateway::removals(manifest, found);
    } else {
        let speaking = if kind.is("", "ConfigMap") {
            // The texts in `data` are read as documents of their own.
            manifest.get("binaryData").and_then(key_of_postern)
        } else {
            let mut configuring = manifest.members().iter().filter(|member| !is_description(member));
            configuring.find_map(|member| search.member(member))
        };
        found.unread.extend(speaking.map(|position| Unread { kind: kind.name, position }));
    }
}

fn is_description(member: &Member) -> bool {
    DESCRIPTIONS.contains(&member.key.as_str())
}

/// Returns the place of the first key that has Postern in it.
fn key_of_postern(node: &Node) -> Option<Position> {
    node.members().iter().find(|member| says_postern(&member.key)).map(|member| member.position)
}

/// A search for Postern in kinds of which it is not known how they configure it.
#[derive(Default)]
struct Search {
    /// The number of values of all texts that were read as documents.
    values: usize,
    /// The number of texts around the one that is read.
    depth: usize,
}

impl Search {
    /// Returns the place where a member configures Postern, if it does.
    fn member(&mut self, member: &Member) -> Option<Position> {
        if let Some(text) = member.value.text() {
            return self.text(&member.key, text).then_some(member.position);
        }
        if member.key == "data" || member.key == "binaryData" {
            return key_of_postern(&member.value).or_else(|| self.inside(&member.value));
        }
        let mut found = Found::default();
        envoy::search(&member.value, Resource::Other, 0, &mut found);
        let place = found.configurations.first().map(|configuration| configuration.position);
        let place = place.or_else(|| found.overrides.first().map(|written| written.position));
        let place = place.or_else(|| found.strays.first().map(|stray| stray.position));
        let anywhere = (!found.is_empty()).then_some(member.position);
        place.or(anywhere).or_else(|| self.inside(&member.value))
    }

    fn inside(&mut self, node: &Node) -> Option<Position> {
        if shape::has_policies(node) {
            return Some(node.position);
        }
        for member in node.members() {
            let place = match member.value.text() {
                Some(text) => self.text(&member.key, text).then_some(member.position),
                None => self.inside(&member.value),
            };
            if place.is_some() {
                return place;
            }
        }
        node.items().iter().find_map(|item| self.inside(item))
    }

    /// Says whether a text names Postern's image or module, or is a document of its own that has Postern.
    fn text(&mut self, key: &str, text: &str) -> bool {
        if !text.contains('\n') && !text.trim_start().starts_with('{') {
            let is_module = text.starts_with("oci://") || text.ends_with(".wasm");
            let is_loaded = IMAGES.contains(&key) || (ADDRESSES.contains(&key) && is_module);
            return is_loaded && says_postern(text);
        }
        if !says_postern(text) && !text.contains("policies") {
            return false;
        }
        let loaded = yaml::load(text.as_bytes());
        self.values = self.values.saturating_add(loaded.values);
        // A text that is too much to be read is not passed over in silence.
        if self.values > yaml::MOST_VALUES || self.depth >= DEEPEST_TEXT {
            return true;
        }
        self.depth = self.depth.saturating_add(1);
        let is_found = loaded.documents.iter().any(|own| self.has_postern(own) || self.inside(own).is_some());
        self.depth = self.depth.saturating_sub(1);
        is_found
    }

    fn has_postern(&mut self, document: &Node) -> bool {
        let mut found = Found::default();
        let shape = shape::of(document);
        match shape {
            Shape::Manifest => search_within(document, 0, self, &mut found),
            _ => envoy::search(document, Resource::Other, 0, &mut found),
        }
        shape == Shape::Policy || !found.is_empty()
    }
}
