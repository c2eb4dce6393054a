//! The end of panics, which would end Envoy if they left a hook, and the numbers by which Envoy names what it calls about.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::calls::{self, Filter};
use crate::host::native::streams;

/// The name of the filter that sends Postern's own frames to clients.
pub(super) const SENDER: &[u8] = b"postern-sender";
/// The number of every configuration of such a filter.
pub(super) const SENDERS: u64 = u64::MAX;
/// The mark of the number of such a filter, which no stream's has.
pub(super) const OF_SENDER: u64 = 1 << 32;

/// Runs a hook of a stream, or returns `stopped` and has the stream cut. The filter that sends lets all pass, as `passes`.
pub(super) fn of_stream<T>(
    hook: &'static str,
    filter: *mut c_void,
    stream: *mut c_void,
    stopped: T,
    passes: T,
    run: impl FnOnce(u32) -> T,
) -> T {
    if sender(stream).is_some() {
        return passes;
    }
    let id = u32::try_from(stream.addr()).unwrap_or(0);
    let ran = catch(|| {
        super::panics::provoke(hook, Some(id), filter);
        run(id)
    });
    ran.unwrap_or_else(|| {
        log(hook);
        let is_cut = catch(|| streams::on_panic(id)).unwrap_or(false);
        if let (false, Some(filter)) = (is_cut, Filter::new(filter)) {
            filter.reset();
        }
        stopped
    })
}

/// Runs a hook at the end of a stream, of which nothing may stay here: once more if it panics. Envoy is asked for nothing then.
pub(super) fn at_end(hook: &'static str, stream: *mut c_void, run: impl Fn(u32)) {
    if sender(stream).is_some() {
        return;
    }
    let id = u32::try_from(stream.addr()).unwrap_or(0);
    let ran = catch(|| {
        super::panics::provoke(hook, Some(id), std::ptr::null_mut());
        run(id);
    });
    if ran.is_none() {
        log(hook);
        let _ = catch(streams::on_panic_elsewhere);
        let _ = catch(|| run(id));
    }
}

/// Runs a hook that is no stream's, and returns `None` if it panics.
pub(super) fn guarded<T>(hook: &'static str, run: impl FnOnce() -> T) -> Option<T> {
    let ran = catch(|| {
        super::panics::provoke(hook, None, std::ptr::null_mut());
        run()
    });
    if ran.is_none() {
        log(hook);
        let _ = catch(streams::on_panic_elsewhere);
    }
    ran
}

/// Returns the number of a filter that sends, if a hook is one's.
pub(super) fn sender(filter: *const c_void) -> Option<u32> {
    let number = number(filter);
    (number & OF_SENDER != 0).then(|| u32::try_from(number ^ OF_SENDER).unwrap_or(0))
}

/// Returns a number as Envoy keeps it, which follows no pointer of ours.
pub(super) fn pointer(number: u64) -> *const c_void {
    usize::try_from(number).map_or(std::ptr::null(), std::ptr::without_provenance)
}

/// Returns the number that Envoy has kept.
pub(super) fn number(pointer: *const c_void) -> u64 {
    pointer.addr() as u64
}

fn catch<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

fn log(hook: &str) {
    calls::log(log::Level::Error, &format!("postern: the hook {hook} has panicked"));
}
