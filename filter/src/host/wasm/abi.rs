//! Host calls of proxy-wasm ABI 0.2.1 whose failure a stream must survive.
//!
//! The SDK panics when one of these calls fails, which would cost the worker its VM and every stream on it.
//! Here the status is returned, and the one stream is cut.
#![allow(unsafe_code, reason = "the SDK has no other binding of these calls than one that panics")]

use std::ptr;

use proxy_wasm::types::{BufferType, StreamType};

/// The status `WasmResult::Ok`.
const OK: u32 = 0;

#[cfg_attr(target_arch = "wasm32", link(wasm_import_module = "env"))]
unsafe extern "C" {
    fn proxy_set_buffer_bytes(
        kind: BufferType,
        start: usize,
        len: usize,
        bytes: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_continue_stream(kind: StreamType) -> u32;
    fn proxy_close_stream(kind: StreamType) -> u32;
    fn proxy_set_property(path: *const u8, path_len: usize, value: *const u8, len: usize) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_len: usize,
        argument: *const u8,
        len: usize,
        answer: *mut *mut u8,
        answer_len: *mut usize,
    ) -> u32;
}

/// Puts `bytes` in the place of `len` bytes from `start`, and says whether the host did.
#[must_use]
pub(crate) fn set_buffer(kind: BufferType, start: usize, len: usize, bytes: &[u8]) -> bool {
    // SAFETY: the host reads `bytes.len()` bytes from a live slice and keeps no pointer.
    unsafe { proxy_set_buffer_bytes(kind, start, len, bytes.as_ptr(), bytes.len()) == OK }
}

/// Lets a paused stream go on, and says whether the host did.
#[must_use]
pub(crate) fn continue_stream(kind: StreamType) -> bool {
    // SAFETY: no memory is passed.
    unsafe { proxy_continue_stream(kind) == OK }
}

/// Resets a stream, and says whether the host did.
pub(crate) fn close_stream(kind: StreamType) -> bool {
    // SAFETY: no memory is passed.
    unsafe { proxy_close_stream(kind) == OK }
}

/// Sets a property whose path has one part, and says whether the host did.
pub(crate) fn set_property(path: &str, value: &[u8]) -> bool {
    // SAFETY: the host reads both live slices and keeps no pointer.
    unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) == OK }
}

/// Calls a function that is this host's own; returns `None` when the host has none of this name, or it fails.
pub(crate) fn call_foreign_function(name: &str, argument: &[u8]) -> Option<Vec<u8>> {
    let (mut answer, mut len) = (ptr::null_mut(), 0);
    // SAFETY: the host reads both live slices, writes to both places, and keeps no pointer.
    let status = unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            argument.as_ptr(),
            argument.len(),
            &raw mut answer,
            &raw mut len,
        )
    };
    let answer = if answer.is_null() {
        Vec::new()
    } else {
        // SAFETY: the host had these bytes allocated by `proxy_on_memory_allocate` of the SDK, as a
        // vector of exactly this capacity, and leaves them to us.
        unsafe { Vec::from_raw_parts(answer, len, len) }
    };
    (status == OK).then_some(answer)
}
