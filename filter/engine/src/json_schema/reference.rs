//! Where the schemas of a document are, and what `$ref` and `$dynamicRef` mean by them (JSON Schema Core §8 and §9).
//!
//! Owns base URIs, anchors and pointers. Never looks outside of the document.

use std::collections::BTreeMap;
use std::rc::Rc;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use url::Url;

use super::keyword::{NodeId, ResourceId};
use super::problem::{Problem, Report, child};
use super::vocabulary::{Subschemas, subschemas};

/// The most schemas that a document may have, those within others included.
const MAX_SCHEMAS: usize = 8192;
/// The most bytes of the pointers of all schemas.
const MAX_POINTER_BYTES: usize = 1 << 20;
/// The most bytes of the URI of a resource. Those of all resources within it begin with it.
const MAX_URI_BYTES: usize = 1024;
/// The base of a document without an `$id`. Its name can be no host's (RFC 6761 §6.4).
const DEFAULT_BASE: &str = "https://schema.invalid/";

/// A schema of the document.
pub(super) struct Place<'d> {
    pub(super) value: &'d Value,
    /// The JSON pointer of it in the document.
    pub(super) at: String,
    pub(super) base: Rc<Url>,
    pub(super) resource: ResourceId,
}

/// All schemas of a document, by every name that one can be referred to with.
#[derive(Default)]
pub(super) struct Places<'d> {
    /// The schemas by their [`NodeId`]; the document itself is the first.
    pub(super) all: Vec<Place<'d>>,
    pub(super) dynamic_anchors: DynamicAnchors,
    by_pointer: BTreeMap<String, NodeId>,
    /// The resources by their URI, each with the schema that is its root.
    resources: BTreeMap<String, (ResourceId, NodeId)>,
    anchors: BTreeMap<(ResourceId, String), NodeId>,
}

/// The schemas that are to be looked into.
struct Open<'d> {
    places: Vec<Place<'d>>,
    /// The bytes of the pointers of all schemas that were ever here.
    pointer_bytes: usize,
}

impl<'d> Open<'d> {
    fn push(&mut self, place: Place<'d>) {
        self.pointer_bytes = self.pointer_bytes.saturating_add(place.at.len());
        if self.pointer_bytes <= MAX_POINTER_BYTES {
            self.places.push(place);
        }
    }
}

/// The schemas that `$dynamicAnchor` names.
#[derive(Debug, Default)]
pub(super) struct DynamicAnchors(BTreeMap<String, BTreeMap<ResourceId, NodeId>>);

/// What a reference means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) node: NodeId,
    /// The dynamic anchor that the reference names, if it names one.
    pub(super) dynamic_anchor: Option<String>,
}

impl DynamicAnchors {
    /// Returns the schema with this anchor in a resource.
    pub(super) fn get(&self, resource: ResourceId, anchor: &str) -> Option<NodeId> {
        self.0.get(anchor)?.get(&resource).copied()
    }

    /// Returns the schemas with this anchor, by resource.
    pub(super) fn named(&self, anchor: &str) -> Option<&BTreeMap<ResourceId, NodeId>> {
        self.0.get(anchor)
    }

    /// Returns the number of different anchors.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns every anchor, with the schemas that have it, each in a resource of its own.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = NodeId>)> {
        self.0.iter().map(|(anchor, by_resource)| (anchor.as_str(), by_resource.values().copied()))
    }
}

impl<'d> Places<'d> {
    /// Finds all schemas of a document. Those that are none are left out, and told in `report`.
    pub(super) fn of(document: &'d Value, report: &mut Report) -> Option<Self> {
        let base = Rc::new(Url::parse(DEFAULT_BASE).ok()?);
        let mut places = Self::default();
        places.resources.insert(base.as_str().to_owned(), (ResourceId(0), NodeId(0)));
        let root = Place { value: document, at: String::new(), base, resource: ResourceId(0) };
        let mut open = Open { places: vec![root], pointer_bytes: 0 };
        while let Some(mut place) = open.places.pop() {
            match place.value {
                Value::Bool(_) => {}
                Value::Object(members) => {
                    places.name(members, &mut place, report);
                    open_subschemas(members, &place, &mut open, report);
                }
                _ => {
                    report.push(Problem::new(&place.at, "is no schema", "write an object, `true` or `false`"))
                }
            }
            places.by_pointer.insert(place.at.clone(), NodeId(places.all.len()));
            places.all.push(place);
            if places.all.len() > MAX_SCHEMAS || open.pointer_bytes > MAX_POINTER_BYTES {
                let what =
                    format!("has more than {MAX_SCHEMAS} schemas in it, or ones too deep within others");
                report.push(Problem::new("", what, "write a smaller schema"));
                return None;
            }
        }
        Some(places)
    }

