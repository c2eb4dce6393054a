//! The functions that the SDK imports from its host.
//!
//! Whatever does not belong where it is called is answered with the status that Envoy has for
//! it, on which the SDK panics, which ends the test: it would have ended a VM.

#![allow(unsafe_code, reason = "the other side of the SDK's extern \"C\" declarations")]

use std::slice;

use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, Status, StreamType};

use super::state::{CLUSTER, Call, Fields, GrpcCall, Host, LocalReply, OTHER_CLUSTER};

/// The bytes that the filter points to.
///
/// # Safety
/// `bytes` is null, or good for reads of `size` bytes while the slice lives.
unsafe fn read<'a>(bytes: *const u8, size: usize) -> &'a [u8] {
    if bytes.is_null() {
        return &[];
    }
    // SAFETY: by this function's own condition.
    unsafe { slice::from_raw_parts(bytes, size) }
}

/// Hands bytes over to the filter, which frees them as a `Vec` of exactly this capacity. Nothing
/// is a null pointer.
///
/// # Safety
/// Both pointers are good for writes.
unsafe fn hand_over(bytes: Vec<u8>, to: *mut *mut u8, size: *mut usize) {
    let len = bytes.len();
    let start = if bytes.is_empty() {
        std::ptr::null_mut()
    } else {
        Box::into_raw(bytes.into_boxed_slice()).cast::<u8>()
    };
    // SAFETY: by this function's own condition.
    unsafe {
        *to = start;
        *size = len;
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the SDK hands over text here")
}

fn status(result: Result<(), Status>) -> Status {
    result.err().unwrap_or(Status::Ok)
}

/// Count, lengths of names and values, and then both with a NUL behind each.
fn serialize(fields: &Fields) -> Vec<u8> {
    let number = |len: usize| u32::try_from(len).unwrap().to_le_bytes();
    let mut bytes = number(fields.len()).to_vec();
    for (name, value) in fields {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.len()));
    }
    for part in fields.iter().flat_map(|(name, value)| [name.as_bytes(), value]) {
        bytes.extend_from_slice(part);
        bytes.push(0);
    }
    bytes
}

fn deserialize(bytes: &[u8]) -> Fields {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let count = number(0);
    let mut at = 4 + 8 * count;
    let mut part = |len: usize| {
        let part = &bytes[at..at + len];
        at += len + 1;
        part
    };
    let field = |i: usize| {
        let name = text(part(number(4 + 8 * i)));
        (name.to_ascii_lowercase(), part(number(8 + 8 * i)).to_vec())
    };
    (0..count).map(field).collect()
}

// SAFETY of all that follows: the SDK calls these functions with pointers to its own slices and
// places for results, which are good as long as the call lasts.

