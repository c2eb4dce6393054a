//! How Postern can speak on a quiet connection.
//!
//! The host changes bytes only in the callback that brings them, and those of a stream that is
//! paused. So a stream is *parked*: paused while it holds nothing. Into a parked stream a frame
//! can be put at any time, from a timer too, and lets it go on. It is parked again at the next
//! callback of which nothing goes on; on a quiet connection that is one that brings only the Pong
//! to a Ping of Postern's own. A Ping needs no parked stream where bytes pass: it follows them.
//!
//! | event | stream towards the client | stream towards the upstream |
//! | --- | --- | --- |
//! | start | parked | parked |
//! | a chunk passes | towards its receiver no longer | |
//! | Pong of the upstream to an own Ping | parked | |
//! | Pong of the client to an own Ping | | parked, or an own Ping to the upstream in its place |
//! | an own Ping or Close is put in | no longer | no longer |
//!
//! A quiet connection can be spoken on as long as a stream is parked or an own Ping is expected
//! to be answered. When a chunk would end that, an own Ping follows it. So what is needed are
//! peers that answer Pings, as they must (§5.5.2). Where one does not, Postern speaks by the next
//! chunk, and cuts at its deadlines.
//!
//! Why nobody notices:
//! - *Nothing is delayed.* A stream is paused only when nothing goes on, and any chunk lets it go
//!   on. Bytes that are withheld at that moment, an incomplete header or text that is not proved,
//!   would be withheld without the pause too.
//! - *Nothing is reordered or split.* A frame is put in only at a frame boundary of what has gone
//!   to that receiver: behind a chunk that ends there, or into a stream that holds nothing. Between
//!   fragments of a message a control frame may stand (§5.4).
//! - *Nothing is altered or swallowed.* What is taken out is a Pong whose payload answers an own
//!   Ping, which no application has sent. Any other Pong passes.
//! - *No answer is displaced.* A receiver may answer only the last of several Pings (§5.5.3), so
//!   none is asked while an application's Ping to it is unanswered.

use std::time::Duration;

use crate::lane::Peer;
use crate::rate::{Bucket, Charged, Quota};

use super::ping::{PingKey, Pings};

/// How many Pings may follow chunks of the application's in the long run, per second and at once.
/// Who says more than that in turns is not quiet.
const FOLLOWING: Quota = Quota::per_second(256);

/// Both streams, as Postern's own frames see them.
#[derive(Debug)]
pub(super) struct Parking {
    client: Reach,
    upstream: Reach,
    /// Whether the host parks streams at all.
    possible: bool,
    following: Bucket,
}

/// How a receiver can be reached.
#[derive(Debug)]
pub(super) struct Reach {
    /// Whether the stream towards it is paused and holds nothing.
    parked: bool,
    pub(super) pings: Pings,
    /// Whether an application's Ping went to it and is unanswered.
    asked_by_application: bool,
    /// Whether it leaves Pings unanswered.
    mute: bool,
}

/// What becomes of a stream when a chunk has been judged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// An own Ping follows what goes on of it.
    Ask(Vec<u8>),
    /// It is parked.
    Park,
    /// It goes on.
    GoOn,
}

/// A chunk that has been judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) sender: Peer,
    /// Whether anything goes on of it.
    pub(super) passes: bool,
    /// Whether what has gone to the receiver ends with a whole frame.
    pub(super) at_boundary: bool,
    /// Whether the receiver is to be asked in any case.
    pub(super) due: bool,
    /// How much has gone to the receiver so far.
    pub(super) position: u64,
}

impl Parking {
    /// `upstream_parked` says whether the stream towards the upstream has been parked already.
    pub(super) fn new(key: PingKey, upstream_parked: bool) -> Self {
        let reach = |receiver, parked| Reach {
            parked,
            pings: Pings::new(key, receiver),
            asked_by_application: false,
            mute: false,
        };
        Self {
            client: reach(Peer::Client, false),
            upstream: reach(Peer::Upstream, upstream_parked),
            possible: false,
            following: Bucket::default(),
        }
    }

