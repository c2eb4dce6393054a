//! The callback at hand, and what is asked of Envoy once it is over.
//!
//! Envoy calls back within calls, for another hook of the same stream, or to destroy it. So whatever can make it do that is put off
//! until nothing is borrowed: the [`Effect`]s.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use postern_engine::Peer;

use super::abi::calls::{Body, Counting, Filter, FilterConfig};
use super::connections;
use super::kept::{self, TO_UPSTREAM};
use super::owed_counts;
use super::senders;
use super::worker::{Entry, entry};
use crate::stream::Stream;

thread_local! {
    /// The place of the callback at hand.
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
    static EFFECTS: RefCell<VecDeque<(u32, Effect)>> = RefCell::default();
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
    /// Says whether the stream to the upstream has to be parked for frames of ours to get there.
    pub(super) parks: bool,
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

impl Current {
    /// Returns the place of a stream, on its worker.
    pub(super) fn of_stream(id: u32, filter: Filter, configuration: u64) -> Self {
        Self {
            counting: Counting::Filter(filter),
            configuration,
            stream: Some((id, filter)),
            body: None,
            parks: true,
        }
    }

    /// Returns the place of a configuration, on the main thread.
    pub(super) fn of_main(config: FilterConfig, configuration: u64) -> Self {
        Self { counting: Counting::Config(config), configuration, stream: None, body: None, parks: true }
    }
}

/// Returns the place of the callback at hand.
pub(super) fn current() -> Option<Current> {
    CURRENT.get()
}

/// Makes this configuration's root the one at hand, in the callback of another.
pub(super) fn enter_configuration(configuration: u64) {
    if let Some(current) = CURRENT.get() {
        CURRENT.set(Some(Current { configuration, ..current }));
    }
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

/// Calls a stream, unless it is being called.
pub(super) fn in_stream<T>(
    id: u32,
    body: Option<(Peer, Body)>,
    call: impl FnOnce(&mut Stream) -> T,
) -> Option<T> {
    in_entry(&entry(id)?, body, call)
}

/// Calls this stream, unless it is being called.
pub(super) fn in_entry<T>(
    entry: &Entry,
    body: Option<(Peer, Body)>,
    call: impl FnOnce(&mut Stream) -> T,
) -> Option<T> {
    let Entry { id, filter, configuration, stream, kept, .. } = entry;
    let parks = kept.connection.get().is_none();
    let current = Current { body, parks, ..Current::of_stream(*id, *filter, *configuration) };
    at(current, || stream.try_borrow_mut().ok().map(|mut stream| call(&mut stream)))
}

/// Does `callback` at this place, and then what it has put off.
pub(super) fn at<T>(current: Current, callback: impl FnOnce() -> T) -> T {
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
        Effect::ToClient(bytes) => match (sender, kept.connection.get()) {
            (Some(sender), _) => senders::send_to_client(id, sender, &bytes),
            (None, Some(connection)) if !kept.send_by_connection(connection, &bytes) => {
                kept::cut(filter, "a frame to the client would overtake what another filter keeps");
            }
            (None, _) => {}
        },
        Effect::ToUpstream(bytes) => {
            let is_first = kept.to_upstream.borrow().is_empty();
            kept.to_upstream.borrow_mut().extend_from_slice(&bytes);
            if let Some(scheduler) = is_first.then(|| filter.scheduler()).flatten() {
                scheduler.commit(TO_UPSTREAM);
            }
        }
        Effect::ContinueRequest => kept::continue_with_early_bytes(id, filter, &kept),
        Effect::PassParked(body) => kept::pass_parked(id, filter, &kept, body),
        Effect::Reply { status, fields, body } => filter.send_response(status, &fields, &body),
        Effect::Reset => filter.reset(),
    }
}

/// Forgets the callback that panicked, with all that a stream had put off.
pub(super) fn forget(stream: Option<u32>) {
    CURRENT.set(None);
    senders::forget_own();
    connections::forget_own();
    owed_counts::forget();
    EFFECTS.with_borrow_mut(|effects| effects.retain(|(of, _)| Some(*of) != stream));
}
