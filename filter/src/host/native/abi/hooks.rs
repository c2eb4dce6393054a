//! The hooks by which Envoy calls. None lets a panic out, which would end Envoy: it costs the stream.
//!
//! Envoy keeps for us the number of a stream or a configuration, as a pointer that nobody follows.

use std::ffi::{c_char, c_void};

use log::{LevelFilter, Log, Metadata, Record};
use postern_engine::Peer;

use super::calls::{self, Filter, FilterConfig};
use super::guard::{OF_SENDER, SENDER, SENDERS, at_end, guarded, number, of_stream, pointer, sender};
use super::{Buffer, HeaderField};
use crate::host::Flow;
use crate::host::native::streams::{self, DataStatus};
use crate::host::native::worker::{self, INTERNAL_SERVER_ERROR};
use crate::host::native::{callouts, route_configurations, senders, verification};

/// The version of the interface. Envoys of another warn, and load the module.
const VERSION: &std::ffi::CStr = c"v0.2.0";

/// The status of a header hook by which a message goes on.
const CONTINUE: u32 = 0;
/// The status by which it stays, with all that follows it: no hook is called for that.
const STOP_ALL: u32 = 4;
/// The status by which trailers stay.
const STOP: u32 = 1;

struct EnvoyLog;

impl Log for EnvoyLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        calls::log(record.level(), &record.args().to_string());
    }

    fn flush(&self) {}
}

