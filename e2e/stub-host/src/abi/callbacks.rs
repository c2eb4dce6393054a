//! The callbacks, as the module finds them in the program. What each does is in safe modules; here pointers become slices.
#![allow(
    clippy::missing_safety_doc,
    reason = "nobody calls these but a module, which keeps to what Envoy's header says"
)]

use std::ffi::c_void;

use super::{Buffer, HeaderField};
use crate::counted::{self, Change, Kind};
use crate::events::{Scheduler, Target};
use crate::{callouts, connections, log, streams};

/// Returns the bytes that the module points to, for as long as the call.
///
/// # Safety
/// The module must have pointed to as many bytes as it says.
unsafe fn bytes<'a>(buffer: Buffer) -> &'a [u8] {
    // SAFETY: what the caller promises.
    unsafe { buffer.bytes() }.unwrap_or_default()
}

/// Returns copies of the fields that the module points to.
///
/// # Safety
/// The module must have pointed to as many fields as it says.
unsafe fn fields(first: *const HeaderField, count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let field = |index| {
        // SAFETY: what the caller promises.
        let HeaderField { name, value } = unsafe { *first.add(index) };
        // SAFETY: the same.
        unsafe { (bytes(name).to_vec(), bytes(value).to_vec()) }
    };
    (0..count).map(field).collect()
}

/// Returns copies of the texts that the module points to.
///
/// # Safety
/// The module must have pointed to as many texts as it says.
unsafe fn texts(first: *const Buffer, count: usize) -> Vec<String> {
    // SAFETY: what the caller promises.
    let text = |index| unsafe { String::from_utf8_lossy(bytes(*first.add(index))).into_owned() };
    (0..count).map(text).collect()
}

/// Returns the values that the module points to, each with a zero behind it.
///
/// # Safety
/// The module must have pointed to as many values as it says.
unsafe fn values(first: *const Buffer, count: usize) -> Vec<u8> {
    let mut values = Vec::new();
    for index in 0..count {
        // SAFETY: what the caller promises.
        values.extend(unsafe { bytes(*first.add(index)) });
        values.push(0);
    }
    values
}

/// Writes what was found to the place that the module has for it, and says whether anything was.
///
/// # Safety
/// The module must own the place.
unsafe fn put<T>(place: *mut T, found: Option<T>) -> bool {
    let Some(found) = found else { return false };
    // SAFETY: what the caller promises.
    unsafe { place.write(found) };
    true
}

/// Writes all that was found to the places that the module has for it, and says whether anything was.
///
/// # Safety
/// The module must own as many places as it has been told there will be.
unsafe fn put_all<T>(places: *mut T, found: Option<Vec<T>>) -> bool {
    let Some(found) = found else { return false };
    for (index, found) in found.into_iter().enumerate() {
        // SAFETY: what the caller promises.
        unsafe { places.add(index).write(found) };
    }
    true
}

/// Declares the callbacks, each with its name behind Envoy's prefix, whose pointers are what the module says they are.
macro_rules! callbacks {
    ($($name:ident($($argument:ident: $taken:ty),*) $(-> $returned:ty)? $body:block)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $taken),*) $(-> $returned)? {
            #[allow(unused_unsafe, reason = "some follow no pointer")]
            // SAFETY: the module keeps to what Envoy's header says of its pointers.
            unsafe {
                $body
            }
        }
    )*};
}

