//! What a client sends and what does not go on with the callback that brought it: kept by Envoy, parked, or before the filter that
//! sends; and the frames of ours that go to the upstream between.

use std::cell::{Cell, RefCell};

use postern_engine::Peer;

use super::abi::calls::{Body, Filter};
use super::{senders, worker};

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
    /// Says whether a hook of the stream has panicked.
    pub(super) has_panicked: Cell<bool>,
    /// The frames of ours that are on their way to the upstream.
    pub(super) to_upstream: RefCell<Vec<u8>>,
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

    /// Notes whether the handshake waits.
    pub(super) fn set_waits(&self, waits: bool) {
        if self.waits.replace(waits) != waits {
            senders::count_waiting(waits);
        }
    }

    /// Says whether the filter that sends is to keep what the client sends, and notes that it does.
    pub(super) fn keep_early_bytes(&self) -> bool {
        let keeps = self.waits.get();
        self.sender_keeps.set(keeps || self.sender_keeps.get());
        keeps
    }

    /// Says whether it is what was kept that the client's hook is called with.
    pub(super) fn is_let_go(&self) -> bool {
        self.sender_lets_go.get()
    }

    /// Has Envoy continue the client's stream, with all that it keeps of it.
    fn continue_request(&self, filter: Filter) {
        self.is_parked.set(false);
        self.with_envoy(Peer::Client).set(false);
        let before = self.is_continuing.replace(true);
        filter.continue_request();
        self.is_continuing.set(before);
    }
}

/// Has a handshake that waited go on, and behind it, as a chunk of its own, what the client has sent meanwhile.
pub(super) fn continue_with_early_bytes(id: u32, filter: Filter, kept: &Kept) {
    kept.set_waits(false);
    if !kept.sender_keeps.take() {
        kept.continue_request(filter);
        return;
    }
    let early = filter.body(Body::KeptRequest).to_vec();
    filter.drain(Body::KeptRequest, early.len());
    kept.continue_request(filter);
    // Meanwhile the stream may have ended.
    if let Some(sender) = worker::entry(id).and_then(|entry| entry.sender) {
        sender.append(Body::KeptRequest, &early);
        kept.sender_lets_go.set(true);
        sender.continue_request();
        kept.sender_lets_go.set(false);
    }
}

/// Sends the frames that are on their way to the upstream, outside of all callbacks of the stream; if that is not parked they go
/// with the next chunk.
pub(super) fn inject(filter: Filter, kept: &Kept) {
    if kept.is_parked.get() && filter.append(Body::KeptRequest, &kept.to_upstream.take()) {
        kept.continue_request(filter);
    }
}

/// Has a chunk of the client's go on, behind the frames that were on their way, whose stream is parked and stays so: its hook
/// has to stop, with nothing, for Envoy to continue the stream once more.
pub(super) fn pass_parked(filter: Filter, kept: &Kept, body: Body) {
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

/// Moves what a callback has brought behind what Envoy keeps.
pub(super) fn keep_all(filter: Filter, received: Body, kept: Body) {
    let bytes = filter.body(received).to_vec();
    if !bytes.is_empty() {
        filter.append(kept, &bytes);
        filter.drain(received, bytes.len());
    }
}

/// Puts frames of our own before a body.
pub(super) fn put_before(filter: Filter, body: Body, own: &[u8]) {
    let bytes = filter.body(body).to_vec();
    filter.drain(body, bytes.len());
    filter.append(body, own);
    filter.append(body, &bytes);
}