    /// Returns what a reference from a schema with this base means, or what is wrong with it.
    pub(super) fn resolve(&self, reference: &str, base: &Url) -> Result<Target, &'static str> {
        let Ok(mut uri) = base.join(reference) else { return Err("is no URI reference") };
        let fragment = uri.fragment().unwrap_or_default().to_owned();
        uri.set_fragment(None);
        let Some((resource, root)) = self.resources.get(uri.as_str()).copied() else {
            return Err("refers to another document, and none is fetched");
        };
        let fixed = |node| Target { node, dynamic_anchor: None };
        if fragment.is_empty() {
            return Ok(fixed(root));
        }
        let Ok(fragment) = percent_decode_str(&fragment).decode_utf8() else { return Err("is not UTF-8") };
        if fragment.starts_with('/') {
            let from = self.all.get(root.0).map_or("", |place| place.at.as_str());
            let found = self.by_pointer.get(&format!("{from}{fragment}"));
            return found.copied().map(fixed).ok_or("points to nothing that is a schema");
        }
        if let Some(node) = self.dynamic_anchors.get(resource, &fragment) {
            return Ok(Target { node, dynamic_anchor: Some(fragment.into_owned()) });
        }
        let found = self.anchors.get(&(resource, fragment.into_owned()));
        found.copied().map(fixed).ok_or("names an anchor that nothing has")
    }

    /// Returns the schema at this pointer.
    pub(super) fn at(&self, pointer: &str) -> Option<NodeId> {
        self.by_pointer.get(pointer).copied()
    }

    /// Takes down what a schema is called. One with an `$id` begins a resource.
    fn name(&mut self, members: &Map<String, Value>, place: &mut Place<'d>, report: &mut Report) {
        let node = NodeId(self.all.len());
        let identified = members.get("$id").map_or(Ok(()), |id| self.identify(id, node, place));
        if let Err(what) = identified {
            let remedy = "write a URI reference of its own, without a fragment";
            report.push(Problem::new(child(&place.at, "$id"), what, remedy));
        }
        for (keyword, is_dynamic) in [("$anchor", false), ("$dynamicAnchor", true)] {
            let Some(value) = members.get(keyword) else { continue };
            let at = child(&place.at, keyword);
            let Some(name) = value.as_str().filter(|name| is_anchor(name)) else {
                report.push(Problem::new(
                    at,
                    "is no anchor",
                    "write a name of letters, digits, `-`, `_` and `.`",
                ));
                continue;
            };
            let (resource, name) = (place.resource, name.to_owned());
            let is_known = self.anchors.contains_key(&(resource, name.clone()))
                || self.dynamic_anchors.get(resource, &name).is_some();
            if is_known {
                report.push(Problem::new(
                    at,
                    "is the anchor of another schema as well",
                    "write another name",
                ));
            } else if is_dynamic {
                self.dynamic_anchors.0.entry(name).or_default().insert(resource, node);
            } else {
                self.anchors.insert((resource, name), node);
            }
        }
    }

    fn identify(&mut self, id: &Value, node: NodeId, place: &mut Place<'d>) -> Result<(), &'static str> {
        let mut uri = id.as_str().and_then(|id| place.base.join(id).ok()).ok_or("is no URI reference")?;
        if uri.fragment().is_some_and(|fragment| !fragment.is_empty()) {
            return Err("has a fragment");
        }
        uri.set_fragment(None);
        if uri.as_str().len() > MAX_URI_BYTES {
            return Err("has more than 1024 bytes");
        }
        let resource = ResourceId(if node == NodeId(0) { 0 } else { self.resources.len() });
        if self.resources.contains_key(uri.as_str()) {
            return Err("is the name of another schema as well");
        }
        self.resources.insert(uri.as_str().to_owned(), (resource, node));
        (place.base, place.resource) = (Rc::new(uri), resource);
        Ok(())
    }
}

/// Puts the schemas directly within one aside, to be looked into.
fn open_subschemas<'d>(
    members: &'d Map<String, Value>,
    place: &Place<'d>,
    open: &mut Open<'d>,
    report: &mut Report,
) {
    let mut push = |value: &'d Value, at: String| {
        open.push(Place { value, at, base: Rc::clone(&place.base), resource: place.resource });
    };
    for (keyword, value) in members {
        let at = child(&place.at, keyword);
        match (subschemas(keyword), value) {
            (Subschemas::None, _) => {}
            (Subschemas::One, value) => push(value, at),
            (Subschemas::List, Value::Array(items)) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    push(item, format!("{at}/{index}"));
                }
            }
            (Subschemas::List, _) => {
                report.push(Problem::new(at, "is no list of schemas", "write a list of one schema or more"));
            }
            (Subschemas::Map, Value::Object(members)) => {
                for (name, member) in members {
                    push(member, child(&at, name));
                }
            }
            (Subschemas::Map, _) => {
                report.push(Problem::new(
                    at,
                    "is no object of schemas",
                    "write an object with a schema for each member",
                ));
            }
        }
    }
}

fn is_anchor(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
