//! The managers that let no WebSockets in, or let some go where Postern is not.

use crate::finding::{Code, Finding};
use crate::source::{Found, Manager, envoy};
use crate::yaml::Node;

/// Warns of a manager with Postern and no WebSockets, and of one with WebSockets and no Postern.
pub(super) fn judge(manager: &Manager<'_>, found: &Found<'_>, findings: &mut Vec<Finding>) {
    let has_filters = envoy::field(manager.written, "http_filters").is_some();
    let is_elsewhere =
        ["rds", "scoped_routes"].iter().any(|key| envoy::field(manager.written, key).is_some());
    let nowhere = match is_elsewhere {
        false => "has no `websocket`, here or on a route, so that Envoy answers every WebSocket with 403",
        true => {
            "has no `websocket`, and Envoy answers every WebSocket with 403 unless its discovered route has"
        }
    };
    let has_postern = found.has_postern_somewhere(manager);
    // WebSockets that have filters of their own must have Postern among these.
    let have_own = manager.upgrades.iter().any(|upgrade| is_websocket(upgrade.written));
    let is_judged = if have_own { has_postern } else { found.has_postern(manager.chain) };
    match (has_postern, is_enabled(manager.written)) {
        (true, false) => findings.push(finding(
            manager,
            Code::NoWebSocket,
            "upgrade_configs",
            nowhere,
            "write `upgrade_configs: [{upgrade_type: websocket}]` beside `http_filters`",
        )),
        (true, true) if !is_judged => findings.push(finding(
            manager,
            Code::UpgradeWithoutPostern,
            "http_filters",
            "has no Postern, and a WebSocket has no filters of its own, so that it goes unjudged",
            "write Postern first among them",
        )),
        (false, true) if has_filters => findings.push(finding(
            manager,
            Code::UnguardedManager,
            "http_filters",
            "has no Postern, and this manager lets WebSockets pass",
            "write Postern first among them, or take `websocket` out of `upgrade_configs`",
        )),
        _ => {}
    }
}

fn finding(manager: &Manager<'_>, code: Code, path: &str, what: &str, remedy: &str) -> Finding {
    let key = envoy::member(manager.written, path);
    let position = key.map_or(manager.written.position, |member| member.position);
    Finding::new(position, code, path, what, remedy)
}

/// Says whether an upgrade to WebSocket is enabled by this very manager or route.
pub(super) fn is_among_upgrades(node: &Node) -> bool {
    envoy::field(node, "upgrade_configs").map(Node::items).unwrap_or_default().iter().any(is_websocket)
}

/// Says whether an upgrade to WebSocket is enabled anywhere inside.
fn is_enabled(node: &Node) -> bool {
    is_among_upgrades(node)
        || node.items().iter().any(is_enabled)
        || node.members().iter().any(|member| is_enabled(&member.value))
}

fn is_websocket(upgrade: &Node) -> bool {
    let name = envoy::field(upgrade, "upgrade_type").and_then(Node::text);
    let is_off = upgrade.get("enabled").is_some_and(Node::is_false);
    name.is_some_and(|name| name.eq_ignore_ascii_case("websocket")) && !is_off
}
