//! Envoy's circuit breaker of the clusters that WebSockets go to. Each WebSocket counts as a request for as long as it is open, and
//! over HTTP/1.1 has a connection of its own: with the defaults no more than 1024 are open at once, beyond which handshakes are
//! answered with 503, or wait.

use std::collections::BTreeSet;

use postern_config::Path;

use super::websockets;
use crate::finding::{Code, Finding, Remark, quoted};
use crate::source::{Cluster, Found, Manager, Speech, envoy};
use crate::yaml::Node;

/// Warns of the clusters in the file that WebSockets of a manager with Postern go to, and whose bounds are Envoy's own.
pub(super) fn judge(manager: &Manager<'_>, found: &Found<'_>, findings: &mut Vec<Finding>) {
    let Some(clusters) = found.clusters.get(&manager.chain.document) else { return };
    let named = targets(manager.written);
    let reached = clusters.iter().filter(|(name, _)| named.contains(name.as_str()));
    findings.extend(reached.filter_map(|(name, cluster)| warning(name, cluster)));
}

fn warning(name: &str, cluster: &Cluster) -> Option<Finding> {
    let needed: &[&str] = match cluster.speech {
        Speech::Http1 => &["max_connections", "max_requests"],
        Speech::Http2 => &["max_requests"],
    };
    let is_unset = |bound: &&&str| !cluster.bounds.contains(**bound);
    let unset: Vec<&str> = needed.iter().filter(is_unset).copied().collect();
    if unset.is_empty() {
        return None;
    }
    let path = Path::root().key("circuit_breakers").key("thresholds");
    let what = format!(
        "of the cluster {} leave {} at 1024, and no more WebSockets than that are open at once",
        quoted(name),
        unset.join(" and "),
    );
    let bounds: Vec<String> = needed.iter().map(|bound| format!("{bound}: 100000")).collect();
    let remedy = format!(
        "write as many as you expect: `circuit_breakers: {{thresholds: [{{{}}}]}}`",
        bounds.join(", ")
    );
    Some(Remark::new(Code::CircuitBreaker, &path, what, remedy).at(cluster.position))
}

/// Returns the names of the clusters that WebSockets of a manager go to.
fn targets(manager: &Node) -> BTreeSet<&str> {
    let hosts =
        envoy::field(manager, "route_config").and_then(|routes| envoy::field(routes, "virtual_hosts"));
    let routes =
        hosts.map(Node::items).unwrap_or_default().iter().filter_map(|host| envoy::field(host, "routes"));
    let of_manager = websockets::is_among_upgrades(manager);
    let actions = routes.flat_map(Node::items).filter_map(|route| envoy::field(route, "route"));
    let with_sockets = actions.filter(|action| of_manager || websockets::is_among_upgrades(action));
    with_sockets.flat_map(clusters_of).collect()
}

fn clusters_of(action: &Node) -> Vec<&str> {
    let weighted = envoy::field(action, "weighted_clusters").and_then(|weighted| weighted.get("clusters"));
    let shares = weighted.map(Node::items).unwrap_or_default().iter().filter_map(|share| share.get("name"));
    action.get("cluster").into_iter().chain(shares).filter_map(Node::text).collect()
}
