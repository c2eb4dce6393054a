//! Postern in Envoy's own configuration: a bootstrap, any resource, or any part of one.
//!
//! Fields may be written in their original or in their JSON names (`typed_config`, `typedConfig`).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use postern_config::Path;

use super::dynamic_module::{Injector, Laid};
use super::resource::Resource;
use super::{
    Bypass, Carrier, Chain, Cluster, Configuration, Found, Lead, Manager, Module, NamedCluster, Neighbour,
    OfRoute, OpenFailure, Override, Speech, Stray, SwitchedOff, Upgrade, Written, any, dynamic_module,
    speaks_of_postern,
};
use crate::yaml::{Kind, Member, Node};

const EXECUTE_FILTER: &str = "envoy.extensions.filters.http.composite.v3.ExecuteFilterAction";
const EXTENSION_WITH_MATCHER: &str = "envoy.extensions.common.matching.v3.ExtensionWithMatcher";
const TCP_PROXY: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const TYPED_STRUCTS: [&str; 2] = ["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"];
const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// The callbacks that Envoy must be allowed to call for a WebSocket to be judged, if it may not call
/// everything (`capability_restriction_config`).
const CALLBACKS: [&str; 6] = [
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
];

/// The places where a module may be loaded and judges no WebSocket.
const OTHER_LOADERS: [(&str, &str); 4] = [
    ("envoy.extensions.access_loggers.wasm.v3.WasmAccessLog", "as an access logger"),
    ("envoy.extensions.filters.network.wasm.v3.Wasm", "as a network filter"),
    ("envoy.extensions.stat_sinks.wasm.v3.Wasm", "as a stats sink"),
    ("envoy.extensions.wasm.v3.WasmService", "as a service"),
];

/// Looks at `node`, which is a `resource` of the document of this number, and at everything inside it.
pub(super) fn search<'a>(node: &'a Node, resource: Resource, document: usize, found: &mut Found<'a>) {
    let chain = Chain { document, manager: None, upgrade: None };
    let laid = Laid::default();
    let (is_metadata, is_listed, injector) = (false, false, None);
    visit(node, Around { resource, is_metadata, chain, outer: None, is_listed, injector, laid }, found);
}

/// Returns the clusters of a bootstrap that has no others, by their names: none come by discovery.
pub(super) fn clusters(bootstrap: &Node) -> Option<BTreeMap<String, Cluster>> {
    let resources = field(bootstrap, "static_resources")?;
    if field(bootstrap, "dynamic_resources").and_then(|dynamic| field(dynamic, "cds_config")).is_some() {
        return None;
    }
    let clusters = field(resources, "clusters").map(Node::items).unwrap_or_default();
    let named = |cluster: &Node| {
        let own = Cluster { position: cluster.position, speech: speech(cluster), bounds: bounds(cluster) };
        Some((field(cluster, "name")?.text()?.to_owned(), own))
    };
    Some(clusters.iter().filter_map(named).collect())
}

/// Returns the bounds that the circuit breaker of `cluster` has for requests of the default priority.
fn bounds(cluster: &Node) -> BTreeSet<String> {
    let thresholds = field(cluster, "circuit_breakers").and_then(|breakers| field(breakers, "thresholds"));
    let is_default = |threshold: &&Node| {
        field(threshold, "priority").is_none_or(|priority| priority.text() == Some("DEFAULT"))
    };
    let of_default = thresholds.map(Node::items).unwrap_or_default().iter().filter(is_default);
    of_default.flat_map(Node::members).map(|bound| original_name(&bound.key).into_owned()).collect()
}

/// Returns the way in which Envoy speaks to `cluster`.
fn speech(cluster: &Node) -> Speech {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let options = field(cluster, "typed_extension_protocol_options").and_then(|typed| typed.get(OPTIONS));
    let says = |options: &Node| {
        let explicit = field(options, "explicit_http_config");
        explicit.is_some_and(|explicit| field(explicit, "http2_protocol_options").is_some())
            || ["auto_config", "use_downstream_protocol_config"]
                .iter()
                .any(|key| field(options, key).is_some())
    };
    let speaks = field(cluster, "http2_protocol_options").is_some() || options.is_some_and(says);
    if speaks { Speech::Http2 } else { Speech::Http1 }
}

