//! Words between the client and Postern itself: the first message, refreshes, and the answers to them.
//!
//! Owns how a connection becomes authenticated, is renewed and is told so. [`grant`](super::grant) decides
//! what a message comes to, and [`authentication`](super::authentication) what happens before.

use std::time::Duration;

use crate::connection::Passage;
use crate::decision::Violation;
use crate::message::{self, Context, Message, Standing, Verdict};
use crate::peer::Peer;
use crate::rate::Shared;
use crate::remote::rate_limit::Membership;
use crate::websocket::{Chunk, Unreadable};

use super::authentication::Authentication;
use super::direction::{Capture, Flow};
use super::ending::Sink;
use super::greeting::Greeting;
use super::pause::Pause;
use super::queued_input::QueuedInput;
use super::{Connection, limits, notices};

/// A wait of a captured message for something that has to be fetched.
pub(super) struct Waits;

impl Connection {
    /// Begins with what the grant says: either the client is authenticated, or its first message is awaited.
    pub(super) fn begin(&mut self, now: Duration) {
        match self
            .grant
            .as_ref()
            .and_then(|grant| grant.first_message_timeout().map(|timeout| (grant, timeout)))
        {
            Some((grant, timeout)) => {
                self.authentication =
                    Authentication::waiting(grant.max_unauthenticated_bytes(), grant.greets());
                self.deadlines.await_token(now.saturating_add(timeout));
            }
            None => self.be_granted(false),
        }
        self.set_captures();
    }

