//! The calls that count.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::LazyLock;

use super::super::Buffer;
use super::{Filter, FilterConfig};

/// The kind of a metric, and its number among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::host::native) enum Metric {
    Counter(usize),
    Gauge(usize),
}

/// The places where metrics are counted: by a stream on its worker, or by a configuration on the main thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host::native) enum Counting {
    Filter(Filter),
    Config(FilterConfig),
}

unsafe extern "C" {
    fn envoy_dynamic_module_callback_http_filter_increment_counter(
        filter: *mut c_void,
        id: usize,
        labels: *const Buffer,
        count: usize,
        by: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_increment_gauge(
        filter: *mut c_void,
        id: usize,
        labels: *const Buffer,
        count: usize,
        by: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_decrement_gauge(
        filter: *mut c_void,
        id: usize,
        labels: *const Buffer,
        count: usize,
        by: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_set_gauge(
        filter: *mut c_void,
        id: usize,
        labels: *const Buffer,
        count: usize,
        value: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_increment_counter(
        config: *mut c_void,
        id: usize,
        labels: *const Buffer,
        count: usize,
        by: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_increment_gauge(
        config: *mut c_void,
        id: usize,
        labels: *const Buffer,
        count: usize,
        by: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_decrement_gauge(
        config: *mut c_void,
        id: usize,
        labels: *const Buffer,
        count: usize,
        by: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_set_gauge(
        config: *mut c_void,
        id: usize,
        labels: *const Buffer,
        count: usize,
        value: u64,
    ) -> u32;
    /// POSIX's own, for functions that only newer versions of Envoy have.
    fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
}

impl Counting {
    /// Says whether configurations can count. Those of Envoy 1.38 have no functions for that, and a call to what is not there would end
    /// Envoy.
    pub(in crate::host::native) fn can_main_count() -> bool {
        static CAN: LazyLock<bool> = LazyLock::new(|| {
            let name = c"envoy_dynamic_module_callback_http_filter_config_increment_counter";
            // SAFETY: the name ends with a zero, and no handle means all that is loaded.
            !unsafe { dlsym(ptr::null_mut(), name.as_ptr()) }.is_null()
        });
        *CAN
    }

    /// Adds to a metric; a gauge can also be taken from.
    pub(in crate::host::native) fn add(self, metric: Metric, labels: &[Vec<u8>], by: i64) {
        let labels: Vec<_> = labels.iter().map(|label| Buffer::of(label)).collect();
        let (labels, count, size) = (labels.as_ptr(), labels.len(), by.unsigned_abs());
        // SAFETY: filter or configuration are good, as the module says, and Envoy copies the labels within the call.
        unsafe {
            match (self, metric) {
                (Self::Filter(of), Metric::Counter(id)) => {
                    envoy_dynamic_module_callback_http_filter_increment_counter(
                        of.raw(),
                        id,
                        labels,
                        count,
                        size,
                    )
                }
                (Self::Filter(of), Metric::Gauge(id)) if by < 0 => {
                    envoy_dynamic_module_callback_http_filter_decrement_gauge(
                        of.raw(),
                        id,
                        labels,
                        count,
                        size,
                    )
                }
                (Self::Filter(of), Metric::Gauge(id)) => {
                    envoy_dynamic_module_callback_http_filter_increment_gauge(
                        of.raw(),
                        id,
                        labels,
                        count,
                        size,
                    )
                }
                (Self::Config(of), Metric::Counter(id)) => {
                    envoy_dynamic_module_callback_http_filter_config_increment_counter(
                        of.0.as_ptr(),
                        id,
                        labels,
                        count,
                        size,
                    )
                }
                (Self::Config(of), Metric::Gauge(id)) if by < 0 => {
                    envoy_dynamic_module_callback_http_filter_config_decrement_gauge(
                        of.0.as_ptr(),
                        id,
                        labels,
                        count,
                        size,
                    )
                }
                (Self::Config(of), Metric::Gauge(id)) => {
                    envoy_dynamic_module_callback_http_filter_config_increment_gauge(
                        of.0.as_ptr(),
                        id,
                        labels,
                        count,
                        size,
                    )
                }
            };
        }
    }

    /// Sets a gauge.
    pub(in crate::host::native) fn set(self, metric: Metric, labels: &[Vec<u8>], value: u64) {
        let Metric::Gauge(id) = metric else { return };
        let labels: Vec<_> = labels.iter().map(|label| Buffer::of(label)).collect();
        // SAFETY: filter or configuration are good, as the module says, and Envoy copies the labels within the call.
        unsafe {
            match self {
                Self::Filter(of) => envoy_dynamic_module_callback_http_filter_set_gauge(
                    of.raw(),
                    id,
                    labels.as_ptr(),
                    labels.len(),
                    value,
                ),
                Self::Config(of) => envoy_dynamic_module_callback_http_filter_config_set_gauge(
                    of.0.as_ptr(),
                    id,
                    labels.as_ptr(),
                    labels.len(),
                    value,
                ),
            };
        }
    }
}
