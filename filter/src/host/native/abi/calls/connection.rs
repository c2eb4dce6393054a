//! The calls of a network filter, about the connection that it is on.

use std::ffi::c_void;
use std::ptr::NonNull;

use super::super::Buffer;

/// A client's connection, as the network filter on it has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::host::native) struct Connection(NonNull<c_void>);

unsafe extern "C" {
    fn envoy_dynamic_module_callback_network_filter_get_connection_id(filter: *mut c_void) -> u64;
    fn envoy_dynamic_module_callback_network_filter_inject_read_data(
        filter: *mut c_void,
        bytes: Buffer,
        end_of_stream: bool,
    );
    fn envoy_dynamic_module_callback_network_filter_write(
        filter: *mut c_void,
        bytes: Buffer,
        end_of_stream: bool,
    );
}

impl Connection {
    /// Takes the pointer that a hook of the network filter was given.
    pub(in super::super) fn new(filter: *mut c_void) -> Option<Self> {
        NonNull::new(filter).map(Self)
    }

    /// Returns its number.
    pub(in super::super) fn id(self) -> u64 {
        // SAFETY: the connection is good, as the module says.
        unsafe { envoy_dynamic_module_callback_network_filter_get_connection_id(self.0.as_ptr()) }
    }

    /// Sends bytes to the client, behind all that was sent before.
    pub(in crate::host::native) fn send_to_client(self, bytes: &[u8]) {
        // SAFETY: the connection is good, as the module says, and Envoy copies the bytes within the call.
        unsafe {
            envoy_dynamic_module_callback_network_filter_write(self.0.as_ptr(), Buffer::of(bytes), false);
        }
    }

    /// Has the filters behind take bytes as if the client had sent them now.
    pub(in crate::host::native) fn inject(self, bytes: &[u8]) {
        // SAFETY: the connection is good, as the module says, and Envoy copies the bytes within the call.
        unsafe {
            envoy_dynamic_module_callback_network_filter_inject_read_data(
                self.0.as_ptr(),
                Buffer::of(bytes),
                false,
            );
        }
    }
}
