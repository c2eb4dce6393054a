//! A whole configuration for Envoy: the shipped `envoy.yaml` with another policy, and the addresses and files of another place.

use std::collections::BTreeMap;

use clap::Args;
use postern_config::Config;

use super::endpoint::{Asked, Endpoint, cluster, endpoint};
use super::needs::{self, Cluster};
use super::policy::Rendered;
use super::template::{listed, quoted, without};
use super::{Failure, Source, dynamic_module};

/// The shipped configuration.
const SHIPPED: &str = include_str!("../../../../envoy.yaml");

const HEAD: &str = "\
# Envoy with Postern in front of one WebSocket service, as `postern render envoy` has made it.
#   envoy -c FILE
";

/// The parts of the shipped configuration that are exchanged, each of which is there once.
mod part {
    pub(super) const LISTEN: &str = "{address: 0.0.0.0, port_value: 8443}";
    pub(super) const CERTIFICATE: &str = ".run/cert.pem";
    pub(super) const PRIVATE_KEY: &str = ".run/key.pem";
    pub(super) const MODULE: &str = "target/wasm32-wasip1/release/postern.wasm}";
    pub(super) const VARIABLES: &str = "host_env_keys: [POSTERN_EDGE_SECRET]";
    pub(super) const ROUTE: &str = "match: {prefix: /ws/}";
    pub(super) const IDLE_TIMEOUT: &str = "idle_timeout: 330s";
    pub(super) const BUFFER: &str = "request_body_buffer_limit: 2097152";
    pub(super) const DISCOVERY: &str = "type: STATIC";
    pub(super) const UPSTREAM: &str = "{address: 127.0.0.1, port_value: 8080}";
    pub(super) const ADMIN: &str = "{address: 127.0.0.1, port_value: 9901}";
    pub(super) const CERTIFICATES: &str = "                tls_certificates:\n";
    pub(super) const FILTER_CHAINS: &str = "      filter_chains:\n";
    pub(super) const BEHIND_CLUSTERS: &str = "\n# Postern counts under names such as\n";

    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [&str; 14] = [
        LISTEN,
        CERTIFICATE,
        PRIVATE_KEY,
        MODULE,
        VARIABLES,
        ROUTE,
        IDLE_TIMEOUT,
        BUFFER,
        DISCOVERY,
        UPSTREAM,
        ADMIN,
        CERTIFICATES,
        FILTER_CHAINS,
        BEHIND_CLUSTERS,
    ];
}

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) source: Source,
    /// The address to which clients connect.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8443", value_parser = endpoint)]
    listen: Endpoint,
    /// The service behind Envoy, spoken to without TLS.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080", value_parser = endpoint)]
    upstream: Endpoint,
    /// The module, as Envoy finds it.
    #[arg(long, value_name = "FILE", default_value = "/etc/envoy/postern.wasm")]
    module: String,
    /// The dynamic module (libpostern.so), as Envoy finds it, in the place of the one of WebAssembly.
    #[arg(long, value_name = "FILE", conflicts_with = "module")]
    dynamic_module: Option<String>,
    /// The certificate of Envoy, and what it is signed by.
    #[arg(long, value_name = "FILE", default_value = "/etc/envoy/tls.crt")]
    certificate: String,
    /// The private key of the certificate.
    #[arg(long, value_name = "FILE", default_value = "/etc/envoy/tls.key")]
    private_key: String,
    /// The certificates by which those of clients are signed; needed where a policy says `tls: mutual`.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<String>,
    /// The certificates by which those of services are signed that are asked by https.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    ca: String,
    /// The place of a cluster that the policy names; may be repeated. Of keys the policy says it.
    #[arg(long = "cluster", value_name = "NAME=URL", value_parser = cluster)]
    clusters: Vec<(String, Asked)>,
    /// The address of Envoy's admin interface.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9901", value_parser = endpoint)]
    admin: Endpoint,
}

/// Renders the configuration.
pub(super) fn render(arguments: &Arguments) -> Result<Rendered, Failure> {
    let policy = arguments.source.read()?;
    let config = &policy.config;
    let mut text = with_places(arguments, config);
    let variables = needs::variables(config);
    text = if variables.is_empty() {
        without(&text, "environment_variables:")
    } else {
        text.replacen(part::VARIABLES, &format!("host_env_keys: {}", listed(variables)), 1)
    };
    if needs::asks_for_certificates(config) {
        let Some(ca) = &arguments.client_ca else {
            let message =
                "a policy has `tls: mutual`; say who signs the certificates of clients with --client-ca FILE";
            return Err(Failure::Use(message.to_owned()));
        };
        let lines = format!(
            "                # A certificate that this one has not signed is turned away; one without passes, and Postern \
             refuses it\n                # where the policy says `tls: mutual`.\n                \
             validation_context:\n                  trusted_ca: {{filename: {}}}\n",
            quoted(ca)
        );
        text = text.replacen(part::CERTIFICATES, &format!("{lines}{}", part::CERTIFICATES), 1);
    }
    let clusters = clusters(arguments, config)?;
    text = text.replacen(part::BEHIND_CLUSTERS, &format!("{clusters}{}", part::BEHIND_CLUSTERS), 1);
    if arguments.dynamic_module.is_some() {
        text = dynamic_module::name_metrics(&text);
    }
    policy.put(&text, "value:")
}