fn status(flow: Flow, stop: u32) -> u32 {
    match flow {
        Flow::Continue => CONTINUE,
        Flow::Pause => stop,
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    static LOG: EnvoyLog = EnvoyLog;
    if log::set_logger(&LOG).is_ok() {
        log::set_max_level(LevelFilter::Debug);
        std::panic::set_hook(Box::new(|panic| {
            calls::log(log::Level::Error, &format!("postern: {panic}"));
        }));
    }
    verification::install();
    VERSION.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    config: *mut c_void,
    name: Buffer,
    text: Buffer,
) -> *const c_void {
    // SAFETY: Envoy's name and text are there for as long as the hook.
    let (name, text) = unsafe { (name.bytes(), text.bytes()) };
    if name == SENDER {
        return pointer(SENDERS);
    }
    let taken =
        guarded("config_new", || worker::configure(FilterConfig::new(config)?, name.to_vec(), text.to_vec()));
    pointer(taken.flatten().unwrap_or(0))
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: *const c_void) {
    let number = number(config);
    if number == SENDERS {
        return;
    }
    let end = || {
        worker::forget_configuration(number);
    };
    if guarded("config_destroy", end).is_none() {
        let _ = guarded("config_destroy", end);
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _: Buffer,
    text: Buffer,
) -> *const c_void {
    // SAFETY: Envoy's text is there for as long as the hook.
    let text = unsafe { text.bytes() };
    pointer(guarded("per_route_config_new", || route_configurations::add(text)).flatten().unwrap_or(0))
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(configuration: *const c_void) {
    let _ = guarded("per_route_config_destroy", || route_configurations::remove(number(configuration)));
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(
    config: *const c_void,
    filter: *mut c_void,
) -> *const c_void {
    if number(config) == SENDERS {
        let opened = guarded("new", || Filter::new(filter).map(senders::open)).flatten();
        return pointer(opened.map_or(OF_SENDER, |id| OF_SENDER | u64::from(id)));
    }
    let opened = guarded("new", || worker::open(number(config), Filter::new(filter)?));
    // A stream that could not be opened is none of any number, which its hooks refuse.
    pointer(opened.flatten().map_or(u64::from(worker::NOT_OPENED), u64::from))
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(stream: *mut c_void) {
    if let Some(id) = sender(stream)
        && guarded("destroy", || senders::forget(id)).is_none()
    {
        let _ = guarded("destroy", || senders::forget(id));
    }
    at_end("destroy", stream, worker::forget);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    filter: *mut c_void,
    stream: *mut c_void,
    _: bool,
) -> u32 {
    if let Some(id) = sender(stream) {
        let _ = guarded("request_headers", || senders::announce(id));
    }
    of_stream("request_headers", filter, stream, STOP_ALL, CONTINUE, |id| {
        if let (false, Some(filter)) = (worker::knows(id), Filter::new(filter)) {
            filter.send_response(INTERNAL_SERVER_ERROR, &[], &[]);
            return STOP_ALL;
        }
        status(streams::on_request_headers(id), STOP_ALL)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    filter: *mut c_void,
    stream: *mut c_void,
    is_last: bool,
) -> u32 {
    if let Some(id) = sender(stream) {
        let status = guarded("request_body", || senders::on_body(id));
        return status.unwrap_or(DataStatus::StopAndBuffer) as u32;
    }
    of_stream("request_body", filter, stream, DataStatus::StopAndBuffer, DataStatus::Continue, |id| {
        streams::on_body(id, Peer::Client, is_last)
    }) as u32
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    filter: *mut c_void,
    stream: *mut c_void,
) -> u32 {
    if let Some(id) = sender(stream) {
        let flow = guarded("request_trailers", || senders::on_trailers(id));
        return status(flow.unwrap_or(Flow::Pause), STOP);
    }
    of_stream("request_trailers", filter, stream, STOP, CONTINUE, |id| {
        status(streams::on_trailers(id, Peer::Client), STOP)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    filter: *mut c_void,
    stream: *mut c_void,
    is_last: bool,
) -> u32 {
    of_stream("response_headers", filter, stream, STOP_ALL, CONTINUE, |id| {
        status(streams::on_response_headers(id, is_last), STOP_ALL)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    filter: *mut c_void,
    stream: *mut c_void,
    is_last: bool,
) -> u32 {
    of_stream("response_body", filter, stream, DataStatus::StopAndBuffer, DataStatus::Continue, |id| {
        streams::on_body(id, Peer::Upstream, is_last)
    }) as u32
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    filter: *mut c_void,
    stream: *mut c_void,
) -> u32 {
    of_stream("response_trailers", filter, stream, STOP, CONTINUE, |id| {
        status(streams::on_trailers(id, Peer::Upstream), STOP)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(_: *mut c_void, stream: *mut c_void) {
    at_end("stream_complete", stream, streams::on_complete);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    filter: *mut c_void,
    stream: *mut c_void,
    event: u64,
) {
    of_stream("scheduled", filter, stream, (), (), |id| streams::on_event(id, event));
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    config: *mut c_void,
    configuration: *const c_void,
    event: u64,
) {
    let _ = guarded("config_scheduled", || {
        if let Some(config) = FilterConfig::new(config) {
            worker::on_configuration_event(config, number(configuration), event);
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_callout_done(
    _: *mut c_void,
    configuration: *const c_void,
    id: u64,
    result: u32,
    fields: *const HeaderField,
    count: usize,
    body: *const Buffer,
    pieces: usize,
) {
    let _ = guarded("config_http_callout_done", || {
        // SAFETY: Envoy's arrays are as long as it says, and there for as long as the hook.
        let (fields, body) = unsafe { (array(fields, count), array(body, pieces)) };
        let status = field(fields, b":status").filter(|_| result == 0);
        callouts::on_fetched(number(configuration), id, status, joined(body));
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_headers(
    _: *mut c_void,
    configuration: *const c_void,
    id: u64,
    fields: *const HeaderField,
    count: usize,
    _: bool,
) {
    on_fields("config_http_stream_headers", configuration, id, fields, count);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_data(
    _: *mut c_void,
    configuration: *const c_void,
    id: u64,
    bytes: *const Buffer,
    pieces: usize,
    _: bool,
) {
    let _ = guarded("config_http_stream_data", || {
        // SAFETY: Envoy's array is as long as it says, and there for as long as the hook.
        let bytes = joined(unsafe { array(bytes, pieces) });
        callouts::on_bytes(number(configuration), id, &bytes);
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_trailers(
    _: *mut c_void,
    configuration: *const c_void,
    id: u64,
    fields: *const HeaderField,
    count: usize,
) {
    on_fields("config_http_stream_trailers", configuration, id, fields, count);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_complete(
    _: *mut c_void,
    configuration: *const c_void,
    id: u64,
) {
    let _ = guarded("config_http_stream_complete", || callouts::on_end(number(configuration), id));
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_reset(
    _: *mut c_void,
    configuration: *const c_void,
    id: u64,
    _: u32,
) {
    let _ = guarded("config_http_stream_reset", || callouts::on_end(number(configuration), id));
}

fn on_fields(
    hook: &'static str,
    configuration: *const c_void,
    id: u64,
    fields: *const HeaderField,
    count: usize,
) {
    let _ = guarded(hook, || {
        // SAFETY: Envoy's array is as long as it says, and there for as long as the hook.
        let fields = unsafe { array(fields, count) };
        if let Some(status) = field(fields, b"grpc-status") {
            callouts::on_status(number(configuration), id, &status);
        }
    });
}

// Envoy loads no module without these hooks. Nothing here has to do anything.

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    _: *mut c_void,
    _: *mut c_void,
    _: u64,
    _: u32,
    _: *const HeaderField,
    _: usize,
    _: *const Buffer,
    _: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    _: *mut c_void,
    _: *mut c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    _: *mut c_void,
    _: *mut c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    _: *mut c_void,
    _: *mut c_void,
    _: u64,
    _: *const HeaderField,
    _: usize,
    _: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    _: *mut c_void,
    _: *mut c_void,
    _: u64,
    _: *const Buffer,
    _: usize,
    _: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    _: *mut c_void,
    _: *mut c_void,
    _: u64,
    _: *const HeaderField,
    _: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(
    _: *mut c_void,
    _: *mut c_void,
    _: u64,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(
    _: *mut c_void,
    _: *mut c_void,
    _: u64,
    _: u32,
) {
}

/// Returns an array of Envoy's.
///
/// # Safety
/// The array must be as long as `count`, and stay for as long as `'a`.
unsafe fn array<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: what the caller promises.
    unsafe { std::slice::from_raw_parts(first, count) }
}

fn joined(pieces: &[Buffer]) -> Vec<u8> {
    // SAFETY: the pieces are there for as long as the hook that has them.
    pieces.iter().flat_map(|piece| unsafe { piece.bytes() }).copied().collect()
}

fn field(fields: &[HeaderField], name: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: the fields are there for as long as the hook that has them.
    fields
        .iter()
        .find_map(|field| unsafe { (field.name.bytes() == name).then(|| field.value.bytes().to_vec()) })
}
