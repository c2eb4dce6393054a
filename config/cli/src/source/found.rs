//! The parts of Postern that are found in a file, with their places.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use postern_config::{Path, Problem};

use super::resource::Resource;
use super::says_postern;
use crate::yaml::{Member, Node, Position};

/// A configuration of Postern.
#[derive(Debug)]
pub(crate) struct Configuration<'a> {
    pub(crate) written: Written<'a>,
    /// The place where the configuration is written.
    pub(crate) position: Position,
    /// The connection manager that the configuration is part of, by its place in [`Found::managers`].
    pub(crate) manager: Option<usize>,
    /// The clusters that the configuration's Envoy has, if the file has all of them.
    pub(crate) clusters: Option<Rc<BTreeMap<String, Cluster>>>,
    /// The callbacks and functions that the module may have, if it may not have all.
    pub(crate) allowed: Option<&'a Member>,
    /// The module that the configuration is for; `None` where policies stand alone.
    pub(crate) module: Option<Module>,
}

/// A form in which Postern is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Module {
    /// A library that Envoy loads: a dynamic module.
    Dynamic,
    Wasm,
}

/// A cluster of Envoy's.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) position: Position,
    pub(crate) speech: Speech,
    /// The bounds of the circuit breaker that are set, for the priority that requests have by default.
    pub(crate) bounds: BTreeSet<String>,
}

/// A cluster as it is written, in a configuration of any kind or in a patch.
#[derive(Debug)]
pub(crate) struct NamedCluster<'a> {
    pub(crate) name: &'a str,
    pub(crate) fields: &'a Node,
}

/// A way on which what reaches a listener goes on to a cluster.
#[derive(Debug)]
pub(crate) struct Lead<'a> {
    /// The name of the cluster; `None` where the request chooses it.
    pub(crate) cluster: Option<&'a str>,
    /// The key that leads there.
    pub(crate) key: &'static str,
    pub(crate) position: Position,
}

/// The way in which Envoy speaks to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2, perhaps besides others.
    Http2,
}

impl Configuration<'_> {
    /// Returns the place where `path` is written, or what is nearest above it.
    pub(crate) fn locate(&self, path: &str) -> Position {
        match (&self.written, Path::parse(path)) {
            (Written::Object(node), Some(path)) => node.locate(&path, self.position),
            _ => self.position,
        }
    }
}

/// The form of a configuration.
#[derive(Debug)]
pub(crate) enum Written<'a> {
    /// The configuration is an object.
    Object(&'a Node),
    /// The configuration is JSON text in a string.
    Text(&'a str),
    /// The configuration cannot be read.
    Wrong(Problem),
}

impl Written<'_> {
    /// Says whether there are policies, by a look at the keys.
    pub(super) fn has_policies(&self) -> bool {
        match self {
            Self::Object(node) => node.get("policies").is_some(),
            // JSON is judged later; a text that is none is still meant for Postern.
            Self::Text(text) => text.contains("\"policies\""),
            Self::Wrong(..) => false,
        }
    }
}

/// The override that a route lays over a policy.
#[derive(Debug)]
pub(crate) struct Override<'a> {
    pub(crate) written: Written<'a>,
    pub(crate) carrier: Carrier,
    /// The path of what has the override.
    pub(crate) path: Path,
    /// Says whether the route has another override, by another carrier.
    pub(crate) is_one_of_two: bool,
    /// The name of the route, where it has one.
    pub(crate) route: Option<&'a str>,
    /// The place of the override's key.
    pub(crate) position: Position,
    /// The connection manager that the override is part of, as in [`Configuration::manager`].
    pub(crate) manager: Option<usize>,
}

/// The part of a route that an override stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// The route's `filter_metadata`.
    Metadata,
    /// The `typed_per_filter_config` of the route, or of what it is part of.
    RouteConfig,
    /// The route's `typed_filter_metadata`.
    TypedMetadata,
}

impl Carrier {
    /// Says whether Postern reads an override here; policies that stand alone may be those of any module.
    pub(crate) fn is_read_by(self, module: Option<Module>) -> bool {
        module.is_none_or(|module| (self == Self::Metadata) == (module == Module::Wasm))
    }
}

