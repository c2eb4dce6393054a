//! The cluster of Envoy's own admin interface, which `drain_with_envoy` names: how it is asked, and who else gets there.

use std::collections::BTreeSet;

use postern_config::Path;
use serde_json::Value;

use super::Judged;
use crate::finding::{Code, Finding, Remark, quoted};
use crate::source::{Found, Lead, NamedCluster, envoy};
use crate::yaml::Node;

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const BOUND: &str = "max_requests_per_connection";

/// Warns of what the file says of the clusters that its policies ask how their Envoy is.
pub(super) fn judge(found: &Found<'_>, judged: &[Judged], findings: &mut Vec<Finding>) {
    let configs = judged.iter().filter_map(|judged| judged.config.as_ref());
    let asked: BTreeSet<&str> =
        configs.filter_map(|config| Some(config.drain_with_envoy.as_ref()?.cluster.as_str())).collect();
    let of_admin = found.named_clusters.iter().filter(|cluster| asked.contains(cluster.name));
    findings.extend(of_admin.filter(|cluster| !is_asked_anew(cluster.fields)).map(stays));
    if !asked.is_empty() {
        findings.extend(found.leads.iter().filter_map(|lead| exposed(lead, &asked)));
    }
}

/// Says whether Envoy has a connection of its own for each request to a cluster. Without the newer place the older ones count.
fn is_asked_anew(cluster: &Node) -> bool {
    let newer =
        envoy::field(cluster, "typed_extension_protocol_options").and_then(|typed| typed.get(OPTIONS));
    let of_http = envoy::field(newer.unwrap_or(cluster), "common_http_protocol_options");
    let bounds = [of_http, Some(cluster).filter(|_| newer.is_none())];
    let mut bounds = bounds.into_iter().flatten().filter_map(|options| envoy::field(options, BOUND));
    bounds.any(|bound| [Value::from(1), Value::from("1")].contains(&bound.to_json()))
}

fn stays(cluster: &NamedCluster<'_>) -> Finding {
    let what = format!(
        "of the cluster {} is not 1, so that after a hot restart an Envoy may be asked on a connection that it answers \
         itself, and not see the next one",
        quoted(cluster.name)
    );
    let remedy = format!(
        "write `common_http_protocol_options: {{{BOUND}: 1}}` in its {OPTIONS} under `typed_extension_protocol_options`"
    );
    Finding::new(cluster.fields.position, Code::AdminConnections, BOUND, what, remedy)
}

fn exposed(lead: &Lead<'_>, asked: &BTreeSet<&str>) -> Option<Finding> {
    let what = match lead.cluster {
        Some(cluster) => format!("leads to {}", quoted(asked.get(cluster)?)),
        None => format!("leads where the request says, to {} too", quoted(asked.first()?)),
    };
    let what = format!("{what}, the admin interface: whoever gets there can end Envoy and read its secrets");
    let remedy = "let it lead elsewhere, or name a cluster in `drain_with_envoy` to which nothing else leads";
    let path = Path::root().key(lead.key);
    Some(Remark::new(Code::ExposedAdmin, &path, what, remedy).at(lead.position))
}
