//! Which policy a request falls under.

use crate::origin::is_below;
use crate::request_path::NormalisedPath;

/// One line of `routes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Every part that is present must match; at least one is.
    pub matches: RouteMatch,
    /// The name of a policy that exists.
    pub policy: String,
}

/// What a route asks of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl RouteMatch {
    /// Whether every part that is present matches: `host` without its port, in any case; `path`
    /// when it has a normal form; `route_name` if Envoy's route has one.
    pub fn matches(&self, host: &str, path: Option<&NormalisedPath>, route_name: Option<&str>) -> bool {
        let host_matches = self.host.as_ref().is_none_or(|pattern| pattern.matches(host));
        let path_matches =
            self.path_prefix.as_ref().is_none_or(|prefix| path.is_some_and(|path| path.is_under(prefix)));
        let name_matches = self.route_name.as_deref().is_none_or(|name| route_name == Some(name));
        host_matches && path_matches && name_matches
    }
}

impl HostPattern {
    /// Whether `host`, without its port and in any case, is one of those the pattern stands for.
    /// A last dot (RFC 1034 §3.1) changes nothing: it names the same host.
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match self {
            Self::Any => true,
            Self::Exact(exact) => *exact == host,
            Self::Subdomains(parent) => is_below(&host, parent),
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
            (&below, ".example.com", false),
            (&below, "evilexample.com", false),
            (&HostPattern::Any, "", true),
        ] {
            assert_eq!(pattern.matches(host), expected, "{pattern:?} {host}");
        }
    }

    #[test]
    fn every_part_that_is_present_must_match() {
        let path = NormalisedPath::parse(b"/ws/chat/1").unwrap();
        let whole = RouteMatch {
            host: Some(HostPattern::Exact("app.example.com".to_owned())),
            path_prefix: Some("/ws".to_owned()),
            route_name: Some("chat".to_owned()),
        };
        assert!(whole.matches("app.example.com", Some(&path), Some("chat")));
        assert!(!whole.matches("other.example.com", Some(&path), Some("chat")));
        assert!(!whole.matches("app.example.com", Some(&NormalisedPath::parse(b"/").unwrap()), Some("chat")));
        assert!(!whole.matches("app.example.com", None, Some("chat")));
        assert!(!whole.matches("app.example.com", Some(&path), None));
        let named = RouteMatch { host: None, path_prefix: None, ..whole };
        assert!(named.matches("", None, Some("chat")));
    }
}
