//! Manifests for Envoy Gateway: the shipped `e2e/envoy-gateway/postern.yaml` with another policy.

use clap::Args;

use super::needs;
use super::policy::Rendered;
use super::template::{escaped, listed, quoted, without};
use super::{Failure, Source};

/// The shipped manifests.
const SHIPPED: &str = include_str!("../../../../e2e/envoy-gateway/postern.yaml");

/// The parts of the shipped manifests that are exchanged, wherever they are.
mod part {
    pub(super) const IMAGE: &str = "{url: registry.example.com/postern:0.1.0}";
    pub(super) const NAMESPACE: &str = "namespace: default}";
    pub(super) const ROUTE: &str = "kind: HTTPRoute, name: chat}";
    pub(super) const GATEWAY: &str = "kind: Gateway, name: eg}";
    pub(super) const VARIABLES: &str = "env: {hostKeys: [POSTERN_EDGE_SECRET]}";
    pub(super) const ROUTES: &str = "name: default/eg/https";
    pub(super) const READS: &str = "bufferLimit: 1048576";
    pub(super) const BUFFER: &str = "value: 2097152";
    pub(super) const IDLE_TIMEOUT: &str = "value: 330s";

    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [&str; 9] =
        [IMAGE, NAMESPACE, ROUTE, GATEWAY, VARIABLES, ROUTES, READS, BUFFER, IDLE_TIMEOUT];
}

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) source: Source,
    /// The image that `make image` makes, where Envoy Gateway finds it.
    #[arg(long, value_name = "URL", default_value = "registry.example.com/postern:0.1.0")]
    image: String,
    /// The namespace of the Gateway and the route.
    #[arg(long, default_value = "default")]
    namespace: String,
    /// The HTTPRoute that is judged.
    #[arg(long, value_name = "NAME", default_value = "chat")]
    route: String,
    /// The Gateway that the route is of.
    #[arg(long, value_name = "NAME", default_value = "eg")]
    gateway: String,
    /// The listener of the Gateway.
    #[arg(long, value_name = "NAME", default_value = "https")]
    listener: String,
}

/// Renders the manifests.
pub(super) fn render(arguments: &Arguments) -> Result<Rendered, Failure> {
    let policy = arguments.source.read()?;
    let config = &policy.config;
    let at_once = needs::read_at_once(config);
    let Arguments { image, namespace, route, gateway, listener, .. } = arguments;
    let mut text = SHIPPED
        .replace(part::IMAGE, &format!("{{url: {}}}", escaped(image)))
        .replace(part::NAMESPACE, &format!("namespace: {}}}", quoted(namespace)))
        .replace(part::ROUTE, &format!("kind: HTTPRoute, name: {}}}", quoted(route)))
        .replace(part::GATEWAY, &format!("kind: Gateway, name: {}}}", quoted(gateway)))
        .replace(part::ROUTES, &format!("name: {}", quoted(&format!("{namespace}/{gateway}/{listener}"))))
        .replace(part::READS, &format!("bufferLimit: {at_once}"))
        .replace(part::BUFFER, &format!("value: {}", at_once.saturating_mul(2)))
        .replace(part::IDLE_TIMEOUT, &format!("value: {}s", needs::idle_timeout(config).as_secs()));
    let variables = needs::variables(config);
    text = if variables.is_empty() {
        without(&text, part::VARIABLES)
    } else {
        text.replace(part::VARIABLES, &format!("env: {{hostKeys: {}}}", listed(variables)))
    };
    let mut rendered = policy.put(&text, "config:")?;
    rendered.warnings.extend(needs::clusters(config).iter().map(|(name, cluster)| {
        let by: Vec<&str> = cluster.asked_by.iter().map(String::as_str).collect();
        let remedy = match cluster.is_admin {
            // No route may lead to an admin interface.
            true => "patch the cluster in, with `max_requests_per_connection: 1`",
            false => "bind a route to the service, or patch the cluster in",
        };
        format!(
            "1:1: warning: {}: Envoy Gateway makes no cluster {} by itself; {remedy}",
            by.join(", "),
            quoted(name)
        )
    }));
    Ok(rendered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exchanged_is_in_the_shipped_manifests() {
        for part in part::ALL {
            assert!(SHIPPED.contains(part), "{part}");
        }
    }
}