    pub(super) fn of(&mut self, receiver: Peer) -> &mut Reach {
        match receiver {
            Peer::Client => &mut self.client,
            Peer::Upstream => &mut self.upstream,
        }
    }

    /// Parks the stream towards the client at its start.
    pub(super) fn start(&mut self) {
        self.possible = true;
        self.client.parked = true;
    }

    /// The host would not do what only a parked stream allows.
    pub(super) fn give_up(&mut self) {
        self.possible = false;
        (self.client.parked, self.upstream.parked) = (false, false);
    }

    /// Decides what follows a chunk. Until then its stream is not parked.
    pub(super) fn settle(&mut self, chunk: Chunk, now: Duration) -> Then {
        let receiver = chunk.sender.other();
        if !self.possible {
            return Then::GoOn;
        }
        let wanted = chunk.due
            || match (chunk.passes, receiver) {
                (true, _) => self.is_adrift(),
                // The client's answer: pass the question on, so that the other stream is parked.
                (false, Peer::Upstream) => !self.client.parked && !self.upstream.is_expected(),
                (false, Peer::Client) => false,
            };
        let within = |following: &mut Bucket| {
            chunk.due || !chunk.passes || following.take(FOLLOWING, 1, now) == Charged::Taken
        };
        let reach = match receiver {
            Peer::Client => &mut self.client,
            Peer::Upstream => &mut self.upstream,
        };
        if wanted && chunk.at_boundary && reach.may_be_asked() && within(&mut self.following) {
            return Then::Ask(reach.pings.frame(chunk.position));
        }
        if chunk.passes || !chunk.at_boundary {
            return Then::GoOn;
        }
        reach.parked = true;
        Then::Park
    }

    /// Whether the stream towards the client wants parking, and the upstream can be asked for it.
    pub(super) fn can_park_client(&self) -> bool {
        !self.client.parked
            && self.upstream.parked
            && !self.upstream.is_expected()
            && self.upstream.may_be_asked()
    }

    /// Whether no stream is parked, and none will be before the application says something.
    pub(super) fn is_adrift(&self) -> bool {
        let silent = |reach: &Reach| !reach.parked && !reach.is_expected();
        silent(&self.client) && silent(&self.upstream)
    }
}

impl Reach {
    pub(super) fn is_parked(&self) -> bool {
        self.parked
    }

    /// The stream is not parked, or no longer. Whether it was.
    pub(super) fn unpark(&mut self) -> bool {
        std::mem::take(&mut self.parked)
    }

    /// Whether an answer to an own Ping will come.
    pub(super) fn is_expected(&self) -> bool {
        self.pings.is_expected() && !self.mute
    }

    /// Whether an own Ping may go to it now.
    pub(super) fn may_be_asked(&self) -> bool {
        !self.asked_by_application && !self.mute && self.pings.has_room()
    }

    /// A Ping of the application's goes to it.
    pub(super) fn note_ping(&mut self) {
        self.asked_by_application = true;
    }

    /// A Pong of its own passes. It may stand for an own Ping as well, which will then have no
    /// answer (§5.5.3).
    pub(super) fn note_pong(&mut self) {
        self.asked_by_application = false;
        self.pings.expect_none();
    }

    /// Takes a Pong that may be an answer to an own Ping; if it is, says up to where was read.
    pub(super) fn take_answer(&mut self, payload: &[u8]) -> Option<u64> {
        let position = self.pings.answer(payload)?;
        self.mute = false;
        Some(position)
    }

    /// It has left an own Ping, or the application's, unanswered for too long.
    pub(super) fn give_up_on_answers(&mut self) {
        self.mute |= self.pings.is_expected();
        self.asked_by_application = false;
    }

    pub(super) fn is_mute(&self) -> bool {
        self.mute
    }
}

#[cfg(test)]
mod tests;
