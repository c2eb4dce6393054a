//! The parking of streams, by which Postern can speak on a quiet connection.
//!
//! The host changes bytes only in the callback that brings them, and those of a stream that is
//! paused. So a stream is *parked*: paused while it holds nothing. Into a parked stream a frame
//! can be put at any time, from a timer too, and the stream resumed so that it goes on.
//!
//! Both streams are parked at their start, but for that towards the client of an upstream that speaks with
//! its very 101. A chunk that ends with a whole frame goes on, and its stream is paused again in the same
//! callback. The same holds, towards the client, for a chunk that ends within a frame if it is short, as
//! where a server writes header and payload apart. Any other lets its stream go on for good; then the stream
//! is parked again at the next callback of which nothing goes on, which on a quiet connection is one that
//! brings only the Pong to a Ping of Postern's own. A Ping needs no parked stream where bytes pass: it
//! follows them.
//!
//! | event | its stream |
//! | --- | --- |
//! | start | parked |
//! | a chunk that ends with a whole frame | as before |
//! | a chunk that ends within a frame, to the client: at most [`ROOM`] bytes, [`PIECES`] a second | as before |
//! | a longer one, while the upstream is not known to answer Pings, [`PIECES`] a second | as before |
//! | one of more than [`BULK`] bytes, while the other can be reached, by answers if it is the upstream | goes on |
//! | one that waits in the filter, for a client that is not authenticated | parked |
//! | any other that ends within a frame, or of which more than [`LITTLE`] bytes are withheld | goes on |
//! | a chunk of which nothing goes on, and no more is withheld | parked |
//! | an own frame is put in | as before |
//!
//! A quiet connection can be spoken on as long as a stream is parked or an own Ping is expected to be
//! answered: the one that is parked carries a Ping, and its answer parks the other. When a chunk would end
//! that, an own Ping follows it. So all that is needed are peers that answer Pings, as they must (RFC 6455
//! §5.5.2). The parking finds out whether an upstream does before its stream is let go on for good. If it
//! does not, Postern speaks by the next chunk, and cuts at its deadlines.
//!
//! Nobody notices, since:
//! - *Nothing is delayed.* A parked stream holds nothing with the host, and here only what would not go on
//!   either if it were not parked; any chunk lets it go on.
//! - *Nothing is reordered or split.* A frame is put in only at a frame boundary of what has gone
//!   to that receiver: behind a chunk that ends there, or into a stream that holds nothing and has
//!   ended there ([`Reach::takes_frames`]). Between fragments of a message a control frame may
//!   stand (§5.4).
//! - *Nothing is altered or swallowed.* What is taken out is a Pong whose payload answers an own
//!   Ping, which no application has sent. Any other Pong passes.
//! - *No answer is displaced.* A receiver may answer only the last of several Pings (§5.5.3), so
//!   none is asked while an application's Ping to it is unanswered.
//! - *Nothing outgrows the host.* It cuts a stream whose paused bytes come to exceed the buffer
//!   limit of its connection, which nobody tells. So a chunk of a parked stream never grows beyond
//!   its own length, or [`ROOM`], but by what was withheld and by Pings between its frames, which is
//!   [little](LITTLE): less than what a host reads beyond its limits anyway.

use std::time::Duration;

use postern_config::Policy;

use crate::metrics::tally::Heartbeats;
use crate::peer::Peer;
use crate::rate::{Bucket, Charged, Quota};

use super::pause::Pause;
use super::sent_pings::{self, PingKey, Pings};

/// The number of Pings that may follow chunks of the application's, per second in the long run and at once. A
/// connection on which more is said than that in turns is not quiet.
const FOLLOWING: Quota = Quota::per_second(256);

/// The number of chunks that end within a frame and may leave their stream parked, per second in the long run
/// and at once. Each costs what an unread chunk does not.
const PIECES: Quota = Quota::per_second(256);

/// The length up to which a chunk leaves its stream parked or has it parked, in bytes, unless it is the last
/// in reach: behind a longer one even more may come at once, and a host cuts a paused stream whose next chunk
/// is beyond the buffer limit of its connection. Envoy reads 16 KiB at a time, so this is two reads.
const BULK: usize = 32 * 1024;

/// The most bytes that may be withheld of a stream that is parked all the same: a header, a Close or a short
/// text, so that a client that stops in the middle of one does not put its service out of reach.
pub(super) const LITTLE: usize = 256;

/// The number of bytes any host lets a paused stream hold.
pub(super) const ROOM: usize = 4096;

