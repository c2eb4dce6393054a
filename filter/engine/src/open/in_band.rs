//! What the client says to Postern itself, and what Postern says to it by text: the first message,
//! refreshes, and the answers.
//!
//! Owns how a connection becomes authenticated, is renewed and is told so. What a message comes to
//! is decided in [`rights`](super::rights), what happens before in [`entrance`](super::entrance).

use std::time::Duration;

use crate::chunk::{Chunk, Unreadable};
use crate::lane::Peer;
use crate::passage::Passage;

use super::behind::Behind;
use super::entrance::Entrance;
use super::rights::{Entry, Refused, Renewal};
use super::side::{Ear, Flow};
use super::{Judged, Open, speech};

/// Why it is not known yet what becomes of a message that was heard.
pub(super) enum Unheard {
    /// Something has to be asked.
    Asks(Judged),
    /// Something has to be fetched.
    Waits,
}

/// What becomes of a message that was heard.
enum Heard {
    /// It goes on.
    Ordinary,
    /// It was meant for Postern.
    Taken,
}

impl Open {
    /// Begins as the right to the connection has it: the client is authenticated, or its first
    /// message is waited for.
    pub(super) fn begin(&mut self, now: Duration) {
        let Some(rights) = &self.rights else { return };
        match rights.first_message_timeout() {
            Some(timeout) => {
                self.entrance = Entrance::waiting(rights.max_unauthenticated_bytes(), rights.greets());
                self.deadlines.await_token(now.saturating_add(timeout));
            }
            None => self.be_granted(false),
        }
        self.listen();
    }

    /// Hears the client's message that is whole, with what the host held `behind` it. Before it is
    /// known what becomes of it this may have to be called again.
    pub(super) fn hear(
        &mut self,
        behind: Option<&Behind>,
        passage: &mut Passage,
        now: Duration,
    ) -> Result<(), Unheard> {
        // One that waits is not judged for every chunk.
        if behind.is_some_and(|behind| !behind.released) && self.entrance.is_waiting() {
            return Err(Unheard::Waits);
        }
        let heard = match self.judge_heard(now) {
            Ok(heard) => heard,
            Err(Entry::Ask(charge)) => return Err(Unheard::Asks(Judged::Ask(charge))),
            Err(Entry::Spend(ticket)) => return Err(Unheard::Asks(Judged::Spend(ticket))),
            Err(Entry::Wait) => return Err(Unheard::Waits),
            Err(Entry::Refused(refused)) => {
                self.client.forget_frame();
                self.tally.message(Peer::Client, Err(refused.reason));
                self.refuse_token(refused, now);
                return Ok(());
            }
            Err(Entry::Granted) => {
                self.be_granted(false);
                self.enter();
                let keeps = self.rights.as_ref().is_some_and(|rights| rights.keeps_token());
                if keeps { Heard::Ordinary } else { Heard::Taken }
            }
        };
        match heard {
            Heard::Ordinary => self.client.release_heard(passage, &mut self.tally),
            Heard::Taken => self.client.take_heard(&mut self.tally),
        }
        Ok(())
    }

    /// Leaves what the chunk has from `start` on with the host, behind a first message that waits,
    /// and what it held `behind` it before. Nothing is left there if the wait is over.
    pub(super) fn hold_behind(
        &mut self,
        behind: Option<Box<Behind>>,
        chunk: &mut impl Chunk,
        start: usize,
        now: Duration,
    ) -> Result<Option<Passage>, Unreadable> {
        if behind.is_none() {
            if self.rights.as_ref().is_some_and(|rights| rights.keeps_token()) {
                self.client.keep_heard(chunk)?;
            } else {
                self.client.forget_heard();
            }
            self.deadlines.note_client(now);
            self.deadlines.expect_no_pong(now);
            self.deadlines.await_fetch(self.rights.as_ref().and_then(|rights| rights.pending_until()));
        }
        let mut behind = behind.unwrap_or_default();
        let len = chunk.len().saturating_sub(start);
        if let Err(reason) = self.entrance.judge_behind(len) {
            self.client.forget_frame();
            self.tally.message(Peer::Client, Err(reason));
            self.refuse(reason, now);
            return Ok(None);
        }
        if behind.closes(chunk, start)? {
            self.shut();
            return Ok(None);
        }
        if len > behind.len {
            self.deadlines.note_client(now);
        }
        (behind.len, behind.due, behind.released) = (len, false, false);
        self.behind = Some(behind);
        // It is held until it is released, and in the next callback again.
        self.held_early = 2;
        let mut passage = Passage { hold: true, ..Passage::default() };
        passage.pass(start..chunk.len());
        Ok(Some(passage))
    }

    /// How many bytes of the client's the host holds that are to be judged now.
    pub(crate) fn take_release(&mut self) -> Option<usize> {
        let behind = self.behind.as_mut().filter(|behind| behind.due)?;
        (behind.due, behind.released) = (false, true);
        Some(behind.len)
    }

