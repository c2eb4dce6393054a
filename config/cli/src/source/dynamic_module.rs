//! Postern in Envoy as a dynamic module: the filter, the one that sends for it, and what routes lay over its policies.

use postern_config::Path;

use super::envoy::{Around, field, member, type_name, typed};
use super::resource::Resource;
use super::{
    Carrier, Configuration, Found, Module, Override, Senderless, any, says_postern, speaks_of_postern,
};
use crate::yaml::{Member, Node, Position};

pub(super) const FILTER: &str = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
pub(super) const NETWORK_FILTER: &str =
    "envoy.extensions.filters.network.dynamic_modules.v3.DynamicModuleNetworkFilter";
const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";
const PER_ROUTE: &str = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute";

/// The name by which the library makes the filter that sends to clients, in the place of one that judges.
const SENDER: &str = "postern-sender";

/// The name by which the library makes the network filter that takes frames to the upstream.
const INJECTOR: &str = "postern-injector";

/// The network filter that serves Postern, and how it is written unless it is discovered.
#[derive(Clone, Copy)]
pub(super) struct Injector<'a> {
    written: Option<&'a Node>,
}

/// The ways in which a route lays something over policies, as far as is known where a value stands.
#[derive(Clone, Copy, Default)]
pub(super) struct Laid {
    /// Says whether the route, or what it is part of, does so in `typed_per_filter_config`.
    pub(super) by_config: bool,
    /// Says whether the route does so in `typed_filter_metadata`.
    by_metadata: bool,
}

/// Notes a dynamic module if it is Postern by its name, by the path of its library, or by its configuration.
pub(super) fn filter<'a>(fields: &'a Node, around: Around<'a>, found: &mut Found<'a>) {
    let name = field(fields, "filter_name");
    if name.and_then(Node::text) == Some(SENDER) {
        return sender(fields, around, found);
    }
    let configuration = member(fields, "filter_config");
    let written = any::content(configuration, "filter_config", "the policies");
    let mut names = names(fields).into_iter().chain([name, around.name()]);
    if !written.has_policies() && !names.any(speaks_of_postern) {
        return;
    }
    found.configurations.push(Configuration {
        written,
        position: configuration.map_or(fields.position, |configuration| configuration.position),
        manager: around.chain.manager,
        clusters: None,
        allowed: None,
        module: Some(Module::Dynamic),
    });
    found.libraries.extend(member(fields, "dynamic_module_config"));
    let position = around.name().map_or(fields.position, |name| name.position);
    note_senderless(position, Some(fields), around, found);
    found.see(around.chain, fields.position);
}

/// Notes the filter that sends for the dynamic module, unless it is switched off.
fn sender<'a>(fields: &'a Node, around: Around<'a>, found: &mut Found<'a>) {
    found.libraries.extend(member(fields, "dynamic_module_config"));
    found.sender_names.extend(around.name().and_then(Node::text));
    if !around.is_switched_off() {
        found.with_sender.insert(around.chain);
    }
}

/// Notes the library of the network filter, if that is Postern's.
pub(super) fn network_filter<'a>(fields: &'a Node, found: &mut Found<'a>) {
    if field(fields, "filter_name").and_then(Node::text) == Some(INJECTOR) {
        found.libraries.extend(member(fields, "dynamic_module_config"));
        found.has_injector = true;
    }
}

/// Returns a network filter if it is the one that serves Postern, as far as its name tells where it is discovered.
pub(super) fn injector(filter: &Node) -> Option<Injector<'_>> {
    if field(filter, "config_discovery").is_some() {
        let name = field(filter, "name").and_then(Node::text)?;
        return name.to_ascii_lowercase().contains(INJECTOR).then_some(Injector { written: None });
    }
    let (kind, fields) = field(filter, "typed_config").and_then(typed)?;
    let is_injector = field(fields, "filter_name").and_then(Node::text) == Some(INJECTOR);
    (kind == NETWORK_FILTER && is_injector).then_some(Injector { written: Some(fields) })
}

impl Injector<'_> {
    /// Says whether it serves a filter of this library: each library has the connections of its own. Of what is discovered nobody
    /// knows.
    fn serves(self, filter: Option<&Node>) -> bool {
        let library = |fields| names(fields).map(|name| name.and_then(Node::text));
        self.written.zip(filter).is_none_or(|(own, filter)| library(own) == library(filter))
    }
}

