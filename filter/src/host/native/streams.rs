//! The hooks of a stream, each as what the shell is called with and what it answers.

use postern_engine::Peer;

use super::abi::calls::{Attribute, Body, Fields, Filter};
use super::callback::{self, Current, Effect, at, in_entry, in_stream, put_off};
use super::connections;
use super::kept::{Kept, TO_UPSTREAM, cut, inject, keep_all, put_before};
use super::senders;
use super::worker::{self, Entry, INTERNAL_SERVER_ERROR, TICK, entry};
use crate::host::Flow;
use crate::stream::Stream;

/// The answer of a body hook, by Envoy's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum DataStatus {
    Continue = 0,
    StopAndBuffer = 1,
    StopAndWatermark = 2,
    StopNoBuffer = 3,
}

/// Takes the fields of a request, and says whether it goes on. Without a way to its client no upgrade is judged or goes on.
pub(super) fn on_request_headers(id: u32) -> Flow {
    find_connection(id);
    if !worker::find_sender(id) && !sends_by_connection(id) && is_upgrade(id) {
        refuse_unsendable(id);
        return Flow::Pause;
    }
    worker::begin_ticks_of(id);
    worker::catch_up(id);
    let flow = in_stream(id, None, Stream::on_request_headers).unwrap_or(Flow::Pause);
    if let (Flow::Pause, Some(Entry { kept, .. })) = (flow, entry(id)) {
        kept.set_waits(true);
    }
    flow
}

/// Notes the connection of a stream that is its own, if that has the network filter.
fn find_connection(id: u32) {
    let Some(Entry { filter, kept, .. }) = entry(id) else { return };
    let is_own = matches!(filter.text(Attribute::Protocol).as_deref(), Some(b"HTTP/1.0" | b"HTTP/1.1"));
    kept.connection.set(filter.connection_id().filter(|id| is_own && connections::has(*id)));
}

/// Says whether frames go to the client of a stream by its connection, and need no filter that sends. In Envoy 1.38 that filter has
/// to do more for a stream that has stopped.
fn sends_by_connection(id: u32) -> bool {
    Filter::is_continued_whatever_the_response_does()
        && entry(id).is_some_and(|entry| entry.kept.connection.get().is_some())
}

fn is_upgrade(id: u32) -> bool {
    entry(id).is_none_or(|entry| postern_engine::is_upgrade(&entry.filter.fields(Fields::Request)))
}

/// Answers an upgrade for which nothing would send frames to the client: the configuration of Envoy is wrong.
fn refuse_unsendable(id: u32) {
    let Some(Entry { filter, configuration, .. }) = entry(id) else { return };
    log::error!(
        "postern: no filter named postern-sender stands before this one, and no postern-injector serves the connection; every \
         upgrade is refused"
    );
    at(Current::of_stream(id, filter, configuration), || {
        put_off(Effect::Reply { status: INTERNAL_SERVER_ERROR, fields: Vec::new(), body: Vec::new() });
    });
}

/// Takes the fields of a response, which may be all of it, and says whether it goes on.
pub(super) fn on_response_headers(id: u32, is_all: bool) -> Flow {
    let flow = in_stream(id, None, Stream::on_response_headers).unwrap_or(Flow::Pause);
    if let Some(Entry { kept, .. }) = entry(id) {
        kept.is_responding.set(flow == Flow::Continue && !is_all);
        kept.note_head();
    }
    flow
}

/// Takes the trailers of a peer, and says whether they go on.
pub(super) fn on_trailers(id: u32, sender: Peer) -> Flow {
    let trailers = match sender {
        Peer::Client => Stream::on_request_trailers,
        Peer::Upstream => Stream::on_response_trailers,
    };
    note_end(id, sender);
    in_stream(id, None, trailers).unwrap_or(Flow::Pause)
}

/// Notes that nothing of the upstream's follows.
fn note_end(id: u32, sender: Peer) {
    if let (Peer::Upstream, Some(Entry { kept, .. })) = (sender, entry(id)) {
        kept.is_responding.set(false);
    }
}