    fn judge_heard(&mut self, now: Duration) -> Result<Heard, Entry> {
        let Some(rights) = &mut self.rights else { return Ok(Heard::Ordinary) };
        let message = self.client.heard();
        if self.entrance.is_waiting() {
            return Err(rights.enter(message, &mut self.rates, now));
        }
        if !self.entrance.is_open() {
            // It began before the server's Close.
            return Ok(Heard::Taken);
        }
        let Renewal::Taken(renewed) = rights.renew(message, now).map_err(Entry::Refused)? else {
            return Ok(Heard::Ordinary);
        };
        let (replies, until) = (renewed && rights.replies(now), rights.pending_until());
        if renewed {
            self.be_granted(replies);
        }
        self.deadlines.await_fetch(until);
        Ok(Heard::Taken)
    }

    /// Whether a token waits for something that is fetched.
    pub(crate) fn is_waiting(&self) -> bool {
        let pending_until = self.rights.as_ref().and_then(|rights| rights.pending_until());
        pending_until.is_some() && self.may_be_granted()
    }

    fn may_be_granted(&self) -> bool {
        !matches!(self.entrance, Entrance::Shut { .. }) && !self.deadlines.is_closing()
    }

    /// What a token waits for may have come, or may come no more.
    pub(crate) fn look_again(&mut self, now: Duration) {
        if !self.may_be_granted() {
            return;
        }
        if let Some(behind) = &mut self.behind {
            behind.due = true;
            return;
        }
        let Some(rights) = &mut self.rights else { return };
        match rights.renew_by_pending(now) {
            Ok(false) => {}
            Ok(true) => {
                let replies = rights.replies(now);
                self.be_granted(replies);
                self.speak(now);
            }
            Err(refused) => self.refuse_token(refused, now),
        }
    }

    fn refuse_token(&mut self, Refused { reason, detail }: Refused, now: Duration) {
        self.detail = detail.map(|detail| Box::new(detail.into()));
        self.refuse(reason, now);
    }

    /// The times of a token that has just been accepted hold from now on.
    fn be_granted(&mut self, replies: bool) {
        let Some(rights) = &self.rights else { return };
        let times = rights.times();
        self.deadlines.renew(times.end, times.notice);
        self.speech.renew(times.expires_at, replies);
    }

    /// The client is authenticated by its first message: what the upstream has sent goes on.
    fn enter(&mut self) {
        let greets = !self.entrance.diverts();
        let held = self.entrance.open();
        self.listen();
        if greets {
            return;
        }
        // A stream stays parked only while it holds nothing, and nothing is withheld from it.
        let rests = self.upstream.at_boundary() && self.upstream.withheld() == 0;
        let client = self.parking.of(Peer::Client);
        if !client.is_parked() {
            self.late = held;
            return;
        }
        client.restore(rests);
        self.paused_once = !rests;
        if !held.is_empty() {
            self.backlog.add(held.len());
            self.delivery = Some(held);
        }
    }

    /// The connection ends before it is authenticated, if it is not.
    pub(super) fn shut(&mut self) {
        self.entrance.shut();
        if let Some(behind) = &mut self.behind {
            behind.due = true;
        }
        self.listen();
    }

    /// Both sides behave as the entrance has it.
    fn listen(&mut self) {
        let renews = self.rights.as_ref().is_some_and(|rights| rights.can_be_renewed());
        self.client.listen(match self.entrance {
            Entrance::Waiting(_) => Ear::First,
            Entrance::Shut { .. } => Ear::Deaf,
            Entrance::Open if renews => Ear::Texts,
            Entrance::Open => Ear::Off,
        });
        self.upstream.diverted = self.entrance.diverts();
        if matches!(self.entrance, Entrance::Shut { greets: true }) {
            self.upstream.listen(Ear::Deaf);
        }
    }

    /// Keeps from the client what it may not see of the upstream's chunk.
    pub(super) fn keep_from_client(
        &mut self,
        passage: &mut Passage,
        chunk: &mut impl Chunk,
    ) -> Result<(), Unreadable> {
        match self.entrance {
            Entrance::Open => {}
            Entrance::Waiting(_) | Entrance::Shut { .. } if !self.entrance.diverts() => {}
            Entrance::Waiting(_) => self.entrance.hold(passage, chunk)?,
            // What has gone then is the Close that ended the wait.
            Entrance::Shut { .. } if matches!(self.upstream.flow, Flow::Ended) => {}
            Entrance::Shut { .. } => {
                *passage = Passage::default();
                self.listen();
            }
        }
        Ok(())
    }

    /// The client's token ends soon.
    pub(super) fn give_notice(&mut self, now: Duration) {
        self.speech.give_notice();
        self.speak(now);
    }

    /// Says what waits to be said, if the stream towards the client is parked, and no message is open
    /// on it.
    pub(super) fn speak(&mut self, now: Duration) {
        if self.may_speak() && self.parking.of(Peer::Client).is_parked() {
            let words = self.speech.take(now);
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
        if self.may_speak() && chunk_len.saturating_add(speech::MAX_LEN) <= room {
            passage.insert(&self.speech.take(now));
        }
    }

    /// What could not be said in the chunk at hand is said as soon as it has gone.
    pub(super) fn speak_later(&mut self, now: Duration) {
        if self.may_speak() && self.parking.of(Peer::Client).is_parked() {
            self.deadlines.speak_next(now);
        }
    }

    fn may_speak(&self) -> bool {
        self.speech.waits()
            && self.entrance.is_open()
            && !self.deadlines.is_closing()
            && self.late.is_empty()
            && self.upstream.may_be_followed()
    }
}