/// Returns the member called `name`, in either spelling.
pub(crate) fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Member> {
    node.member(name).or_else(|| node.member(&json_name(name)))
}

/// Returns a field's name in `lowerCamelCase`, as protobuf's JSON mapping forms it.
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

/// Returns the original name of a field that is written in either spelling.
fn original_name(key: &str) -> Cow<'_, str> {
    if !key.contains(|c: char| c.is_ascii_uppercase()) {
        return Cow::Borrowed(key);
    }
    let mut name = String::with_capacity(key.len().saturating_add(8));
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    Cow::Owned(name)
}

/// Returns the value of the member called `name`, in either spelling.
pub(crate) fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    member(node, name).map(|member| &member.value)
}

/// Returns the type of an `Any`, and the node that has its fields.
pub(super) fn typed(node: &Node) -> Option<(&str, &Node)> {
    let name = type_name(node.get("@type")?.text()?);
    if !TYPED_STRUCTS.contains(&name) {
        return Some((name, node));
    }
    Some((type_name(field(node, "type_url")?.text()?), node.get("value")?))
}

/// Returns the type that an address ends in: Envoy heeds nothing before it.
pub(super) fn type_name(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, name)| name)
}

/// The surroundings of a value.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// The resource that the value is, or is a part of.
    pub(super) resource: Resource,
    /// Says whether the value is that resource's metadata.
    pub(super) is_metadata: bool,
    pub(super) chain: Chain,
    /// The object that the value is a member of.
    outer: Option<&'a Node>,
    /// Says whether the value is a filter of a whole list, or in one.
    pub(super) is_listed: bool,
    /// The network filter of the dynamic module that stands before the value.
    pub(super) injector: Option<Injector<'a>>,
    pub(super) laid: Laid,
}

impl<'a> Around<'a> {
    /// Returns the surroundings of the value of `member`, which `outer` has.
    fn inside(self, member: &Member, outer: &'a Node) -> Self {
        let key = original_name(&member.key);
        let is_metadata = key == "metadata";
        let resource = if is_metadata { self.resource } else { self.resource.inside(&key) };
        Self { resource, is_metadata, outer: Some(outer), ..self }
    }

    /// Returns the surroundings of the elements of a list of this length. A list of one filter is an excerpt or a patch: after
    /// those of any other stands a router.
    fn of_element(self, length: usize) -> Self {
        let is_listed = self.is_listed || (self.resource == Resource::HttpFilter && length > 1);
        Self { outer: None, is_listed, ..self }
    }

    /// Returns the name beside the value, which is that of the extension it configures.
    pub(super) fn name(&self) -> Option<&'a Node> {
        self.outer?.get("name")
    }

    /// Says whether the extension that the value configures is switched off where it is listed.
    pub(super) fn is_switched_off(&self) -> bool {
        self.outer.and_then(|filter| filter.get("disabled")).is_some_and(Node::is_true)
    }
}

fn visit<'a>(node: &'a Node, mut around: Around<'a>, found: &mut Found<'a>) {
    if let Kind::List(items) = &node.kind {
        for item in items {
            visit(item, around.of_element(items.len()), found);
            around.injector = dynamic_module::injector(item).or(around.injector);
        }
        return;
    }
    let (name, fields) = typed(node).map_or((None, node), |(name, fields)| (Some(name), fields));
    match name {
        Some(WASM) => return plugin(fields, around, found),
        Some(dynamic_module::FILTER) => return dynamic_module::filter(fields, around, found),
        Some(dynamic_module::NETWORK_FILTER) => return dynamic_module::network_filter(fields, found),
        _ => {}
    }
    note_other_loader(name, fields, around, found);
    around.resource = name.and_then(Resource::of_type).unwrap_or(around.resource);
    note_chain(fields, &mut around, found);
    note_cluster(name, fields, around, found);
    dynamic_module::note_routes(fields, &mut around, found);
    note_metadata(fields, around, found);
    note_switched_off(fields, around, found);
    let before = found.times_seen;
    for member in fields.members() {
        visit(&member.value, around.inside(member, fields), found);
    }
    let has_postern = found.times_seen > before;
    note_discovery(fields, has_postern, around, found);
    if has_postern {
        note_conditions(name, fields, found);
    } else {
        note_neighbour(fields, around, found);
    }
}

