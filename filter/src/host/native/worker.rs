//! The streams and configurations of one thread of Envoy's, and what is asked of Envoy once a callback is over.
//!
//! A thread is to Postern what a VM is: all that it keeps is its own. Envoy calls back within calls, for another hook of the same
//! stream, or to destroy it. So whatever can make it do that is put off until nothing is borrowed: the [`Effect`]s.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use postern_engine::Peer;

use crate::host::Flow;
use crate::root::Root;
use crate::stream::Stream;

use super::abi::calls::{Body, Counting, Filter, FilterConfig, Scheduler};
use super::callouts::{self, Answer};
use super::configurations::{self, Configuration};
use super::ticker::{self, Ticker};

/// The status of answers to requests that cannot be judged.
pub(super) const INTERNAL_SERVER_ERROR: u16 = 500;

/// The event that brings a tick.
pub(super) const TICK: u64 = 1;
/// The event by which answers of other services, or requests for them, are looked after.
pub(super) const CALLS: u64 = 2;
/// The event in which a stream's frames go to its upstream.
const TO_UPSTREAM: u64 = 3;

/// The key in a stream's filter state under which its sender's number is.
const SENDER: &str = "postern.sender";

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
    /// The place of the callback at hand.
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
    /// The stream whose own frame passes its hook.
    static OWN: Cell<Option<u32>> = const { Cell::new(None) };
    static EFFECTS: RefCell<VecDeque<(u32, Effect)>> = RefCell::default();
    /// The number of handshakes that wait, so that most chunks cost nothing at the filter that sends.
    static WAITING: Cell<usize> = const { Cell::new(0) };
}

/// The state of a thread.
#[derive(Default)]
struct Worker {
    roots: BTreeMap<u64, Rc<RefCell<Root>>>,
    streams: HashMap<u32, Entry>,
    /// The filters that send to the clients of streams, by their numbers.
    senders: HashMap<u32, Sender>,
    /// The configurations by whose events ticks can come, which the main thread has.
    configurations: BTreeMap<u64, FilterConfig>,
    /// The number that was given out last, to a root or to a stream.
    last: u32,
    ticker: Option<Arc<Ticker>>,
    /// The stream whose scheduler brings the ticks.
    ticked: Option<u32>,
    /// Says whether the thread rests: no stream is there to bring ticks, so that it takes no part in what others look after.
    rests: bool,
}

/// A filter that sends to a client.
#[derive(Clone, Copy)]
struct Sender {
    filter: Filter,
    /// The stream for which it sends.
    stream: Option<u32>,
}

/// A stream and what Envoy keeps of it.
#[derive(Clone)]
struct Entry {
    id: u32,
    filter: Filter,
    configuration: u64,
    stream: Rc<RefCell<Stream>>,
    kept: Rc<Kept>,
    /// The number of the filter that sends to the client.
    sender: Option<u32>,
}

/// The bytes that did not go on with the callback that brought them.
#[derive(Default)]
struct Kept {
    /// Says whether Envoy keeps some of the client's, and of the upstream's.
    with_envoy: [Cell<bool>; 2],
    /// Says whether Envoy would continue the client's stream, which holds nothing: its last hook has stopped.
    is_parked: Cell<bool>,
    /// Says whether Envoy is continuing the client's stream, in which it calls the hook with what it has kept.
    is_continuing: Cell<bool>,
    /// Says whether the handshake waits for somebody.
    waits: Cell<bool>,
    /// Says whether the filter that sends has kept what the client sent meanwhile, and lets go of it now.
    sender_keeps: Cell<bool>,
    sender_lets_go: Cell<bool>,
    /// Says whether what the hook at hand was given is to go on with it.
    goes_on: Cell<bool>,
    /// Says whether a hook of the stream has panicked.
    has_panicked: Cell<bool>,
    /// The frames of ours that are on their way to the upstream.
    to_upstream: RefCell<Vec<u8>>,
}

/// The place of a callback.
#[derive(Clone, Copy)]
pub(super) struct Current {
    pub(super) counting: Counting,
    /// The configuration whose root or stream is called.
    pub(super) configuration: u64,
    /// The stream, if it is one's.
    pub(super) stream: Option<(u32, Filter)>,
    /// The body whose bytes the callback has brought.
    pub(super) body: Option<(Peer, Body)>,
}

