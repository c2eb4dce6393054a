//! The calls into Envoy.
//!
//! A [`Filter`] is good until its stream is destroyed, and on the thread of its worker, as a [`Connection`] is; a [`FilterConfig`]
//! until it is destroyed, and on the main thread. [`worker`](crate::host::native::worker) and
//! [`connections`](crate::host::native::connections) forget them when Envoy says so.

mod config;
mod connection;
mod counting;
mod scheduler;
mod slices;

use std::ffi::{c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::LazyLock;

use super::{Buffer, HeaderField, guard};
pub(in super::super) use config::FilterConfig;
pub(in super::super) use connection::Connection;
pub(in super::super) use counting::{Counting, Metric};
pub(in super::super) use scheduler::Scheduler;
pub(in super::super) use slices::Slices;

/// A stream of Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Filter(pub(super) NonNull<c_void>);

/// The messages of a stream that have fields, by Envoy's numbers.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(in super::super) enum Fields {
    Request = 0,
    RequestTrailers = 1,
    Response = 2,
}

/// The bodies of a stream, by Envoy's numbers: what the callback at hand has brought, and what was kept before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(in super::super) enum Body {
    ReceivedRequest = 0,
    KeptRequest = 1,
    ReceivedResponse = 2,
    KeptResponse = 3,
}

/// The attributes of a stream, by Envoy's numbers.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(in super::super) enum Attribute {
    Protocol = 10,
    SourceAddress = 24,
    ConnectionId = 28,
    Mtls = 29,
    TlsVersion = 31,
    RouteName = 61,
}

/// The source of metadata that is the route.
const ROUTE: u32 = 1;