/// Notes a chain of filters: a manager begins one, and an upgrade with filters of its own another one.
fn note_chain<'a>(fields: &'a Node, around: &mut Around<'a>, found: &mut Found<'a>) {
    match (around.resource, around.chain.manager) {
        _ if around.is_metadata => {}
        (Resource::Manager, _) => {
            around.chain = Chain { manager: Some(found.managers.len()), upgrade: None, ..around.chain };
            around.is_listed = false;
            found.managers.push(Manager { written: fields, chain: around.chain, upgrades: Vec::new() });
        }
        (Resource::Upgrade, Some(index)) => {
            let Some(manager) = found.managers.get_mut(index) else { return };
            let Some(filters) = member(fields, "filters") else { return };
            around.chain.upgrade = Some(manager.upgrades.len());
            manager.upgrades.push(Upgrade {
                written: fields,
                filters: filters.position,
                chain: around.chain,
            });
        }
        _ => {}
    }
}

/// Notes a cluster that has a name, and what leads to clusters.
fn note_cluster<'a>(name: Option<&str>, fields: &'a Node, around: Around<'a>, found: &mut Found<'a>) {
    if around.is_metadata {
        return;
    }
    if around.resource == Resource::Cluster {
        let name = field(fields, "name").and_then(Node::text);
        found.named_clusters.extend(name.map(|name| NamedCluster { name, fields }));
    }
    let of_route = field(fields, "route").filter(|_| around.resource == Resource::Route);
    let of_proxy = Some(fields).filter(|_| name == Some(TCP_PROXY));
    for action in of_route.into_iter().chain(of_proxy) {
        leads(action, found);
    }
}

/// Notes each cluster that the action of a route, or a proxy of bytes, has its traffic go to.
fn leads<'a>(action: &'a Node, found: &mut Found<'a>) {
    let weighted = field(action, "weighted_clusters").and_then(|weighted| weighted.get("clusters"));
    let weighted = weighted.map(Node::items).unwrap_or_default().iter();
    let mirrors = field(action, "request_mirror_policies").map(Node::items).unwrap_or_default().iter();
    let named = [("cluster", action, "cluster")].into_iter();
    let named = named.chain(weighted.clone().map(|share| ("weighted_clusters", share, "name")));
    let named = named.chain(mirrors.clone().map(|mirror| ("request_mirror_policies", mirror, "cluster")));
    found.leads.extend(named.filter_map(|(key, part, name)| {
        let Member { position, value, .. } = part.member(name)?;
        Some(Lead { cluster: Some(value.text()?), key, position: *position })
    }));
    let chosen = [action].into_iter().chain(weighted).chain(mirrors);
    let chosen = chosen.filter_map(|part| member(part, "cluster_header"));
    let key = "cluster_header";
    found.leads.extend(chosen.map(|member| Lead { cluster: None, key, position: member.position }));
}

fn note_metadata<'a>(fields: &'a Node, around: Around<'a>, found: &mut Found<'a>) {
    let owner = Some(around.resource).filter(|_| around.is_metadata).unwrap_or(Resource::Other);
    for (key, carrier) in
        [("filter_metadata", Carrier::Metadata), ("typed_filter_metadata", Carrier::TypedMetadata)]
    {
        let Some(postern) = field(fields, key).and_then(|filters| filters.member("postern")) else {
            continue;
        };
        let (is_typed, position) = (carrier == Carrier::TypedMetadata, postern.position);
        if owner != Resource::Route {
            found.strays.push(Stray { position, owner, is_typed });
            continue;
        }
        let path = Path::root().key(key).key("postern");
        let written = match is_typed {
            true => any::object(postern, &path.to_string(), "what is laid over the policy"),
            false => Written::Object(&postern.value),
        };
        let (route, manager) = (around.name().and_then(Node::text), around.chain.manager);
        let is_one_of_two = is_typed && around.laid.by_config;
        found.overrides.push(Override { written, carrier, path, is_one_of_two, route, position, manager });
    }
}

