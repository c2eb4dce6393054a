//! The Envoy, one for each number of workers, of all scenes of a process that need none of their own. To compile the
//! module is nearly all that an Envoy's start costs, and an Envoy does so once for all its VMs. Here each scene has a
//! listener, a VM, clusters and an access log to itself, which come by LDS and CDS; Envoy's log and metrics are
//! everybody's.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::deadline::{POLL, START};
use crate::environment;
use crate::scene::bootstrap::{Bootstrap, Part};
use crate::scene::envoy::Envoy;
use crate::scene::watchdog::Watchdog;

/// The files from which Envoy takes what it serves.
const LISTENERS: &str = "listeners.json";
const CLUSTERS: &str = "clusters.json";

/// The most workers that a scene can have here.
const MOST_WORKERS: usize = 4;

/// An Envoy for each number of workers.
static COMMON: [OnceCell<CommonEnvoy>; MOST_WORKERS + 1] =
    [const { OnceCell::const_new() }; MOST_WORKERS + 1];

/// The number of the next scene, by which the names of what it has differ from others'.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The place of one scene in the common Envoy. A test that panics has the end of Envoy's log shown.
#[derive(Debug)]
pub(crate) struct Place {
    common: &'static CommonEnvoy,
    name: String,
    listener: SocketAddr,
}

impl Place {
    /// Has the common Envoy of so many workers, which starts for the first scene, serve what this bootstrap has, with these
    /// variables in the environment of its VM.
    pub(crate) async fn take(bootstrap: &Bootstrap, workers: u32, environment: &[(String, String)]) -> Self {
        let mut bootstrap = bootstrap.clone();
        bootstrap.set_environment(environment);
        let part = bootstrap.part(NEXT.fetch_add(1, Ordering::Relaxed));
        let name = part.name.clone();
        let common = &COMMON[workers as usize];
        let common = common.get_or_init(|| CommonEnvoy::start(workers)).await;
        let listener = common.add(part).await;
        Self { common, name, listener }
    }

    /// Returns the address that clients of the scene connect to.
    pub(crate) fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// Returns the lines of Envoy's log that contain `part` and are of this scene's VM.
    pub(crate) fn log_lines_with(&self, part: &str) -> Vec<String> {
        self.common.log_lines_of(&self.name, part)
    }

    /// Returns the common Envoy.
    pub(crate) fn envoy(&self) -> &Envoy {
        &self.common.envoy
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.common.envoy.show_log();
        }
    }
}

#[derive(Debug)]
struct CommonEnvoy {
    envoy: Envoy,
    discovered: Mutex<Discovered>,
    _watchdog: Option<Watchdog>,
    // Dropped last: Envoy's files are in it.
    folder: TempDir,
}

impl CommonEnvoy {
    async fn start(workers: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let discovered = Discovered::default();
        discovered.write(folder.path());
        let mut bootstrap = Bootstrap::shipped().unwrap_or_else(|error| panic!("{error}"));
        let anywhere = SocketAddr::from((environment::current().envoy(), 0));
        bootstrap.listen(anywhere);
        bootstrap.admin(anywhere);
        bootstrap.without_tls();
        bootstrap.without_filter();
        bootstrap.discover_parts(&folder.path().join(LISTENERS), &folder.path().join(CLUSTERS));
        let envoy = Envoy::start(&bootstrap, folder.path(), workers, &[]).await;
        let envoy = envoy.unwrap_or_else(|error| panic!("{error}"));
        let watchdog = Watchdog::of(&envoy, folder.path());
        Self { envoy, discovered: Mutex::new(discovered), _watchdog: watchdog, folder }
    }

    /// Serves one more scene, and returns the address of its listener.
    async fn add(&self, part: Part) -> SocketAddr {
        let Part { name, listener, clusters } = part;
        let names: Vec<Value> = clusters.iter().map(|cluster| cluster["name"].clone()).collect();
        self.discover(|discovered| discovered.clusters.extend(clusters));
        self.wait_for(&name, || self.knows(&names)).await;
        self.discover(|discovered| discovered.listeners.push(listener));
        self.wait_for(&name, || async { self.envoy.listeners().await.remove(&name) }).await
    }

    fn discover(&self, change: impl FnOnce(&mut Discovered)) {
        let mut discovered = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut discovered);
        discovered.version += 1;
        discovered.write(self.folder.path());
    }

    /// Returns `Some` if Envoy has all these clusters.
    async fn knows(&self, names: &[Value]) -> Option<()> {
        let clusters = self.envoy.ask_admin("/clusters?format=json").await.json();
        let known: Vec<&Value> =
            clusters["cluster_statuses"].as_array()?.iter().map(|one| &one["name"]).collect();
        names.iter().all(|name| known.contains(&name)).then_some(())
    }

    /// Returns the lines of Envoy's log that contain `part` and are of the VM called `name`.
    fn log_lines_of(&self, name: &str, part: &str) -> Vec<String> {
        let mut lines = self.envoy.log_lines_with(part);
        lines.retain(|line| line.contains(&format!(" {name}: ")));
        lines
    }

    /// Looks until Envoy has what the scene called `name` needs.
    async fn wait_for<T, F: Future<Output = Option<T>>>(&self, name: &str, look: impl Fn() -> F) -> T {
        let end = Instant::now() + START;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            let refused = self.log_lines_of(name, "configuration refused");
            assert!(refused.is_empty(), "{}", refused.join("\n"));
            assert!(Instant::now() < end, "Envoy does not serve {name}: {}", self.envoy.complaint());
            sleep(POLL).await;
        }
    }
}

/// All that the common Envoy has been told to serve so far. Nothing is ever taken away: a scene that is over costs next to
/// nothing.
#[derive(Debug, Default)]
struct Discovered {
    version: u64,
    listeners: Vec<Value>,
    clusters: Vec<Value>,
}

impl Discovered {
    /// Writes the files by moving them into place, for which Envoy watches.
    fn write(&self, folder: &Path) {
        for (file, resources) in [(CLUSTERS, &self.clusters), (LISTENERS, &self.listeners)] {
            let response = json!({"version_info": self.version.to_string(), "resources": resources});
            let (draft, path) = (folder.join("draft"), folder.join(file));
            std::fs::write(&draft, response.to_string())
                .and_then(|()| std::fs::rename(&draft, &path))
                .expect("a writable folder");
        }
    }
}