/// A thing that Envoy does once nothing is borrowed.
pub(super) enum Effect {
    ToClient(Vec<u8>),
    ToUpstream(Vec<u8>),
    ContinueRequest,
    /// A body of the client's goes on, and its stream stays parked.
    PassParked(Body),
    Reply {
        status: u16,
        fields: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    Reset,
}

/// The answer of a body hook, by Envoy's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum DataStatus {
    Continue = 0,
    StopAndBuffer = 1,
    StopAndWatermark = 2,
    StopNoBuffer = 3,
}

/// Returns the place of the callback at hand.
pub(super) fn current() -> Option<Current> {
    CURRENT.get()
}

/// Puts off what Envoy is asked to do for the stream at hand. Returns false when there is none.
pub(super) fn put_off(effect: Effect) -> bool {
    let Some((id, _)) = current().and_then(|current| current.stream) else { return false };
    EFFECTS.with_borrow_mut(|effects| effects.push_back((id, effect)));
    true
}

/// Makes the stream of this number the one at hand, in the callback of another.
pub(crate) fn enter(id: u32) -> bool {
    let entry = entry(id);
    if let Some(Entry { filter, configuration, .. }) = &entry {
        CURRENT.set(Some(Current::of_stream(id, *filter, *configuration)));
    }
    entry.is_some()
}

impl Current {
    fn of_stream(id: u32, filter: Filter, configuration: u64) -> Self {
        Self { counting: Counting::Filter(filter), configuration, stream: Some((id, filter)), body: None }
    }

    fn of_main(config: FilterConfig, configuration: u64) -> Self {
        Self { counting: Counting::Config(config), configuration, stream: None, body: None }
    }
}

/// Takes a new configuration, on the main thread; returns its number if it is valid.
pub(super) fn configure(config: FilterConfig, name: Vec<u8>, text: Vec<u8>) -> Option<u64> {
    let configuration = configurations::add(config, name, text);
    let number = configuration.number;
    let taken = at(Current::of_main(config, number), || add_root(&configuration)).is_some();
    if taken {
        WORKER.with_borrow_mut(|worker| worker.configurations.insert(number, config));
        begin_ticks(config.scheduler());
        configuration.set_scheduler(config.scheduler());
    } else {
        configurations::remove(number);
    }
    taken.then_some(number)
}

/// Takes the end of a configuration, on the main thread. The roots of workers follow at their next ticks.
pub(super) fn forget_configuration(number: u64) {
    configurations::remove(number);
    let (gone, left) = WORKER.with_borrow_mut(|worker| {
        let gone = worker.configurations.remove(&number);
        (gone, worker.configurations.values().next_back().copied())
    });
    if let Some(config) = gone {
        at(Current::of_main(config, number), || end_roots(|ended| ended == number));
    }
    begin_ticks(left.and_then(FilterConfig::scheduler));
}

/// Takes an event of a configuration, on the main thread.
pub(super) fn on_configuration_event(config: FilterConfig, number: u64, event: u64) {
    at(Current::of_main(config, number), || match event {
        TICK => tick(),
        _ => {
            callouts::make_calls(config, number);
            take_answers();
        }
    });
}

/// Opens a stream under a configuration, and returns its number.
pub(super) fn open(number: u64, filter: Filter) -> Option<u32> {
    let configuration = configurations::get(number)?;
    let id = next_number();
    let stream = at(Current::of_stream(id, filter, number), || {
        let known = WORKER.with_borrow(|worker| worker.roots.get(&number).cloned());
        let root = known.or_else(|| add_root(&configuration))?;
        let stream = root.borrow().open(id);
        Some(Rc::new(RefCell::new(stream)))
    })?;
    let entry = Entry { id, filter, configuration: number, stream, kept: Rc::default(), sender: None };
    WORKER.with_borrow_mut(|worker| worker.streams.insert(id, entry));
    Some(id)
}

/// Adds a filter that sends to the client of its stream, and returns its number.
pub(super) fn open_sender(filter: Filter) -> u32 {
    let id = next_number();
    WORKER.with_borrow_mut(|worker| worker.senders.insert(id, Sender { filter, stream: None }));
    id
}

/// Lets the filter that judges the same stream find the one that sends, which is called first.
pub(super) fn announce_sender(id: u32) {
    let sender = WORKER.with_borrow(|worker| worker.senders.get(&id).copied());
    if let Some(Sender { filter, .. }) = sender {
        filter.set_state(SENDER, &id.to_be_bytes());
    }
}

