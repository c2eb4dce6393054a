//! The bytes of a client's that do not go on with the callback that brought them: kept by Envoy, parked, or before the filter that
//! judges; and the frames of ours that go to the upstream between.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use postern_engine::Peer;

use super::abi::calls::{Body, Filter};
use super::{connections, senders, worker};

/// The event in which a stream's frames go to its upstream.
pub(super) const TO_UPSTREAM: u64 = 3;

/// The bytes of a stream that did not go on with the callback that brought them.
#[derive(Default)]
pub(super) struct Kept {
    /// Says whether Envoy keeps some of the client's, and of the upstream's.
    with_envoy: [Cell<bool>; 2],
    /// Says whether Envoy would continue the client's stream, which holds nothing: its last hook has stopped.
    pub(super) is_parked: Cell<bool>,
    /// Says whether Envoy is continuing the client's stream, in which it calls the hook with what it has kept.
    pub(super) is_continuing: Cell<bool>,
    /// Says whether the handshake waits for somebody.
    waits: Cell<bool>,
    /// Says whether the filter that sends has kept what the client sent meanwhile, and lets go of it now.
    sender_keeps: Cell<bool>,
    sender_lets_go: Cell<bool>,
    /// Says whether what the hook at hand was given is to go on with it.
    pub(super) goes_on: Cell<bool>,
    /// Says whether the response has begun and not ended.
    pub(super) is_responding: Cell<bool>,
    /// Says whether a hook of the stream has panicked.
    pub(super) has_panicked: Cell<bool>,
    /// The number of counts that the stream has told itself.
    counts: Cell<u8>,
    /// The number of counts of others that the stream has told.
    told: Cell<usize>,
    /// The fields for the access log, by their keys, if they are to be set at the end.
    pub(super) fields: RefCell<BTreeMap<String, String>>,
    /// The client's connection, if it takes frames of ours to either peer.
    pub(super) connection: Cell<Option<u64>>,
    /// The frames of ours that are on their way to the upstream.
    pub(super) to_upstream: RefCell<Vec<u8>>,
    /// The number of bytes that Envoy had sent by the connection before the fields of the response, until bytes follow these.
    sent_before_head: Cell<Option<u64>>,
    /// The number of bytes that Envoy will have sent by the connection once it has sent all that the stream has let go.
    sent_by_then: Cell<Option<u64>>,
}

impl Kept {
    /// Returns the note whether Envoy keeps some of this peer's bytes.
    pub(super) fn with_envoy(&self, sender: Peer) -> &Cell<bool> {
        let [client, upstream] = &self.with_envoy;
        match sender {
            Peer::Client => client,
            Peer::Upstream => upstream,
        }
    }

    /// Notes whether the handshake waits, and says whether it has.
    pub(super) fn set_waits(&self, waits: bool) -> bool {
        let waited = self.waits.replace(waits);
        if waited != waits {
            senders::count_waiting(waits);
        }
        waited
    }

    /// Says whether the filter that sends is to keep what the client sends, and notes that it does.
    pub(super) fn keep_early_bytes(&self) -> bool {
        let keeps = self.waits.get();
        self.sender_keeps.set(keeps || self.sender_keeps.get());
        keeps
    }

    /// Says whether the filter that sends has kept something.
    pub(super) fn has_early_bytes(&self) -> bool {
        self.sender_keeps.get()
    }

    /// Says whether it is what was kept that the client's hook is called with.
    pub(super) fn is_let_go(&self) -> bool {
        self.sender_lets_go.get()
    }

    /// Says whether the stream may tell one more count itself, and counts that.
    pub(super) fn may_count(&self) -> bool {
        /// The most that it may: each costs memory for as long as the stream lasts.
        const MOST: u8 = 32;
        let may = self.counts.get() < MOST;
        if may {
            self.counts.set(self.counts.get() + 1);
        }
        may
    }

    /// Says whether the stream may tell so many counts of others.
    pub(super) fn can_tell(&self, count: usize) -> bool {
        /// The most that it may, which keep some 15 KiB for as long as the stream lasts.
        const MOST: usize = 128;
        self.told.get().saturating_add(count) <= MOST
    }