impl Override<'_> {
    /// Returns the path of the override itself.
    pub(crate) fn root(&self) -> Path {
        match self.carrier {
            Carrier::Metadata => self.path.clone(),
            Carrier::RouteConfig | Carrier::TypedMetadata => self.path.key("value"),
        }
    }
}

/// A list of HTTP filters that requests go through, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Chain {
    /// The place of the chain's document in the file.
    pub(crate) document: usize,
    /// The manager that the chain is part of, by its place in [`Found::managers`].
    pub(crate) manager: Option<usize>,
    /// The upgrade whose own chain it is, by its place in [`Manager::upgrades`].
    pub(crate) upgrade: Option<usize>,
}

/// A dynamic module in a list of filters in which no sender stands before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Senderless {
    pub(crate) position: Position,
    /// Says whether the network filter serves it, so that it lacks a sender for HTTP/2 and HTTP/3 alone.
    pub(crate) is_served: bool,
}

/// An HttpConnectionManager.
#[derive(Debug)]
pub(crate) struct Manager<'a> {
    pub(crate) written: &'a Node,
    /// The manager's `http_filters`.
    pub(crate) chain: Chain,
    /// The upgrades that have filters of their own.
    pub(crate) upgrades: Vec<Upgrade<'a>>,
}

/// An upgrade that has filters of its own.
#[derive(Debug)]
pub(crate) struct Upgrade<'a> {
    pub(crate) written: &'a Node,
    /// The place where the filters begin.
    pub(crate) filters: Position,
    pub(crate) chain: Chain,
}

/// Metadata that is meant for Postern, where Postern does not read it.
#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) position: Position,
    /// The owner of the metadata.
    pub(crate) owner: Resource,
    /// Says whether it is among the metadata that has types.
    pub(crate) is_typed: bool,
}

/// A filter that something switches off.
#[derive(Debug)]
pub(crate) struct SwitchedOff<'a> {
    /// The name of the filter.
    pub(crate) filter: &'a str,
    pub(crate) position: Position,
    /// The resource for which the filter is switched off.
    pub(crate) on: Resource,
}

/// A way by which Postern is kept from judging.
#[derive(Debug)]
pub(crate) enum Bypass {
    /// Another filter stands in for Postern until that is discovered.
    AnotherDefault(Position),
    /// Postern is disabled in the list of filters.
    Disabled(Position),
    /// Envoy may not call Postern's module for something that it judges by.
    Incapable { position: Position, missing: &'static str },
    /// Postern's module is loaded in a role in which there is no WebSocket to judge.
    LoadedElsewhere { position: Position, role: &'static str, remedy: &'static str },
    /// Postern judges only what a matcher chooses.
    OnlyWhereMatched(Position),
    /// An Envoy that does not know such filters would go on without Postern.
    Optional(Position),
    /// A patch takes Postern out.
    Removed(Position),
    /// A matcher decides what goes past Postern.
    Skipped(Position),
}

/// A setting that lets everything pass when the module cannot judge.
#[derive(Debug)]
pub(crate) struct OpenFailure {
    pub(crate) position: Position,
    pub(crate) path: String,
    pub(crate) remedy: &'static str,
}

/// A setting that leaves some requests of a workload to no policy: a plugin that is bound to some ports or
/// one direction.
#[derive(Debug)]
pub(crate) struct Narrowed {
    pub(crate) position: Position,
    pub(crate) path: String,
}

/// A filter that is not Postern and not disabled.
#[derive(Debug)]
pub(crate) struct Neighbour<'a> {
    /// The type of the filter.
    pub(crate) kind: &'a str,
    pub(crate) fields: &'a Node,
    pub(crate) name: Option<&'a str>,
    pub(crate) position: Position,
    pub(crate) chain: Chain,
}

/// The settings of a filter for a route, or for what has routes.
#[derive(Debug)]
pub(crate) struct OfRoute<'a> {
    /// The name of the filter.
    pub(crate) filter: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) fields: &'a Node,
    pub(crate) position: Position,
}

/// A manifest that names Postern and is of a kind that is not read.
#[derive(Debug)]
pub(crate) struct Unread<'a> {
    pub(crate) kind: &'a str,
    /// The place where the manifest names Postern.
    pub(crate) position: Position,
}