/// Both streams, as Postern's own frames see them.
#[derive(Debug)]
pub(super) struct Parking {
    key: PingKey,
    client: Reach,
    upstream: Reach,
    /// Says whether the host parks streams at all, as far as is known.
    possible: bool,
    /// Says whether the stream towards the client has started.
    started: bool,
    /// Says whether the connection was out of reach when [`Parking::count`] was last called.
    counted: bool,
    /// Says which streams, towards the client and the upstream, were parked then.
    counted_parked: [bool; 2],
    /// Says whether the stream towards the client has stayed parked only because the upstream is not known to
    /// answer Pings, and has not been asked since.
    unsure: bool,
    following: Bucket,
    pieces: Bucket,
}

/// The stream towards one receiver and the Pings on it: the means by which it can be reached.
#[derive(Debug)]
pub(super) struct Reach {
    /// The pause of the stream towards the receiver.
    pub(super) pause: Pause,
    pings: Pings,
    /// Says whether an application's Ping went to the receiver and is unanswered.
    asked_by_application: bool,
    /// Says whether the receiver leaves Pings unanswered.
    mute: bool,
    /// Says whether the receiver has ever answered an own Ping.
    answers: bool,
    /// Says whether a Ping may go to the receiver at all.
    stands_pings: bool,
}

/// The receivers that may be sent a Ping of Postern's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct MayAsk {
    pub(super) client: bool,
    pub(super) upstream: bool,
}

impl MayAsk {
    /// Returns the receivers that `policy` lets be asked. Only its answers tell what a client has not read
    /// yet.
    pub(super) fn of(policy: &Policy) -> Self {
        let client = policy.liveness.ping_interval.is_some() || policy.backpressure.is_some();
        Self { client, upstream: policy.liveness.ping_upstream }
    }
}

/// The fate of a stream once its chunk has been judged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Then {
    /// The own Ping that follows what goes on of the chunk.
    pub(super) ask: Option<Vec<u8>>,
    /// Says whether the stream is parked.
    pub(super) park: bool,
}

/// The need to ask the receiver of a chunk what it has read of what has gone to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marks {
    /// No need.
    No,
    /// The receiver must be asked with this chunk or soon after it.
    Due,
    /// The receiver should have been asked with an earlier chunk, and could not be since.
    Overdue,
}

/// A chunk that has been judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) sender: Peer,
    /// Says whether the chunk's stream was parked.
    pub(super) was_parked: bool,
    /// The length of the chunk, in bytes.
    pub(super) len: usize,
    /// The number of bytes of the chunk that go on.
    pub(super) passes: usize,
    /// The most bytes of the chunk that may go on, with those that are put in.
    pub(super) room: usize,
    /// Says whether what has gone to the receiver ends with a whole frame.
    pub(super) at_boundary: bool,
    /// The number of bytes that have not gone on yet, of the chunk and of what came before it.
    pub(super) withheld: usize,
    /// Says whether all of the chunk waits in the filter for now, so that nothing of it ever went on.
    pub(super) diverted: bool,
    /// Says whether the receiver must be asked in any case.
    pub(super) due: bool,
    /// The need to ask the receiver what it has read.
    pub(super) marks: Marks,
    /// Says whether nothing has come from the upstream for a while.
    pub(super) quiet: bool,
    /// The number of bytes that have gone to the receiver so far.
    pub(super) position: u64,
}

impl Parking {
    /// Creates the parking of a connection. `upstream` is the pause that the stream towards the upstream is
    /// in already, and `may_ask` names the peers that may be sent a Ping at all.
    pub(super) fn new(key: PingKey, upstream: Pause, may_ask: MayAsk) -> Self {
        let reach = |receiver, pause, stands_pings| Reach {
            pause,
            pings: Pings::new(receiver),
            asked_by_application: false,
            mute: false,
            answers: false,
            stands_pings,
        };
        Self {
            key,
            client: reach(Peer::Client, Pause::Flowing, may_ask.client),
            upstream: reach(Peer::Upstream, upstream, may_ask.upstream),
            possible: false,
            started: false,
            counted: false,
            counted_parked: [false; 2],
            unsure: false,
            following: Bucket::default(),
            pieces: Bucket::default(),
        }
    }

    /// Changes the receivers that may be sent a Ping at all.
    pub(super) fn let_ask(&mut self, may_ask: MayAsk) {
        (self.client.stands_pings, self.upstream.stands_pings) = (may_ask.client, may_ask.upstream);
    }

    pub(super) fn of(&mut self, receiver: Peer) -> &mut Reach {
        match receiver {
            Peer::Client => &mut self.client,
            Peer::Upstream => &mut self.upstream,
        }
    }