/// Keeps what a client sends while its handshake waits, before the filter that judges: a stream that is continued with bytes in
/// that filter's own keeping could not be parked behind them.
pub(super) fn on_sender_body(id: u32) -> DataStatus {
    if WAITING.get() == 0 {
        return DataStatus::Continue;
    }
    let stream = WORKER.with_borrow(|worker| worker.senders.get(&id).and_then(|sender| sender.stream));
    let Some(Entry { kept, .. }) = stream.and_then(entry).filter(|entry| entry.kept.waits.get()) else {
        return DataStatus::Continue;
    };
    kept.sender_keeps.set(true);
    DataStatus::StopAndWatermark
}

/// Takes the end of a filter that sends.
pub(super) fn forget_sender(id: u32) {
    WORKER.with_borrow_mut(|worker| worker.senders.remove(&id));
}

/// Has a stream send by the filter that has announced itself.
fn find_sender(id: u32) -> bool {
    let Some(Entry { filter, .. }) = entry(id) else { return false };
    let number = filter.state(SENDER).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    WORKER.with_borrow_mut(|worker| {
        let Worker { senders, streams, .. } = worker;
        let (Some(number), Some(entry)) = (number, streams.get_mut(&id)) else { return false };
        let Some(sender) = senders.get_mut(&number) else { return false };
        sender.stream = Some(id);
        entry.sender = Some(number);
        true
    })
}

/// Says whether a stream has been opened.
pub(super) fn knows(id: u32) -> bool {
    WORKER.with_borrow(|worker| worker.streams.contains_key(&id))
}

/// Takes the fields of a request, and says whether it goes on. Without a filter that sends, no request is judged or goes on.
pub(super) fn on_request_headers(id: u32) -> Flow {
    if !find_sender(id) {
        refuse_without_sender(id);
        return Flow::Pause;
    }
    begin_ticks_of(id);
    catch_up(id);
    let flow = in_stream(id, None, Stream::on_request_headers).unwrap_or(Flow::Pause);
    if let (Flow::Pause, Some(Entry { kept, .. })) = (flow, entry(id)) {
        kept.set_waits(true);
    }
    flow
}

/// Answers a request that no filter would send frames for: the configuration of Envoy is wrong.
fn refuse_without_sender(id: u32) {
    let Some(Entry { filter, configuration, .. }) = entry(id) else { return };
    log::error!("postern: no filter named postern-sender stands before this one; every request is refused");
    at(Current::of_stream(id, filter, configuration), || {
        put_off(Effect::Reply { status: INTERNAL_SERVER_ERROR, fields: Vec::new(), body: Vec::new() });
    });
}

/// Takes the fields of a response, and says whether it goes on.
pub(super) fn on_response_headers(id: u32) -> Flow {
    in_stream(id, None, Stream::on_response_headers).unwrap_or(Flow::Pause)
}

/// Takes the trailers of a peer, and says whether they go on.
pub(super) fn on_trailers(id: u32, sender: Peer) -> Flow {
    let trailers = match sender {
        Peer::Client => Stream::on_request_trailers,
        Peer::Upstream => Stream::on_response_trailers,
    };
    in_stream(id, None, trailers).unwrap_or(Flow::Pause)
}

/// Takes a chunk of a peer's, and says what becomes of it.
pub(super) fn on_body(id: u32, sender: Peer) -> DataStatus {
    if OWN.get() == Some(id) {
        return DataStatus::Continue;
    }
    let Some(entry) = entry(id) else { return DataStatus::StopAndBuffer };
    let Entry { filter, kept, .. } = &entry;
    let filter = *filter;
    let (received, kept_body, keeps) = match sender {
        Peer::Client => (Body::ReceivedRequest, Body::KeptRequest, &kept.with_envoy[0]),
        Peer::Upstream => (Body::ReceivedResponse, Body::KeptResponse, &kept.with_envoy[1]),
    };
    let mut body = received;
    if sender == Peer::Client && kept.sender_lets_go.get() {
        // Envoy hands over the very bytes that it keeps.
        body = kept_body;
    } else if keeps.replace(false) {
        keep_all(filter, received, kept_body);
        body = kept_body;
    }
    let len = filter.body_len(body);
    if sender == Peer::Client && kept.is_continuing.get() && len == 0 {
        // Nothing is lost, and Envoy can continue the stream once more.
        kept.is_parked.set(true);
        return DataStatus::StopNoBuffer;
    }
    let chunk = |stream: &mut Stream| match sender {
        Peer::Client => stream.on_request_body(len),
        Peer::Upstream => stream.on_response_body(len),
    };
    let flow = in_entry(&entry, Some((sender, body)), chunk).unwrap_or(Flow::Pause);
    if sender == Peer::Client && !kept.to_upstream.borrow().is_empty() {
        put_before(filter, body, &kept.to_upstream.take());
    }
    let status = match flow {
        Flow::Continue => DataStatus::Continue,
        Flow::Pause if kept.goes_on.take() => DataStatus::Continue,
        Flow::Pause if filter.body_len(body) == 0 => DataStatus::StopNoBuffer,
        Flow::Pause => {
            keeps.set(true);
            DataStatus::StopAndBuffer
        }
    };
    if sender == Peer::Client {
        kept.is_parked.set(status == DataStatus::StopNoBuffer);
    }
    status
}