callbacks! {
    envoy_dynamic_module_callback_log(level: u32, message: Buffer) {
        log::line(level, &String::from_utf8_lossy(bytes(message)));
    }

    envoy_dynamic_module_callback_http_get_headers_size(filter: *mut c_void, kind: u32) -> usize {
        streams::field_count(filter.addr(), kind)
    }

    envoy_dynamic_module_callback_http_get_headers(
        filter: *mut c_void, kind: u32, places: *mut HeaderField
    ) -> bool {
        put_all(places, streams::fields(filter.addr(), kind))
    }

    envoy_dynamic_module_callback_http_get_header(
        filter: *mut c_void, kind: u32, name: Buffer, value: *mut Buffer, index: usize, count: *mut usize
    ) -> bool {
        let found = streams::field(filter.addr(), kind, bytes(name), index);
        let (all, found) = found.unwrap_or((0, None));
        count.write(all);
        put(value, found)
    }

    envoy_dynamic_module_callback_http_set_header(
        filter: *mut c_void, kind: u32, name: Buffer, value: Buffer
    ) -> bool {
        streams::set_field(filter.addr(), kind, bytes(name), value.bytes())
    }

    envoy_dynamic_module_callback_http_add_header(
        filter: *mut c_void, kind: u32, name: Buffer, value: Buffer
    ) -> bool {
        streams::add_field(filter.addr(), kind, bytes(name), bytes(value))
    }

    envoy_dynamic_module_callback_http_send_response(
        filter: *mut c_void, status: u32, first: *const HeaderField, count: usize, body: Buffer, _details: Buffer
    ) {
        streams::reply(filter.addr(), status, fields(first, count), bytes(body));
    }

    envoy_dynamic_module_callback_http_send_response_data(filter: *mut c_void, data: Buffer, ends: bool) {
        streams::send_to_client(filter.addr(), bytes(data), ends);
    }

    envoy_dynamic_module_callback_http_get_body_size(filter: *mut c_void, body: u32) -> usize {
        streams::body_len(filter.addr(), body)
    }

    envoy_dynamic_module_callback_http_get_body_chunks_size(filter: *mut c_void, body: u32) -> usize {
        streams::body(filter.addr(), body).map_or(0, |slices| slices.len())
    }

    envoy_dynamic_module_callback_http_get_body_chunks(
        filter: *mut c_void, body: u32, places: *mut Buffer
    ) -> bool {
        put_all(places, streams::body(filter.addr(), body))
    }

    envoy_dynamic_module_callback_http_append_body(filter: *mut c_void, body: u32, data: Buffer) -> bool {
        streams::append(filter.addr(), body, bytes(data))
    }

    envoy_dynamic_module_callback_http_drain_body(filter: *mut c_void, body: u32, count: usize) -> bool {
        streams::drain(filter.addr(), body, count)
    }

    envoy_dynamic_module_callback_http_filter_continue_decoding(filter: *mut c_void) {
        streams::continue_request(filter.addr());
    }

    envoy_dynamic_module_callback_http_filter_reset_stream(filter: *mut c_void, _reason: u32, _details: Buffer) {
        streams::cut(filter.addr());
    }

    envoy_dynamic_module_callback_http_clear_route_cache(filter: *mut c_void) {
        streams::expect(filter.addr());
    }

    envoy_dynamic_module_callback_get_most_specific_route_config(filter: *mut c_void) -> *const c_void {
        streams::expect(filter.addr());
        std::ptr::null()
    }

    envoy_dynamic_module_callback_http_filter_scheduler_new(filter: *mut c_void) -> *mut c_void {
        match streams::scheduler(filter.addr()) {
            Some(scheduler) => Box::into_raw(Box::new(scheduler)).cast(),
            None => std::ptr::null_mut(),
        }
    }

    envoy_dynamic_module_callback_http_filter_scheduler_commit(scheduler: *mut c_void, event: u64) {
        (*scheduler.cast::<Scheduler>()).commit(event);
    }

    envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler: *mut c_void) {
        drop(Box::from_raw(scheduler.cast::<Scheduler>()));
    }

    envoy_dynamic_module_callback_http_filter_config_scheduler_new(config: *mut c_void) -> *mut c_void {
        Box::into_raw(Box::new(Scheduler::of_this_thread(Target::Configuration(config.addr())))).cast()
    }

    envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler: *mut c_void, event: u64) {
        (*scheduler.cast::<Scheduler>()).commit(event);
    }

    envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: *mut c_void) {
        drop(Box::from_raw(scheduler.cast::<Scheduler>()));
    }

    envoy_dynamic_module_callback_http_filter_get_attribute_string(
        filter: *mut c_void, attribute: u32, value: *mut Buffer
    ) -> bool {
        put(value, streams::attribute(filter.addr(), attribute))
    }

    envoy_dynamic_module_callback_http_filter_get_attribute_int(
        filter: *mut c_void, attribute: u32, value: *mut u64
    ) -> bool {
        put(value, streams::number(filter.addr(), attribute))
    }

    envoy_dynamic_module_callback_http_filter_get_attribute_bool(
        filter: *mut c_void, _attribute: u32, value: *mut bool
    ) -> bool {
        streams::expect(filter.addr());
        put(value, Some(false))
    }

    envoy_dynamic_module_callback_http_set_filter_state_bytes(
        filter: *mut c_void, key: Buffer, value: Buffer
    ) -> bool {
        streams::set_state(filter.addr(), bytes(key), bytes(value))
    }

    envoy_dynamic_module_callback_http_get_filter_state_bytes(
        filter: *mut c_void, key: Buffer, value: *mut Buffer
    ) -> bool {
        put(value, streams::state(filter.addr(), bytes(key)))
    }

    envoy_dynamic_module_callback_http_get_metadata_keys_count(
        filter: *mut c_void, _source: u32, _namespace: Buffer
    ) -> usize {
        streams::expect(filter.addr());
        0
    }

    envoy_dynamic_module_callback_http_get_typed_metadata(
        filter: *mut c_void, _source: u32, _namespace: Buffer, _url: *mut Buffer, _value: *mut Buffer
    ) -> bool {
        streams::expect(filter.addr());
        false
    }

    envoy_dynamic_module_callback_network_filter_get_connection_id(filter: *mut c_void) -> u64 {
        connections::id(filter.addr())
    }

    envoy_dynamic_module_callback_network_filter_inject_read_data(
        filter: *mut c_void, data: Buffer, ends: bool
    ) {
        connections::inject(filter.addr(), bytes(data), ends);
    }

    envoy_dynamic_module_callback_network_filter_write(filter: *mut c_void, data: Buffer, ends: bool) {
        connections::write(filter.addr(), bytes(data), ends);
    }

    envoy_dynamic_module_callback_http_filter_config_define_counter(
        _config: *mut c_void, name: Buffer, labels: *const Buffer, count: usize, id: *mut usize
    ) -> u32 {
        id.write(counted::define(Kind::Counter, &String::from_utf8_lossy(bytes(name)), texts(labels, count)));
        0
    }

    envoy_dynamic_module_callback_http_filter_config_define_gauge(
        _config: *mut c_void, name: Buffer, labels: *const Buffer, count: usize, id: *mut usize
    ) -> u32 {
        id.write(counted::define(Kind::Gauge, &String::from_utf8_lossy(bytes(name)), texts(labels, count)));
        0
    }

    envoy_dynamic_module_callback_http_filter_increment_counter(
        filter: *mut c_void, id: usize, labels: *const Buffer, count: usize, by: u64
    ) -> u32 {
        streams::expect_to_count_little(filter.addr(), count);
        counted::change(Kind::Counter, id, &values(labels, count), Change::Add(by))
    }

    envoy_dynamic_module_callback_http_filter_increment_gauge(
        filter: *mut c_void, id: usize, labels: *const Buffer, count: usize, by: u64
    ) -> u32 {
        streams::expect_to_count_little(filter.addr(), count);
        counted::change(Kind::Gauge, id, &values(labels, count), Change::Add(by))
    }

    envoy_dynamic_module_callback_http_filter_decrement_gauge(
        filter: *mut c_void, id: usize, labels: *const Buffer, count: usize, by: u64
    ) -> u32 {
        streams::expect_to_count_little(filter.addr(), count);
        counted::change(Kind::Gauge, id, &values(labels, count), Change::Subtract(by))
    }

    envoy_dynamic_module_callback_http_filter_set_gauge(
        filter: *mut c_void, id: usize, labels: *const Buffer, count: usize, value: u64
    ) -> u32 {
        streams::expect_to_count_little(filter.addr(), count);
        counted::change(Kind::Gauge, id, &values(labels, count), Change::Set(value))
    }

    envoy_dynamic_module_callback_http_filter_config_increment_counter(
        _config: *mut c_void, id: usize, labels: *const Buffer, count: usize, by: u64
    ) -> u32 {
        counted::change(Kind::Counter, id, &values(labels, count), Change::Add(by))
    }

    envoy_dynamic_module_callback_http_filter_config_increment_gauge(
        _config: *mut c_void, id: usize, labels: *const Buffer, count: usize, by: u64
    ) -> u32 {
        counted::change(Kind::Gauge, id, &values(labels, count), Change::Add(by))
    }

    envoy_dynamic_module_callback_http_filter_config_decrement_gauge(
        _config: *mut c_void, id: usize, labels: *const Buffer, count: usize, by: u64
    ) -> u32 {
        counted::change(Kind::Gauge, id, &values(labels, count), Change::Subtract(by))
    }

    envoy_dynamic_module_callback_http_filter_config_set_gauge(
        _config: *mut c_void, id: usize, labels: *const Buffer, count: usize, value: u64
    ) -> u32 {
        counted::change(Kind::Gauge, id, &values(labels, count), Change::Set(value))
    }

    envoy_dynamic_module_callback_http_filter_config_http_callout(
        config: *mut c_void, id: *mut u64, cluster: Buffer, first: *const HeaderField, count: usize, _body: Buffer,
        _milliseconds: u64
    ) -> u32 {
        let begun = callouts::begin(config.addr(), bytes(cluster), &fields(first, count), None);
        u32::from(!put(id, begun))
    }

    envoy_dynamic_module_callback_http_filter_config_start_http_stream(
        config: *mut c_void, id: *mut u64, cluster: Buffer, first: *const HeaderField, count: usize, body: Buffer,
        _ends: bool, _milliseconds: u64
    ) -> u32 {
        let begun = callouts::begin(config.addr(), bytes(cluster), &fields(first, count), Some(bytes(body)));
        u32::from(!put(id, begun))
    }
}