    /// Says whether the stream towards `receiver` is parked, and has begun.
    pub(super) fn has_parked(&self, receiver: Peer) -> bool {
        match receiver {
            Peer::Client => self.started && self.client.is_parked(),
            Peer::Upstream => self.upstream.is_parked(),
        }
    }

    /// Returns the number of bytes that had gone to the client before the first own Ping that it must still
    /// answer.
    pub(super) fn first_awaited_of_client(&self) -> Option<u64> {
        self.client.pings.first_awaited()
    }

    /// Says whether the client must still answer a Ping of the application's.
    pub(super) fn is_client_asked_by_application(&self) -> bool {
        self.client.asked_by_application
    }

    /// Says whether the upstream has ever answered an own Ping.
    pub(super) fn upstream_answers(&self) -> bool {
        self.upstream.answers
    }

    /// Begins the stream towards the client, which is parked by that if it is `empty`. If it is not, the
    /// stream towards the upstream shows whether the host parks streams.
    pub(super) fn begin(&mut self, empty: bool) {
        if !std::mem::replace(&mut self.started, true) {
            self.possible = empty || self.upstream.is_parked();
            self.client.pause.set_parked(empty);
        }
    }

    /// Parks no more, since the host would not do what only a parked stream allows. The frame that could not
    /// be put in may have been a Ping, which nobody answers.
    pub(super) fn give_up(&mut self) {
        self.possible = false;
        for reach in [&mut self.client, &mut self.upstream] {
            reach.pause.set_parked(false);
            reach.pings.expect_none();
        }
    }

    /// Decides what follows a chunk. Until then the chunk's stream is not parked.
    pub(super) fn settle(&mut self, chunk: Chunk, now: Duration) -> Then {
        if !self.possible {
            return Then::default();
        }
        let receiver = chunk.sender.other();
        if !chunk.at_boundary {
            let is_long = chunk.passes > ROOM;
            let stays = receiver == Peer::Client
                && chunk.was_parked
                && chunk.withheld == 0
                && !(is_long && self.upstream.answers)
                && chunk.marks == Marks::No
                && self.pieces.take(PIECES, 1, now) == Charged::Taken;
            self.unsure |= stays && is_long;
            self.of(receiver).pause.set_parked(stays);
            return Then { ask: None, park: stays };
        }
        let has_room = chunk.passes.saturating_add(sent_pings::MAX_LEN) <= chunk.room;
        // A stream that is not parked always has room behind what goes on.
        let needs_room = chunk.marks == Marks::Overdue && !has_room;
        let is_bulk = chunk.len > BULK && !chunk.diverted && !self.is_adrift();
        // An upstream that does not answer would never bring its stream back.
        let is_last = receiver == Peer::Client && !self.upstream.answers;
        self.unsure |= is_bulk && is_last && chunk.was_parked;
        let is_bulk = is_bulk && !is_last;
        let fits = chunk.withheld <= LITTLE && !needs_room && !is_bulk;
        let park = fits && (chunk.was_parked || chunk.passes == 0);
        let due = chunk.due || chunk.marks != Marks::No;
        let wanted = due
            || match (chunk.passes, receiver) {
                // The client's answer: pass the question on, so that the other stream is parked.
                (0, Peer::Upstream) => {
                    chunk.quiet && !self.client.is_parked() && !self.upstream.is_expected()
                }
                (0, Peer::Client) => false,
                _ => !park && self.is_adrift(),
            };
        let following = &mut self.following;
        let mut within = || due || following.take(FOLLOWING, 1, now) == Charged::Taken;
        let reach = match receiver {
            Peer::Client => &mut self.client,
            Peer::Upstream => &mut self.upstream,
        };
        let asks = wanted && has_room && reach.may_be_asked() && within();
        let ask = asks.then(|| reach.pings.frame(&self.key, chunk.position));
        // A question asked in the place of an answer lets its stream go on.
        let park = park && (chunk.was_parked || ask.is_none());
        reach.pause.set_parked(park);
        Then { ask, park }
    }

    /// Returns an own Ping, to follow the first `position` bytes to `receiver`.
    pub(super) fn ping(&mut self, receiver: Peer, position: u64) -> Vec<u8> {
        let key = self.key;
        self.unsure &= receiver == Peer::Client;
        self.of(receiver).pings.frame(&key, position)
    }

    /// Says whether a Pong from `sender` answers an own Ping that had been answered before.
    pub(super) fn is_answered(&mut self, sender: Peer, payload: &[u8]) -> bool {
        let key = self.key;
        self.of(sender).pings.is_answered(&key, payload)
    }