fn note_switched_off<'a>(fields: &'a Node, around: Around<'a>, found: &mut Found<'a>) {
    let configs = field(fields, "typed_per_filter_config").map(Node::members).unwrap_or_default();
    for config in configs {
        let own = typed(&config.value).map_or(&config.value, |(_, own)| own);
        if let Some((kind, fields)) = typed(&config.value) {
            let (filter, position) = (config.key.as_str(), config.position);
            found.of_routes.push(OfRoute { filter, kind, fields, position });
        }
        if let Some(disabled) = member(own, "disabled").filter(|disabled| disabled.value.is_true()) {
            let (filter, position) = (config.key.as_str(), disabled.position);
            found.switched_off.push(SwitchedOff { filter, position, on: around.resource });
        }
    }
}

/// Notes Postern by discovery, and the filter that stands in for it until it is discovered.
fn note_discovery<'a>(fields: &'a Node, has_postern: bool, around: Around<'a>, found: &mut Found<'a>) {
    let Some(discovery) = field(fields, "config_discovery") else { return };
    if !has_postern && dynamic_module::is_sender(fields.get("name")) {
        found.with_sender.insert(around.chain);
        return;
    }
    if !has_postern && !speaks_of_postern(fields.get("name")) {
        return;
    }
    if !has_postern && dynamic_module::is_discovered(discovery) {
        dynamic_module::note_senderless(fields.position, None, around, found);
    }
    if let Some(default) = member(discovery, "default_config").filter(|_| !has_postern) {
        found.bypasses.push(Bypass::AnotherDefault(default.position));
    }
    found.is_discovered = true;
    found.see(around.chain, fields.position);
    note_conditions(None, fields, found);
}

/// Notes what lets requests past a filter that is Postern, or has it inside.
fn note_conditions<'a>(name: Option<&str>, fields: &'a Node, found: &mut Found<'a>) {
    let is_told = matches!(found.bypasses.last(), Some(Bypass::OnlyWhereMatched(_)));
    if name == Some(EXTENSION_WITH_MATCHER) && !is_told {
        // Envoy skips the filter for everything if it has no matcher of its own, and a route may bring
        // another.
        let matcher = ["xds_matcher", "matcher"].into_iter().find_map(|key| member(fields, key));
        let position = matcher.map_or(fields.position, |matcher| matcher.position);
        found.bypasses.push(Bypass::Skipped(position));
    }
    if name == Some(EXECUTE_FILTER) {
        found.bypasses.push(Bypass::OnlyWhereMatched(fields.position));
    }
    if field(fields, "typed_config").is_none() && field(fields, "config_discovery").is_none() {
        return;
    }
    found.filter_names.extend(fields.get("name").and_then(Node::text));
    if let Some(disabled) = fields.member("disabled").filter(|disabled| disabled.value.is_true()) {
        found.bypasses.push(Bypass::Disabled(disabled.position));
    }
    if let Some(optional) = member(fields, "is_optional").filter(|optional| optional.value.is_true()) {
        found.bypasses.push(Bypass::Optional(optional.position));
    }
}

/// Notes a filter that is not Postern.
fn note_neighbour<'a>(filter: &'a Node, around: Around<'a>, found: &mut Found<'a>) {
    let is_disabled = filter.get("disabled").is_some_and(Node::is_true);
    let Some((kind, fields)) = field(filter, "typed_config").and_then(typed) else { return };
    if around.resource == Resource::HttpFilter && !is_disabled {
        let name = filter.get("name").and_then(Node::text);
        found.neighbours.push(Neighbour {
            kind,
            fields,
            name,
            position: filter.position,
            chain: around.chain,
        });
    }
}

