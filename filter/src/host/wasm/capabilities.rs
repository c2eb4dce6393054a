//! The host functions that the module cannot do without, and which of them this host forbids.
//!
//! Envoy answers a function that `capability_restriction_config` leaves out with an internal failure, whatever it is asked. The
//! SDK panics on that, which costs the VM with every stream on it; and where it does not, a stream could not be judged or cut.
//! Every function is called once for that, before a configuration is taken, with what no host can do anything with: a number that
//! names nothing, or an address outside of memory.

/// Says whether the host forbids nothing that is needed, and tells what it forbids.
pub(super) fn are_there() -> bool {
    let forbidden = forbidden();
    if !forbidden.is_empty() {
        tell_forbidden(&forbidden);
    }
    forbidden.is_empty()
}

/// Returns the names of the functions that the host forbids.
fn forbidden() -> Vec<&'static str> {
    /// The status of the ABI that Envoy answers for what it forbids, `WasmResult::InternalFailure`.
    const INTERNAL_FAILURE: u32 = 10;
    let answers = answers();
    answers.into_iter().filter(|(_, status)| *status == INTERNAL_FAILURE).map(|(name, _)| name).collect()
}

/// Tells what the host forbids, by nothing else that it may forbid.
fn tell_forbidden(functions: &[&str]) {
    if !functions.contains(&"proxy_log") {
        let names = functions.join(", ");
        log::error!(
            "postern: configuration refused: the capability_restriction_config of Envoy forbids {names}; allow these, or leave it out"
        );
    }
}

/// Calls each function, and returns the status of each by its name.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "the SDK has no binding of these calls that does not panic")]
fn answers() -> [(&'static str, u32); 20] {
    /// The number of no map, buffer, stream, context or metric, and the address of no byte.
    const NOTHING: u32 = u32::MAX;

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        safe fn proxy_log(level: u32, text: u32, len: u32) -> u32;
        safe fn proxy_get_current_time_nanoseconds(time: u32) -> u32;
        safe fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        safe fn proxy_set_effective_context(context: u32) -> u32;
        safe fn proxy_get_buffer_bytes(kind: u32, start: u32, max: u32, bytes: u32, len: u32) -> u32;
        safe fn proxy_set_buffer_bytes(kind: u32, start: u32, len: u32, bytes: u32, size: u32) -> u32;
        safe fn proxy_get_header_map_pairs(map: u32, bytes: u32, len: u32) -> u32;
        safe fn proxy_get_header_map_value(map: u32, name: u32, len: u32, value: u32, value_len: u32) -> u32;
        safe fn proxy_add_header_map_value(map: u32, name: u32, len: u32, value: u32, value_len: u32) -> u32;
        safe fn proxy_replace_header_map_value(
            map: u32,
            name: u32,
            len: u32,
            value: u32,
            value_len: u32,
        ) -> u32;
        safe fn proxy_remove_header_map_value(map: u32, name: u32, len: u32) -> u32;
        safe fn proxy_get_property(path: u32, len: u32, value: u32, value_len: u32) -> u32;
        safe fn proxy_get_shared_data(key: u32, len: u32, value: u32, value_len: u32, cas: u32) -> u32;
        safe fn proxy_set_shared_data(key: u32, len: u32, value: u32, value_len: u32, cas: u32) -> u32;
        safe fn proxy_define_metric(kind: u32, name: u32, len: u32, id: u32) -> u32;
        safe fn proxy_increment_metric(id: u32, by: i64) -> u32;
        safe fn proxy_record_metric(id: u32, value: u64) -> u32;
        safe fn proxy_continue_stream(kind: u32) -> u32;
        safe fn proxy_close_stream(kind: u32) -> u32;
        safe fn proxy_send_local_response(
            status: u32,
            details: u32,
            details_len: u32,
            body: u32,
            body_len: u32,
            fields: u32,
            fields_len: u32,
            grpc_status: i32,
        ) -> u32;
    }
    [
        ("proxy_log", proxy_log(0, NOTHING, 1)),
        ("proxy_get_current_time_nanoseconds", proxy_get_current_time_nanoseconds(NOTHING)),
        // None, until the configuration is taken.
        ("proxy_set_tick_period_milliseconds", proxy_set_tick_period_milliseconds(0)),
        ("proxy_set_effective_context", proxy_set_effective_context(NOTHING)),
        ("proxy_get_buffer_bytes", proxy_get_buffer_bytes(NOTHING, 0, 0, NOTHING, NOTHING)),
        ("proxy_set_buffer_bytes", proxy_set_buffer_bytes(NOTHING, 0, 0, NOTHING, 1)),
        ("proxy_get_header_map_pairs", proxy_get_header_map_pairs(NOTHING, NOTHING, NOTHING)),
        ("proxy_get_header_map_value", proxy_get_header_map_value(NOTHING, NOTHING, 1, NOTHING, NOTHING)),
        ("proxy_add_header_map_value", proxy_add_header_map_value(NOTHING, NOTHING, 1, NOTHING, 1)),
        ("proxy_replace_header_map_value", proxy_replace_header_map_value(NOTHING, NOTHING, 1, NOTHING, 1)),
        ("proxy_remove_header_map_value", proxy_remove_header_map_value(NOTHING, NOTHING, 1)),
        ("proxy_get_property", proxy_get_property(NOTHING, 1, NOTHING, NOTHING)),
        ("proxy_get_shared_data", proxy_get_shared_data(NOTHING, 1, NOTHING, NOTHING, NOTHING)),
        ("proxy_set_shared_data", proxy_set_shared_data(NOTHING, 1, NOTHING, 1, 0)),
        ("proxy_define_metric", proxy_define_metric(0, NOTHING, 1, NOTHING)),
        ("proxy_increment_metric", proxy_increment_metric(NOTHING, 0)),
        ("proxy_record_metric", proxy_record_metric(NOTHING, 0)),
        ("proxy_continue_stream", proxy_continue_stream(NOTHING)),
        ("proxy_close_stream", proxy_close_stream(NOTHING)),
        ("proxy_send_local_response", proxy_send_local_response(0, NOTHING, 1, NOTHING, 1, NOTHING, 1, -1)),
    ]
}

/// Returns nothing: only a host of WebAssembly can forbid anything.
#[cfg(not(target_arch = "wasm32"))]
fn answers() -> [(&'static str, u32); 0] {
    []
}
