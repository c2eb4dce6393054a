//! The calls to other services, which the main thread makes: what a stream of a worker's asks would end with the stream.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use postern_engine::remote::Spec;
use postern_engine::remote::rate_limit::RateLimitService;

use super::abi::calls::FilterConfig;
use super::ticker::Ticker;
use super::{callback, configurations, worker};

/// The most bytes that are kept of the answer of a rate limit service.
const MAX_MESSAGE: usize = 64 * 1024;

/// The status `UNAVAILABLE` of gRPC, of calls that came to nothing.
const UNAVAILABLE: u32 = 14;

thread_local! {
    /// The answer that is at hand.
    static AT_HAND: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::default();
    /// The fetches under way, by their configurations and Envoy's numbers.
    static FETCHES: RefCell<HashMap<(u64, u64), Caller>> = RefCell::default();
    /// The streams of gRPC under way.
    static STREAMS: RefCell<HashMap<(u64, u64), GrpcCall>> = RefCell::default();
}

/// A call that the main thread is to make.
#[derive(Debug)]
pub(super) struct Request {
    caller: Caller,
    cluster: String,
    fields: Vec<(&'static str, String)>,
    timeout: Duration,
    /// The message of a call by gRPC; absent in a fetch.
    message: Option<Vec<u8>>,
}

/// Whoever waits for an answer.
#[derive(Clone, Debug)]
struct Caller {
    thread: Arc<Ticker>,
    call: u32,
}

/// A call by gRPC under way.
#[derive(Debug)]
struct GrpcCall {
    caller: Caller,
    status: Option<u32>,
    bytes: Vec<u8>,
}

/// An answer on its way to its thread.
#[derive(Debug)]
pub(super) enum Answered {
    /// The fetch was not begun: Envoy does not know the cluster.
    NotCalled { call: u32 },
    /// The answer to a fetch; without a status if there is none.
    Fetch { call: u32, status: Option<Vec<u8>>, body: Vec<u8> },
    /// The answer of a rate limit service.
    RateLimit { call: u32, status: u32, message: Vec<u8> },
}

/// An answer that is at hand for whoever asked.
pub(super) enum Answer {
    NotCalled { call: u32 },
    Fetch { call: u32, fields: usize, len: usize },
    RateLimit { call: u32, status: u32, len: usize },
}

/// Has an answer at hand.
pub(super) fn at_hand(answered: Answered) -> Answer {
    let (answer, status, body) = match answered {
        Answered::NotCalled { call } => (Answer::NotCalled { call }, Vec::new(), Vec::new()),
        Answered::Fetch { call, status, body } => {
            let fields = usize::from(status.is_some());
            (Answer::Fetch { call, fields, len: body.len() }, status.unwrap_or_default(), body)
        }
        Answered::RateLimit { call, status, message } => {
            (Answer::RateLimit { call, status, len: message.len() }, Vec::new(), message)
        }
    };
    AT_HAND.set((status, body));
    answer
}

/// Returns the status of the answer at hand.
pub(crate) fn answer_status() -> Vec<u8> {
    AT_HAND.with_borrow(|(status, _)| status.clone())
}

/// Returns the first `max` bytes of the body of the answer at hand.
pub(crate) fn answer_body(max: usize) -> Vec<u8> {
    AT_HAND.with_borrow(|(_, body)| body.get(..max).unwrap_or(body).to_vec())
}

/// Returns the first `max` bytes of the message at hand.
pub(crate) fn grpc_answer(max: usize) -> Vec<u8> {
    answer_body(max)
}

/// Asks an Envoy cluster for a document. Returns the number that names the call when its answer comes.
pub(crate) fn get(spec: &Spec) -> Option<u32> {
    let fields = vec![
        (":method", "GET".to_owned()),
        (":scheme", spec.scheme.clone()),
        (":authority", spec.authority.clone()),
        (":path", spec.path.clone()),
        ("accept", "application/json".to_owned()),
        ("user-agent", "postern".to_owned()),
    ];
    request(&spec.cluster, fields, spec.timeout, None)
}

/// Asks the rate limit service with a serialised `RateLimitRequest`. Returns the number that names the call when its answer
/// comes.
pub(crate) fn ask_rate_limit(service: &RateLimitService, message: &[u8]) -> Option<u32> {
    let cluster = service.cluster();
    let fields = vec![
        (":method", "POST".to_owned()),
        (":scheme", "http".to_owned()),
        (":authority", cluster.to_owned()),
        (":path", "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit".to_owned()),
        ("content-type", "application/grpc".to_owned()),
        ("te", "trailers".to_owned()),
    ];
    let len = u32::try_from(message.len()).ok()?;
    // Not compressed; then the length.
    let framed = [&[0][..], &len.to_be_bytes(), message].concat();
    request(cluster, fields, service.timeout(), Some(framed))
}

fn request(
    cluster: &str,
    fields: Vec<(&'static str, String)>,
    timeout: Duration,
    message: Option<Vec<u8>>,
) -> Option<u32> {
    let configuration = configurations::get(callback::current()?.configuration)?;
    let call = worker::next_number();
    let caller = Caller { thread: worker::ticker(), call };
    let timeout = timeout.clamp(Duration::from_millis(1), Duration::from_secs(24 * 3600));
    configuration.request(Request { caller, cluster: cluster.to_owned(), fields, timeout, message });
    Some(call)
}

/// Makes the calls that are asked of a configuration; on the main thread.
pub(super) fn make_calls(config: FilterConfig, number: u64) {
    let Some(configuration) = configurations::get(number) else { return };
    for Request { caller, cluster, fields, timeout, message } in configuration.take_requests() {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match message {
            None => match config.call(&cluster, &fields, timeout) {
                Some(id) => {
                    FETCHES.with_borrow_mut(|fetches| fetches.insert((number, id), caller));
                }
                None => caller.thread.bring(Answered::NotCalled { call: caller.call }),
            },
            Some(message) => match config.stream(&cluster, &fields, &message, timeout) {
                Some(id) => {
                    let call = GrpcCall { caller, status: None, bytes: Vec::new() };
                    STREAMS.with_borrow_mut(|streams| streams.insert((number, id), call));
                }
                None => caller.bring_message(UNAVAILABLE, Vec::new()),
            },
        }
    }
}

/// Takes the answer to a fetch, without a status if there is none; on the main thread.
pub(super) fn on_fetched(number: u64, id: u64, status: Option<Vec<u8>>, body: Vec<u8>) {
    if let Some(caller) = FETCHES.with_borrow_mut(|fetches| fetches.remove(&(number, id))) {
        caller.bring_document(status, body);
    }
}

/// Takes the status of a call by gRPC, which is in its fields or its trailers.
pub(super) fn on_status(number: u64, id: u64, status: &[u8]) {
    let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
    change(number, id, |call| call.status = Some(status.unwrap_or(UNAVAILABLE)));
}

/// Takes bytes of the answer to a call by gRPC.
pub(super) fn on_bytes(number: u64, id: u64, bytes: &[u8]) {
    change(number, id, |call| {
        let room = MAX_MESSAGE.saturating_sub(call.bytes.len());
        call.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    });
}

/// Takes the end of a call by gRPC.
pub(super) fn on_end(number: u64, id: u64) {
    let call = STREAMS.with_borrow_mut(|streams| streams.remove(&(number, id)));
    if let Some(GrpcCall { caller, status, bytes }) = call {
        let message = message(&bytes).unwrap_or_default().to_vec();
        caller.bring_message(status.unwrap_or(UNAVAILABLE), message);
    }
}

/// Returns the one message of an answer, which is not compressed.
fn message(bytes: &[u8]) -> Option<&[u8]> {
    let (&[flag, a, b, c, d], message) = bytes.split_first_chunk::<5>()?;
    let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    (flag == 0 && message.len() == len).then_some(message)
}

/// Forgets the calls of configurations that Envoy has destroyed, and with them what would have told how they ended; on the main
/// thread.
pub(super) fn forget_ended() {
    let is_there = |number: u64| configurations::get(number).is_some();
    FETCHES.with_borrow_mut(|fetches| fetches.retain(|(of, _), _| is_there(*of)));
    STREAMS.with_borrow_mut(|streams| streams.retain(|(of, _), _| is_there(*of)));
}

fn change(number: u64, id: u64, change: impl FnOnce(&mut GrpcCall)) {
    STREAMS.with_borrow_mut(|streams| {
        if let Some(call) = streams.get_mut(&(number, id)) {
            change(call);
        }
    });
}

impl Caller {
    fn bring_document(self, status: Option<Vec<u8>>, body: Vec<u8>) {
        let Self { thread, call } = self;
        thread.bring(Answered::Fetch { call, status, body });
    }

    fn bring_message(self, status: u32, message: Vec<u8>) {
        let Self { thread, call } = self;
        thread.bring(Answered::RateLimit { call, status, message });
    }
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn an_answer_is_one_whole_message_that_is_not_compressed() {
        assert_eq!(message(&[0, 0, 0, 0, 2, 7, 8]), Some(&[7, 8][..]));
        assert_eq!(message(&[0, 0, 0, 0, 0]), Some(&[][..]));
        for bad in [&[][..], &[0, 0, 0, 0], &[1, 0, 0, 0, 1, 7], &[0, 0, 0, 0, 2, 7], &[0, 0, 0, 0, 1, 7, 8]]
        {
            assert_eq!(message(bad), None, "{bad:?}");
        }
    }
}
