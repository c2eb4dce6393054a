//! The lines of the module's log, and what has gone wrong.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The most faults that are told of one by one.
const MAX_TOLD: usize = 20;

static IS_VERBOSE: AtomicBool = AtomicBool::new(false);
static FAULTS: AtomicUsize = AtomicUsize::new(0);
static HARMED: AtomicUsize = AtomicUsize::new(0);
/// How often each hook has panicked.
static PANICS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Has every line be printed.
pub(crate) fn be_verbose() {
    IS_VERBOSE.store(true, Ordering::Relaxed);
}

/// Takes a line of the module's.
pub(crate) fn line(level: u32, text: &str) {
    if IS_VERBOSE.load(Ordering::Relaxed) {
        eprintln!("[{level}] {text}");
    }
    let panicked =
        text.strip_prefix("postern: the hook ").and_then(|rest| rest.strip_suffix(" has panicked"));
    if let Some(hook) = panicked {
        *PANICS.lock().expect("the panics").entry(hook.to_owned()).or_default() += 1;
    }
}

/// Notes a property that does not hold.
pub(crate) fn broken(what: String) {
    if FAULTS.fetch_add(1, Ordering::Relaxed) < MAX_TOLD {
        eprintln!("stub-host: {what}");
    }
}

/// Notes a stream that has not become what it must.
pub(crate) fn harmed(what: String) {
    if HARMED.fetch_add(1, Ordering::Relaxed) < MAX_TOLD {
        eprintln!("stub-host: {what}");
    }
}

/// Returns how many properties did not hold.
pub(crate) fn faults() -> usize {
    FAULTS.load(Ordering::Relaxed)
}

/// Returns how many streams have not become what they must.
pub(crate) fn harmed_streams() -> usize {
    HARMED.load(Ordering::Relaxed)
}

/// Returns how often each hook has panicked.
pub(crate) fn panics() -> BTreeMap<String, u64> {
    PANICS.lock().expect("the panics").clone()
}
