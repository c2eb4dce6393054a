//! The streams of a worker, and what their filters ask for, by the numbers that stand for them.
//!
//! A stream is found for as long as its filters have not been destroyed. Whatever the module asks for later, or on another
//! thread, is a fault of the module's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::abi::{Buffer, Handle, HeaderField};
use crate::events::{Scheduler, Target};
use crate::log;
use crate::stream::{Field, Peer, Stream};

thread_local! {
    static STREAMS: RefCell<HashMap<usize, Rc<Stream>>> = RefCell::default();
}

/// Returns a number that no stream or configuration has had.
pub(crate) fn next_number() -> usize {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Has a stream be found.
pub(crate) fn add(stream: &Rc<Stream>) {
    STREAMS.with_borrow_mut(|streams| streams.insert(stream.number, Rc::clone(stream)));
}

/// Has a stream be found no more.
pub(crate) fn remove(stream: &Stream) {
    STREAMS.with_borrow_mut(|streams| streams.remove(&stream.number));
}

/// Returns the stream of a filter, if it is there: events may come later.
pub(crate) fn find(filter: Handle) -> Option<Rc<Stream>> {
    STREAMS.with_borrow(|streams| streams.get(&(filter / 2)).cloned())
}

/// Returns the stream of a filter of which the module asks something.
fn get(filter: Handle) -> Option<Rc<Stream>> {
    let found = find(filter);
    if found.is_none() {
        log::broken(format!("the module asked for something of a stream that is gone: {filter}"));
    }
    found
}

/// Expects a stream to be there.
pub(crate) fn expect(filter: Handle) {
    get(filter);
}

/// Expects a stream to be asked to count no more than a few things by labels: Envoy keeps these for as long as it lasts.
pub(crate) fn expect_to_count_little(filter: Handle, labels: usize) {
    /// The most that the module may ask for.
    const MOST: u32 = 32;
    let Some(stream) = get(filter).filter(|_| labels > 0) else { return };
    let mut state = stream.state.borrow_mut();
    state.counts += 1;
    if state.counts > MOST {
        log::broken(format!("a stream was asked to count {} things", state.counts));
    }
}

/// Returns how many fields a message has.
pub(crate) fn field_count(filter: Handle, kind: u32) -> usize {
    get(filter).map_or(0, |stream| stream.state.borrow().message(kind).len())
}

/// Returns all fields of a message.
pub(crate) fn fields(filter: Handle, kind: u32) -> Option<Vec<HeaderField>> {
    let stream = get(filter)?;
    let state = stream.state.borrow();
    Some(state.message(kind).iter().map(HeaderField::of).collect())
}

/// Returns how many fields have a name, and the value of one of them.
pub(crate) fn field(filter: Handle, kind: u32, name: &[u8], index: usize) -> Option<(usize, Option<Buffer>)> {
    let stream = get(filter)?;
    let state = stream.state.borrow();
    let named = || state.message(kind).iter().filter(|(known, _)| known == name);
    Some((named().count(), named().nth(index).map(|(_, value)| Buffer::of(value))))
}

/// Sets a field, or takes it out.
pub(crate) fn set_field(filter: Handle, kind: u32, name: &[u8], value: Option<&[u8]>) -> bool {
    change_fields(filter, kind, |fields| {
        fields.retain(|(known, _)| known != name);
        fields.extend(value.map(|value| (name.to_vec(), value.to_vec())));
    })
}

/// Adds a field.
pub(crate) fn add_field(filter: Handle, kind: u32, name: &[u8], value: &[u8]) -> bool {
    change_fields(filter, kind, |fields| fields.push((name.to_vec(), value.to_vec())))
}

fn change_fields(filter: Handle, kind: u32, change: impl FnOnce(&mut Vec<Field>)) -> bool {
    let Some(stream) = get(filter) else { return false };
    change(stream.state.borrow_mut().message_mut(kind));
    true
}

/// Answers in the upstream's place.
pub(crate) fn reply(filter: Handle, status: u32, fields: Vec<Field>, body: &[u8]) {
    let Some(stream) = get(filter) else { return };
    if body.is_empty() && fields.iter().any(|(name, _)| name == b"content-type") {
        log::broken(format!("an answer {status} has a type and no body"));
    }
    stream.reply(status, fields);
}

/// Sends bytes of the module's own to the client.
pub(crate) fn send_to_client(filter: Handle, bytes: &[u8], ends: bool) {
    let Some(stream) = get(filter) else { return };
    if filter.is_multiple_of(2) || ends {
        log::broken("the filter that judges has sent to the client, or has ended the response".to_owned());
    }
    stream.send_to_client(bytes);
}

/// Returns the length of a body.
pub(crate) fn body_len(filter: Handle, body: u32) -> usize {
    let found = get(filter).and_then(|stream| stream.body(body));
    found.map_or(0, |slices| slices.borrow().iter().map(Vec::len).sum())
}

/// Returns the slices of a body, if there is one.
pub(crate) fn body(filter: Handle, body: u32) -> Option<Vec<Buffer>> {
    let stream = get(filter)?;
    let shared = stream.body(body)?;
    let slices = shared.borrow();
    Some(slices.iter().map(|slice| Buffer::of(slice)).collect())
}

/// Puts bytes behind a body.
pub(crate) fn append(filter: Handle, body: u32, bytes: &[u8]) -> bool {
    get(filter).is_some_and(|stream| stream.append(body, bytes))
}

/// Takes the first bytes out of a body.
pub(crate) fn drain(filter: Handle, body: u32, count: usize) -> bool {
    get(filter).is_some_and(|stream| stream.drain(body, count))
}

/// Lets the request go on.
pub(crate) fn continue_request(filter: Handle) {
    if let Some(stream) = get(filter) {
        stream.continue_decoding();
    }
}

/// Cuts a stream, as the module asks.
pub(crate) fn cut(filter: Handle) {
    if let Some(stream) = get(filter) {
        stream.cut();
    }
}

/// Returns a scheduler for events of a stream.
pub(crate) fn scheduler(filter: Handle) -> Option<Scheduler> {
    get(filter).map(|_| Scheduler::of_this_thread(Target::Stream(filter)))
}

/// Returns an attribute that is text.
pub(crate) fn attribute(filter: Handle, attribute: u32) -> Option<Buffer> {
    let stream = get(filter)?;
    match attribute {
        10 => Some(Buffer::of(b"HTTP/1.1")),
        24 => Some(Buffer::of(stream.address.as_bytes())),
        61 => Some(Buffer::of(b"a route")),
        _ => None,
    }
}

/// Returns an attribute that is a number.
pub(crate) fn number(filter: Handle, attribute: u32) -> Option<u64> {
    let stream = get(filter)?;
    (attribute == 28).then_some(stream.connection.id)
}

/// Keeps a value with a stream.
pub(crate) fn set_state(filter: Handle, key: &[u8], value: &[u8]) -> bool {
    let Some(stream) = get(filter) else { return false };
    let mut state = stream.state.borrow_mut();
    state.kept_values.insert(key.to_vec(), value.to_vec());
    true
}

/// Returns a value that is kept with a stream.
pub(crate) fn state(filter: Handle, key: &[u8]) -> Option<Buffer> {
    let stream = get(filter)?;
    let state = stream.state.borrow();
    state.kept_values.get(key).map(|value| Buffer::of(value))
}

/// Says how many streams of this thread have not ended.
pub(crate) fn open_streams() -> usize {
    STREAMS.with_borrow(HashMap::len)
}

impl Peer {
    /// Returns the peer whose body it is, by Envoy's numbers.
    pub(crate) fn of_body(body: u32) -> Self {
        if body < 2 { Self::Client } else { Self::Upstream }
    }
}