/// Moves what a callback has brought behind what Envoy keeps.
fn keep_all(filter: Filter, received: Body, kept: Body) {
    let bytes = filter.body(received).to_vec();
    if !bytes.is_empty() {
        filter.append(kept, &bytes);
        filter.drain(received, bytes.len());
    }
}

/// Puts frames of our own before a body.
fn put_before(filter: Filter, body: Body, own: &[u8]) {
    let bytes = filter.body(body).to_vec();
    filter.drain(body, bytes.len());
    filter.append(body, own);
    filter.append(body, &bytes);
}

/// Takes an event of a stream.
pub(super) fn on_event(id: u32, event: u64) {
    let Some(Entry { filter, configuration, kept, .. }) = entry(id) else { return };
    at(Current::of_stream(id, filter, configuration), || match event {
        TICK => {
            take_answers();
            tick();
        }
        TO_UPSTREAM => inject(filter, &kept),
        _ => take_answers(),
    });
}

/// Takes the end of a stream, whose access log is written next.
pub(super) fn on_complete(id: u32) {
    in_stream(id, None, |stream| {
        stream.on_log();
        stream.on_done();
    });
    let is_last = WORKER.with_borrow(|worker| worker.streams.len() <= 1 && worker.ticked == Some(id));
    if is_last {
        rest(id);
    }
}

/// Takes the end of all that Envoy has of a stream.
pub(super) fn forget(id: u32) {
    let entry = WORKER.with_borrow_mut(|worker| worker.streams.remove(&id));
    if let Some(Entry { kept, .. }) = &entry {
        kept.set_waits(false);
    }
    drop(entry);
    let (was_ticked, next) = WORKER.with_borrow_mut(|worker| {
        let was_ticked = worker.ticked == Some(id);
        if was_ticked {
            worker.ticked = None;
        }
        (was_ticked, worker.streams.keys().next().copied())
    });
    if let (true, Some(next)) = (was_ticked, next) {
        begin_ticks_of(next);
    }
}

/// Takes a panic in the hook of a stream, and says whether the stream that was at hand is cut: in a tick it is another.
pub(super) fn on_panic(id: u32) -> bool {
    let at_hand = current().and_then(|current| current.stream).map_or(id, |(id, _)| id);
    forget_callback(Some(at_hand));
    let Some(entry) = entry(at_hand) else { return false };
    let fails_first = !entry.kept.has_panicked.replace(true);
    if fails_first && in_stream(at_hand, None, Stream::on_panic).is_some() {
        return true;
    }
    entry.filter.reset();
    true
}

/// Takes a panic in a hook that is no stream's.
pub(super) fn on_panic_elsewhere() {
    forget_callback(None);
}

/// Forgets the callback that panicked, with all that a stream had put off.
fn forget_callback(stream: Option<u32>) {
    CURRENT.set(None);
    OWN.set(None);
    EFFECTS.with_borrow_mut(|effects| effects.retain(|(of, _)| Some(*of) != stream));
}

/// Returns the number of a call to another service, which names it on this thread.
pub(super) fn next_number() -> u32 {
    WORKER.with_borrow_mut(|worker| {
        worker.last = worker.last.wrapping_add(1).max(1);
        worker.last
    })
}

/// Returns the ticker of this thread.
pub(super) fn ticker() -> Arc<Ticker> {
    WORKER.with_borrow_mut(|worker| Arc::clone(worker.ticker.get_or_insert_with(ticker::new)))
}

fn entry(id: u32) -> Option<Entry> {
    WORKER.with_borrow(|worker| worker.streams.get(&id).cloned())
}

