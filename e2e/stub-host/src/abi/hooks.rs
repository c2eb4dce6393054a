//! The hooks of the module that is loaded.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::sync::OnceLock;

use super::{Buffer, Handle, HeaderField, InModule};

/// The pointer that stands for a stream or a configuration, here or there.
type Opaque = *const c_void;

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

/// What is bound when it is called first, as Envoy loads modules.
const RTLD_LAZY: c_int = 1;
/// The library stays, whoever closes it: a thread of the module's runs on.
const RTLD_NODELETE: c_int = 0x1000;

static MODULE: OnceLock<Module> = OnceLock::new();

/// Loads a module, and has it begin.
///
/// # Errors
/// Returns what is missing.
pub(crate) fn load(file: &Path) -> Result<(), String> {
    let path = CString::new(file.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the path ends with a zero, and what the library does when it is loaded is its own.
    let library = unsafe { dlopen(path.as_ptr(), RTLD_LAZY | RTLD_NODELETE) };
    if library.is_null() {
        return Err(last_error());
    }
    let module = Module::find(library)?;
    // SAFETY: the hook takes nothing, and returns a text that stays.
    let version = unsafe { (module.program_init)() };
    if version.is_null() {
        return Err("the module refuses to begin".to_owned());
    }
    MODULE.set(module).map_err(|_| "a module is loaded already".to_owned())
}

/// Returns the module that was loaded.
pub(crate) fn module() -> &'static Module {
    MODULE.get().expect("a module that was loaded first")
}

