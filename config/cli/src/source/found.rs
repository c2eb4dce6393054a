//! What of Postern is found in a file, and where.

use std::collections::BTreeSet;
use std::rc::Rc;

use postern_config::{Path, Problem};

use super::resource::Resource;
use super::says_postern;
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

/// A list of HTTP filters that requests go through, by where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Chain {
    /// The place of its document in the file.
    pub(crate) document: usize,
    /// The manager it is a part of, by its place in [`Found::managers`].
    pub(crate) manager: Option<usize>,
    /// The upgrade whose own it is, by its place in [`Manager::upgrades`].
    pub(crate) upgrade: Option<usize>,
}

/// An HttpConnectionManager.
#[derive(Debug)]
pub(crate) struct Manager<'a> {
    pub(crate) written: &'a Node,
    /// Its `http_filters`.
    pub(crate) chain: Chain,
    /// The upgrades that have filters of their own.
    pub(crate) upgrades: Vec<Upgrade<'a>>,
}

/// An upgrade that has filters of its own.
#[derive(Debug)]
pub(crate) struct Upgrade<'a> {
    pub(crate) written: &'a Node,
    /// Where the filters begin.
    pub(crate) filters: Position,
    pub(crate) chain: Chain,
}

/// Metadata that is meant for Postern, where Postern does not read it.
#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) position: Position,
    /// Whose metadata it is.
    pub(crate) owner: Resource,
    /// Whether it is among the metadata that has types.
    pub(crate) is_typed: bool,
}

/// A filter that something switches off.
#[derive(Debug)]
pub(crate) struct SwitchedOff<'a> {
    /// The name of the filter.
    pub(crate) filter: &'a str,
    pub(crate) position: Position,
    /// For what.
    pub(crate) on: Resource,
}

/// What keeps Postern from judging.
#[derive(Debug)]
pub(crate) enum Bypass {
    /// Another filter stands in for it until it is discovered.
    AnotherDefault(Position),
    /// It is disabled in the list of filters.
    Disabled(Position),
    /// Envoy may not call its module for something that it judges by.
    Incapable { position: Position, missing: &'static str },
    /// Its module is loaded in a role in which there is no WebSocket to judge.
    LoadedElsewhere { position: Position, role: &'static str, remedy: &'static str },
    /// It judges only what a matcher chooses.
    OnlyWhereMatched(Position),
    /// An Envoy without Wasm would go on without it.
    Optional(Position),
    /// A patch takes it out.
    Removed(Position),
    /// A matcher decides what goes past it.
    Skipped(Position),
}

/// What lets everything pass where the module cannot judge.
#[derive(Debug)]
pub(crate) struct OpenFailure {
    pub(crate) position: Position,
    pub(crate) path: String,
    pub(crate) remedy: &'static str,
}

/// What leaves some requests of a workload to no policy: a plugin that is bound to some ports or one direction.
#[derive(Debug)]
pub(crate) struct Narrowed {
    pub(crate) position: Position,
    pub(crate) path: String,
}

/// A filter that is not Postern and not disabled.
#[derive(Debug)]
pub(crate) struct Neighbour<'a> {
    /// Its type.
    pub(crate) kind: &'a str,
    pub(crate) fields: &'a Node,
    pub(crate) name: Option<&'a str>,
    pub(crate) position: Position,
    pub(crate) chain: Chain,
}

/// A manifest that speaks of Postern and is of a kind that is not read.
#[derive(Debug)]
pub(crate) struct Unread<'a> {
    pub(crate) kind: &'a str,
    /// Where it speaks of Postern.
    pub(crate) position: Position,
}

/// Everything of Postern in a file.
#[derive(Debug, Default)]
pub(crate) struct Found<'a> {
    pub(crate) bypasses: Vec<Bypass>,
    pub(crate) configurations: Vec<Configuration<'a>>,
    /// The names of the filters that are Postern.
    pub(crate) filter_names: BTreeSet<&'a str>,
    /// Whether a filter called so is configured by discovery, elsewhere.
    pub(crate) is_discovered: bool,
    /// Where documents begin that Envoy does not read, behind the first one of their file.
    pub(crate) later_documents: Vec<Position>,
    pub(crate) managers: Vec<Manager<'a>>,
    pub(crate) neighbours: Vec<Neighbour<'a>>,
    pub(crate) open_failures: Vec<OpenFailure>,
    pub(crate) narrowed: Vec<Narrowed>,
    pub(crate) overrides: Vec<Override<'a>>,
    pub(crate) strays: Vec<Stray>,
    pub(crate) switched_off: Vec<SwitchedOff<'a>>,
    /// How often Postern was seen among filters.
    pub(super) times_seen: usize,
    pub(crate) unread: Vec<Unread<'a>>,
    /// Resources of a discovery that have no type.
    pub(crate) untyped: Vec<Position>,
    /// The lists of filters that have it.
    with_postern: BTreeSet<Chain>,
}

impl Found<'_> {
    /// Whether nothing of Postern was found.
    pub(crate) fn is_empty(&self) -> bool {
        let has_postern = !self.configurations.is_empty() || !self.overrides.is_empty() || self.is_discovered;
        let has_traces = !self.bypasses.is_empty() || !self.strays.is_empty() || !self.unread.is_empty();
        let is_switched_off = self.switched_off.iter().any(|switched_off| says_postern(switched_off.filter));
        !has_postern && !has_traces && !is_switched_off
    }

    /// Whether Postern is among the filters of `chain`.
    pub(crate) fn has_postern(&self, chain: Chain) -> bool {
        self.with_postern.contains(&chain)
    }

    /// Whether Postern is among the filters of a manager, or of one of its upgrades.
    pub(crate) fn has_postern_somewhere(&self, manager: &Manager<'_>) -> bool {
        self.has_postern(manager.chain)
            || manager.upgrades.iter().any(|upgrade| self.has_postern(upgrade.chain))
    }

    /// Notes Postern among the filters of `chain`.
    pub(super) fn see(&mut self, chain: Chain) {
        self.times_seen = self.times_seen.saturating_add(1);
        self.with_postern.insert(chain);
    }
}