    /// Takes a Pong from `sender` that may answer an own Ping. If it does, returns the position up to which
    /// the sender has read.
    pub(super) fn take_answer(&mut self, sender: Peer, payload: &[u8]) -> Option<u64> {
        let key = self.key;
        let reach = self.of(sender);
        let position = reach.pings.answer(&key, payload)?;
        (reach.mute, reach.answers) = (false, true);
        Some(position)
    }

    /// Says whether the stream towards the client could be parked, or may have to be let go, and the upstream
    /// can be asked for it.
    pub(super) fn can_park_client(&self) -> bool {
        self.possible
            && (!self.client.is_parked() || self.unsure)
            && self.upstream.is_parked()
            && !self.upstream.is_expected()
            && self.upstream.may_be_asked()
    }

    /// Says whether no stream is parked, and none will be before the application says something.
    pub(super) fn is_adrift(&self) -> bool {
        let silent = |reach: &Reach| !reach.is_parked() && !reach.is_expected();
        silent(&self.client) && silent(&self.upstream)
    }
}

impl Parking {
    /// Takes the counts since the last call: own Pings, whether the connection has come out of reach (1), or back
    /// in reach or to its end (-1), and likewise which streams have come to be parked.
    pub(super) fn count(&mut self, is_over: bool) -> Heartbeats {
        let may_answer = self.upstream.stands_pings && !self.upstream.mute;
        let through_upstream = may_answer && (self.upstream.is_parked() || self.upstream.is_expected());
        let in_reach = self.client.is_parked() || self.client.is_expected() || through_upstream;
        // A connection that is over stays so: a timer may still ask for the last counts.
        self.started &= !is_over;
        let out_of_reach = self.started && !in_reach;
        let before = std::mem::replace(&mut self.counted, out_of_reach);
        let parked = [&self.client, &self.upstream].map(|reach| self.started && reach.is_parked());
        let [client_before, upstream_before] = std::mem::replace(&mut self.counted_parked, parked);
        let [client, upstream] = parked.map(i64::from);
        Heartbeats {
            to_client: self.client.pings.take_count(),
            to_upstream: self.upstream.pings.take_count(),
            out_of_reach: i64::from(out_of_reach) - i64::from(before),
            parked_to_client: client - i64::from(client_before),
            parked_to_upstream: upstream - i64::from(upstream_before),
        }
    }
}

impl Reach {
    /// Says whether the stream towards the receiver is paused and holds nothing.
    pub(super) fn is_parked(&self) -> bool {
        self.pause == Pause::Parked
    }

    /// Says whether a frame can be put in; `at_boundary` says whether what has gone to the receiver ends with
    /// a whole frame.
    pub(super) fn takes_frames(&self, at_boundary: bool) -> bool {
        self.is_parked() && at_boundary
    }

    /// Says whether an answer to an own Ping will come.
    pub(super) fn is_expected(&self) -> bool {
        self.pings.is_expected() && !self.mute
    }

    /// Says whether a Pong from the receiver may answer an own Ping.
    pub(super) fn may_answer(&self) -> bool {
        self.pings.may_be_answered()
    }

    /// Says whether an own Ping may go to the receiver now.
    pub(super) fn may_be_asked(&self) -> bool {
        self.stands_pings && !self.asked_by_application && !self.mute && self.pings.has_room()
    }

    /// Says whether a Ping of the application's went to the receiver and is unanswered.
    pub(super) fn is_asked_by_application(&self) -> bool {
        self.asked_by_application
    }

    /// Notes that the last own Ping goes at `now`.
    pub(super) fn note_sent(&mut self, now: Duration) {
        self.pings.note_sent(now);
    }

    /// Takes the time in which the receiver has answered the last own Ping, if it has just done so.
    pub(super) fn take_round_trip(&mut self, now: Duration) -> Option<Duration> {
        self.pings.take_round_trip(now)
    }

    /// Returns the number of own Pings that the receiver must still answer.
    pub(super) fn unanswered(&self) -> u8 {
        self.pings.awaited()
    }

    /// Notes that a Ping of the application's goes to the receiver, and says whether the last one had been
    /// answered.
    pub(super) fn note_ping(&mut self) -> bool {
        !std::mem::replace(&mut self.asked_by_application, true)
    }

    /// Notes a Pong of the receiver's that answers no own Ping, and passes. It may stand for one as well,
    /// which will then have no answer (RFC 6455 §5.5.3).
    pub(super) fn note_pong(&mut self) {
        self.asked_by_application = false;
        self.pings.expect_none();
    }

    /// Notes that the receiver has left an own Ping, or the application's, unanswered for too long.
    pub(super) fn give_up_on_answers(&mut self) {
        self.mute |= self.pings.is_expected();
        self.asked_by_application = false;
        self.pings.make_room();
    }
}

#[cfg(test)]
mod tests;
