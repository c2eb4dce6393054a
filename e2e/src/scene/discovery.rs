//! The filter as Envoy discovers it in a file that it watches (ECDS), and Envoy's verdict on a new one.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::deadline::PATIENCE;
use crate::scene::bootstrap::Bootstrap;
use crate::scene::envoy::Envoy;

/// Envoy's verdict on a pushed configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// New connections fall under the new configuration.
    Taken,
    /// The old configuration serves on.
    Rejected,
}

/// The file from which Envoy takes the filter.
#[derive(Debug)]
pub(crate) struct Discovery {
    source: Bootstrap,
    path: PathBuf,
    version: u64,
}

impl Discovery {
    /// Has `bootstrap` take the filter that it contains from the file `path` instead.
    pub(crate) fn start(bootstrap: &mut Bootstrap, path: PathBuf) -> Self {
        let discovery = Self { source: bootstrap.clone(), path, version: 1 };
        discovery.write();
        bootstrap.discover_filter(&discovery.path);
        discovery
    }

    /// Gives the filter another configuration, and waits for the verdict of `envoy` on it.
    pub(crate) async fn push(&mut self, document: Value, envoy: &Envoy) -> Pushed {
        let before = Verdicts::of(envoy).await;
        *self.source.configuration() = document;
        self.version += 1;
        self.write();
        let end = Instant::now() + PATIENCE;
        loop {
            let now = Verdicts::of(envoy).await;
            if now.taken > before.taken {
                return Pushed::Taken;
            }
            if now.rejected > before.rejected {
                return Pushed::Rejected;
            }
            assert!(Instant::now() < end, "waited {PATIENCE:?} for Envoy's verdict on a pushed policy");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes the file by moving it into place, for which Envoy watches.
    fn write(&self) {
        let draft = self.path.with_extension("draft");
        let response = self.source.discovery_response(self.version).to_string();
        std::fs::write(&draft, response)
            .and_then(|()| std::fs::rename(&draft, &self.path))
            .expect("a writable folder");
    }
}

/// The numbers of filter configurations that Envoy has taken and rejected so far.
struct Verdicts {
    taken: f64,
    rejected: f64,
}

impl Verdicts {
    async fn of(envoy: &Envoy) -> Self {
        let stats = envoy.stats().await;
        let sum = |ending: &str| -> f64 {
            let ours =
                |name: &str| name.starts_with("envoy_extension_config_discovery") && name.ends_with(ending);
            stats.0.iter().filter(|sample| ours(&sample.name)).map(|sample| sample.value).sum()
        };
        Self { taken: sum("_update_success"), rejected: sum("_update_rejected") }
    }
}