fn last_error() -> String {
    // SAFETY: the text is there until the next call of its kind, and here it is copied.
    unsafe {
        let text = dlerror();
        if text.is_null() {
            "no reason".to_owned()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

/// Finds a hook.
fn find(library: *mut c_void, name: &str) -> Result<*mut c_void, String> {
    let symbol =
        CString::new(format!("envoy_dynamic_module_on_{name}")).map_err(|error| error.to_string())?;
    // SAFETY: the library stays loaded, and the name ends with a zero.
    let found = unsafe { dlsym(library, symbol.as_ptr()) };
    if found.is_null() { Err(format!("the module has no {}", symbol.to_string_lossy())) } else { Ok(found) }
}

/// Declares [`Module`]: its fields, by the hooks' names and what they take.
macro_rules! hooks {
    ($($field:ident = $name:literal ($($taken:ty),*) $(-> $returned:ty)?;)*) => {
        /// The hooks of a module.
        pub(crate) struct Module {
            $($field: unsafe extern "C" fn($($taken),*) $(-> $returned)?,)*
        }

        impl Module {
            fn find(library: *mut c_void) -> Result<Self, String> {
                Ok(Self {$(
                    // SAFETY: the hook of this name takes and returns these, as Envoy's header says.
                    $field: unsafe {
                        std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($taken),*) $(-> $returned)?>(
                            find(library, $name)?,
                        )
                    },
                )*})
            }
        }
    };
}

// Each without which Envoy loads no module, and those of configurations.
hooks! {
    program_init = "program_init" () -> *const c_char;
    config_new = "http_filter_config_new" (Opaque, Buffer, Buffer) -> Opaque;
    config_destroy = "http_filter_config_destroy" (Opaque);
    new = "http_filter_new" (Opaque, Opaque) -> Opaque;
    destroy = "http_filter_destroy" (Opaque);
    request_headers = "http_filter_request_headers" (Opaque, Opaque, bool) -> u32;
    request_body = "http_filter_request_body" (Opaque, Opaque, bool) -> u32;
    request_trailers = "http_filter_request_trailers" (Opaque, Opaque) -> u32;
    response_headers = "http_filter_response_headers" (Opaque, Opaque, bool) -> u32;
    response_body = "http_filter_response_body" (Opaque, Opaque, bool) -> u32;
    response_trailers = "http_filter_response_trailers" (Opaque, Opaque) -> u32;
    stream_complete = "http_filter_stream_complete" (Opaque, Opaque);
    scheduled = "http_filter_scheduled" (Opaque, Opaque, u64);
    config_scheduled = "http_filter_config_scheduled" (Opaque, Opaque, u64);
    above_watermark = "http_filter_downstream_above_write_buffer_high_watermark" (Opaque, Opaque);
    below_watermark = "http_filter_downstream_below_write_buffer_low_watermark" (Opaque, Opaque);
    callout_done = "http_filter_http_callout_done"
        (Opaque, Opaque, u64, u32, *const HeaderField, usize, *const Buffer, usize);
    stream_headers = "http_filter_http_stream_headers" (Opaque, Opaque, u64, *const HeaderField, usize, bool);
    stream_data = "http_filter_http_stream_data" (Opaque, Opaque, u64, *const Buffer, usize, bool);
    stream_trailers = "http_filter_http_stream_trailers" (Opaque, Opaque, u64, *const HeaderField, usize);
    stream_ended = "http_filter_http_stream_complete" (Opaque, Opaque, u64);
    stream_reset = "http_filter_http_stream_reset" (Opaque, Opaque, u64, u32);
    config_callout_done = "http_filter_config_http_callout_done"
        (Opaque, Opaque, u64, u32, *const HeaderField, usize, *const Buffer, usize);
    config_stream_headers = "http_filter_config_http_stream_headers"
        (Opaque, Opaque, u64, *const HeaderField, usize, bool);
    config_stream_data = "http_filter_config_http_stream_data" (Opaque, Opaque, u64, *const Buffer, usize, bool);
    config_stream_trailers = "http_filter_config_http_stream_trailers"
        (Opaque, Opaque, u64, *const HeaderField, usize);
    config_stream_complete = "http_filter_config_http_stream_complete" (Opaque, Opaque, u64);
    config_stream_reset = "http_filter_config_http_stream_reset" (Opaque, Opaque, u64, u32);
    network_config_new = "network_filter_config_new" (Opaque, Buffer, Buffer) -> Opaque;
    network_config_destroy = "network_filter_config_destroy" (Opaque);
    network_new = "network_filter_new" (Opaque, Opaque) -> Opaque;
    network_new_connection = "network_filter_new_connection" (Opaque, Opaque) -> u32;
    network_read = "network_filter_read" (Opaque, Opaque, usize, bool) -> u32;
    network_write = "network_filter_write" (Opaque, Opaque, usize, bool) -> u32;
    network_event = "network_filter_event" (Opaque, Opaque, u32);
    network_destroy = "network_filter_destroy" (Opaque);
    network_scheduled = "network_filter_scheduled" (Opaque, Opaque, u64);
    network_config_scheduled = "network_filter_config_scheduled" (Opaque, Opaque, u64);
    network_callout_done = "network_filter_http_callout_done"
        (Opaque, Opaque, u64, u32, *const HeaderField, usize, *const Buffer, usize);
    network_above_watermark = "network_filter_above_write_buffer_high_watermark" (Opaque, Opaque);
    network_below_watermark = "network_filter_below_write_buffer_low_watermark" (Opaque, Opaque);
}

fn opaque(number: usize) -> Opaque {
    std::ptr::without_provenance(number)
}

fn pointers(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<HeaderField> {
    fields.iter().map(HeaderField::of).collect()
}

fn pieces(slices: &[Vec<u8>]) -> Vec<Buffer> {
    slices.iter().map(|slice| Buffer::of(slice)).collect()
}

/// The side of a message that a hook of bodies or fields is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

// SAFETY of all calls below: the hooks are those of a library that stays loaded, and take what Envoy's header says they do; what
// is passed by address is there for as long as the call.
impl Module {
    /// Hands a configuration over; 0 if the module refuses it.
    pub(crate) fn config_new(&self, config: Handle, name: &str, text: &str) -> InModule {
        let (name, text) = (Buffer::of(name.as_bytes()), Buffer::of(text.as_bytes()));
        // SAFETY: as above.
        unsafe { (self.config_new)(opaque(config), name, text) }.addr()
    }

    /// Takes a configuration away.
    pub(crate) fn config_destroy(&self, config: InModule) {
        // SAFETY: as above.
        unsafe { (self.config_destroy)(opaque(config)) }
    }

    /// Makes a filter of a stream.
    pub(crate) fn new_filter(&self, config: InModule, filter: Handle) -> InModule {
        // SAFETY: as above.
        unsafe { (self.new)(opaque(config), opaque(filter)) }.addr()
    }

    /// Takes a filter away.
    pub(crate) fn destroy(&self, stream: InModule) {
        // SAFETY: as above.
        unsafe { (self.destroy)(opaque(stream)) }
    }

    /// Hands over the fields of a message.
    pub(crate) fn headers(&self, side: Side, filter: Handle, stream: InModule, ends: bool) -> u32 {
        let hook = if side == Side::Request { self.request_headers } else { self.response_headers };
        // SAFETY: as above.
        unsafe { hook(opaque(filter), opaque(stream), ends) }
    }

    /// Hands over a chunk.
    pub(crate) fn body(&self, side: Side, filter: Handle, stream: InModule, ends: bool) -> u32 {
        let hook = if side == Side::Request { self.request_body } else { self.response_body };
        // SAFETY: as above.
        unsafe { hook(opaque(filter), opaque(stream), ends) }
    }

    /// Hands over trailers.
    pub(crate) fn trailers(&self, side: Side, filter: Handle, stream: InModule) -> u32 {
        let hook = if side == Side::Request { self.request_trailers } else { self.response_trailers };
        // SAFETY: as above.
        unsafe { hook(opaque(filter), opaque(stream)) }
    }

    /// Says that a stream has ended.
    pub(crate) fn stream_complete(&self, filter: Handle, stream: InModule) {
        // SAFETY: as above.
        unsafe { (self.stream_complete)(opaque(filter), opaque(stream)) }
    }

    /// Brings an event of a stream.
    pub(crate) fn scheduled(&self, filter: Handle, stream: InModule, event: u64) {
        // SAFETY: as above.
        unsafe { (self.scheduled)(opaque(filter), opaque(stream), event) }
    }

    /// Brings an event of a configuration.
    pub(crate) fn config_scheduled(&self, config: Handle, in_module: InModule, event: u64) {
        // SAFETY: as above.
        unsafe { (self.config_scheduled)(opaque(config), opaque(in_module), event) }
    }

    /// Calls each hook that the module has because Envoy demands it.
    pub(crate) fn idle_hooks(&self, filter: Handle, stream: InModule) {
        let (filter, stream, fields, slices) =
            (opaque(filter), opaque(stream), pointers(&[(b"a".to_vec(), b"b".to_vec())]), pieces(&[vec![1]]));
        // SAFETY: as above.
        unsafe {
            (self.above_watermark)(filter, stream);
            (self.below_watermark)(filter, stream);
            (self.callout_done)(filter, stream, 1, 0, fields.as_ptr(), 1, slices.as_ptr(), 1);
            (self.stream_headers)(filter, stream, 1, fields.as_ptr(), 1, false);
            (self.stream_data)(filter, stream, 1, slices.as_ptr(), 1, false);
            (self.stream_trailers)(filter, stream, 1, fields.as_ptr(), 1);
            (self.stream_ended)(filter, stream, 1);
            (self.stream_reset)(filter, stream, 1, 0);
        }
    }

    /// Answers a callout of a configuration; any result but 0 is a failure.
    pub(crate) fn config_callout_done(
        &self,
        (config, in_module): (Handle, InModule),
        id: u64,
        result: u32,
        fields: &[(Vec<u8>, Vec<u8>)],
        body: &[Vec<u8>],
    ) {
        let (config, in_module) = (opaque(config), opaque(in_module));
        let (fields, body) = (pointers(fields), pieces(body));
        let (count, body_count) = (fields.len(), body.len());
        // SAFETY: as above.
        unsafe {
            let hook = self.config_callout_done;
            hook(config, in_module, id, result, fields.as_ptr(), count, body.as_ptr(), body_count);
        }
    }

    /// Brings the fields of the answer to a stream of a configuration, or its trailers.
    pub(crate) fn config_stream_fields(
        &self,
        (config, in_module): (Handle, InModule),
        id: u64,
        fields: &[(Vec<u8>, Vec<u8>)],
        are_trailers: bool,
    ) {
        let (config, in_module, fields) = (opaque(config), opaque(in_module), pointers(fields));
        // SAFETY: as above.
        unsafe {
            match are_trailers {
                true => (self.config_stream_trailers)(config, in_module, id, fields.as_ptr(), fields.len()),
                false => {
                    (self.config_stream_headers)(config, in_module, id, fields.as_ptr(), fields.len(), false);
                }
            }
        }
    }

    /// Brings bytes of the answer to a stream of a configuration.
    pub(crate) fn config_stream_data(
        &self,
        (config, in_module): (Handle, InModule),
        id: u64,
        slices: &[Vec<u8>],
    ) {
        let slices = pieces(slices);
        // SAFETY: as above.
        unsafe {
            let hook = self.config_stream_data;
            hook(opaque(config), opaque(in_module), id, slices.as_ptr(), slices.len(), false);
        }
    }

    /// Ends a stream of a configuration, or resets it.
    pub(crate) fn config_stream_end(&self, (config, in_module): (Handle, InModule), id: u64, is_reset: bool) {
        // SAFETY: as above.
        unsafe {
            match is_reset {
                true => (self.config_stream_reset)(opaque(config), opaque(in_module), id, 0),
                false => (self.config_stream_complete)(opaque(config), opaque(in_module), id),
            }
        }
    }

    /// Hands the configuration of a network filter over; 0 if the module refuses it.
    pub(crate) fn network_config_new(&self, config: Handle, name: &str, text: &str) -> InModule {
        let (name, text) = (Buffer::of(name.as_bytes()), Buffer::of(text.as_bytes()));
        // SAFETY: as above.
        unsafe { (self.network_config_new)(opaque(config), name, text) }.addr()
    }

    /// Takes the configuration of a network filter away.
    pub(crate) fn network_config_destroy(&self, config: InModule) {
        // SAFETY: as above.
        unsafe { (self.network_config_destroy)(opaque(config)) }
    }

    /// Makes a network filter of a connection.
    pub(crate) fn new_network_filter(&self, config: InModule, filter: Handle) -> InModule {
        // SAFETY: as above.
        unsafe { (self.network_new)(opaque(config), opaque(filter)) }.addr()
    }

    /// Says that a connection has been opened.
    pub(crate) fn new_connection(&self, filter: Handle, in_module: InModule) -> u32 {
        // SAFETY: as above.
        unsafe { (self.network_new_connection)(opaque(filter), opaque(in_module)) }
    }

    /// Says that bytes have come from a client.
    pub(crate) fn network_read(&self, filter: Handle, in_module: InModule, len: usize, ends: bool) -> u32 {
        // SAFETY: as above.
        unsafe { (self.network_read)(opaque(filter), opaque(in_module), len, ends) }
    }

    /// Says that bytes go to a client.
    pub(crate) fn network_write(&self, filter: Handle, in_module: InModule, len: usize, ends: bool) -> u32 {
        // SAFETY: as above.
        unsafe { (self.network_write)(opaque(filter), opaque(in_module), len, ends) }
    }

    /// Brings an event of a connection.
    pub(crate) fn network_event(&self, filter: Handle, in_module: InModule, event: u32) {
        // SAFETY: as above.
        unsafe { (self.network_event)(opaque(filter), opaque(in_module), event) }
    }

    /// Takes a network filter away.
    pub(crate) fn destroy_network_filter(&self, in_module: InModule) {
        // SAFETY: as above.
        unsafe { (self.network_destroy)(opaque(in_module)) }
    }

    /// Calls each hook of connections that the module has because Envoy demands it.
    pub(crate) fn idle_network_hooks(&self, filter: Handle, in_module: InModule) {
        let (filter, in_module) = (opaque(filter), opaque(in_module));
        let (fields, slices) = (pointers(&[(b"a".to_vec(), b"b".to_vec())]), pieces(&[vec![1]]));
        // SAFETY: as above.
        unsafe {
            (self.network_scheduled)(filter, in_module, 1);
            (self.network_config_scheduled)(filter, in_module, 1);
            (self.network_callout_done)(filter, in_module, 1, 0, fields.as_ptr(), 1, slices.as_ptr(), 1);
            (self.network_above_watermark)(filter, in_module);
            (self.network_below_watermark)(filter, in_module);
        }
    }
}
