//! What the client says to Postern itself, and what Postern says to it by text: the first message,
//! refreshes, and the answers.
//!
//! Owns how a connection becomes authenticated, is renewed and is told so. What a message comes to
//! is decided in [`grant`](super::grant), what happens before in [`authentication`](super::authentication).

use std::time::Duration;

use crate::connection::Passage;
use crate::decision::Violation;
use crate::message::{self, Context, Message, Standing, Verdict};
use crate::peer::Peer;
use crate::rate::Shared;
use crate::websocket::{Chunk, Unreadable};

use super::authentication::Authentication;
use super::direction::{Capture, Flow};
use super::greeting::Greeting;
use super::pause::Pause;
use super::queued_input::QueuedInput;
use super::{Connection, notices};

/// A wait of a captured message for something that has to be fetched.
pub(super) struct Waits;

impl Connection {
    /// Begins as the right to the connection has it: the client is authenticated, or its first
    /// message is waited for.
    pub(super) fn begin(&mut self, now: Duration) {
        let Some(grant) = &self.grant else { return };
        match grant.first_message_timeout() {
            Some(timeout) => {
                self.authentication =
                    Authentication::waiting(grant.max_unauthenticated_bytes(), grant.greets());
                self.deadlines.await_token(now.saturating_add(timeout));
            }
            None => self.be_granted(false),
        }
        self.set_captures();
    }

