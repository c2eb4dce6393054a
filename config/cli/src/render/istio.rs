//! Manifests for Istio: the shipped `e2e/istio/postern.yaml` with another policy.

use clap::Args;

use super::needs;
use super::policy::Rendered;
use super::template::{documents, escaped, quoted, without};
use super::{Failure, Source};

/// The shipped manifests.
const SHIPPED: &str = include_str!("../../../../e2e/istio/postern.yaml");

/// The parts of the shipped manifests that are exchanged, wherever they are.
mod part {
    pub(super) const IMAGE: &str = "oci://registry.example.com/postern:0.1.0";
    pub(super) const NAMESPACE: &str = "namespace: istio-ingress";
    pub(super) const LABELS: &str = "{istio: ingressgateway}";
    pub(super) const CONTEXT: &str = "context: GATEWAY";
    pub(super) const VARIABLE: &str = "- {name: POSTERN_EDGE_SECRET, valueFrom: HOST}";
    pub(super) const IDLE_TIMEOUT: &str = "stream_idle_timeout: 330s";
    pub(super) const BUFFER: &str = "request_body_buffer_limit: 2097152";
    pub(super) const MODULE: &str = "  url: ";

    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [&str; 8] =
        [IMAGE, NAMESPACE, LABELS, CONTEXT, VARIABLE, IDLE_TIMEOUT, BUFFER, MODULE];
}

/// The manifest that has other limits for one route of a policy, which a policy by itself does not ask for.
const FOR_ONE_ROUTE: &str = "name: postern-uploads";

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) source: Source,
    /// The image that `make image` makes, where the proxies find it.
    #[arg(long, value_name = "URL", default_value = part::IMAGE)]
    image: String,
    /// The namespace of the proxies.
    #[arg(long, default_value = "istio-ingress")]
    namespace: String,
    /// A label of the proxies that get Postern; may be repeated.
    #[arg(long = "selector", value_name = "LABEL=VALUE", default_value = "istio=ingressgateway", value_parser = label)]
    selector: Vec<(String, String)>,
    /// The proxies are sidecars, and no gateways; what comes in to them is judged.
    #[arg(long)]
    sidecar: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let label = text.split_once('=').filter(|(name, _)| !name.is_empty());
    label
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write `label=value`".to_owned())
}

/// Renders the manifests.
pub(super) fn render(arguments: &Arguments) -> Result<Rendered, Failure> {
    let policy = arguments.source.read()?;
    let config = &policy.config;
    let mut manifests = documents(SHIPPED);
    manifests.retain(|manifest| !manifest.contains(FOR_ONE_ROUTE));
    let text = manifests.join("---\n");
    let labels: Vec<String> = arguments
        .selector
        .iter()
        .map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)))
        .collect();
    // What a workload opens itself is not for its own policies.
    let (context, bound) = match arguments.sidecar {
        true => ("SIDECAR_INBOUND", "  match: [{mode: SERVER}]\n"),
        false => ("GATEWAY", ""),
    };
    let mut text = text
        .replace(part::MODULE, &format!("{bound}{}", part::MODULE))
        .replace(part::IMAGE, &quoted_address(&arguments.image))
        .replace(part::NAMESPACE, &format!("namespace: {}", quoted(&arguments.namespace)))
        .replace(part::LABELS, &format!("{{{}}}", labels.join(", ")))
        .replace(part::CONTEXT, &format!("context: {context}"))
        .replace(
            part::IDLE_TIMEOUT,
            &format!("stream_idle_timeout: {}s", needs::idle_timeout(config).as_secs()),
        )
        .replace(
            part::BUFFER,
            &format!("request_body_buffer_limit: {}", needs::read_at_once(config).saturating_mul(2)),
        );
    let variables: Vec<String> = needs::variables(config)
        .iter()
        .map(|name| format!("- {{name: {}, valueFrom: HOST}}", quoted(name)))
        .collect();
    text = if variables.is_empty() {
        without(&text, "vmConfig:")
    } else {
        text.replace(part::VARIABLE, &variables.join("\n      "))
    };
    let mut warnings = Vec::new();
    text += &services(arguments, config, &mut warnings);
    let mut rendered = policy.put(&text, "pluginConfig:")?;
    rendered.warnings.extend(warnings);
    Ok(rendered)
}

/// Returns an address as it is, if it is plainly one.
fn quoted_address(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"./_-:@".contains(&b))
        && !text.ends_with(':');
    if is_plain { text.to_owned() } else { escaped(text) }
}

/// Returns the manifests that make a host outside of the mesh one of the proxies' clusters, for each host that the policy asks.
fn services(arguments: &Arguments, config: &postern_config::Config, warnings: &mut Vec<String>) -> String {
    let mut text = String::new();
    for (number, (name, cluster)) in needs::clusters(config).iter().enumerate() {
        let parts: Vec<&str> = name.split('|').collect();
        let (port, host) = match parts.as_slice() {
            ["outbound", port, _, host] if port.parse::<u16>().is_ok() && !host.is_empty() => (*port, *host),
            _ if cluster.is_admin => {
                warnings.push(format!(
                    "1:1: warning: drain_with_envoy: {} is to be the proxy's own admin interface; patch the cluster in, with \
                     `max_requests_per_connection: 1`",
                    quoted(name)
                ));
                continue;
            }
            _ => {
                let by: Vec<&str> = cluster.asked_by.iter().map(String::as_str).collect();
                warnings.push(format!(
                    "1:1: warning: {}: {} is no cluster of Istio's; write `outbound|443||auth.example.com`, with the port and \
                     the host of the service",
                    by.join(", "),
                    quoted(name)
                ));
                continue;
            }
        };
        // What is in the mesh is known to every proxy.
        if host.ends_with(".local") || !host.contains('.') {
            continue;
        }
        let is_tls = cluster.asked.iter().any(|asked| asked.is_tls) || port == "443";
        let protocol = if cluster.is_grpc { "GRPC" } else { "HTTP" };
        let namespace = quoted(&arguments.namespace);
        let metadata = format!("{{name: postern-asks-{number}, namespace: {namespace}}}");
        let host = escaped(host);
        text += &format!(
            "---\n# A service outside of the mesh that Postern asks, for these proxies alone.\n\
             apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {metadata}\nspec:\n  exportTo: [\".\"]\n  \
             hosts: [{host}]\n  location: MESH_EXTERNAL\n  resolution: DNS\n  ports: [{{number: {port}, name: asked, protocol: \
             {protocol}}}]\n"
        );
        if is_tls {
            text += &format!(
                "---\n# It is asked by TLS.\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: \
                 {metadata}\nspec:\n  exportTo: [\".\"]\n  host: {host}\n  trafficPolicy:\n    tls: {{mode: SIMPLE, sni: \
                 {host}, subjectAltNames: [{host}]}}\n"
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exchanged_is_in_the_shipped_manifests() {
        for part in part::ALL {
            assert!(SHIPPED.contains(part), "{part}");
        }
        assert_eq!(documents(SHIPPED).iter().filter(|manifest| manifest.contains(FOR_ONE_ROUTE)).count(), 1);
    }
}