/// Says whether a filter of this name is the one that sends, as far as a name tells.
pub(super) fn is_sender(name: Option<&Node>) -> bool {
    name.and_then(Node::text).is_some_and(|name| name.to_ascii_lowercase().contains(SENDER))
}

/// Says whether nothing but dynamic modules is discovered.
pub(super) fn is_discovered(discovery: &Node) -> bool {
    let types = field(discovery, "type_urls").map(Node::items).unwrap_or_default();
    let is_dynamic = |name: &Node| name.text().is_some_and(|name| type_name(name) == FILTER);
    !types.is_empty() && types.iter().all(is_dynamic)
}

/// Notes a dynamic module at this place, which is `filter` unless that is discovered, if it stands in a whole list of filters and no
/// sender has come before. The network filter in its place serves upgrades over HTTP/1.1 alone.
pub(super) fn note_senderless(
    position: Position,
    filter: Option<&Node>,
    around: Around<'_>,
    found: &mut Found<'_>,
) {
    if !around.is_listed || found.with_sender.contains(&around.chain) {
        return;
    }
    let is_served = around.injector.is_some_and(|injector| injector.serves(filter));
    let manager = around.chain.manager.and_then(|index| found.managers.get(index));
    if !is_served || manager.is_some_and(|manager| upgrades_streams(manager.written)) {
        found.senderless.push(Senderless { position, is_served });
    }
}

/// Says whether a connection manager lets upgrades in over HTTP/2 or HTTP/3.
fn upgrades_streams(manager: &Node) -> bool {
    let allows = |options, allowed| {
        field(manager, options).and_then(|options| field(options, allowed)).is_some_and(Node::is_true)
    };
    allows("http2_protocol_options", "allow_connect")
        || allows("http3_protocol_options", "allow_extended_connect")
}

/// Returns the names of a library, and the addresses that it comes from.
fn names(fields: &Node) -> [Option<&Node>; 3] {
    let config = field(fields, "dynamic_module_config");
    let source = |kind: &str| field(field(config?, "module")?, kind);
    let path = source("local").and_then(|local| field(local, "filename"));
    let address = source("remote").and_then(|remote| field(field(remote, "http_uri")?, "uri"));
    [config.and_then(|config| field(config, "name")), path, address]
}

/// Notes what a route, or what has routes, lays over policies by settings of the filter, and that it does so.
pub(super) fn note_routes<'a>(fields: &'a Node, around: &mut Around<'a>, found: &mut Found<'a>) {
    if around.is_metadata {
        return;
    }
    let is_route = around.resource == Resource::Route;
    if is_route {
        let typed = field(fields, "metadata").and_then(|metadata| field(metadata, "typed_filter_metadata"));
        around.laid.by_metadata = typed.is_some_and(|filters| filters.get("postern").is_some());
    }
    let mut by_config = false;
    for setting in field(fields, "typed_per_filter_config").map(Node::members).unwrap_or_default() {
        let Some((path, own)) = settings(setting, found) else { continue };
        let configuration = member(own, "filter_config");
        let path = path.key("filter_config");
        by_config = true;
        found.libraries.extend(member(own, "dynamic_module_config"));
        found.overrides.push(Override {
            written: any::content(configuration, &path.to_string(), "what is laid over the policy"),
            carrier: Carrier::RouteConfig,
            path,
            // Of both on the route itself, the metadata tell.
            is_one_of_two: around.laid.by_metadata && !is_route,
            route: fields.get("name").and_then(Node::text).filter(|_| is_route),
            position: configuration.map_or(setting.position, |configuration| configuration.position),
            manager: around.chain.manager,
        });
    }
    around.laid.by_config |= by_config;
}

/// Returns the settings of a route if they are those of the dynamic module and switched on, and their path.
fn settings<'a>(setting: &'a Member, found: &Found<'_>) -> Option<(Path, &'a Node)> {
    let mut path = Path::root().key("typed_per_filter_config").key(setting.key.as_str());
    let is_on = |fields: &Node| !field(fields, "disabled").is_some_and(Node::is_true);
    let (mut kind, mut fields) = typed(&setting.value)?;
    if kind == FILTER_CONFIG && is_on(fields) {
        path = path.key("config");
        (kind, fields) = typed(field(fields, "config")?)?;
    }
    let mut names = names(fields).into_iter().chain([field(fields, "per_route_config_name")]);
    let is_postern = says_postern(&setting.key)
        || found.filter_names.contains(setting.key.as_str())
        || names.any(speaks_of_postern);
    (kind == PER_ROUTE && is_on(fields) && is_postern).then_some((path, fields))
}
