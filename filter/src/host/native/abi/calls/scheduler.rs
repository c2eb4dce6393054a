//! The calls that have an event come.

use std::ffi::c_void;
use std::ptr::NonNull;

unsafe extern "C" {
    fn envoy_dynamic_module_callback_http_filter_scheduler_commit(scheduler: *mut c_void, event: u64);
    fn envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler: *mut c_void);
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler: *mut c_void, event: u64);
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: *mut c_void);
}

/// The means to have an event come to a hook, from any thread. What it was made for may be gone: then no event comes.
#[derive(Debug)]
pub(in crate::host::native) struct Scheduler {
    scheduler: NonNull<c_void>,
    of_config: bool,
}

// SAFETY: Envoy lets any thread use and delete a scheduler.
unsafe impl Send for Scheduler {}
// SAFETY: as above.
unsafe impl Sync for Scheduler {}

impl Scheduler {
    /// Takes the pointer to what Envoy has made for a configuration or for a stream.
    pub(super) fn new(scheduler: *mut c_void, of_config: bool) -> Option<Self> {
        NonNull::new(scheduler).map(|scheduler| Self { scheduler, of_config })
    }

    /// Has an event come.
    pub(in crate::host::native) fn commit(&self, event: u64) {
        let scheduler = self.scheduler.as_ptr();
        // SAFETY: the scheduler is there until it is dropped.
        unsafe {
            match self.of_config {
                true => envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler, event),
                false => envoy_dynamic_module_callback_http_filter_scheduler_commit(scheduler, event),
            }
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let scheduler = self.scheduler.as_ptr();
        // SAFETY: nobody has the scheduler any more.
        unsafe {
            match self.of_config {
                true => envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler),
                false => envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler),
            }
        }
    }
}