/// Takes a chunk of a peer's, which may be the last, and says what becomes of it.
pub(super) fn on_body(id: u32, sender: Peer, is_last: bool) -> DataStatus {
    if is_last {
        note_end(id, sender);
    }
    let Some(entry) = entry(id) else { return DataStatus::StopAndBuffer };
    let (filter, kept) = (entry.filter, &entry.kept);
    if sender == Peer::Upstream && senders::is_own(id) {
        return pass_own(filter, kept);
    }
    if sender == Peer::Client && connections::is_own(id, || filter.body(Body::ReceivedRequest).to_vec()) {
        return DataStatus::Continue;
    }
    let is_sent_by_connection = sender == Peer::Upstream && entry.sender.is_none();
    if is_sent_by_connection {
        // Frames of ours may go ahead of it.
        kept.note_let_go(0);
    }
    let Some(body) = body_at_hand(filter, kept, sender) else {
        cut(filter, "a chunk could not be put behind what Envoy keeps");
        return DataStatus::StopAndBuffer;
    };
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
    let goes_on = flow == Flow::Continue || kept.goes_on.get();
    if sender == Peer::Client
        && goes_on
        && !kept.to_upstream.borrow().is_empty()
        && !put_before(filter, body, &kept.to_upstream.take())
    {
        cut(filter, "a frame could not be put before a chunk");
    }
    let status = match flow {
        Flow::Continue => DataStatus::Continue,
        Flow::Pause if kept.goes_on.take() => DataStatus::Continue,
        // For a stream that goes on after a stop Envoy keeps a buffer, and sends once more what its router keeps for redirects.
        Flow::Pause if filter.body_len(body) == 0 && kept.needs_no_stop(sender, is_last) => {
            DataStatus::Continue
        }
        Flow::Pause if filter.body_len(body) == 0 => DataStatus::StopNoBuffer,
        Flow::Pause => DataStatus::StopAndBuffer,
    };
    kept.with_envoy(sender).set(status == DataStatus::StopAndBuffer);
    if is_sent_by_connection && status == DataStatus::Continue {
        kept.note_let_go(filter.body_len(body));
    }
    if sender == Peer::Client {
        kept.is_parked.set(status == DataStatus::StopNoBuffer);
        kept.inject_soon(filter);
    }
    status
}

/// Lets a frame of our own on to the client, unless it would take along what Envoy keeps of the upstream's. Without one, the hook is
/// to stop.
fn pass_own(filter: Filter, kept: &Kept) -> DataStatus {
    if filter.body_len(Body::ReceivedResponse) == 0 {
        return DataStatus::StopNoBuffer;
    }
    if !kept.with_envoy(Peer::Upstream).get() {
        return DataStatus::Continue;
    }
    cut(filter, "a frame to the client would overtake what Envoy keeps");
    DataStatus::StopAndBuffer
}

/// Returns the body that has all that a peer's stream is to be called with: what Envoy keeps of it comes first. There is none if Envoy
/// does not put both together.
fn body_at_hand(filter: Filter, kept: &Kept, sender: Peer) -> Option<Body> {
    let (received, kept_body) = match sender {
        Peer::Client => (Body::ReceivedRequest, Body::KeptRequest),
        Peer::Upstream => (Body::ReceivedResponse, Body::KeptResponse),
    };
    // Envoy hands over the very bytes that it keeps.
    if sender == Peer::Client && kept.is_let_go() {
        return Some(kept_body);
    }
    if !kept.with_envoy(sender).get() {
        return Some(received);
    }
    keep_all(filter, received, kept_body).then_some(kept_body)
}

/// Takes an event of a stream.
pub(super) fn on_event(id: u32, event: u64) {
    let Some(Entry { filter, configuration, kept, .. }) = entry(id) else { return };
    at(Current::of_stream(id, filter, configuration), || match event {
        TICK => {
            worker::take_answers();
            worker::tick();
        }
        TO_UPSTREAM => inject(id, filter, &kept),
        _ => worker::take_answers(),
    });
}

/// Takes the end of a stream, whose access log is written next.
pub(super) fn on_complete(id: u32) {
    in_stream(id, None, |stream| {
        stream.on_log();
        stream.on_done();
    });
    if let Some(Entry { filter, kept, .. }) = entry(id) {
        for (key, value) in kept.fields.take() {
            filter.set_state(&key, value.as_bytes());
        }
    }
    worker::end(id);
}

/// Takes a panic in the hook of a stream, and says whether the stream that was at hand is cut: in a tick it is another.
pub(super) fn on_panic(id: u32) -> bool {
    let at_hand = callback::current().and_then(|current| current.stream).map_or(id, |(id, _)| id);
    callback::forget(Some(at_hand));
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
    callback::forget(None);
}
