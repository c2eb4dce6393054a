//! What the host knows on one worker: its streams, its clock, and what the filter told it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proxy_wasm::types::{BufferType, LogLevel, MapType, Status};

use super::buffer::Buffer;
use super::envoy::Envoy;

/// Header fields in order, names in lower case.
pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// The first value of the field `name`.
pub(crate) fn value_of<'f>(fields: &'f Fields, name: &str) -> Option<&'f [u8]> {
    fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
}

/// `proxy_send_local_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalReply {
    pub(crate) status: u32,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
}

/// The cluster that this Envoy knows.
pub(crate) const CLUSTER: &str = "auth";

/// Another one, for HTTP alone.
pub(crate) const OTHER_CLUSTER: &str = "other";

/// A call to a cluster that has no answer yet.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(super) id: u32,
    pub(super) root: u32,
    pub(crate) fields: Fields,
    pub(crate) timeout: Duration,
}

/// A gRPC call that has no answer yet.
#[derive(Clone, Debug)]
pub(crate) struct GrpcCall {
    pub(super) id: u32,
    pub(crate) message: Vec<u8>,
    pub(crate) timeout: Duration,
}

/// The answer to a call.
pub(super) struct CallAnswer {
    pub(super) fields: Fields,
    pub(super) body: Vec<u8>,
}

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// One worker's host.
pub(super) struct Host {
    pub(super) envoy: Arc<Envoy>,
    /// Since the Unix epoch.
    pub(super) now: Duration,
    pub(super) tick_period: Option<Duration>,
    pub(super) configuration: Vec<u8>,
    pub(super) log: Vec<(LogLevel, String)>,
    /// How often `verify_signature` was called.
    pub(super) asked_to_verify: u32,
    pub(super) effective: u32,
    pub(super) last_id: u32,
    pub(super) roots: BTreeSet<u32>,
    /// The names of the filters, by their roots.
    pub(super) filters: BTreeMap<u32, String>,
    pub(super) streams: BTreeMap<u32, StreamState>,
    pub(super) calls: Vec<Call>,
    /// During the callback with it.
    pub(super) answer: Option<CallAnswer>,
    pub(super) grpc_calls: Vec<GrpcCall>,
    /// During the callback with it.
    pub(super) grpc_answer: Option<Vec<u8>>,
    /// Says whether no gRPC call can be made, as where a cluster has no host.
    pub(super) refuses_grpc: bool,
}

/// One stream.
#[derive(Default)]
pub(super) struct StreamState {
    pub(super) request: Fields,
    pub(super) request_trailers: Fields,
    pub(super) response: Option<Fields>,
    /// Whether the request was paused at its header fields and has not been resumed since.
    pub(super) held: bool,
    /// What has come from the client meanwhile: Envoy calls no filter that has stopped all.
    pub(super) waiting: Vec<u8>,
    /// By their path, its parts joined by dots.
    pub(super) properties: BTreeMap<String, Vec<u8>>,
    pub(super) request_body: Buffer,
    pub(super) response_body: Buffer,
    /// What the filter asked for in the running callback. Envoy does it when that has returned.
    pub(super) asked: Asked,
    pub(super) outside: Outside,
    /// Whether the filter does not get at the body of the response.
    pub(super) hides_response_body: bool,
    /// Whether its context is deleted.
    pub(super) over: bool,
}

/// What the outside has got of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outside {
    /// The request as the upstream has it.
    pub(super) request: Option<Fields>,
    /// The response as the client has it.
    pub(super) response: Option<Fields>,
    pub(super) to_upstream: Vec<u8>,
    pub(super) to_client: Vec<u8>,
    pub(super) reply: Option<LocalReply>,
    pub(super) reset: bool,
}

/// Actions that Envoy does after a callback.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) reply: Option<LocalReply>,
    pub(super) reset: bool,
    pub(super) resume_request: bool,
    pub(super) resume_response: bool,
}

impl Host {
    pub(super) fn install(envoy: Arc<Envoy>) {
        let host = Self {
            envoy,
            now: Duration::from_secs(2_000_000_000),
            tick_period: None,
            configuration: Vec::new(),
            log: Vec::new(),
            asked_to_verify: 0,
            effective: 0,
            last_id: 0,
            roots: BTreeSet::new(),
            filters: BTreeMap::new(),
            streams: BTreeMap::new(),
            calls: Vec::new(),
            answer: None,
            grpc_calls: Vec::new(),
            grpc_answer: None,
            refuses_grpc: false,
        };
        HOST.with_borrow_mut(|slot| assert!(slot.replace(host).is_none(), "a thread is one worker"));
    }

    /// This thread's host; not to be held over a call into the filter, which calls back.
    pub(super) fn with<T>(act: impl FnOnce(&mut Self) -> T) -> T {
        HOST.with_borrow_mut(|host| act(host.as_mut().expect("the thread is a worker")))
    }

    pub(super) fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// The stream that calls are about.
    pub(super) fn current(&mut self) -> Option<&mut StreamState> {
        self.streams.get_mut(&self.effective).filter(|stream| !stream.over)
    }

    /// The header map of the current stream, if it has that message already.
    pub(super) fn map(&mut self, map: MapType) -> Result<&mut Fields, Status> {
        if map == MapType::HttpCallResponseHeaders {
            return self.answer.as_mut().map(|answer| &mut answer.fields).ok_or(Status::BadArgument);
        }
        let stream = self.current().ok_or(Status::BadArgument)?;
        match map {
            MapType::HttpRequestHeaders => Ok(&mut stream.request),
            MapType::HttpRequestTrailers => Ok(&mut stream.request_trailers),
            MapType::HttpResponseHeaders => stream.response.as_mut().ok_or(Status::NotFound),
            other => panic!("no map {other:?} in this host"),
        }
    }

    /// The body of the current stream.
    pub(super) fn buffer(&mut self, buffer: BufferType) -> Result<&mut Buffer, Status> {
        let stream = self.current().ok_or(Status::NotFound)?;
        match buffer {
            BufferType::HttpRequestBody => Ok(&mut stream.request_body),
            BufferType::HttpResponseBody if stream.hides_response_body => Err(Status::NotFound),
            BufferType::HttpResponseBody => Ok(&mut stream.response_body),
            other => panic!("no buffer {other:?} in this host"),
        }
    }
}