    /// Judges the client's captured message, which is whole; `queued` is what the host held behind it.
    pub(super) fn judge_captured(
        &mut self,
        queued: Option<&QueuedInput>,
        passage: &mut Passage,
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Result<(), Waits> {
        // A message that waits is not judged again for every chunk.
        if queued.is_some_and(|queued| !queued.released) && self.authentication.is_waiting() {
            return Err(Waits);
        }
        match self.judge_message(shared, now) {
            Verdict::Authenticates => {
                self.be_granted(false);
                self.enter();
                if let Some(account) = self.grant.as_mut().and_then(|grant| grant.take_account()) {
                    self.membership = Some(Membership::new(account));
                }
                match self.grant.as_ref().is_some_and(|grant| grant.keeps_token()) {
                    true => self.judge_content(Peer::Client, passage, now),
                    false => self.client.consume_captured(&mut self.tally),
                }
            }
            Verdict::Consumed => {
                self.await_fetch();
                self.client.consume_captured(&mut self.tally);
            }
            Verdict::Passes => self.judge_content(Peer::Client, passage, now),
            Verdict::Renews { reply } => {
                self.be_granted(reply);
                self.await_fetch();
                self.client.consume_captured(&mut self.tally);
            }
            Verdict::Violates(violation) => {
                let violation = self.charge_entry(violation, shared, now);
                self.refuse_message(Peer::Client, violation, now);
            }
            Verdict::Waits => return Err(Waits),
        }
        Ok(())
    }

    /// Charges the refusal of a first message before its client is told: of any number of attempts at once no more are
    /// answered with what was wrong than there were tokens.
    fn charge_entry(&mut self, violation: Violation, shared: &mut dyn Shared, now: Duration) -> Violation {
        if self.authentication.is_open() || !violation.counts_as_refusal() {
            return violation;
        }
        let measures = self.deadlines.ruleset().measures();
        let mut sink = Sink::of(&mut self.findings, &self.deadlines);
        let enforce = &mut |violation| sink.enforce(violation);
        self.rates.charge_refusal(shared, (measures, enforce), now).unwrap_or(violation)
    }

    /// Judges by what it says a whole message from `sender` that is meant for the other side.
    pub(super) fn judge_content(&mut self, sender: Peer, passage: &mut Passage, now: Duration) {
        let (direction, rules) = match sender {
            Peer::Client => {
                (&mut self.client, &limits::of(&self.limits, &self.deadlines, sender).client_content)
            }
            Peer::Upstream => {
                (&mut self.upstream, &limits::of(&self.limits, &self.deadlines, sender).upstream_content)
            }
        };
        let denied = self.grant.as_ref().and_then(|grant| grant.denied());
        let judged = match rules {
            Some(rules) => {
                let mut sink = Sink::of(&mut self.findings, &self.deadlines);
                let judged =
                    rules.judge(direction.captured(), denied, &mut |violation| sink.enforce(violation));
                judged.map_err(|violation| (violation, rules.drops()))
            }
            None => Ok(()),
        };
        match judged {
            Ok(()) => direction.release_captured(passage, &mut self.tally),
            Err((violation, true)) => {
                direction.drop_captured(&mut self.tally);
                self.dropped.get_or_insert_default().note(sender, violation.reason, now);
            }
            Err((violation, false)) => {
                if sender == Peer::Upstream && self.authentication.diverts() {
                    // What was sound before it waits for the client's token, which does not come any more.
                    *passage = Passage::default();
                }
                self.refuse_message(sender, violation, now);
            }
        }
    }

    /// Judges whether the client's message that is whole is meant for Postern.
    fn judge_message(&mut self, shared: &mut dyn Shared, now: Duration) -> Verdict {
        let standing = match self.authentication {
            Authentication::Open => Standing::Authenticated,
            Authentication::Shut { .. } => Standing::Ended,
            Authentication::Waiting(_) => Standing::Unauthenticated,
        };
        let Some(grant) = self.grant.as_deref_mut() else { return Verdict::Passes };
        let Self { rates, places, findings, .. } = self;
        let context = Context { standing, grant, rates, places, findings, shared, now };
        message::judge(Message { text: self.client.captured() }, context)
    }

    /// Sets the timer of the token that waits for something that is fetched, or unsets it if none does.
    fn await_fetch(&mut self) {
        if self.authentication.is_open() {
            self.deadlines.await_fetch(self.grant.as_ref().and_then(|grant| grant.pending_until()));
        }
    }

    /// Leaves with the host what the chunk has from `start` on, behind a first message that waits; `queued`
    /// is what the host held there before. Returns nothing if the wait is over.
    pub(super) fn hold_behind(
        &mut self,
        queued: Option<Box<QueuedInput>>,
        chunk: &mut impl Chunk,
        start: usize,
        now: Duration,
    ) -> Result<Option<Passage>, Unreadable> {
        if queued.is_none() {
            if self.grant.as_ref().is_some_and(|grant| grant.keeps_token()) {
                let is_to_be_judged = self.limits_of(Peer::Client).client_content.is_some();
                self.client.keep_captured(chunk, is_to_be_judged)?;
            } else {
                self.client.forget_captured();
            }
            self.deadlines.note_client(now);
            self.deadlines.expect_no_pong(now);
        }
        // It may wait for one thing after the other.
        self.deadlines.await_fetch(self.grant.as_ref().and_then(|grant| grant.pending_until()));
        let mut queued = queued.unwrap_or_default();
        let len = chunk.len().saturating_sub(start);
        if let Err(violation) = self.authentication.judge_behind(len) {
            self.refuse_message(Peer::Client, violation, now);
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
        // The host holds the bytes until they are released, and in the next callback once more.
        self.parking.of(Peer::Upstream).pause = Pause::Holding(2);
        let mut passage = Passage { hold: true, ..Passage::default() };
        passage.pass(start..chunk.len());
        Ok(Some(passage))
    }

    /// Takes the number of bytes of the client's that the host holds and that must be judged now.
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

    /// Judges again what waits for something that is fetched, since that may have come, or will not come any
    /// more.
    pub(crate) fn look_again(&mut self, now: Duration) {
        if !self.may_be_granted() {
            return;
        }
        if let Some(queued) = &mut self.queued {
            queued.due = true;
            return;
        }
        let Some(grant) = &mut self.grant else { return };
        match grant.renew_by_pending(&mut self.findings, now) {
            Ok(false) => {}
            Ok(true) => {
                let replies = grant.replies(now);
                self.be_granted(replies);
                self.speak(now);
            }
            Err(violation) => self.refuse(violation, now),
        }
    }

    /// Ends the connection for a message of `sender` that is not whole, or was captured.
    fn refuse_message(&mut self, sender: Peer, violation: Violation, now: Duration) {
        let (direction, tally) = self.direction(sender);
        direction.forget_frame();
        tally.refused(sender);
        self.refuse(violation, now);
    }

    /// Puts the times of a token that has just been accepted into force, and has its limits follow.
    fn be_granted(&mut self, replies: bool) {
        let Some(grant) = &self.grant else { return };
        let times = grant.times();
        self.deadlines.renew(times.end, times.notice);
        self.notices.renew(replies);
        self.note_limits();
    }

    /// Authenticates the client by its first message: what the upstream has sent goes on.
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
            self.greeting = Greeting::WithNextChunk(Box::new(held));
            return;
        }
        client.pause = if rests { Pause::Parked } else { Pause::Holding(1) };
        if !held.is_empty() {
            self.backlog.add(held.len());
            self.greeting = Greeting::AtOnce(Box::new(held));
        }
    }

    /// Ends the connection before it is authenticated, if it is not.
    pub(super) fn shut(&mut self) {
        self.authentication.shut();
        if let Some(queued) = &mut self.queued {
            queued.due = true;
        }
        self.set_captures();
    }

    /// Sets what both directions capture, as the authentication demands.
    pub(super) fn set_captures(&mut self) {
        let renews = self.grant.as_ref().is_some_and(|grant| grant.can_be_renewed());
        self.client.set_capture(match self.authentication {
            Authentication::Waiting(_) => Capture::First,
            Authentication::Shut { .. } => Capture::Ended,
            Authentication::Open if renews || self.limits_of(Peer::Client).client_content.is_some() => {
                Capture::Texts
            }
            Authentication::Open => Capture::Off,
        });
        self.upstream.diverted = self.authentication.diverts();
        self.upstream.set_capture(match self.authentication {
            Authentication::Shut { greets: true } => Capture::Ended,
            _ if self.limits_of(Peer::Upstream).upstream_content.is_some() => Capture::Texts,
            _ => Capture::Off,
        });
    }

