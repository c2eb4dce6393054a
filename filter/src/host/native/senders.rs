//! The filters that send to clients. Envoy calls no hook of a filter's any more for a response to which that filter itself has
//! added; so a second one does that, which has nothing else to do.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::abi::calls::Filter;
use super::streams::DataStatus;
use super::worker;
use crate::host::Flow;

/// The key in a stream's filter state under which its sender announces itself.
const STATE: &str = "postern.sender";

thread_local! {
    static SENDERS: RefCell<HashMap<u32, Sender>> = RefCell::default();
    /// The stream whose own frame passes its hook.
    static OWN: Cell<Option<u32>> = const { Cell::new(None) };
    /// The number of handshakes that wait, so that most chunks cost nothing here.
    static WAITING: Cell<usize> = const { Cell::new(0) };
}

/// A filter that sends to a client.
#[derive(Clone, Copy)]
struct Sender {
    filter: Filter,
    /// The stream for which it sends.
    stream: Option<u32>,
}

/// Adds a filter that sends to the client of its stream, and returns its number.
pub(super) fn open(filter: Filter) -> u32 {
    let id = worker::next_number();
    SENDERS.with_borrow_mut(|senders| senders.insert(id, Sender { filter, stream: None }));
    id
}

/// Lets the filter that judges the same stream find the one that sends, which is called first.
pub(super) fn announce(id: u32) {
    let filter = SENDERS.with_borrow(|senders| senders.get(&id).map(|sender| sender.filter));
    if let Some((filter, announcement)) = filter.and_then(|filter| Some((filter, filter.announcement(id)?))) {
        filter.set_state(STATE, &announcement);
    }
}

/// Has the filter that has announced itself send for a stream, and returns it. It may be of another build of the module, which
/// is pushed by itself; only one of this build keeps what comes early.
pub(super) fn pair(stream: u32, filter: Filter) -> Option<Filter> {
    let (announced, number) = Filter::announced(&filter.state(STATE)?)?;
    SENDERS.with_borrow_mut(|senders| {
        if let Some(own) = senders.get_mut(&number).filter(|sender| sender.filter == announced) {
            own.stream = Some(stream);
        }
    });
    Some(announced)
}

/// Keeps what a client sends while its handshake waits, before the filter that judges: a stream that is continued with bytes in
/// that filter's own keeping could not be parked behind them.
pub(super) fn on_body(id: u32) -> DataStatus {
    if WAITING.get() == 0 {
        return DataStatus::Continue;
    }
    let stream = SENDERS.with_borrow(|senders| senders.get(&id).and_then(|sender| sender.stream));
    let keeps = stream.and_then(worker::entry).is_some_and(|entry| entry.kept.keep_early_bytes());
    if keeps { DataStatus::StopAndWatermark } else { DataStatus::Continue }
}

/// Counts a handshake that waits, or no longer does.
pub(super) fn count_waiting(waits: bool) {
    WAITING.set(if waits { WAITING.get() + 1 } else { WAITING.get().saturating_sub(1) });
}

/// Sends bytes to the client of a stream.
pub(super) fn send_to_client(stream: u32, sender: Filter, bytes: &[u8]) {
    let before = OWN.replace(Some(stream));
    sender.send_to_client(bytes);
    OWN.set(before);
}

/// Has the hook of a stream's response stop, for an empty chunk, so that Envoy 1.38 continues the stream if it is asked to: it does so
/// if the hook of its filter that it has called last has stopped, whether for the request or for the response.
pub(super) fn stop_response(stream: u32) {
    if let Some(sender) = worker::entry(stream).and_then(|entry| entry.sender) {
        send_to_client(stream, sender, &[]);
    }
}

/// Says whether a filter has this number.
pub(super) fn has(id: u32) -> bool {
    SENDERS.with_borrow(|senders| senders.contains_key(&id))
}

/// Takes the trailers of a client. They stay behind what was kept of it.
pub(super) fn on_trailers(id: u32) -> Flow {
    let stream = SENDERS.with_borrow(|senders| senders.get(&id).and_then(|sender| sender.stream));
    let keeps = stream.and_then(worker::entry).is_some_and(|entry| entry.kept.has_early_bytes());
    if keeps { Flow::Pause } else { Flow::Continue }
}

/// Says whether it is a frame of its own that a stream's hook is called with.
pub(super) fn is_own(stream: u32) -> bool {
    OWN.get() == Some(stream)
}

/// Forgets the frame that was on its way as a hook panicked.
pub(super) fn forget_own() {
    OWN.set(None);
}

/// Takes the end of a filter that sends.
pub(super) fn forget(id: u32) {
    SENDERS.with_borrow_mut(|senders| senders.remove(&id));
}