#[unsafe(no_mangle)]
extern "C" fn proxy_log(level: LogLevel, message: *const u8, size: usize) -> Status {
    let message = text(unsafe { read(message, size) });
    Host::with(|host| host.log.push((level, message)));
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_current_time_nanoseconds(time: *mut u64) -> Status {
    unsafe { *time = u64::try_from(Host::with(|host| host.now).as_nanos()).unwrap() };
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_tick_period_milliseconds(period: u32) -> Status {
    Host::with(|host| host.tick_period = Some(std::time::Duration::from_millis(period.into())));
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_effective_context(context_id: u32) -> Status {
    Host::with(|host| {
        let live = host.streams.get(&context_id).is_some_and(|stream| !stream.over);
        if !live && !host.roots.contains(&context_id) {
            return Status::BadArgument;
        }
        host.effective = context_id;
        Status::Ok
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_buffer_bytes(
    buffer: BufferType,
    start: usize,
    max_size: usize,
    bytes: *mut *mut u8,
    size: *mut usize,
) -> Status {
    let found = Host::with(|host| match buffer {
        BufferType::PluginConfiguration => Ok(host.configuration.clone()),
        BufferType::GrpcReceiveBuffer => {
            let answer = host.grpc_answer.as_ref().ok_or(Status::NotFound)?;
            Ok(answer.iter().skip(start).take(max_size).copied().collect())
        }
        BufferType::HttpCallResponseBody => {
            let answer = host.answer.as_ref().ok_or(Status::NotFound)?;
            Ok(answer.body.iter().skip(start).take(max_size).copied().collect())
        }
        buffer => host.buffer(buffer)?.get(start, max_size),
    });
    status(found.map(|found| unsafe { hand_over(found, bytes, size) }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_buffer_bytes(
    buffer: BufferType,
    start: usize,
    size: usize,
    bytes: *const u8,
    bytes_size: usize,
) -> Status {
    let bytes = unsafe { read(bytes, bytes_size) };
    Host::with(|host| host.buffer(buffer).map_or_else(|status| status, |b| b.set(start, size, bytes)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_header_map_pairs(map: MapType, bytes: *mut *mut u8, size: *mut usize) -> Status {
    let pairs = Host::with(|host| host.map(map).map(|fields| serialize(fields)));
    status(pairs.map(|pairs| unsafe { hand_over(pairs, bytes, size) }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_header_map_value(
    map: MapType,
    name: *const u8,
    name_size: usize,
    bytes: *mut *mut u8,
    size: *mut usize,
) -> Status {
    let name = text(unsafe { read(name, name_size) });
    let value = Host::with(|host| {
        let fields = host.map(map)?;
        fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone()).ok_or(Status::NotFound)
    });
    status(value.map(|value| unsafe { hand_over(value, bytes, size) }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_remove_header_map_value(map: MapType, name: *const u8, name_size: usize) -> Status {
    let name = text(unsafe { read(name, name_size) });
    status(Host::with(|host| host.map(map).map(|fields| fields.retain(|(n, _)| *n != name))))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_add_header_map_value(
    map: MapType,
    name: *const u8,
    name_size: usize,
    value: *const u8,
    value_size: usize,
) -> Status {
    let field = unsafe { (text(read(name, name_size)), read(value, value_size).to_vec()) };
    status(Host::with(|host| host.map(map).map(|fields| fields.push(field))))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_replace_header_map_value(
    map: MapType,
    name: *const u8,
    name_size: usize,
    value: *const u8,
    value_size: usize,
) -> Status {
    let (name, value) = unsafe { (text(read(name, name_size)), read(value, value_size).to_vec()) };
    status(Host::with(|host| {
        host.map(map).map(|fields| {
            let place = fields.iter().position(|(n, _)| *n == name).unwrap_or(fields.len());
            fields.retain(|(n, _)| *n != name);
            fields.insert(place, (name, value));
        })
    }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    bytes: *mut *mut u8,
    size: *mut usize,
) -> Status {
    let path = text(unsafe { read(path, path_size) }).replace('\0', ".");
    let value = Host::with(|host| {
        if let Some(filter) = host.filters.get(&host.effective).filter(|_| path == "plugin_name") {
            return Ok(filter.clone().into_bytes());
        }
        let stream = host.current().ok_or(Status::NotFound)?;
        stream.properties.get(&path).cloned().ok_or(Status::NotFound)
    });
    status(value.map(|value| unsafe { hand_over(value, bytes, size) }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_property(
    path: *const u8,
    path_size: usize,
    value: *const u8,
    value_size: usize,
) -> Status {
    let (path, value) = unsafe { (text(read(path, path_size)), read(value, value_size).to_vec()) };
    Host::with(|host| {
        let stream = host.current().expect("a property is a stream's");
        stream.properties.insert(path.replace('\0', "."), value);
    });
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_shared_data(
    key: *const u8,
    key_size: usize,
    bytes: *mut *mut u8,
    size: *mut usize,
    cas: *mut u32,
) -> Status {
    let key = unsafe { read(key, key_size) };
    let Some((value, number)) = Host::with(|host| host.envoy.shared(key)) else { return Status::NotFound };
    unsafe {
        hand_over(value, bytes, size);
        *cas = number;
    }
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_shared_data(
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
    cas: u32,
) -> Status {
    let (key, value) = unsafe { (read(key, key_size), read(value, value_size)) };
    Host::with(|host| host.envoy.set_shared(key, value, cas))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_define_metric(
    kind: MetricType,
    name: *const u8,
    name_size: usize,
    id: *mut u32,
) -> Status {
    let name = text(unsafe { read(name, name_size) });
    unsafe { *id = Host::with(|host| host.envoy.define_metric(kind, name)) };
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_increment_metric(id: u32, by: i64) -> Status {
    Host::with(|host| host.envoy.increment_metric(id, by))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_record_metric(id: u32, value: u64) -> Status {
    Host::with(|host| host.envoy.record_metric(id, value))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_continue_stream(stream: StreamType) -> Status {
    Host::with(|host| {
        let asked = &mut host.current().expect("a live stream goes on").asked;
        match stream {
            StreamType::HttpRequest => asked.resume_request = true,
            StreamType::HttpResponse => asked.resume_response = true,
            other => panic!("no stream {other:?} in this host"),
        }
        Status::Ok
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_close_stream(_stream: StreamType) -> Status {
    Host::with(|host| host.current().expect("a live stream is cut").asked.reset = true);
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_send_local_response(
    code: u32,
    _details: *const u8,
    _details_size: usize,
    body: *const u8,
    body_size: usize,
    fields: *const u8,
    fields_size: usize,
    _grpc_status: i32,
) -> Status {
    let (body, fields) = unsafe { (read(body, body_size), read(fields, fields_size)) };
    let reply = LocalReply { status: code, fields: deserialize(fields), body: body.to_vec() };
    Host::with(|host| {
        let asked = &mut host.current().expect("a live stream is answered").asked;
        assert!(asked.reply.replace(reply).is_none(), "a stream is answered once");
    });
    Status::Ok
}

#[unsafe(no_mangle)]
extern "C" fn proxy_call_foreign_function(
    name: *const u8,
    name_size: usize,
    argument: *const u8,
    argument_size: usize,
    bytes: *mut *mut u8,
    size: *mut usize,
) -> Status {
    let (name, argument) = unsafe { (text(read(name, name_size)), read(argument, argument_size)) };
    assert_eq!(name, "verify_signature", "no other function is this host's own");
    let answer = Host::with(|host| {
        host.asked_to_verify += 1;
        host.envoy.verification.answer(argument)
    });
    status(answer.map(|answer| unsafe { hand_over(answer, bytes, size) }))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_http_call(
    cluster: *const u8,
    cluster_size: usize,
    fields: *const u8,
    fields_size: usize,
    _body: *const u8,
    body_size: usize,
    _trailers: *const u8,
    _trailers_size: usize,
    timeout: u32,
    token: *mut u32,
) -> Status {
    let (cluster, fields) = unsafe { (text(read(cluster, cluster_size)), read(fields, fields_size)) };
    let fields = deserialize(fields);
    assert_eq!(body_size, 0, "nobody sends a body");
    for name in [":method", ":authority", ":path"] {
        assert!(fields.iter().any(|(n, _)| n == name), "Envoy makes no call without {name}");
    }
    Host::with(|host| {
        assert!(host.roots.contains(&host.effective), "a call is to be a root's");
        if ![CLUSTER, OTHER_CLUSTER].contains(&cluster.as_str()) {
            return Status::BadArgument;
        }
        let timeout = std::time::Duration::from_millis(timeout.into());
        let id = host.next_id();
        host.calls.push(Call { id, root: host.effective, fields, timeout });
        unsafe { *token = id };
        Status::Ok
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_grpc_call(
    target: *const u8,
    target_size: usize,
    service: *const u8,
    service_size: usize,
    method: *const u8,
    method_size: usize,
    _metadata: *const u8,
    _metadata_size: usize,
    message: *const u8,
    message_size: usize,
    timeout: u32,
    token: *mut u32,
) -> Status {
    let (target, service) = unsafe { (read(target, target_size), text(read(service, service_size))) };
    let (method, message) =
        unsafe { (text(read(method, method_size)), read(message, message_size).to_vec()) };
    assert_eq!(
        (service.as_str(), method.as_str()),
        ("envoy.service.ratelimit.v3.RateLimitService", "ShouldRateLimit")
    );
    assert!(timeout > 0, "Envoy takes zero for no timeout");
    // A `GrpcService` that names an `EnvoyGrpc` by its cluster.
    let name = [&[0x0a, u8::try_from(CLUSTER.len()).unwrap()], CLUSTER.as_bytes()].concat();
    let is_known =
        target.first() == Some(&0x0a) && target.get(2..).is_some_and(|grpc| grpc.starts_with(&name));
    Host::with(|host| {
        if !is_known || host.refuses_grpc {
            return Status::InternalFailure;
        }
        let timeout = std::time::Duration::from_millis(timeout.into());
        let id = host.next_id();
        host.grpc_calls.push(GrpcCall { id, message, timeout });
        unsafe { *token = id };
        Status::Ok
    })
}

/// Functions that the SDK imports and the filter has no use for.
macro_rules! never_called {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> Status {
            panic!("the filter called {}", stringify!($name));
        }
    )*};
}

never_called! {
    proxy_dequeue_shared_queue
    proxy_done
    proxy_enqueue_shared_queue
    proxy_get_log_level
    proxy_get_metric
    proxy_get_status
    proxy_grpc_cancel
    proxy_grpc_close
    proxy_grpc_send
    proxy_grpc_stream
    proxy_register_shared_queue
    proxy_resolve_shared_queue
    proxy_set_header_map_pairs
}
