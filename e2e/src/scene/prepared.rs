//! A scene with all but its Envoy.

use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::scene::access_log::AccessLog;
use crate::scene::bootstrap::Bootstrap;
use crate::scene::discovery::Discovery;
use crate::scene::running::{Host, RunningScene};
use crate::tls::Certificate;
use crate::upstream::Upstream;

/// A scene that lacks only its Envoy.
pub(super) struct Prepared {
    pub(super) bootstrap: Bootstrap,
    /// The variables that the module sees.
    pub(super) environment: Vec<(String, String)>,
    pub(super) upstream: Upstream,
    pub(super) access_log: AccessLog,
    pub(super) tls: Option<Certificate>,
    pub(super) client_certificate: Certificate,
    pub(super) discovery: Option<Discovery>,
    pub(super) providers: Map<String, Value>,
    pub(super) folder: TempDir,
}

impl Prepared {
    /// Returns the scene as it runs in the Envoy that serves its bootstrap.
    pub(super) fn in_envoy(self, host: Host) -> RunningScene {
        RunningScene {
            host,
            upstream: self.upstream,
            access_log: self.access_log,
            tls: self.tls,
            client_certificate: self.client_certificate,
            discovery: self.discovery,
            providers: self.providers,
            row: None,
            folder: self.folder,
        }
    }
}