    /// Notes that the stream tells so many counts of others.
    pub(super) fn note_told(&self, count: usize) {
        self.told.set(self.told.get().saturating_add(count));
    }

    /// Notes that the fields of the response go on to the client.
    pub(super) fn note_head(&self) {
        self.sent_before_head.set(self.connection.get().and_then(connections::sent));
    }

    /// Notes that so many bytes go on to the client. If the fields before the first are still with another filter, they never count as
    /// sent.
    pub(super) fn note_let_go(&self, len: usize) {
        let Some(connection) = self.connection.get() else { return };
        let before = match self.sent_before_head.take() {
            Some(before) => {
                connections::sent(connection).map(|sent| if sent > before { sent } else { u64::MAX })
            }
            None => self.sent_by_then.get(),
        };
        self.sent_by_then.set(before.map(|sent| sent.saturating_add(len as u64)));
    }

    /// Sends frames to the client by its connection, if that is there, which no filter sees; says whether all that the stream has let
    /// go is sent. What is still with another filter would come between.
    pub(super) fn send_by_connection(&self, connection: u64, frames: &[u8]) -> bool {
        let Some(sent) = connections::sent(connection) else { return true };
        let is_clear = self.sent_by_then.get() == Some(sent);
        if is_clear {
            self.note_let_go(frames.len());
            connections::send_to_client(connection, frames);
        }
        is_clear
    }

    /// Says whether frames can go to the upstream now, ahead of nothing that Envoy keeps of the client's.
    fn takes_frames(&self) -> bool {
        !self.with_envoy(Peer::Client).get() && (self.connection.get().is_some() || self.is_parked.get())
    }

    /// Has the frames that are on their way to the upstream go there in an event of their own, if they can.
    pub(super) fn inject_soon(&self, filter: Filter) {
        if !self.takes_frames() || self.to_upstream.borrow().is_empty() {
            return;
        }
        if let Some(scheduler) = filter.scheduler() {
            scheduler.commit(TO_UPSTREAM);
        }
    }

    /// Says whether a chunk of which nothing goes on need not stop the stream: frames get to the upstream by the connection, and to
    /// the client at any time, but the end of a response may have to wait. No chunk comes while the headers before it wait.
    pub(super) fn needs_no_stop(&self, sender: Peer, is_last: bool) -> bool {
        match sender {
            Peer::Client => self.connection.get().is_some(),
            Peer::Upstream => !is_last,
        }
    }

    /// Says whether Envoy continues the client's stream if it is asked to: it does so once for each hook of it that has stopped.
    fn can_be_continued(&self) -> bool {
        self.is_parked.get() || self.with_envoy(Peer::Client).get()
    }

    /// Has Envoy continue the client's stream, with all that it keeps of it.
    fn continue_request(&self, id: u32, filter: Filter) {
        self.is_parked.set(false);
        self.with_envoy(Peer::Client).set(false);
        let before = self.is_continuing.replace(true);
        if !Filter::is_continued_whatever_the_response_does() && self.is_responding.get() {
            senders::stop_response(id);
        }
        // Meanwhile the stream may have ended.
        if worker::entry(id).is_some() {
            filter.continue_request();
        }
        self.is_continuing.set(before);
    }
}

/// Has what waited go on: bytes of an open connection, or a handshake, and behind it, as a chunk of its own, what the client has sent
/// meanwhile.
pub(super) fn continue_with_early_bytes(id: u32, filter: Filter, kept: &Kept) {
    let waited = kept.set_waits(false);
    let sender = worker::entry(id).and_then(|entry| entry.sender);
    let has_early = kept.sender_keeps.take() || waited && sender.is_none();
    if !has_early {
        // Envoy would leave them with what it keeps: they go by the connection, or with the next chunk.
        if !waited && !kept.can_be_continued() {
            return;
        }
        // They were to go before what has been kept since.
        let own = kept.to_upstream.take();
        if !own.is_empty() && !put_before(filter, Body::KeptRequest, &own) {
            cut(filter, "a frame could not be put before what Envoy keeps");
            return;
        }
        kept.continue_request(id, filter);
        return;
    }
    let early = filter.body(Body::KeptRequest).to_vec();
    if !early.is_empty() && !filter.drain(Body::KeptRequest, early.len()) {
        cut(filter, "early bytes could not be taken");
        return;
    }
    kept.continue_request(id, filter);
    // Meanwhile the stream may have ended.
    if worker::entry(id).is_none() || early.is_empty() {
        return;
    }
    let is_back = match sender {
        Some(sender) => let_go_by_sender(sender, kept, &early),
        None => kept.connection.get().is_some_and(|connection| connections::bring(id, connection, &early)),
    };
    // Meanwhile the stream may have ended.
    if !is_back && worker::entry(id).is_some() {
        cut(filter, "early bytes could not be put back");
    }
}

