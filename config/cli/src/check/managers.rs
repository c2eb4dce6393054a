//! The settings that an HttpConnectionManager needs beside Postern.

use serde_json::Value;

use crate::finding::{Code, Finding};
use crate::source::{Manager, envoy};
use crate::yaml::Node;

/// Warns of a manager with Postern.
pub(super) fn judge(manager: &Manager<'_>, findings: &mut Vec<Finding>) {
    findings.extend(address_warning(manager.written));
    let routes = envoy::field(manager.written, "route_config");
    let hosts = routes.and_then(|routes| envoy::field(routes, "virtual_hosts")).map(Node::items);
    findings.extend(hosts.unwrap_or_default().iter().filter_map(buffer_warning));
}

/// Warns of a manager without `use_remote_address`: the client writes its own address then (X-Forwarded-For).
fn address_warning(manager: &Node) -> Option<Finding> {
    let key = envoy::member(manager, "use_remote_address");
    let is_true = key.is_some_and(|member| member.value.to_json() == Value::Bool(true));
    let position = key.map_or(manager.position, |member| member.position);
    let what = "is not true, so clients may choose the address that they are counted by";
    let remedy = "write `use_remote_address: true` beside `http_filters`";
    (!is_true).then(|| Finding::new(position, Code::ClientsAddress, "use_remote_address", what, remedy))
}

/// Warns of a host without a buffer limit: quiet streams are paused, and by default a paused stream holds no
/// more than Envoy may read at once.
fn buffer_warning(host: &Node) -> Option<Finding> {
    let has_limit = |node: &Node| envoy::member(node, "request_body_buffer_limit").is_some();
    let routes = envoy::field(host, "routes").map(Node::items).unwrap_or_default();
    let is_limited = has_limit(host) || (!routes.is_empty() && routes.iter().all(has_limit));
    let (path, what) = (
        "request_body_buffer_limit",
        "is missing, so Envoy may cut a connection on which much comes at once after a pause",
    );
    let remedy = "write twice the listener's `per_connection_buffer_limit_bytes` (by default 1 MiB) beside `routes`: \
         `request_body_buffer_limit: 2097152`";
    (!is_limited).then(|| Finding::new(host.position, Code::NoBufferLimit, path, what, remedy))
}