    /// Keeps from the client what it may not see yet of the upstream's chunk.
    pub(super) fn keep_from_client(
        &mut self,
        passage: &mut Passage,
        chunk: &mut impl Chunk,
    ) -> Result<(), Unreadable> {
        match self.authentication {
            Authentication::Open => {}
            Authentication::Waiting(_) | Authentication::Shut { .. } if !self.authentication.diverts() => {}
            Authentication::Waiting(_) => self.authentication.hold(passage, chunk)?,
            // If the direction has ended, what has gone is the Close that ended the wait.
            Authentication::Shut { .. } if matches!(self.upstream.flow, Flow::Ended) => {}
            Authentication::Shut { .. } => {
                *passage = Passage::default();
                self.set_captures();
            }
        }
        Ok(())
    }

    /// Tells the client that its token ends soon.
    pub(super) fn give_notice(&mut self, now: Duration) {
        self.notices.give_notice();
        self.speak(now);
    }

    /// Sends what Postern has to say to the client, if the stream towards it is parked and no message is open on it.
    pub(super) fn speak(&mut self, now: Duration) {
        if self.may_speak() && self.parking.of(Peer::Client).is_parked() {
            let words = self.take_words(now);
            self.backlog.add(words.len());
            self.sends.push((Peer::Client, words));
        }
    }

    /// Puts what Postern has to say to the client between two messages of the upstream's chunk at hand, if that fits `room`.
    pub(super) fn speak_between(
        &mut self,
        passage: &mut Passage,
        chunk_len: usize,
        room: usize,
        now: Duration,
    ) {
        let most = notices::MAX_LEN + self.dropped_len(Peer::Client);
        if self.may_speak() && chunk_len.saturating_add(most) <= room {
            passage.insert(&self.take_words(now));
        }
    }

    /// Has what the chunk at hand had no place for said to the client as soon as it has gone.
    pub(super) fn speak_later(&mut self, now: Duration) {
        if self.may_speak() && self.parking.of(Peer::Client).is_parked() {
            self.deadlines.speak_next(now);
        }
    }

    /// Says whether Postern has something to say to the client.
    pub(super) fn has_words(&self) -> bool {
        self.notices.waits() || self.dropped_len(Peer::Client) > 0
    }

    fn take_words(&mut self, now: Duration) -> Vec<u8> {
        let expires_at = self.grant.as_ref().map_or(now, |grant| grant.times().expires_at);
        let mut words = self.notices.take(expires_at, now);
        if let Some(dropped) = &mut self.dropped {
            words.extend(dropped.take(Peer::Client, None));
        }
        words
    }

    fn may_speak(&self) -> bool {
        self.has_words()
            && self.authentication.is_open()
            && !self.deadlines.is_closing()
            && !self.greeting.waits()
            && self.upstream.may_be_followed()
    }

    /// Answers the upstream, whose messages were dropped, if the stream towards it is parked and no message is open on it.
    pub(super) fn answer_upstream(&mut self, now: Duration) {
        if self.may_answer_upstream() && self.parking.of(Peer::Upstream).is_parked() {
            let answers = self.take_answers_to_upstream();
            self.note_upload(answers.len(), now);
            self.sends.push((Peer::Upstream, answers));
        }
    }

    /// Puts the answers to the upstream between two messages of the client's chunk at hand, if they fit `room`.
    pub(super) fn answer_between(&mut self, passage: &mut Passage, chunk_len: usize, room: usize) {
        let most = self.dropped_len(Peer::Upstream);
        if self.may_answer_upstream() && chunk_len.saturating_add(most) <= room {
            passage.insert(&self.take_answers_to_upstream());
        }
    }

    /// Has the answers that the client's chunk at hand had no place for sent to the upstream as soon as it has gone.
    pub(super) fn answer_later(&mut self, now: Duration) {
        if self.may_answer_upstream() && self.parking.of(Peer::Upstream).is_parked() {
            self.deadlines.speak_next(now);
        }
    }

    fn take_answers_to_upstream(&mut self) -> Vec<u8> {
        let mask = self.mask;
        self.dropped.as_mut().map_or_else(Vec::new, |dropped| dropped.take(Peer::Upstream, Some(mask)))
    }

    fn may_answer_upstream(&self) -> bool {
        self.dropped_len(Peer::Upstream) > 0
            && self.authentication.is_open()
            && self.queued.is_none()
            && !self.deadlines.is_closing()
            && self.client.may_be_followed()
    }

    /// Returns the greatest length of the answers that wait for `sender`, in bytes.
    pub(super) fn dropped_len(&self, sender: Peer) -> usize {
        self.dropped.as_ref().map_or(0, |dropped| dropped.max_len(sender))
    }
}
