//! Scenes that the tests of a file share, since starting an Envoy takes longer than most tests. A shared scene runs on a
//! runtime of its own, which outlives the tests, and a [`Watchdog`](super::watchdog) ends it with the process.
//!
//! ```no_run
//! # use postern_e2e::scene::Shared;
//! # use postern_e2e::{RunningScene, Scene};
//! static SCENE: Shared<RunningScene> = Shared::new(Scene::new);
//! # async fn test() {
//! let scene = SCENE.shared().await;
//! let client = scene.open("/ws/chat").await;
//! # }
//! ```

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::scene::watchdog::Watchdog;
use crate::scene::{RunningScene, Scene};

/// The runtime of all shared scenes: a task that a test spawns ends with the runtime of that test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime for shared scenes")
});

/// A scene, or several in one, that tests can share.
pub trait Shareable: Sized + Send + Sync + 'static {
    /// Starts all the scenes, each as `scene` describes it.
    fn start(scene: fn() -> Scene) -> impl Future<Output = Self> + Send;

    /// Returns the scenes that this consists of.
    fn scenes(&self) -> Vec<&RunningScene>;
}

impl Shareable for RunningScene {
    async fn start(scene: fn() -> Scene) -> Self {
        scene().start().await
    }

    fn scenes(&self) -> Vec<&RunningScene> {
        vec![self]
    }
}

/// A scene that starts for the first test that asks for it, and then serves every other test of the process.
#[derive(Debug)]
pub struct Shared<T> {
    scene: fn() -> Scene,
    running: OnceCell<Running<T>>,
}

#[derive(Debug)]
struct Running<T> {
    scenes: RwLock<T>,
    _watchdogs: Vec<Watchdog>,
}

impl<T: Shareable> Shared<T> {
    /// Shares what `scene` describes.
    pub const fn new(scene: fn() -> Scene) -> Self {
        Self { scene, running: OnceCell::const_new() }
    }

    /// Lends the scene to a test beside others: one that counts nothing which another test might count too.
    pub async fn shared(&'static self) -> Lent<RwLockReadGuard<'static, T>> {
        Lent(self.running().await.scenes.read().await)
    }

    /// Lends the scene to one test alone.
    pub async fn alone(&'static self) -> Lent<RwLockWriteGuard<'static, T>> {
        Lent(self.running().await.scenes.write().await)
    }

    async fn running(&'static self) -> &'static Running<T> {
        let start = || async {
            let scenes = RUNTIME.spawn(T::start(self.scene)).await.expect("a scene that starts");
            let watchdogs = scenes.scenes().into_iter().filter_map(RunningScene::watchdog).collect();
            Running { scenes: RwLock::new(scenes), _watchdogs: watchdogs }
        };
        self.running.get_or_init(start).await
    }
}

/// A shared scene in the hands of one test. A test that panics has the ends of the Envoys' logs shown.
#[derive(Debug)]
pub struct Lent<G>(G)
where
    G: Deref,
    G::Target: Shareable;

impl<G> Deref for Lent<G>
where
    G: Deref,
    G::Target: Shareable,
{
    type Target = G::Target;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<G> DerefMut for Lent<G>
where
    G: DerefMut,
    G::Target: Shareable,
{
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<G> Drop for Lent<G>
where
    G: Deref,
    G::Target: Shareable,
{
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.scenes().into_iter().for_each(RunningScene::show_log);
        }
    }
}
