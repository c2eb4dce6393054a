//! The entry points of the filter, which the SDK and its macro export.

#![allow(unsafe_code, reason = "functions of another crate that it exports by symbol only")]

use std::sync::Mutex;

use proxy_wasm::types::Action;

// The symbols are in this crate.
use postern as _;

unsafe extern "C" {
    fn _initialize();
    pub(super) safe fn proxy_on_context_create(context_id: u32, root_context_id: u32);
    pub(super) safe fn proxy_on_vm_start(context_id: u32, vm_configuration_size: usize) -> bool;
    pub(super) safe fn proxy_on_configure(context_id: u32, plugin_configuration_size: usize) -> bool;
    pub(super) safe fn proxy_on_tick(context_id: u32);
    pub(super) safe fn proxy_on_request_headers(context_id: u32, count: usize, end_of_stream: bool)
    -> Action;
    pub(super) safe fn proxy_on_request_body(context_id: u32, size: usize, end_of_stream: bool) -> Action;
    pub(super) safe fn proxy_on_request_trailers(context_id: u32, count: usize) -> Action;
    pub(super) safe fn proxy_on_response_headers(
        context_id: u32,
        count: usize,
        end_of_stream: bool,
    ) -> Action;
    pub(super) safe fn proxy_on_response_body(context_id: u32, size: usize, end_of_stream: bool) -> Action;
    pub(super) safe fn proxy_on_response_trailers(context_id: u32, count: usize) -> Action;
    pub(super) safe fn proxy_on_http_call_response(
        context_id: u32,
        token: u32,
        fields: usize,
        body_size: usize,
        trailers: usize,
    );
    pub(super) safe fn proxy_on_grpc_receive(context_id: u32, token: u32, size: usize);
    pub(super) safe fn proxy_on_grpc_close(context_id: u32, token: u32, status: u32);
    pub(super) safe fn proxy_on_log(context_id: u32);
    pub(super) safe fn proxy_on_done(context_id: u32) -> bool;
    pub(super) safe fn proxy_on_delete(context_id: u32);
}

/// Starts this thread's VM.
pub(super) fn initialize() {
    /// The SDK sets the process's logger and panic hook when it is first started.
    static STARTING: Mutex<()> = Mutex::new(());
    let _starting = STARTING.lock();
    // SAFETY: the macro of the SDK defines it with this signature; it has no preconditions.
    unsafe { _initialize() };
    // A panic in a VM aborts the process: it cannot unwind through the ABI. Its message, and that
    // of a failed assertion, is to be shown by Rust's own hook.
    drop(std::panic::take_hook());
}