/// Calls a stream, unless it is being called.
fn in_stream<T>(id: u32, body: Option<(Peer, Body)>, call: impl FnOnce(&mut Stream) -> T) -> Option<T> {
    in_entry(&entry(id)?, body, call)
}

fn in_entry<T>(entry: &Entry, body: Option<(Peer, Body)>, call: impl FnOnce(&mut Stream) -> T) -> Option<T> {
    let Entry { id, filter, configuration, stream, .. } = entry;
    let current = Current { body, ..Current::of_stream(*id, *filter, *configuration) };
    at(current, || stream.try_borrow_mut().ok().map(|mut stream| call(&mut stream)))
}

/// Does `callback` at this place, and then what it has put off.
fn at<T>(current: Current, callback: impl FnOnce() -> T) -> T {
    let before = CURRENT.replace(Some(current));
    let answer = callback();
    CURRENT.set(Some(current));
    while let Some((id, effect)) = EFFECTS.with_borrow_mut(VecDeque::pop_front) {
        perform(id, effect);
    }
    CURRENT.set(before);
    answer
}

fn perform(id: u32, effect: Effect) {
    let Some(Entry { filter, kept, sender, .. }) = entry(id) else { return };
    match effect {
        Effect::ToClient(bytes) => send_to_client(id, sender, &bytes),
        Effect::ToUpstream(bytes) => {
            let is_first = kept.to_upstream.borrow().is_empty();
            kept.to_upstream.borrow_mut().extend_from_slice(&bytes);
            if let Some(scheduler) = is_first.then(|| filter.scheduler()).flatten() {
                scheduler.commit(TO_UPSTREAM);
            }
        }
        Effect::ContinueRequest => continue_with_early_bytes(id, filter, &kept),
        Effect::PassParked(body) => pass_parked(filter, &kept, body),
        Effect::Reply { status, fields, body } => filter.send_response(status, &fields, &body),
        Effect::Reset => filter.reset(),
    }
}

/// Sends bytes to the client, by the filter that does nothing else: Envoy calls no hook of a filter's for a response to which
/// that filter itself has added.
fn send_to_client(id: u32, sender: Option<u32>, bytes: &[u8]) {
    let Some(sender) = sender.and_then(filter_that_sends) else { return };
    let before = OWN.replace(Some(id));
    sender.send_to_client(bytes);
    OWN.set(before);
}

fn filter_that_sends(number: u32) -> Option<Filter> {
    WORKER.with_borrow(|worker| worker.senders.get(&number).map(|sender| sender.filter))
}

/// Has a handshake that waited go on, and behind it, as a chunk of its own, what the client has sent meanwhile.
fn continue_with_early_bytes(id: u32, filter: Filter, kept: &Kept) {
    kept.set_waits(false);
    if !kept.sender_keeps.take() {
        kept.continue_request(filter);
        return;
    }
    let early = filter.body(Body::KeptRequest).to_vec();
    filter.drain(Body::KeptRequest, early.len());
    kept.continue_request(filter);
    // Meanwhile the stream may have ended.
    if let Some(sender) = entry(id).and_then(|entry| entry.sender).and_then(filter_that_sends) {
        sender.append(Body::KeptRequest, &early);
        kept.sender_lets_go.set(true);
        sender.continue_request();
        kept.sender_lets_go.set(false);
    }
}

/// Sends the frames that are on their way to the upstream, outside of all callbacks of the stream; if that is not parked they go
/// with the next chunk.
fn inject(filter: Filter, kept: &Kept) {
    if kept.is_parked.get() && filter.append(Body::KeptRequest, &kept.to_upstream.take()) {
        kept.continue_request(filter);
    }
}

/// Has a chunk of the client's go on, behind the frames that were on their way, whose stream is parked and stays so: its hook
/// has to stop, with nothing, for Envoy to continue the stream once more.
fn pass_parked(filter: Filter, kept: &Kept, body: Body) {
    if kept.is_continuing.get() {
        kept.goes_on.set(true);
        return;
    }
    let own = kept.to_upstream.take();
    if body == Body::ReceivedRequest {
        filter.append(Body::KeptRequest, &own);
        keep_all(filter, body, Body::KeptRequest);
    } else if !own.is_empty() {
        put_before(filter, body, &own);
    }
    kept.continue_request(filter);
}

