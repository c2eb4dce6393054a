//! The keys `routes` and `default_policy`.

use serde::Deserialize;

use crate::grammar::is_line;
use crate::origin::{OriginHosts, OriginPattern, pattern};
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::raw::list::{List, distinct, string};
use crate::raw::reference::Names;
use crate::report::Report;
use crate::request_host::NormalisedHost;
use crate::request_path::NormalisedPath;
use crate::routes::{DefaultPolicy, HostPattern, Route, RouteMatch};
#[cfg(feature = "schema")]
use crate::schema;
use crate::words::shown;

/// One line of `routes` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `match` and `policy`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawRoute {
    #[serde(rename = "match")]
    matches: Option<RawMatch>,
    policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `host`, `path_prefix` or `route_name`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
struct RawMatch {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Host>"))]
    host: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::PathPrefix>"))]
    path_prefix: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Line>"))]
    route_name: Option<String>,
}

/// Reads the routes in order. A later route with the same match could never win.
pub(super) fn read(
    written: Option<List<RawRoute>>,
    policies: &Names,
    at: &Path,
    report: &mut Report,
) -> Option<Vec<Route>> {
    let mut seen: Vec<(RouteMatch, Path)> = Vec::new();
    distinct(written.unwrap_or_default(), at, report, |route, at, report| {
        let route = route.read(policies, at, report)?;
        if let Some((_, first)) = seen.iter().find(|(matches, _)| *matches == route.matches) {
            report.push(
                ProblemKind::NoEffect,
                at,
                format!("never matches: {first} matches the same requests"),
                "leave one of them out",
            );
            return None;
        }
        seen.push((route.matches.clone(), at.clone()));
        Some(route)
    })
}

/// Reads the fate of an upgrade that no route matches.
pub(super) fn read_default(
    written: Option<String>,
    policies: &Names,
    at: &Path,
    report: &mut Report,
) -> Option<DefaultPolicy> {
    match written.as_deref() {
        None | Some("deny") => Some(DefaultPolicy::Deny),
        Some("pass") => Some(DefaultPolicy::Pass),
        Some(name) => policies.resolve(name.to_owned(), "policies", at, report).map(DefaultPolicy::Policy),
    }
}

impl RawRoute {
    fn read(self, policies: &Names, at: &Path, report: &mut Report) -> Option<Route> {
        let match_at = at.key("match");
        let matches = report
            .required(self.matches, &match_at, "write `host`, `path_prefix` or `route_name`")
            .and_then(|matches| matches.read(&match_at, report));
        let policy_at = at.key("policy");
        let policy = report
            .required(self.policy, &policy_at, "write the name of one of the `policies`")
            .and_then(|name| policies.resolve(name, "policies", &policy_at, report));
        Some(Route { matches: matches?, policy: policy? })
    }
}

impl RawMatch {
    fn read(self, at: &Path, report: &mut Report) -> Option<RouteMatch> {
        if self.host.is_none() && self.path_prefix.is_none() && self.route_name.is_none() {
            if !report.is_broken_below(at) {
                report.push(
                    ProblemKind::MissingKey,
                    at,
                    "matches on nothing",
                    "write `host: \"*\"` to match every request",
                );
            }
            return None;
        }
        let host = part(self.host, &at.key("host"), report, host);
        let path_prefix = part(self.path_prefix, &at.key("path_prefix"), report, path_prefix);
        let route_name = part(self.route_name, &at.key("route_name"), report, |name, at, report| {
            string(name, is_line, "write the name of a route of Envoy's", at, report)
        });
        Some(RouteMatch { host: host?, path_prefix: path_prefix?, route_name: route_name? })
    }
}

fn part<T>(
    written: Option<String>,
    at: &Path,
    report: &mut Report,
    read: impl FnOnce(String, &Path, &mut Report) -> Option<T>,
) -> Option<Option<T>> {
    match written {
        Some(text) => read(text, at, report).map(Some),
        None => Some(None),
    }
}

/// Reads a host, which is written as in an origin, without scheme and port, and as it may be written in a
/// request.
fn host(text: String, at: &Path, report: &mut Report) -> Option<HostPattern> {
    if text == "*" {
        return Some(HostPattern::Any);
    }
    let is_bare = !text.contains(['/', '%']) && !text.rsplit(']').next().unwrap_or_default().contains(':');
    let read = if is_bare { pattern(&format!("https://{text}")).ok() } else { None };
    let can_be_asked_for = |host: &str| {
        NormalisedHost::parse(host.as_bytes()).is_ok_and(|normalised| normalised.as_str() == host)
    };
    let hosts = read.and_then(|pattern| match pattern {
        OriginPattern::Of { host, .. } => Some(host),
        OriginPattern::Any | OriginPattern::Null => None,
    });
    match hosts {
        Some(OriginHosts::One(host)) if can_be_asked_for(&host) => Some(HostPattern::Exact(host)),
        Some(OriginHosts::Below(parent)) if can_be_asked_for(&parent) => {
            Some(HostPattern::Subdomains(parent))
        }
        Some(_) | None => {
            let remedy =
                "write a host without scheme, port and path, such as `app.example.com` or `*.example.com`";
            report.push(ProblemKind::ImpossibleValue, at, format!("{} is not a host", shown(&text)), remedy);
            None
        }
    }
}

fn path_prefix(text: String, at: &Path, report: &mut Report) -> Option<String> {
    if text.contains(['?', '#']) {
        report.push(
            ProblemKind::ImpossibleValue,
            at,
            format!("{} has more than a path", shown(&text)),
            "leave `?` or `#` and what follows it out",
        );
        return None;
    }
    match NormalisedPath::parse(text.as_bytes()) {
        Ok(normal) if normal.as_bytes() == text.as_bytes() => Some(text),
        Ok(normal) => {
            let normal = String::from_utf8_lossy(normal.as_bytes()).into_owned();
            report.push(
                ProblemKind::ImpossibleValue,
                at,
                format!("{} is not normalised", shown(&text)),
                format!("write {}", shown(&normal)),
            );
            None
        }
        Err(fault) => {
            report.push(
                ProblemKind::NoEffect,
                at,
                format!("{} matches nothing: {fault}", shown(&text)),
                "write a path such as `/ws/chat`",
            );
            None
        }
    }
}
