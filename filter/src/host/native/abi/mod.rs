//! The binary interface of dynamic modules: [`calls`] into Envoy, and the [`hooks`] by which Envoy calls,
//! of streams and of [connections](connection_hooks).
//!
//! Owns all that is unsafe of the native module, and knows nothing of what is done with it. Envoy's own header says what each
//! function does; one binary serves the versions whose functions here are alike.
#![allow(unsafe_code, reason = "functions of C, by which Envoy and its modules speak to each other")]

mod announcement;
pub(super) mod calls;
mod connection_hooks;
mod guard;
mod hooks;
mod panics;

/// A run of bytes that Envoy or the module owns, for as long as the call that passes it lasts.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Buffer {
    bytes: *const u8,
    len: usize,
}

/// A header field, of whoever passes it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct HeaderField {
    name: Buffer,
    value: Buffer,
}

impl Buffer {
    const NONE: Self = Self { bytes: std::ptr::null(), len: 0 };

    fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.as_ptr(), len: bytes.len() }
    }

    /// Returns the bytes.
    ///
    /// # Safety
    /// They must be there, and stay unchanged, for as long as `'b`.
    unsafe fn bytes<'b>(self) -> &'b [u8] {
        if self.bytes.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: what the caller promises.
        unsafe { std::slice::from_raw_parts(self.bytes, self.len) }
    }
}