impl Kept {
    fn set_waits(&self, waits: bool) {
        if self.waits.replace(waits) != waits {
            WAITING.set(if waits { WAITING.get() + 1 } else { WAITING.get().saturating_sub(1) });
        }
    }

    /// Has Envoy continue the client's stream, with all that it keeps of it.
    fn continue_request(&self, filter: Filter) {
        self.is_parked.set(false);
        self.with_envoy[0].set(false);
        let before = self.is_continuing.replace(true);
        filter.continue_request();
        self.is_continuing.set(before);
    }
}

/// Adds the root of a configuration to this thread, if it is valid.
fn add_root(configuration: &Configuration) -> Option<Rc<RefCell<Root>>> {
    let mut root = Root::new(next_number());
    if !root.on_configure(&configuration.text) {
        return None;
    }
    let root = Rc::new(RefCell::new(root));
    WORKER.with_borrow_mut(|worker| worker.roots.insert(configuration.number, Rc::clone(&root)));
    Some(root)
}

/// Ends the roots of these configurations.
fn end_roots(is_ended: impl Fn(u64) -> bool) {
    let ended: Vec<_> = WORKER.with_borrow_mut(|worker| {
        let numbers: Vec<_> = worker.roots.keys().copied().filter(|number| is_ended(*number)).collect();
        numbers.into_iter().filter_map(|number| worker.roots.remove(&number)).collect()
    });
    for root in ended {
        root.borrow_mut().on_done();
    }
}

/// Has all roots of this thread do what is due.
fn tick() {
    ticker().begin();
    end_roots(|number| configurations::get(number).is_none());
    let roots: Vec<_> = WORKER.with_borrow(|worker| worker.roots.clone().into_iter().collect());
    for (number, root) in roots {
        if let Some(current) = CURRENT.get() {
            CURRENT.set(Some(Current { configuration: number, ..current }));
        }
        root.borrow_mut().on_tick();
    }
}

/// Hands the answers that have come to the roots of this thread.
fn take_answers() {
    for answer in ticker().take_answers() {
        let roots: Vec<_> = WORKER.with_borrow(|worker| worker.roots.values().cloned().collect());
        match callouts::at_hand(answer) {
            Answer::Fetch { call, fields, len } => {
                for root in roots {
                    root.borrow_mut().on_fetched(call, fields, len);
                }
            }
            Answer::NotCalled { call } => {
                for root in roots {
                    root.borrow_mut().on_not_called(call);
                }
            }
            Answer::RateLimit { call, status, len } => {
                if let Some(root) = roots.first() {
                    root.borrow_mut().on_rate_limit_answered(call, status, len);
                }
            }
        }
    }
}

/// Has this stream bring the ticks of its thread, unless another does.
fn begin_ticks_of(id: u32) {
    let is_ticked = WORKER.with_borrow(|worker| worker.ticked.is_some());
    let Some(Entry { filter, .. }) = entry(id).filter(|_| !is_ticked) else { return };
    WORKER.with_borrow_mut(|worker| worker.ticked = Some(id));
    begin_ticks(filter.scheduler());
}

/// Has a thread that rested take part again, and does what has become due meanwhile.
fn catch_up(id: u32) {
    let rested = WORKER.with_borrow_mut(|worker| std::mem::take(&mut worker.rests));
    let is_due = rested || ticker().is_late();
    let Some(Entry { filter, configuration, .. }) = entry(id).filter(|_| is_due) else { return };
    at(Current::of_stream(id, filter, configuration), || {
        if rested {
            each_root(Root::wake);
        }
        take_answers();
        tick();
    });
}

/// Has the thread rest, whose last stream this is.
fn rest(id: u32) {
    let Some(Entry { filter, configuration, .. }) = entry(id) else { return };
    at(Current::of_stream(id, filter, configuration), || {
        tick();
        each_root(Root::rest);
    });
    WORKER.with_borrow_mut(|worker| worker.rests = true);
}

fn each_root(call: impl Fn(&mut Root)) {
    let roots: Vec<_> = WORKER.with_borrow(|worker| worker.roots.values().cloned().collect());
    roots.iter().for_each(|root| call(&mut root.borrow_mut()));
}

fn begin_ticks(scheduler: Option<Scheduler>) {
    let ticker = ticker();
    ticker.set_scheduler(scheduler);
    ticker::watch(&ticker);
}

/// Has the ticks of this thread come at this interval, or sooner if they are to.
pub(crate) fn set_tick_period(period: Duration) {
    ticker().set_period(period);
}
