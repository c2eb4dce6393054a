//! Panics on demand, of a build for tests alone: in the hook that a request names, or once in the one that the environment names.

#[cfg(feature = "panics")]
pub(super) use on_demand::provoke;

/// Does nothing: no panic is to be had on demand.
#[cfg(not(feature = "panics"))]
pub(super) fn provoke(_: &'static str, _: Option<u32>, _: *mut std::ffi::c_void) {}

#[cfg(feature = "panics")]
mod on_demand {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::ffi::c_void;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::calls::{Fields, Filter};

    /// The field of a request that names the hook in which its stream is to panic, and behind a blank the call of it, if it is
    /// not the first.
    const FIELD: &str = "x-postern-panic";
    /// The variable that names a hook, which panics once.
    const VARIABLE: &str = "POSTERN_PANIC";

    thread_local! {
        /// The hooks that are to panic, and after how many calls, by their streams.
        static HOOKS: RefCell<HashMap<u32, (String, u32)>> = RefCell::default();
    }

    static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

    /// Panics if that is wanted here.
    pub(in super::super) fn provoke(hook: &'static str, stream: Option<u32>, filter: *mut c_void) {
        if let Some(id) = stream {
            provoke_in_stream(hook, id, filter);
        }
        let is_named = std::env::var(VARIABLE).is_ok_and(|name| name == hook);
        assert!(!is_named || HAS_PANICKED.swap(true, Ordering::AcqRel), "as the environment asks in {hook}");
    }

    fn provoke_in_stream(hook: &'static str, id: u32, filter: *mut c_void) {
        if hook == "request_headers"
            && let Some(named) = Filter::new(filter).and_then(|filter| filter.field(Fields::Request, FIELD))
        {
            let named = String::from_utf8_lossy(&named).into_owned();
            let (name, call) = named.split_once(' ').unwrap_or((&named, "1"));
            let wanted = (name.to_owned(), call.parse().unwrap_or(1));
            HOOKS.with_borrow_mut(|hooks| hooks.insert(id, wanted));
        }
        let is_due = HOOKS.with_borrow_mut(|hooks| {
            let Some((name, calls)) = hooks.get_mut(&id) else { return false };
            if name == hook {
                *calls = calls.saturating_sub(1);
            }
            let is_due = name == hook && *calls == 0;
            if is_due || hook == "destroy" {
                hooks.remove(&id);
            }
            is_due
        });
        assert!(!is_due, "as the request asks in {hook}");
    }
}