/// Notes Postern's module if it judges no WebSocket there.
fn note_other_loader<'a>(name: Option<&str>, fields: &'a Node, around: Around<'a>, found: &mut Found<'a>) {
    let Some((_, role)) = OTHER_LOADERS.iter().find(|(loader, _)| Some(*loader) == name) else { return };
    let config = field(fields, "config");
    let is_postern = speaks_of_postern(around.name())
        || config.is_some_and(|config| names(config).into_iter().any(speaks_of_postern));
    if is_postern {
        let remedy = "write `\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm` in `http_filters`";
        found.bypasses.push(Bypass::LoadedElsewhere { position: fields.position, role, remedy });
    }
}

/// Returns the names of a plugin, and the addresses that its module comes from.
fn names(config: &Node) -> [Option<&Node>; 4] {
    let code = field(config, "vm_config").and_then(|vm| field(vm, "code"));
    let path = code.and_then(|code| field(code, "local")).and_then(|local| field(local, "filename"));
    let address = code
        .and_then(|code| field(code, "remote"))
        .and_then(|remote| field(remote, "http_uri"))
        .and_then(|http| field(http, "uri"));
    [field(config, "name"), field(config, "root_id"), path, address]
}

/// Notes a Wasm filter if it is Postern by its name, by the path of its module, or by its configuration.
fn plugin<'a>(fields: &'a Node, around: Around<'a>, found: &mut Found<'a>) {
    let Some(config) = field(fields, "config") else { return };
    let configuration = member(config, "configuration");
    let written = any::content(configuration, "config.configuration", "the policies");
    if written.has_policies() || names(config).into_iter().chain([around.name()]).any(speaks_of_postern) {
        let position = configuration.map_or(config.position, |configuration| configuration.position);
        let manager = around.chain.manager;
        let allowed = allowed(config);
        let module = Some(Module::Wasm);
        found.configurations.push(Configuration {
            written,
            position,
            manager,
            clusters: None,
            allowed,
            module,
        });
        found.open_failures.extend(open_failure(config));
        found.bypasses.extend(allowed.and_then(incapable));
        found.see(around.chain, fields.position);
    }
}

/// Returns what the module may have, if that is restricted.
fn allowed(config: &Node) -> Option<&Member> {
    let restriction = field(config, "capability_restriction_config")?;
    member(restriction, "allowed_capabilities").filter(|allowed| !allowed.value.members().is_empty())
}

/// Returns the bypass of a module that may not be called for all that it judges by.
fn incapable(allowed: &Member) -> Option<Bypass> {
    let missing = CALLBACKS.into_iter().find(|callback| allowed.value.get(callback).is_none())?;
    Some(Bypass::Incapable { position: allowed.position, missing })
}

/// Returns the field by which Envoy lets everything pass when the module cannot judge.
fn open_failure(config: &Node) -> Option<OpenFailure> {
    let is_open = |policy: &Node| match &policy.kind {
        Kind::Scalar(value) => {
            value.as_u64() == Some(3)
                || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("FAIL_OPEN"))
        }
        Kind::List(_) | Kind::Object(_) => false,
    };
    let by_policy = member(config, "failure_policy").filter(|member| is_open(&member.value));
    let by_flag = || member(config, "fail_open").filter(|member| member.value.is_true());
    let member = by_policy.or_else(by_flag)?;
    let remedy = "write `failure_policy: FAIL_RELOAD` in its place";
    Some(OpenFailure { position: member.position, path: format!("config.{}", member.key), remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_known_by_both_their_names() {
        assert_eq!(json_name("use_remote_address"), "useRemoteAddress");
        assert_eq!(json_name("config"), "config");
        assert_eq!(original_name("useRemoteAddress"), "use_remote_address");
        assert_eq!(original_name("use_remote_address"), "use_remote_address");
    }
}
