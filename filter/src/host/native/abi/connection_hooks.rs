//! The hooks of the network filter by which Postern's own frames get to either peer. It lets all pass, and keeps nothing but the
//! pointers of connections, and how much Envoy has sent by each.

use std::ffi::c_void;

use super::Buffer;
use super::calls::Connection;
use super::guard::{guarded, pointer};
use crate::host::native::connections;

/// The name of the filter.
const INJECTOR: &[u8] = b"postern-injector";
/// The number of each of its configurations.
const TAKEN: u64 = 1;

/// The status by which all goes on.
const CONTINUE: u32 = 0;

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_config_new(
    _: *mut c_void,
    name: Buffer,
    _: Buffer,
) -> *const c_void {
    // SAFETY: Envoy's name is there for as long as the hook.
    let is_known = unsafe { name.bytes() } == INJECTOR;
    if !is_known {
        log::error!("postern: the only network filter is postern-injector");
    }
    pointer(if is_known { TAKEN } else { 0 })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_config_destroy(_: *const c_void) {}

/// Returns the pointer that Envoy gave, by which the connection is forgotten in the end.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_new(
    _: *const c_void,
    filter: *mut c_void,
) -> *const c_void {
    filter.cast_const()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_new_connection(
    filter: *mut c_void,
    _: *mut c_void,
) -> u32 {
    let _ = guarded("new_connection", || {
        if let Some(connection) = Connection::new(filter) {
            connections::add(connection.id(), connection);
        }
    });
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_read(
    _: *mut c_void,
    _: *mut c_void,
    _: usize,
    _: bool,
) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_write(
    filter: *mut c_void,
    _: *mut c_void,
    len: usize,
    _: bool,
) -> u32 {
    let _ = guarded("connection_write", || {
        if let Some(connection) = Connection::new(filter) {
            connections::note_sent(connection, len);
        }
    });
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_event(_: *mut c_void, _: *mut c_void, _: u32) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_destroy(filter: *mut c_void) {
    if let Some(connection) = Connection::new(filter) {
        // Once more if it panics: the pointer must not stay.
        if guarded("connection_destroy", || connections::remove(connection)).is_none() {
            let _ = guarded("connection_destroy", || connections::remove(connection));
        }
    }
}

// Envoy loads no module without these hooks. Nothing here has to do anything.

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_scheduled(_: *mut c_void, _: *mut c_void, _: u64) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_config_scheduled(
    _: *mut c_void,
    _: *const c_void,
    _: u64,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_http_callout_done(
    _: *mut c_void,
    _: *mut c_void,
    _: u64,
    _: u32,
    _: *const c_void,
    _: usize,
    _: *const Buffer,
    _: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_above_write_buffer_high_watermark(
    _: *mut c_void,
    _: *mut c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark(
    _: *mut c_void,
    _: *mut c_void,
) {
}