/// Returns the shipped configuration with the addresses, files and times of another place.
fn with_places(arguments: &Arguments, config: &Config) -> String {
    let body = SHIPPED.split_once("\n\n").map_or(SHIPPED, |(_, body)| body);
    let at_once = needs::read_at_once(config);
    let mut text = format!("{HEAD}\n{body}");
    if let Some(library) = &arguments.dynamic_module {
        text = dynamic_module::put(&text, library);
    }
    let mut exchange = |part: &str, with: &str| text = text.replacen(part, with, 1);
    exchange(part::MODULE, &format!("{}}}", quoted(&arguments.module)));
    exchange(part::LISTEN, &arguments.listen.socket_address());
    exchange(part::CERTIFICATE, &quoted(&arguments.certificate));
    exchange(part::PRIVATE_KEY, &quoted(&arguments.private_key));
    // In HTTP/2 too, an upgrade is such a request to Envoy's routes.
    let websocket = "string_match: {exact: websocket, ignore_case: true}";
    exchange(part::ROUTE, &format!("match: {{prefix: /, headers: [{{name: upgrade, {websocket}}}]}}"));
    exchange(part::IDLE_TIMEOUT, &format!("idle_timeout: {}s", needs::idle_timeout(config).as_secs()));
    exchange(part::BUFFER, &format!("request_body_buffer_limit: {}", at_once.saturating_mul(2)));
    exchange(part::DISCOVERY, &format!("type: {}", arguments.upstream.discovery()));
    exchange(part::UPSTREAM, &arguments.upstream.socket_address());
    exchange(part::ADMIN, &arguments.admin.socket_address());
    if at_once > 1 << 20 {
        let limit = format!(
            "      # More than a policy lets wait in a connection.\n      per_connection_buffer_limit_bytes: {at_once}\n"
        );
        exchange(part::FILTER_CHAINS, &format!("{limit}{}", part::FILTER_CHAINS));
    }
    text
}

/// Returns the clusters that the policy names.
fn clusters(arguments: &Arguments, config: &Config) -> Result<String, Failure> {
    let named = needs::clusters(config);
    let given: BTreeMap<&str, &Asked> =
        arguments.clusters.iter().map(|(name, asked)| (name.as_str(), asked)).collect();
    if let Some(name) = given.keys().find(|name| !named.contains_key(*name)) {
        return Err(Failure::Use(format!("--cluster: the policy names no cluster {}", quoted(name))));
    }
    let mut text = String::new();
    for (name, cluster) in &named {
        let asked = given.get(name).copied().or(match cluster.asked.as_slice() {
            [only] => Some(only),
            _ => None,
        });
        let Some(asked) = asked else {
            let by: Vec<&str> = cluster.asked_by.iter().map(String::as_str).collect();
            let message = format!(
                "nothing says where the cluster {} of {} is; name its address with --cluster NAME=http://HOST:PORT",
                quoted(name),
                by.join(" and ")
            );
            return Err(Failure::Use(message));
        };
        text += &written(name, cluster, asked, &arguments.ca);
    }
    Ok(text)
}

fn written(name: &str, cluster: &Cluster, asked: &Asked, ca: &str) -> String {
    let mut lines = vec!["    # Asked by Postern, for:".to_owned()];
    lines.extend(cluster.asked_by.iter().map(|by| format!("    #   {by}")));
    let (name, host) = (quoted(name), quoted(&asked.endpoint.host));
    lines.push(format!("    - name: {name}"));
    lines.push(format!("      type: {}", asked.endpoint.discovery()));
    lines.push("      connect_timeout: 2s".to_owned());
    if cluster.is_grpc || cluster.is_admin {
        let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        let (why, version) = match cluster.is_grpc {
            true => ("gRPC is spoken over HTTP/2.", "http2_protocol_options"),
            false => (
                "On a connection that stays an Envoy would ask itself after a hot restart.",
                "http_protocol_options",
            ),
        };
        lines.push(format!("      # {why}"));
        lines.push("      typed_extension_protocol_options:".to_owned());
        lines.push(format!("        {options}:"));
        lines.push(format!("          \"@type\": type.googleapis.com/{options}"));
        lines.push(format!("          explicit_http_config: {{{version}: {{}}}}"));
        if cluster.is_admin {
            lines.push("          common_http_protocol_options: {max_requests_per_connection: 1}".to_owned());
        }
    }
    if asked.is_tls {
        let context = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
        lines.push("      # Whoever has no certificate of this name is not asked.".to_owned());
        lines.push("      transport_socket:".to_owned());
        lines.push("        name: envoy.transport_sockets.tls".to_owned());
        lines.push("        typed_config:".to_owned());
        lines.push(format!("          \"@type\": {context}"));
        lines.push(format!("          sni: {host}"));
        lines.push("          common_tls_context:".to_owned());
        lines.push("            validation_context:".to_owned());
        lines.push(format!("              trusted_ca: {{filename: {}}}", quoted(ca)));
        lines.push("              match_typed_subject_alt_names:".to_owned());
        let kind = if asked.endpoint.discovery() == "STATIC" { "IP_ADDRESS" } else { "DNS" };
        lines.push(format!("                - {{san_type: {kind}, matcher: {{exact: {host}}}}}"));
    }
    lines.push("      load_assignment:".to_owned());
    lines.push(format!("        cluster_name: {name}"));
    lines.push("        endpoints:".to_owned());
    lines.push("          - lb_endpoints:".to_owned());
    lines.push("              - endpoint:".to_owned());
    lines.push("                  address:".to_owned());
    lines.push(format!("                    socket_address: {}", asked.endpoint.socket_address()));
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exchanged_is_in_the_shipped_configuration_once() {
        for part in part::ALL {
            assert_eq!(SHIPPED.matches(part).count(), 1, "{part}");
        }
    }
}
