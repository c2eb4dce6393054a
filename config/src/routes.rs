//! Which policy a request falls under.

/// One line of `routes`.
#[derive(Clone, Debug)]
pub struct Route {
    /// Every part that is present must match; at least one is.
    pub matches: RouteMatch,
    /// The name of a policy that exists.
    pub policy: String,
}

/// What a route asks of a request.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// The host without its port.
    pub host: Option<HostPattern>,
    /// Begins with `/`, is normalised, and ends on a segment boundary of the path it matches.
    pub path_prefix: Option<String>,
    /// The name of Envoy's route.
    pub route_name: Option<String>,
}

/// A host, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`.
    Any,
    /// One host.
    Exact(String),
    /// `*.parent`: one or more labels before `parent`.
    Subdomains(String),
}

/// What becomes of an upgrade that no route matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultPolicy {
    /// 403 `no_policy`.
    Deny,
    /// It passes unjudged.
    Pass,
    /// The policy of this name, which exists.
    Policy(String),
}