    /// Hears the client's message that is whole, with what the host held `behind` it.
    pub(super) fn judge_captured(
        &mut self,
        queued: Option<&QueuedInput>,
        passage: &mut Passage,
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Result<(), Waits> {
        // One that waits is not judged for every chunk.
        if queued.is_some_and(|queued| !queued.released) && self.authentication.is_waiting() {
            return Err(Waits);
        }
        let keeps = match self.judge_message(shared, now) {
            Verdict::Waits => return Err(Waits),
            Verdict::Violates(violation) => {
                self.refuse_message(violation, now);
                return Ok(());
            }
            Verdict::Authenticates => {
                self.be_granted(false);
                self.enter();
                self.grant.as_ref().is_some_and(|grant| grant.keeps_token())
            }
            Verdict::Renews { reply } => {
                self.be_granted(reply);
                self.await_fetch();
                false
            }
            Verdict::Consumed => {
                self.await_fetch();
                false
            }
            Verdict::Passes => true,
        };
        match keeps {
            true => self.client.release_captured(passage, &mut self.tally),
            false => self.client.consume_captured(&mut self.tally),
        }
        Ok(())
    }

    /// Has the message that is whole judged by what it says.
    fn judge_message(&mut self, shared: &mut dyn Shared, now: Duration) -> Verdict {
        let standing = match self.authentication {
            Authentication::Open => Standing::Authenticated,
            Authentication::Shut { .. } => Standing::Ended,
            Authentication::Waiting(_) => Standing::Unauthenticated,
        };
        let Some(grant) = self.grant.as_deref_mut() else { return Verdict::Passes };
        let context = Context { standing, grant, rates: &mut self.rates, shared, now };
        message::judge(Message { text: self.client.captured() }, context)
    }

    /// A token waits for something that is fetched, or none does any more.
    fn await_fetch(&mut self) {
        if self.authentication.is_open() {
            self.deadlines.await_fetch(self.grant.as_ref().and_then(|grant| grant.pending_until()));
        }
    }

    /// Leaves what the chunk has from `start` on with the host, behind a first message that waits,
    /// and what it held `behind` it before. Nothing is left there if the wait is over.
    pub(super) fn hold_behind(
        &mut self,
        queued: Option<Box<QueuedInput>>,
        chunk: &mut impl Chunk,
        start: usize,
        now: Duration,
    ) -> Result<Option<Passage>, Unreadable> {
        if queued.is_none() {
            if self.grant.as_ref().is_some_and(|grant| grant.keeps_token()) {
                self.client.keep_captured(chunk)?;
            } else {
                self.client.forget_captured();
            }
            self.deadlines.note_client(now);
            self.deadlines.expect_no_pong(now);
            self.deadlines.await_fetch(self.grant.as_ref().and_then(|grant| grant.pending_until()));
        }
        let mut queued = queued.unwrap_or_default();
        let len = chunk.len().saturating_sub(start);
        if let Err(violation) = self.authentication.judge_behind(len) {
            self.refuse_message(violation, now);
            return Ok(None);
        }
        if queued.closes(chunk, start)? {
            self.shut();
            return Ok(None);
        }
        if len > queued.len {
            self.deadlines.note_client(now);
        }
        (queued.len, queued.due, queued.released) = (len, false, false);
        self.queued = Some(queued);
        // It is held until it is released, and in the next callback again.
        self.parking.of(Peer::Upstream).pause = Pause::Holding(2);
        let mut passage = Passage { hold: true, ..Passage::default() };
        passage.pass(start..chunk.len());
        Ok(Some(passage))
    }

    /// How many bytes of the client's the host holds that are to be judged now.
    pub(crate) fn take_release(&mut self) -> Option<usize> {
        let queued = self.queued.as_mut().filter(|queued| queued.due)?;
        (queued.due, queued.released) = (false, true);
        Some(queued.len)
    }

    /// Says whether a token waits for something that is fetched.
    pub(crate) fn is_waiting(&self) -> bool {
        let pending_until = self.grant.as_ref().and_then(|grant| grant.pending_until());
        pending_until.is_some() && self.may_be_granted()
    }

    fn may_be_granted(&self) -> bool {
        !matches!(self.authentication, Authentication::Shut { .. }) && !self.deadlines.is_closing()
    }

    /// What a token waits for may have come, or may come no more.
    pub(crate) fn look_again(&mut self, now: Duration) {
        if !self.may_be_granted() {
            return;
        }
        if let Some(queued) = &mut self.queued {
            queued.due = true;
            return;
        }
        let Some(grant) = &mut self.grant else { return };
        match grant.renew_by_pending(now) {
            Ok(false) => {}
            Ok(true) => {
                let replies = grant.replies(now);
                self.be_granted(replies);
                self.speak(now);
            }
            Err(violation) => self.refuse(violation, now),
        }
    }

    /// Ends the connection for a message of the client's that is not whole, or was captured.
    fn refuse_message(&mut self, violation: Violation, now: Duration) {
        self.client.forget_frame();
        self.tally.refused(Peer::Client);
        self.refuse(violation, now);
    }

    /// The times of a token that has just been accepted hold from now on.
    fn be_granted(&mut self, replies: bool) {
        let Some(grant) = &self.grant else { return };
        let times = grant.times();
        self.deadlines.renew(times.end, times.notice);
        self.notices.renew(times.expires_at, replies);
    }

    /// The client is authenticated by its first message: what the upstream has sent goes on.
    fn enter(&mut self) {
        let greets = !self.authentication.diverts();
        let held = self.authentication.open();
        self.set_captures();
        if greets {
            return;
        }
        // A stream stays parked only while it holds nothing, and nothing is withheld from it.
        let rests = self.upstream.at_boundary() && self.upstream.withheld() == 0;
        let client = self.parking.of(Peer::Client);
        if !client.is_parked() {
            self.greeting = Greeting::WithNextChunk(held);
            return;
        }
        client.pause = if rests { Pause::Parked } else { Pause::Holding(1) };
        if !held.is_empty() {
            self.backlog.add(held.len());
            self.greeting = Greeting::AtOnce(held);
        }
    }

    /// The connection ends before it is authenticated, if it is not.
    pub(super) fn shut(&mut self) {
        self.authentication.shut();
        if let Some(queued) = &mut self.queued {
            queued.due = true;
        }
        self.set_captures();
    }

    /// Both sides behave as the authentication has it.
    fn set_captures(&mut self) {
        let renews = self.grant.as_ref().is_some_and(|grant| grant.can_be_renewed());
        self.client.set_capture(match self.authentication {
            Authentication::Waiting(_) => Capture::First,
            Authentication::Shut { .. } => Capture::Ended,
            Authentication::Open if renews => Capture::Texts,
            Authentication::Open => Capture::Off,
        });
        self.upstream.diverted = self.authentication.diverts();
        if matches!(self.authentication, Authentication::Shut { greets: true }) {
            self.upstream.set_capture(Capture::Ended);
        }
    }

    /// Keeps from the client what it may not see of the upstream's chunk.
    pub(super) fn keep_from_client(
        &mut self,
        passage: &mut Passage,
        chunk: &mut impl Chunk,
    ) -> Result<(), Unreadable> {
        match self.authentication {
            Authentication::Open => {}
            Authentication::Waiting(_) | Authentication::Shut { .. } if !self.authentication.diverts() => {}
            Authentication::Waiting(_) => self.authentication.hold(passage, chunk)?,
            // What has gone then is the Close that ended the wait.
            Authentication::Shut { .. } if matches!(self.upstream.flow, Flow::Ended) => {}
            Authentication::Shut { .. } => {
                *passage = Passage::default();
                self.set_captures();
            }
        }
        Ok(())
    }

    /// The client's token ends soon.
    pub(super) fn give_notice(&mut self, now: Duration) {
        self.notices.give_notice();
        self.speak(now);
    }

    /// Says what waits to be said, if the stream towards the client is parked, and no message is open
    /// on it.
    pub(super) fn speak(&mut self, now: Duration) {
        if self.may_speak() && self.parking.of(Peer::Client).is_parked() {
            let words = self.notices.take(now);
            self.backlog.add(words.len());
            self.sends.push((Peer::Client, words));
        }
    }

    /// Says it between two messages of the upstream's chunk at hand, if it has `room`.
    pub(super) fn speak_between(
        &mut self,
        passage: &mut Passage,
        chunk_len: usize,
        room: usize,
        now: Duration,
    ) {
        if self.may_speak() && chunk_len.saturating_add(notices::MAX_LEN) <= room {
            passage.insert(&self.notices.take(now));
        }
    }

    /// What could not be said in the chunk at hand is said as soon as it has gone.
    pub(super) fn speak_later(&mut self, now: Duration) {
        if self.may_speak() && self.parking.of(Peer::Client).is_parked() {
            self.deadlines.speak_next(now);
        }
    }

    fn may_speak(&self) -> bool {
        self.notices.waits()
            && self.authentication.is_open()
            && !self.deadlines.is_closing()
            && !self.greeting.waits()
            && self.upstream.may_be_followed()
    }
}