unsafe extern "C" {
    fn envoy_dynamic_module_callback_log(level: u32, message: Buffer);
    fn envoy_dynamic_module_callback_http_get_headers_size(filter: *mut c_void, kind: u32) -> usize;
    fn envoy_dynamic_module_callback_http_get_headers(
        filter: *mut c_void,
        kind: u32,
        fields: *mut HeaderField,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_header(
        filter: *mut c_void,
        kind: u32,
        name: Buffer,
        value: *mut Buffer,
        index: usize,
        count: *mut usize,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_set_header(
        filter: *mut c_void,
        kind: u32,
        name: Buffer,
        value: Buffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_add_header(
        filter: *mut c_void,
        kind: u32,
        name: Buffer,
        value: Buffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_send_response(
        filter: *mut c_void,
        status: u32,
        fields: *const HeaderField,
        count: usize,
        body: Buffer,
        details: Buffer,
    );
    fn envoy_dynamic_module_callback_http_send_response_data(
        filter: *mut c_void,
        bytes: Buffer,
        end_of_stream: bool,
    );
    fn envoy_dynamic_module_callback_http_get_body_size(filter: *mut c_void, body: u32) -> usize;
    fn envoy_dynamic_module_callback_http_get_body_chunks_size(filter: *mut c_void, body: u32) -> usize;
    fn envoy_dynamic_module_callback_http_get_body_chunks(
        filter: *mut c_void,
        body: u32,
        slices: *mut Buffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_append_body(filter: *mut c_void, body: u32, bytes: Buffer) -> bool;
    fn envoy_dynamic_module_callback_http_drain_body(filter: *mut c_void, body: u32, count: usize) -> bool;
    fn envoy_dynamic_module_callback_http_filter_continue_decoding(filter: *mut c_void);
    fn envoy_dynamic_module_callback_http_filter_reset_stream(
        filter: *mut c_void,
        reason: u32,
        details: Buffer,
    );
    fn envoy_dynamic_module_callback_http_filter_scheduler_new(filter: *mut c_void) -> *mut c_void;
    fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
        filter: *mut c_void,
        attribute: u32,
        value: *mut Buffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_filter_get_attribute_bool(
        filter: *mut c_void,
        attribute: u32,
        value: *mut bool,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_set_filter_state_bytes(
        filter: *mut c_void,
        key: Buffer,
        value: Buffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_filter_state_bytes(
        filter: *mut c_void,
        key: Buffer,
        value: *mut Buffer,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_metadata_keys_count(
        filter: *mut c_void,
        source: u32,
        namespace: Buffer,
    ) -> usize;
    fn envoy_dynamic_module_callback_http_clear_route_cache(filter: *mut c_void);
    fn envoy_dynamic_module_callback_get_most_specific_route_config(filter: *mut c_void) -> *const c_void;
    fn envoy_dynamic_module_callback_http_filter_get_attribute_int(
        filter: *mut c_void,
        attribute: u32,
        value: *mut u64,
    ) -> bool;
    /// POSIX's own, for functions that only newer versions of Envoy have.
    fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
}

/// Writes a line to Envoy's log.
pub(in super::super) fn log(level: log::Level, text: &str) {
    let level = match level {
        log::Level::Trace => 0,
        log::Level::Debug => 1,
        log::Level::Info => 2,
        log::Level::Warn => 3,
        log::Level::Error => 4,
    };
    // SAFETY: Envoy copies the text within the call.
    unsafe { envoy_dynamic_module_callback_log(level, Buffer::of(text.as_bytes())) }
}

impl Filter {
    /// Takes the pointer that a hook was given.
    pub(super) fn new(filter: *mut c_void) -> Option<Self> {
        NonNull::new(filter).map(Self)
    }

    pub(super) fn raw(self) -> *mut c_void {
        self.0.as_ptr()
    }

    /// Returns all fields of a message, in its hook or later.
    pub(in super::super) fn fields(self, of: Fields) -> Vec<(String, Vec<u8>)> {
        // SAFETY: the filter is good, as the module says.
        let count = unsafe { envoy_dynamic_module_callback_http_get_headers_size(self.raw(), of as u32) };
        let mut fields = vec![HeaderField { name: Buffer::NONE, value: Buffer::NONE }; count];
        // SAFETY: there is room for as many fields as Envoy has just said there are.
        let are_there = unsafe {
            envoy_dynamic_module_callback_http_get_headers(self.raw(), of as u32, fields.as_mut_ptr())
        };
        if !are_there {
            return Vec::new();
        }
        let copied = fields.iter().map(|field| {
            // SAFETY: Envoy's fields are as they are until a call changes them, and here they are copied.
            let (name, value) = unsafe { (field.name.bytes(), field.value.bytes()) };
            (String::from_utf8_lossy(name).into_owned(), value.to_vec())
        });
        copied.collect()
    }

    /// Returns the first field of this name.
    pub(in super::super) fn field(self, of: Fields, name: &str) -> Option<Vec<u8>> {
        let (mut value, mut count) = (Buffer::NONE, 0);
        // SAFETY: Envoy reads the name within the call, and writes to both places.
        let is_there = unsafe {
            envoy_dynamic_module_callback_http_get_header(
                self.raw(),
                of as u32,
                Buffer::of(name.as_bytes()),
                &raw mut value,
                0,
                &raw mut count,
            )
        };
        // SAFETY: the value is as it is until a call changes it, and here it is copied.
        is_there.then(|| unsafe { value.bytes() }.to_vec())
    }

    /// Sets a field, or takes it out.
    pub(in super::super) fn set_field(self, of: Fields, name: &str, value: Option<&[u8]>) {
        // Envoy takes a field out whose value has no address, and an empty slice has one.
        let value = value.map_or(Buffer::NONE, Buffer::of);
        // SAFETY: Envoy copies name and value within the call.
        unsafe {
            envoy_dynamic_module_callback_http_set_header(
                self.raw(),
                of as u32,
                Buffer::of(name.as_bytes()),
                value,
            );
        }
    }

    /// Adds a field.
    pub(in super::super) fn add_field(self, of: Fields, name: &str, value: &[u8]) {
        // SAFETY: Envoy copies name and value within the call.
        unsafe {
            envoy_dynamic_module_callback_http_add_header(
                self.raw(),
                of as u32,
                Buffer::of(name.as_bytes()),
                Buffer::of(value),
            );
        }
    }

    /// Has Envoy choose the route anew, by the fields that there are now.
    pub(in super::super) fn clear_route_cache(self) {
        // SAFETY: the filter is good, as the module says.
        unsafe { envoy_dynamic_module_callback_http_clear_route_cache(self.raw()) }
    }

    /// Returns the number of the configuration that the route has for this filter.
    pub(in super::super) fn route_configuration(self) -> Option<u64> {
        // SAFETY: the filter is good, as the module says; nobody follows what Envoy was given as a number.
        let number = guard::number(unsafe {
            envoy_dynamic_module_callback_get_most_specific_route_config(self.raw())
        });
        (number != 0).then_some(number)
    }

    /// Answers in the upstream's place.
    pub(in super::super) fn send_response(self, status: u16, fields: &[(&str, String)], body: &[u8]) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| field(name, value)).collect();
        // SAFETY: Envoy copies fields, body and details within the call.
        unsafe {
            envoy_dynamic_module_callback_http_send_response(
                self.raw(),
                u32::from(status),
                fields.as_ptr(),
                fields.len(),
                Buffer::of(body),
                Buffer::of(b"postern"),
            );
        }
    }

    /// Sends bytes to the client, behind all that was sent before. They pass the hooks of all other filters, and from then on
    /// Envoy calls none of this filter's for the response.
    pub(in super::super) fn send_to_client(self, bytes: &[u8]) {
        // SAFETY: Envoy copies the bytes within the call.
        unsafe {
            envoy_dynamic_module_callback_http_send_response_data(self.raw(), Buffer::of(bytes), false);
        }
    }

    /// Returns the number of bytes of a body.
    pub(in super::super) fn body_len(self, body: Body) -> usize {
        // SAFETY: the filter is good, as the module says.
        unsafe { envoy_dynamic_module_callback_http_get_body_size(self.raw(), body as u32) }
    }

    /// Returns the bytes of a body where they lie.
    pub(in super::super) fn body(self, body: Body) -> Slices {
        // SAFETY: the filter is good, as the module says.
        let count =
            unsafe { envoy_dynamic_module_callback_http_get_body_chunks_size(self.raw(), body as u32) };
        let mut slices = Slices::with_room_for(count);
        // SAFETY: there is room for as many slices as Envoy has just said there are.
        let are_there = unsafe {
            envoy_dynamic_module_callback_http_get_body_chunks(
                self.raw(),
                body as u32,
                slices.room().as_mut_ptr(),
            )
        };
        if are_there { slices } else { Slices::with_room_for(0) }
    }

    /// Puts bytes behind a body, and says whether Envoy did.
    pub(in super::super) fn append(self, body: Body, bytes: &[u8]) -> bool {
        // SAFETY: Envoy copies the bytes within the call.
        unsafe { envoy_dynamic_module_callback_http_append_body(self.raw(), body as u32, Buffer::of(bytes)) }
    }

    /// Takes the first bytes out of a body, and says whether Envoy did.
    pub(in super::super) fn drain(self, body: Body, count: usize) -> bool {
        // SAFETY: the filter is good, as the module says.
        unsafe { envoy_dynamic_module_callback_http_drain_body(self.raw(), body as u32, count) }
    }

    /// Lets the request go on, with what is kept of it.
    pub(in super::super) fn continue_request(self) {
        // SAFETY: the filter is good, as the module says.
        unsafe { envoy_dynamic_module_callback_http_filter_continue_decoding(self.raw()) }
    }

    /// Cuts the stream, both ways.
    pub(in super::super) fn reset(self) {
        /// The reason `LocalReset`.
        const LOCAL: u32 = 0;
        // SAFETY: Envoy copies the details within the call.
        unsafe {
            envoy_dynamic_module_callback_http_filter_reset_stream(self.raw(), LOCAL, Buffer::of(b"postern"));
        }
    }

    /// Returns an attribute that is text.
    pub(in super::super) fn text(self, attribute: Attribute) -> Option<Vec<u8>> {
        let mut value = Buffer::NONE;
        // SAFETY: Envoy writes to the place.
        let is_there = unsafe {
            envoy_dynamic_module_callback_http_filter_get_attribute_string(
                self.raw(),
                attribute as u32,
                &raw mut value,
            )
        };
        // SAFETY: the value is as it is until the next call, and here it is copied.
        is_there.then(|| unsafe { value.bytes() }.to_vec())
    }

    /// Returns the number of the client's connection.
    pub(in super::super) fn connection_id(self) -> Option<u64> {
        let mut value = 0;
        // SAFETY: Envoy writes to the place.
        let is_there = unsafe {
            envoy_dynamic_module_callback_http_filter_get_attribute_int(
                self.raw(),
                Attribute::ConnectionId as u32,
                &raw mut value,
            )
        };
        is_there.then_some(value)
    }

    /// Says whether an attribute is there and true.
    pub(in super::super) fn is_true(self, attribute: Attribute) -> bool {
        let mut value = false;
        // SAFETY: Envoy writes to the place.
        let is_there = unsafe {
            envoy_dynamic_module_callback_http_filter_get_attribute_bool(
                self.raw(),
                attribute as u32,
                &raw mut value,
            )
        };
        is_there && value
    }

    /// Says whether a value that is kept for the access log can be kept anew. Envoy 1.38 takes each once.
    pub(in super::super) fn can_replace_state() -> bool {
        Counting::can_main_count()
    }

    /// Says whether Envoy continues a stream that has stopped whatever the hooks of its response have answered since. 1.38 does not.
    pub(in super::super) fn is_continued_whatever_the_response_does() -> bool {
        Counting::can_main_count()
    }

    /// Keeps a value for the access log.
    pub(in super::super) fn set_state(self, key: &str, value: &[u8]) {
        // SAFETY: Envoy copies both within the call.
        unsafe {
            envoy_dynamic_module_callback_http_set_filter_state_bytes(
                self.raw(),
                Buffer::of(key.as_bytes()),
                Buffer::of(value),
            );
        }
    }

    /// Returns a value that a filter of the stream keeps for others.
    pub(in super::super) fn state(self, key: &str) -> Option<Vec<u8>> {
        let mut value = Buffer::NONE;
        // SAFETY: Envoy reads the key within the call, and writes to the place.
        let is_there = unsafe {
            envoy_dynamic_module_callback_http_get_filter_state_bytes(
                self.raw(),
                Buffer::of(key.as_bytes()),
                &raw mut value,
            )
        };
        // SAFETY: the value is as it is until somebody sets another, and here it is copied.
        is_there.then(|| unsafe { value.bytes() }.to_vec())
    }

    /// Returns the number of keys that the route's plain metadata has under a name.
    pub(in super::super) fn plain_route_metadata(self, name: &str) -> usize {
        // SAFETY: Envoy reads the name within the call.
        unsafe {
            envoy_dynamic_module_callback_http_get_metadata_keys_count(
                self.raw(),
                ROUTE,
                Buffer::of(name.as_bytes()),
            )
        }
    }

    /// Returns the route's typed metadata under a name: its type and its bytes. Envoys before 1.40 have no such function.
    pub(in super::super) fn typed_route_metadata(self, name: &str) -> Option<(Vec<u8>, Vec<u8>)> {
        type Get = unsafe extern "C" fn(*mut c_void, u32, Buffer, *mut Buffer, *mut Buffer) -> bool;
        static GET: LazyLock<Option<Get>> = LazyLock::new(|| {
            let name = c"envoy_dynamic_module_callback_http_get_typed_metadata";
            // SAFETY: the name ends with a zero, and no handle means all that is loaded.
            let get = unsafe { dlsym(ptr::null_mut(), name.as_ptr()) };
            // SAFETY: the function of this name takes these.
            (!get.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, Get>(get) })
        });
        let get = (*GET)?;
        let (mut url, mut value) = (Buffer::NONE, Buffer::NONE);
        // SAFETY: Envoy reads the name within the call, and writes to both places.
        let is_there =
            unsafe { get(self.raw(), ROUTE, Buffer::of(name.as_bytes()), &raw mut url, &raw mut value) };
        // SAFETY: both are the route's, which is as it is for as long as the stream, and here they are copied.
        is_there.then(|| unsafe { (url.bytes().to_vec(), value.bytes().to_vec()) })
    }

    /// Returns a scheduler, whose events come to this stream's hook.
    pub(in super::super) fn scheduler(self) -> Option<Scheduler> {
        // SAFETY: the filter is good, as the module says.
        let scheduler = unsafe { envoy_dynamic_module_callback_http_filter_scheduler_new(self.raw()) };
        Scheduler::new(scheduler, false)
    }
}

fn field(name: &str, value: &str) -> HeaderField {
    HeaderField { name: Buffer::of(name.as_bytes()), value: Buffer::of(value.as_bytes()) }
}
