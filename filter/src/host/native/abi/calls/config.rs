//! The calls of a configuration: it defines metrics, and asks other services.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::time::Duration;

use super::super::{Buffer, HeaderField};
use super::{Metric, Scheduler, field};
use crate::host::MetricKind;

/// A configuration of the filter, as Envoy has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host::native) struct FilterConfig(pub(super) NonNull<c_void>);

unsafe extern "C" {
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(config: *mut c_void) -> *mut c_void;
    fn envoy_dynamic_module_callback_http_filter_config_define_counter(
        config: *mut c_void,
        name: Buffer,
        labels: *const Buffer,
        count: usize,
        id: *mut usize,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
        config: *mut c_void,
        name: Buffer,
        labels: *const Buffer,
        count: usize,
        id: *mut usize,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_http_callout(
        config: *mut c_void,
        id: *mut u64,
        cluster: Buffer,
        fields: *const HeaderField,
        count: usize,
        body: Buffer,
        milliseconds: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_start_http_stream(
        config: *mut c_void,
        id: *mut u64,
        cluster: Buffer,
        fields: *const HeaderField,
        count: usize,
        body: Buffer,
        end_of_stream: bool,
        milliseconds: u64,
    ) -> u32;
}

impl FilterConfig {
    /// Takes the pointer that a hook was given.
    pub(in super::super) fn new(config: *mut c_void) -> Option<Self> {
        NonNull::new(config).map(Self)
    }

    /// Returns a scheduler, whose events come to this configuration's hook on the main thread.
    pub(in crate::host::native) fn scheduler(self) -> Option<Scheduler> {
        // SAFETY: the configuration is good, as the module says.
        let scheduler =
            unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_new(self.0.as_ptr()) };
        Scheduler::new(scheduler, true)
    }

    /// Defines a metric with these labels; only in the hook of a new configuration.
    pub(in crate::host::native) fn define(
        self,
        kind: MetricKind,
        name: &str,
        labels: &[&str],
    ) -> Option<Metric> {
        let buffers: Vec<_> = labels.iter().map(|label| Buffer::of(label.as_bytes())).collect();
        let (config, name, labels, count) =
            (self.0.as_ptr(), Buffer::of(name.as_bytes()), buffers.as_ptr(), buffers.len());
        let mut id = 0;
        // SAFETY: Envoy copies name and labels within the call, and writes to the place.
        let status = unsafe {
            match kind {
                MetricKind::Counter => envoy_dynamic_module_callback_http_filter_config_define_counter(
                    config,
                    name,
                    labels,
                    count,
                    &raw mut id,
                ),
                MetricKind::Gauge => envoy_dynamic_module_callback_http_filter_config_define_gauge(
                    config,
                    name,
                    labels,
                    count,
                    &raw mut id,
                ),
            }
        };
        let metric = match kind {
            MetricKind::Counter => Metric::Counter(id),
            MetricKind::Gauge => Metric::Gauge(id),
        };
        (status == 0).then_some(metric)
    }

    /// Asks a cluster, and returns the number that names the call when its answer comes; `None` when none will.
    pub(in crate::host::native) fn call(
        self,
        cluster: &str,
        fields: &[(&str, &str)],
        timeout: Duration,
    ) -> Option<u64> {
        let fields: Vec<_> = fields.iter().map(|(name, value)| field(name, value)).collect();
        let mut id = 0;
        // SAFETY: Envoy copies all that it is given within the call, and writes to the place.
        let status = unsafe {
            envoy_dynamic_module_callback_http_filter_config_http_callout(
                self.0.as_ptr(),
                &raw mut id,
                Buffer::of(cluster.as_bytes()),
                fields.as_ptr(),
                fields.len(),
                Buffer::NONE,
                milliseconds(timeout),
            )
        };
        (status == 0).then_some(id)
    }

    /// Begins a stream to a cluster with all that it sends, and returns the number that names it; `None` when there is none.
    pub(in crate::host::native) fn stream(
        self,
        cluster: &str,
        fields: &[(&str, &str)],
        body: &[u8],
        timeout: Duration,
    ) -> Option<u64> {
        let fields: Vec<_> = fields.iter().map(|(name, value)| field(name, value)).collect();
        let mut id = 0;
        // SAFETY: Envoy copies all that it is given within the call, and writes to the place.
        let status = unsafe {
            envoy_dynamic_module_callback_http_filter_config_start_http_stream(
                self.0.as_ptr(),
                &raw mut id,
                Buffer::of(cluster.as_bytes()),
                fields.as_ptr(),
                fields.len(),
                Buffer::of(body),
                true,
                milliseconds(timeout),
            )
        };
        (status == 0).then_some(id)
    }
}

fn milliseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}
