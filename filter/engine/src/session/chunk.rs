//! The chunks of a session: the one call for each, which tries the cheap answers first, since they need no time, and the
//! judgement in every phase.

use std::time::Duration;

use crate::connection::Passage;
use crate::peer::Peer;
use crate::rate::Shared;
use crate::websocket::{Chunk, Unreadable};

use super::{Output, Phase, Session};
use crate::decision::cause::HandshakeFault;

/// The most bytes that a client may send ahead of the 101. It should send none (RFC 6455 §4.1), but some
/// clients do not wait; an upstream that declines must not take them for a request.
pub(super) const MAX_EARLY_BYTES: usize = 16 * 1024;

/// The judgement of a chunk and its stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// All of it goes on as it came, in a stream that stays as it was.
    Unread,
    /// All of it goes on as it came; its stream is resumed for that, and parked again.
    Plain,
    /// The passage goes on, by this time since the Unix epoch. There may be outputs.
    Judged(Passage, Duration),
}

impl Session {
    /// Judges a chunk that `peer` sent on the upgraded stream. `clock` is asked only if the time may matter.
    ///
    /// # Errors
    /// Returns [`Unreadable`] when bytes that must be judged cannot be read: the host has failed.
    pub fn on_chunk(
        &mut self,
        peer: Peer,
        chunk: &mut impl Chunk,
        shared: &mut dyn Shared,
        clock: impl FnOnce() -> Duration,
    ) -> Result<Judgement, Unreadable> {
        if self.pass_unread(peer, chunk.len()) {
            return Ok(Judgement::Unread);
        }
        if self.pass_plain(peer, chunk)? {
            return Ok(Judgement::Plain);
        }
        let now = clock();
        Ok(Judgement::Judged(self.judge(peer, chunk, shared, now)?, now))
    }

    /// Judges a chunk that `peer` sent on the upgraded stream, and says what goes on of it.
    ///
    /// # Errors
    /// Returns [`Unreadable`] when bytes that must be judged cannot be read: the host must cut the stream.
    pub fn judge(
        &mut self,
        peer: Peer,
        chunk: &mut impl Chunk,
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Result<Passage, Unreadable> {
        let passage = match &mut self.phase {
            Phase::Open(open) => {
                let was_ended = open.violation().is_some();
                let passage = open.on_bytes(peer, chunk, shared, now);
                // Bytes that cannot be read end the stream, but may come behind others that have ended the
                // connection.
                self.tell_violation(was_ended);
                self.pay(shared, now);
                self.send();
                return passage;
            }
            Phase::Shadowed(shadowed) => {
                let events = shadowed.judge(peer, chunk, shared, now);
                self.tell(events, now);
                Passage::whole(chunk.len())
            }
            Phase::Unjudged { .. } => Passage::whole(chunk.len()),
            Phase::Refused | Phase::Declined if peer == Peer::Upstream => Passage::whole(chunk.len()),
            // A chunk that went on would take the request with it.
            Phase::Handshake(_) if peer == Peer::Client && chunk.is_empty() => {
                Passage { park: true, ..Passage::default() }
            }
            // Bytes ahead of the request's judgement would go on with the request, unjudged.
            Phase::Handshake(_) if peer == Peer::Client => {
                self.refuse_held(HandshakeFault::EarlyBytes);
                self.pay(shared, now);
                Passage { park: true, ..Passage::default() }
            }
            Phase::AwaitingResponse(awaiting) if peer == Peer::Client && chunk.is_empty() => {
                awaiting.parked = true;
                Passage { park: true, ..Passage::default() }
            }
            Phase::AwaitingResponse(awaiting) if peer == Peer::Client => {
                if chunk.len() > MAX_EARLY_BYTES {
                    self.refuse_response(HandshakeFault::EarlyBytes);
                    self.pay(shared, now);
                    return Ok(Passage::default());
                }
                (awaiting.held_bytes, awaiting.parked) = (chunk.len(), false);
                self.outputs.push_back(Output::HoldRequest);
                Passage::whole(chunk.len())
            }
            Phase::Fresh(_)
            | Phase::Handshake(_)
            | Phase::AwaitingResponse(_)
            | Phase::Declined
            | Phase::Refused
            | Phase::Ended => Passage::default(),
        };
        Ok(passage)
    }

    /// Says whether the next `len` bytes from `peer` pass as they are, so that nobody need read them. If so,
    /// they count as passed.
    pub fn pass_unread(&mut self, peer: Peer, len: usize) -> bool {
        match &mut self.phase {
            Phase::Open(open) => open.pass_unread(peer, len),
            Phase::Shadowed(shadowed) => shadowed.is_done(),
            Phase::Unjudged { .. } => true,
            _ => false,
        }
    }

    /// Says whether all of a chunk from `peer` goes on as it came, with its stream resumed and paused again,
    /// and nothing else to do, whatever the time. If so, the chunk counts as passed. If not, it must be
    /// judged.
    ///
    /// # Errors
    /// Returns [`Unreadable`] as [`Session::judge`] does.
    pub fn pass_plain(&mut self, peer: Peer, chunk: &mut impl Chunk) -> Result<bool, Unreadable> {
        match &mut self.phase {
            Phase::Open(open) => open.pass_plain(peer, chunk),
            _ => Ok(false),
        }
    }
}