/// Everything of Postern in a file.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    pub(crate) bypasses: Vec<Bypass>,
    /// The clusters of each document that has all of its Envoy's, by the document's place in the file.
    pub(crate) clusters: BTreeMap<usize, Rc<BTreeMap<String, Cluster>>>,
    pub(crate) configurations: Vec<Configuration<'a>>,
    /// The names of the filters that are Postern.
    pub(crate) filter_names: BTreeSet<&'a str>,
    /// Says whether a filter that is Postern by its name is configured by discovery, elsewhere.
    pub(crate) is_discovered: bool,
    /// The places of documents that Envoy does not read, since they are not the first one of their file.
    pub(crate) later_documents: Vec<Position>,
    pub(crate) leads: Vec<Lead<'a>>,
    /// The settings by which Envoy loads Postern's dynamic module (`dynamic_module_config`).
    pub(crate) libraries: Vec<&'a Member>,
    pub(crate) managers: Vec<Manager<'a>>,
    pub(crate) named_clusters: Vec<NamedCluster<'a>>,
    pub(crate) neighbours: Vec<Neighbour<'a>>,
    pub(crate) of_routes: Vec<OfRoute<'a>>,
    pub(crate) open_failures: Vec<OpenFailure>,
    pub(crate) narrowed: Vec<Narrowed>,
    pub(crate) overrides: Vec<Override<'a>>,
    /// The names of the filters that send for the dynamic module.
    pub(crate) sender_names: BTreeSet<&'a str>,
    pub(crate) senderless: Vec<Senderless>,
    /// Says whether the network filter of the dynamic module was seen.
    pub(crate) has_injector: bool,
    pub(crate) strays: Vec<Stray>,
    pub(crate) switched_off: Vec<SwitchedOff<'a>>,
    /// The number of times that Postern was seen among filters.
    pub(super) times_seen: usize,
    pub(crate) unread: Vec<Unread<'a>>,
    /// The resources of a discovery that have no type.
    pub(crate) untyped: Vec<Position>,
    /// The lists of filters in which a sender of the dynamic module was seen.
    pub(super) with_sender: BTreeSet<Chain>,
    /// The lists of filters that have Postern, with the place where it is first.
    with_postern: BTreeMap<Chain, Position>,
}

impl Found<'_> {
    /// Says whether nothing of Postern was found.
    pub(crate) fn is_empty(&self) -> bool {
        let has_postern = !self.configurations.is_empty() || !self.overrides.is_empty() || self.is_discovered;
        let has_traces = !self.bypasses.is_empty() || !self.strays.is_empty() || !self.unread.is_empty();
        let has_sender = !self.libraries.is_empty() || !self.with_sender.is_empty();
        let is_switched_off = self.switched_off.iter().any(|switched_off| says_postern(switched_off.filter));
        !has_postern && !has_traces && !has_sender && !is_switched_off
    }

    /// Says whether Postern is among the filters of `chain`.
    pub(crate) fn has_postern(&self, chain: Chain) -> bool {
        self.with_postern.contains_key(&chain)
    }

    /// Returns the place of Postern among the filters of `chain`.
    pub(crate) fn postern_in(&self, chain: Chain) -> Option<Position> {
        self.with_postern.get(&chain).copied()
    }

    /// Returns the filters that stand in a list with Postern and that nothing switches off.
    pub(crate) fn beside_postern(&self) -> impl Iterator<Item = &Neighbour<'_>> {
        let is_off = move |neighbour: &Neighbour<'_>| {
            self.switched_off.iter().any(|switched_off| Some(switched_off.filter) == neighbour.name)
        };
        self.neighbours
            .iter()
            .filter(move |neighbour| self.has_postern(neighbour.chain) && !is_off(neighbour))
    }

    /// Says whether Postern is among the filters of a manager, or of one of its upgrades.
    pub(crate) fn has_postern_somewhere(&self, manager: &Manager<'_>) -> bool {
        self.has_postern(manager.chain)
            || manager.upgrades.iter().any(|upgrade| self.has_postern(upgrade.chain))
    }

    /// Says whether Postern is among the filters of any chain.
    pub(crate) fn has_postern_anywhere(&self) -> bool {
        !self.with_postern.is_empty()
    }

    /// Notes Postern at this place among the filters of `chain`.
    pub(super) fn see(&mut self, chain: Chain, position: Position) {
        self.times_seen = self.times_seen.saturating_add(1);
        self.with_postern.entry(chain).or_insert(position);
    }
}
