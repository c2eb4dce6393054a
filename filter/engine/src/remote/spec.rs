//! The description of a document: where it is fetched, and how often.

use std::time::Duration;

use postern_config::{DrainWithEnvoy, RemoteJwks, Revocation};

/// The longest that a fetch of a revocation list may take.
const REVOCATION_TIMEOUT: Duration = Duration::from_secs(2);

/// The time between two questions to an admin interface, and the longest that one may take.
const SERVER_INFO_INTERVAL: Duration = Duration::from_secs(1);

/// The kind of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A JWK set (RFC 7517 §5).
    Keys,
    /// A revocation list.
    Revocation,
    /// The answer of an Envoy's admin interface to `/server_info`.
    ServerInfo,
}

/// A document behind an Envoy cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spec {
    /// The kind of the document.
    pub kind: Kind,
    /// The Envoy cluster to ask.
    pub cluster: String,
    /// The scheme, `http` or `https`.
    pub scheme: String,
    /// The `:authority` of the request.
    pub authority: String,
    /// The `:path` of the request, with the query.
    pub path: String,
    /// The longest time that one fetch may take.
    pub timeout: Duration,
    /// The time from one good answer to the next fetch.
    pub interval: Duration,
    /// The time for which a good answer serves; `None` for ever.
    pub good_for: Option<Duration>,
}

impl Kind {
    /// Returns the name in metrics, logs and shared data.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keys => "jwks",
            Self::Revocation => "revocation",
            Self::ServerInfo => "server_info",
        }
    }

    /// Returns the size of the largest document, in bytes.
    pub fn max_bytes(self) -> usize {
        match self {
            Self::Keys => 256 * 1024,
            Self::Revocation | Self::ServerInfo => 1024 * 1024,
        }
    }
}

impl Spec {
    /// Describes the JWK set of a provider.
    pub(crate) fn keys(remote: &RemoteJwks) -> Self {
        let RemoteJwks { cluster, uri, timeout, refresh_interval, max_stale } = remote;
        let path = match uri.query() {
            Some(query) => format!("{}?{query}", uri.path()),
            None => uri.path().to_owned(),
        };
        // A set that goes stale before the next one can be there would be of no use at times.
        let in_any_case = refresh_interval.saturating_add(*timeout).saturating_add(super::MARGIN);
        Self {
            kind: Kind::Keys,
            cluster: cluster.clone(),
            scheme: uri.scheme().to_owned(),
            authority: uri.authority().to_owned(),
            path,
            timeout: *timeout,
            interval: *refresh_interval,
            good_for: Some(in_any_case.max(*max_stale)),
        }
    }

    /// Describes the revocation list of a policy.
    pub(crate) fn revocation(revocation: &Revocation) -> Self {
        let Revocation { cluster, path, interval } = revocation;
        Self {
            kind: Kind::Revocation,
            cluster: cluster.clone(),
            scheme: "http".to_owned(),
            authority: host_in(cluster).to_owned(),
            path: path.clone(),
            timeout: REVOCATION_TIMEOUT,
            interval: *interval,
            good_for: None,
        }
    }

    /// Describes the state of the Envoy that the policies are in force in.
    pub(crate) fn server_info(drain: &DrainWithEnvoy) -> Self {
        Self {
            kind: Kind::ServerInfo,
            cluster: drain.cluster.clone(),
            scheme: "http".to_owned(),
            authority: host_in(&drain.cluster).to_owned(),
            path: "/server_info".to_owned(),
            timeout: SERVER_INFO_INTERVAL,
            interval: SERVER_INFO_INTERVAL,
            good_for: None,
        }
    }

    /// Returns the address of the document, without what its query says, which may be a secret.
    pub fn shown_uri(&self) -> String {
        let Self { scheme, authority, path, .. } = self;
        match path.split_once('?') {
            Some((path, _)) => format!("{scheme}://{authority}{path}?…"),
            None => format!("{scheme}://{authority}{path}"),
        }
    }

    /// Returns the path without the query.
    pub(super) fn bare_path(&self) -> &str {
        self.path.split_once('?').map_or(self.path.as_str(), |(path, _)| path)
    }

    /// Returns the name under which all of the document is shared, whoever wants it, however often.
    pub(super) fn identity(&self) -> String {
        let Self { kind, cluster, scheme, authority, path, .. } = self;
        format!("{} {cluster} {scheme}://{authority}{path}", kind.name())
    }
}

/// Returns the host in the name of a cluster, or the whole name: Istio's end in the host,
/// `outbound|443||auth.example.com`.
fn host_in(cluster: &str) -> &str {
    cluster.rsplit('|').next().filter(|host| !host.is_empty()).unwrap_or(cluster)
}
