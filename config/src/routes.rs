//! The routes, which choose the policy that a request falls under.

use crate::origin::is_below;
use crate::request_host::NormalisedHost;
use crate::request_path::NormalisedPath;

/// One line of `routes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The parts, of which at least one is present, and every one that is present must match.
    pub matches: RouteMatch,
    /// The name of a policy that exists.
    pub policy: String,
}

/// The demands of a route on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    /// The host without its port.
    pub host: Option<HostPattern>,
    /// The prefix of the path: begins with `/`, is normalised, and ends on a segment boundary of the path it
    /// matches.
    pub path_prefix: Option<String>,
    /// The name of Envoy's route.
    pub route_name: Option<String>,
}

/// A host, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`: any host.
    Any,
    /// One host.
    Exact(String),
    /// `*.parent`: one or more labels before `parent`.
    Subdomains(String),
}

/// The fate of an upgrade that no route matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultPolicy {
    /// The upgrade is refused with 403 `no_policy`.
    Deny,
    /// The upgrade passes unjudged.
    Pass,
    /// The upgrade falls under the policy of this name, which exists.
    Policy(String),
}

impl RouteMatch {
    /// Says whether every part that is present matches: `host` and `path` when they have a normal form;
    /// `route_name` if Envoy's route has one.
    pub fn matches(
        &self,
        host: Option<&NormalisedHost>,
        path: Option<&NormalisedPath>,
        route_name: Option<&str>,
    ) -> bool {
        let host_matches = self.host.as_ref().is_none_or(|pattern| pattern.matches(host));
        let path_matches =
            self.path_prefix.as_ref().is_none_or(|prefix| path.is_some_and(|path| path.is_under(prefix)));
        let name_matches = self.route_name.as_deref().is_none_or(|name| route_name == Some(name));
        host_matches && path_matches && name_matches
    }
}

impl HostPattern {
    /// Says whether `host`, if there is one, is one of those that the pattern stands for.
    pub fn matches(&self, host: Option<&NormalisedHost>) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => host.is_some_and(|host| host.as_str() == exact),
            Self::Subdomains(parent) => host.is_some_and(|host| is_below(host.as_str(), parent)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_pattern_compares_in_any_case() {
        let exact = HostPattern::Exact("app.example.com".to_owned());
        let below = HostPattern::Subdomains("example.com".to_owned());
        for (pattern, host, expected) in [
            (&exact, "app.example.com", true),
            (&exact, "APP.Example.com", true),
            (&exact, "app.example.com.", true),
            (&exact, "example.com", false),
            (&below, "app.example.com", true),
            (&below, "a.B.Example.com.", true),
            (&below, "example.com", false),
            (&below, "evilexample.com", false),
            (&HostPattern::Any, "example.com", true),
        ] {
            let host = NormalisedHost::parse(host.as_bytes()).unwrap();
            assert_eq!(pattern.matches(Some(&host)), expected, "{pattern:?} {host:?}");
        }
        assert!(HostPattern::Any.matches(None) && !exact.matches(None) && !below.matches(None));
    }

    #[test]
    fn every_part_that_is_present_must_match() {
        let path = NormalisedPath::parse(b"/ws/chat/1").unwrap();
        let whole = RouteMatch {
            host: Some(HostPattern::Exact("app.example.com".to_owned())),
            path_prefix: Some("/ws".to_owned()),
            route_name: Some("chat".to_owned()),
        };
        let [app, other] =
            ["app.example.com", "other.example.com"].map(|host| NormalisedHost::parse(host.as_bytes()).ok());
        assert!(whole.matches(app.as_ref(), Some(&path), Some("chat")));
        assert!(!whole.matches(other.as_ref(), Some(&path), Some("chat")));
        assert!(!whole.matches(None, Some(&path), Some("chat")));
        assert!(!whole.matches(app.as_ref(), Some(&NormalisedPath::parse(b"/").unwrap()), Some("chat")));
        assert!(!whole.matches(app.as_ref(), None, Some("chat")));
        assert!(!whole.matches(app.as_ref(), Some(&path), None));
        let named = RouteMatch { host: None, path_prefix: None, ..whole };
        assert!(named.matches(None, None, Some("chat")));
    }
}
