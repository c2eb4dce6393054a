//! The binary interface of dynamic modules, from the host's side: the [`callbacks`] that a module finds in the program, and the
//! [`hooks`] that the program finds in the module.
//!
//! Owns all that is unsafe of the host.
#![allow(unsafe_code, reason = "functions of C, by which a host and its modules speak to each other")]

mod callbacks;
mod hooks;

pub(crate) use hooks::{Side, load, module};

/// The thing of the host's that a hook is about, as the module sees it: a number that is no address, so that every use of one
/// that is gone is found.
pub(crate) type Handle = usize;

/// What the module returned for a stream or a configuration.
pub(crate) type InModule = usize;

/// A run of bytes that the host or the module owns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    bytes: *const u8,
    len: usize,
}

/// A header field of whoever passes it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderField {
    name: Buffer,
    value: Buffer,
}

impl Buffer {
    /// Points to bytes, for as long as their owner leaves them.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.as_ptr(), len: bytes.len() }
    }

    /// Returns the bytes; `None` if there is no address.
    ///
    /// # Safety
    /// They must be there, and stay unchanged, for as long as `'b`.
    unsafe fn bytes<'b>(self) -> Option<&'b [u8]> {
        // SAFETY: what the caller promises.
        (!self.bytes.is_null()).then(|| unsafe { std::slice::from_raw_parts(self.bytes, self.len) })
    }
}

impl HeaderField {
    /// Points to a name and a value, for as long as their owner leaves them.
    pub(crate) fn of((name, value): &(Vec<u8>, Vec<u8>)) -> Self {
        Self { name: Buffer::of(name), value: Buffer::of(value) }
    }
}