/// Has the filter that sends let go of what it has kept, and says whether Envoy did.
fn let_go_by_sender(sender: Filter, kept: &Kept, early: &[u8]) -> bool {
    if !sender.append(Body::KeptRequest, early) {
        return false;
    }
    kept.sender_lets_go.set(true);
    sender.continue_request();
    kept.sender_lets_go.set(false);
    true
}

/// Sends the frames that are on their way to the upstream, outside of all callbacks of the stream: by the client's connection, or into
/// the stream that is parked. Without either they go with the next chunk.
pub(super) fn inject(id: u32, filter: Filter, kept: &Kept) {
    if !kept.takes_frames() || kept.to_upstream.borrow().is_empty() {
        return;
    }
    if let Some(connection) = kept.connection.get() {
        let has_come = connections::inject(id, connection, &kept.to_upstream.take());
        // Meanwhile the stream may have ended.
        if !has_come && worker::entry(id).is_some() {
            cut(filter, "what Postern says to the upstream was kept before it came to Postern");
        }
        return;
    }
    if is_clear(filter) && filter.append(Body::KeptRequest, &kept.to_upstream.take()) {
        kept.continue_request(id, filter);
    } else {
        cut(filter, "a frame could not be put into it");
    }
}

/// Says whether Envoy keeps nothing of the client's, as it does of a stream that is parked. Whatever is there has not been judged, or
/// has gone on before: a router that may try again keeps what it has sent.
fn is_clear(filter: Filter) -> bool {
    filter.body_len(Body::KeptRequest) == 0
}

/// Has a chunk of the client's go on, behind the frames that were on their way, whose stream is parked and stays so: its hook
/// has to stop, with nothing, for Envoy to continue the stream once more. A stream that Envoy would not continue now is parked by the
/// next hook that has nothing to let go.
pub(super) fn pass_parked(id: u32, filter: Filter, kept: &Kept, body: Body) {
    if kept.is_continuing.get() || !kept.can_be_continued() {
        kept.goes_on.set(true);
        return;
    }
    let own = kept.to_upstream.take();
    let is_kept = match body {
        Body::ReceivedRequest => {
            is_clear(filter)
                && (own.is_empty() || filter.append(Body::KeptRequest, &own))
                && keep_all(filter, body, Body::KeptRequest)
        }
        _ => own.is_empty() || put_before(filter, body, &own),
    };
    if is_kept {
        kept.continue_request(id, filter);
    } else {
        cut(filter, "what goes on could not be put behind what Envoy keeps");
    }
}

/// Cuts a stream of which Envoy does not do what it was asked for: bytes would be lost, or pass unjudged.
pub(super) fn cut(filter: Filter, why: &str) {
    log::error!("postern: a stream is cut: {why}");
    filter.reset();
}

/// Moves what a callback has brought behind what Envoy keeps, and says whether Envoy did.
pub(super) fn keep_all(filter: Filter, received: Body, kept: Body) -> bool {
    let bytes = filter.body(received).to_vec();
    bytes.is_empty() || filter.append(kept, &bytes) && filter.drain(received, bytes.len())
}

/// Puts frames of our own before a body, and says whether Envoy did.
pub(super) fn put_before(filter: Filter, body: Body, own: &[u8]) -> bool {
    let bytes = filter.body(body).to_vec();
    (bytes.is_empty() || filter.drain(body, bytes.len()))
        && filter.append(body, own)
        && (bytes.is_empty() || filter.append(body, &bytes))
}
