//! The resources of Envoy's configuration, by the keys and types that lead to them.

use super::envoy::type_name;

/// A resource, or a part of one that has metadata or filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Cluster,
    Endpoint,
    FilterChain,
    HttpFilter,
    Listener,
    /// An HttpConnectionManager.
    Manager,
    /// Anything else.
    Other,
    Route,
    RouteConfiguration,
    /// An element of a manager's `upgrade_configs`.
    Upgrade,
    VirtualHost,
    WeightedCluster,
    /// The part of a route that has the list of weighted clusters.
    WeightedClusters,
}

impl Resource {
    /// Returns the resource of this type, if it is one of these.
    pub(crate) fn of_type(name: &str) -> Option<Self> {
        Some(match type_name(name) {
            "envoy.config.cluster.v3.Cluster" => Self::Cluster,
            "envoy.config.endpoint.v3.ClusterLoadAssignment" => Self::Endpoint,
            "envoy.config.listener.v3.FilterChain" => Self::FilterChain,
            "envoy.config.listener.v3.Listener" => Self::Listener,
            "envoy.config.route.v3.Route" => Self::Route,
            "envoy.config.route.v3.RouteConfiguration" => Self::RouteConfiguration,
            "envoy.config.route.v3.VirtualHost" => Self::VirtualHost,
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" => {
                Self::Manager
            }
            _ => return None,
        })
    }

    /// Returns the resource that an EnvoyFilter of Istio's lays its value over.
    pub(crate) fn of_patch(apply_to: &str) -> Self {
        match apply_to {
            "CLUSTER" => Self::Cluster,
            "FILTER_CHAIN" => Self::FilterChain,
            "HTTP_FILTER" => Self::HttpFilter,
            "HTTP_ROUTE" => Self::Route,
            "LISTENER" => Self::Listener,
            "ROUTE_CONFIGURATION" => Self::RouteConfiguration,
            "VIRTUAL_HOST" => Self::VirtualHost,
            _ => Self::Other,
        }
    }

    /// Returns the resource under `key` of this one, alone or in a list; `key` is the original name.
    pub(crate) fn inside(self, key: &str) -> Self {
        match (self, key) {
            (Self::Manager, "upgrade_configs") => Self::Upgrade,
            (Self::Upgrade, "filters") | (_, "http_filters") => Self::HttpFilter,
            (Self::WeightedClusters, "clusters") => Self::WeightedCluster,
            (_, "clusters") => Self::Cluster,
            (_, "default_filter_chain" | "filter_chains") => Self::FilterChain,
            (_, "endpoints" | "lb_endpoints" | "load_assignment") => Self::Endpoint,
            (_, "listeners") => Self::Listener,
            (_, "route_config") => Self::RouteConfiguration,
            (_, "routes") => Self::Route,
            (_, "virtual_hosts") => Self::VirtualHost,
            (_, "weighted_clusters") => Self::WeightedClusters,
            _ => Self::Other,
        }
    }

    /// Returns the resource's name with an article, if it has one.
    pub(crate) fn named(self) -> Option<&'static str> {
        Some(match self {
            Self::Cluster => "a cluster",
            Self::Endpoint => "an endpoint",
            Self::FilterChain => "a filter chain",
            Self::HttpFilter => "a filter",
            Self::Listener => "a listener",
            Self::Manager => "a connection manager",
            Self::Other => return None,
            Self::Route => "a route",
            Self::RouteConfiguration => "a route configuration",
            Self::Upgrade => "an upgrade",
            Self::VirtualHost => "a virtual host",
            Self::WeightedCluster | Self::WeightedClusters => "a weighted cluster",
        })
    }
}
