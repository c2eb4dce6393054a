//! The configurations of the process, as an Envoy has them that is pushed new ones.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::abi::{Handle, InModule, module};
use crate::{callouts, log, streams};

/// The name of the filter that judges.
const FILTER: &str = "postern";
/// The name of the filter that sends to clients.
const SENDER: &str = "postern-sender";
/// The name of the network filter.
const INJECTOR: &str = "postern-injector";
const POLICIES: &str = include_str!("policies.json");

/// A configuration that the module has taken.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) handle: Handle,
    pub(crate) in_module: InModule,
}

/// The newest, under which streams begin.
static CURRENT: Mutex<Option<Arc<Configuration>>> = Mutex::new(None);
static SENDERS: AtomicUsize = AtomicUsize::new(0);
static INJECTORS: AtomicUsize = AtomicUsize::new(0);

/// Returns the configuration under which streams begin now.
pub(crate) fn current() -> Arc<Configuration> {
    Arc::clone(CURRENT.lock().expect("the configurations").as_ref().expect("a configuration"))
}

/// Returns the configuration of the filters that send.
pub(crate) fn senders() -> InModule {
    SENDERS.load(Ordering::Relaxed)
}

/// Returns the configuration of the network filters.
pub(crate) fn injectors() -> InModule {
    INJECTORS.load(Ordering::Relaxed)
}

/// The configurations that the main thread has to destroy.
#[derive(Debug, Default)]
pub(crate) struct Configurations {
    all: Vec<Arc<Configuration>>,
}

impl Configurations {
    /// Begins with one configuration of each filter.
    pub(crate) fn new() -> Self {
        let mut configurations = Self::default();
        SENDERS.store(module().config_new(streams::next_number(), SENDER, "{}"), Ordering::Relaxed);
        INJECTORS.store(Self::of_network_filters(), Ordering::Relaxed);
        configurations.refuse_bad();
        configurations.push();
        configurations
    }

    /// Has the module take the configuration of its network filter, and none of another name.
    fn of_network_filters() -> InModule {
        if module().network_config_new(streams::next_number(), SENDER, "") != 0 {
            log::broken("the module has a network filter of another name".to_owned());
        }
        let taken = module().network_config_new(streams::next_number(), INJECTOR, "");
        if taken == 0 {
            log::broken("the module has no network filter".to_owned());
        }
        taken
    }

    /// Pushes another configuration; the old ones stay for as long as they have streams.
    pub(crate) fn push(&mut self) {
        let handle = streams::next_number();
        let in_module = module().config_new(handle, FILTER, POLICIES);
        if in_module == 0 {
            log::broken("the module has refused a sound configuration".to_owned());
            return;
        }
        let configuration = Arc::new(Configuration { handle, in_module });
        self.all.push(Arc::clone(&configuration));
        *CURRENT.lock().expect("the configurations") = Some(configuration);
    }

    /// Has the module refuse a configuration.
    fn refuse_bad(&mut self) {
        let bad = r#"{"policies": {"plain": {"origins": 7}}}"#;
        if module().config_new(streams::next_number(), FILTER, bad) != 0 {
            log::broken("the module has taken a configuration that is wrong".to_owned());
        }
    }

    /// Returns the configuration of a number.
    pub(crate) fn find(&self, handle: Handle) -> Option<&Arc<Configuration>> {
        self.all.iter().find(|configuration| configuration.handle == handle)
    }

    /// Says whether there is a configuration.
    pub(crate) fn has_any(&self) -> bool {
        !self.all.is_empty()
    }

    /// Destroys all that have no streams, but for the newest.
    pub(crate) fn destroy_unused(&mut self) {
        let newest = current().handle;
        self.destroy(|configuration| configuration.handle != newest && Arc::strong_count(configuration) == 1);
    }

    /// Destroys all.
    pub(crate) fn destroy_all(&mut self) {
        CURRENT.lock().expect("the configurations").take();
        self.destroy(|_| true);
        module().config_destroy(senders());
        module().network_config_destroy(injectors());
    }

    fn destroy(&mut self, is_gone: impl Fn(&Arc<Configuration>) -> bool) {
        for configuration in self.all.extract_if(.., |configuration| is_gone(configuration)) {
            module().config_destroy(configuration.in_module);
            // Envoy ends the calls of a configuration that it destroys, and tells nobody.
            callouts::forget(configuration.handle);
        }
    }
}
