//! A stream under a policy in shadow: all of it passes as it came, and a session of its own judges a copy.
//!
//! That session believes that it decides. Here is its host: it does none of what it is asked but to keep what the session
//! would have held, and turns every refusal and every end into a finding. So a policy in shadow changes no byte, no header
//! and no order of things, whatever it finds. Nothing is judged behind what would have been the end, unless the policy has
//! only a rule there that others do not depend on.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::connection::Passage;
use crate::decision::cause::HostFault;
use crate::decision::{Reason, Violation};
use crate::handshake::no_memory;
use crate::http::headers::{Field, Headers, Single};
use crate::metrics::tally::{Heartbeats, Tally};
use crate::peer::Peer;
use crate::rate::Shared;
use crate::rate::slots::KeySpace;
use crate::ruleset::Ruleset;
use crate::websocket::{Chunk, Unreadable};

use super::{Event, Input, Output, Session};

/// The most bytes that are kept for a session that waits for something that is fetched.
const MOST_QUEUED: usize = 64 * 1024;

/// A stream that is judged and passes in any case.
#[derive(Debug)]
pub(super) struct Shadowed {
    /// The session that judges, and does nothing.
    observer: Session,
    /// Says whether nothing more is judged.
    is_done: bool,
    /// The client's bytes that the session would have the host hold.
    held: Vec<u8>,
    /// What has come while the session waits for something that is fetched.
    queued: VecDeque<Queued>,
    queued_bytes: usize,
    /// The counts of a session that is done.
    tally: Tally,
    /// The reason of the first finding.
    found: Option<Reason>,
    /// Says whether the upstream has agreed and that has not been told yet.
    opens: bool,
}

/// A thing that a session that waits has not been told yet.
#[derive(Debug)]
enum Queued {
    Response(Vec<Field>),
    Bytes(Peer, Vec<u8>),
}

impl Shadowed {
    pub(super) fn new(ruleset: Rc<Ruleset>, keys: &KeySpace) -> Self {
        // What is counted in shadow takes nothing from anybody else.
        let observer = Session::judging(ruleset, keys.in_shadow());
        Self {
            observer,
            is_done: false,
            held: Vec::new(),
            queued: VecDeque::new(),
            queued_bytes: 0,
            tally: Tally::default(),
            found: None,
            opens: false,
        }
    }

    pub(super) fn into_observer(self) -> Session {
        self.observer
    }

    pub(super) fn observer(&self) -> &Session {
        &self.observer
    }

    /// Says whether nothing more is judged.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Returns the memory that is taken for what the peers have sent, in bytes.
    pub(super) fn held(&self) -> u64 {
        let own = self.held.capacity().saturating_add(self.queued_bytes);
        self.observer.held().saturating_add(own as u64)
    }

    /// Notes that what has passed unread did so by `now`.
    pub(super) fn note_time(&mut self, now: Duration) {
        if !self.is_done {
            self.observer.note_time(now);
        }
    }

    /// Takes what was counted since the last call; `is_over` says whether this one is the last.
    pub(super) fn take_tally(&mut self, is_over: bool) -> Tally {
        let mut tally = std::mem::take(&mut self.tally);
        if !self.is_done {
            tally.add(&match is_over {
                true => self.observer.take_last_tally(),
                false => self.observer.take_tally(),
            });
        }
        in_shadow(tally)
    }

    /// Has the session take an input, and returns what is to be told.
    pub(super) fn take(&mut self, input: Input, shared: &mut dyn Shared, now: Duration) -> Vec<Event> {
        if let Input::Response(fields) = &input {
            self.opens = is_switching(fields);
        }
        let mut events = Vec::new();
        match input {
            Input::Ended => {
                self.observer.handle(Input::Ended, shared, now);
                self.perform(&mut events, shared, now);
            }
            _ if self.is_done => {}
            Input::Response(fields) if self.waits() => {
                let len = fields.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum();
                if self.has_room(len, &mut events) {
                    self.queued.push_back(Queued::Response(fields));
                }
            }
            input => {
                self.observer.handle(input, shared, now);
                self.perform(&mut events, shared, now);
                self.take_queued(&mut events, shared, now);
            }
        }
        self.tell_opening(&mut events);
        events
    }

    /// Tells that the upstream has agreed, also where nothing is judged any more.
    fn tell_opening(&mut self, events: &mut Vec<Event>) {
        let is_told = events.iter().any(Event::is_opening);
        if self.opens && self.is_done && !is_told {
            events.push(self.found.map_or(Event::Opened, Event::OpenedInShadow));
        }
        self.opens &= !self.is_done && !is_told;
    }

    /// Has the session judge a chunk, and returns what is to be told.
    pub(super) fn judge(
        &mut self,
        peer: Peer,
        chunk: &mut impl Chunk,
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Vec<Event> {
        if self.is_done || chunk.is_empty() {
            return Vec::new();
        }
        let mut events = Vec::new();
        let judged = match self.waits() {
            true => self.queue(peer, chunk, &mut events),
            false => self.judge_now(peer, chunk, shared, now),
        };
        if judged.is_err() {
            self.observer.handle(Input::HostFailed(HostFault::Chunk), shared, now);
        }
        self.perform(&mut events, shared, now);
        self.tell_opening(&mut events);
        events
    }

    /// Has the session judge a chunk, behind what it had the host hold of the client's.
    fn judge_now(
        &mut self,
        peer: Peer,
        chunk: &mut impl Chunk,
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Result<(), Unreadable> {
        if peer == Peer::Client && !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(chunk.window(0..chunk.len())?);
            return self.judge_whole(peer, &mut held.as_slice(), shared, now);
        }
        self.judge_whole(peer, chunk, shared, now)
    }

    fn judge_whole(
        &mut self,
        peer: Peer,
        chunk: &mut impl Chunk,
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Result<(), Unreadable> {
        if self.observer.pass_unread(peer, chunk.len()) {
            self.observer.note_time(now);
            return Ok(());
        }
        let passage = self.observer.judge(peer, chunk, shared, now)?;
        if peer == Peer::Client && self.would_hold(&passage) {
            // Of a chunk with a first message only what is behind that is held.
            self.held = passage.bytes(chunk.window(0..chunk.len())?);
        }
        Ok(())
    }

    /// Keeps a chunk for the session, which waits.
    fn queue(
        &mut self,
        peer: Peer,
        chunk: &mut impl Chunk,
        events: &mut Vec<Event>,
    ) -> Result<(), Unreadable> {
        let joins = matches!(self.queued.back(), Some(Queued::Bytes(sender, _)) if *sender == peer);
        // A byte by itself takes far more than a byte.
        let own = if joins { 0 } else { size_of::<Queued>() };
        if !self.has_room(chunk.len().saturating_add(own), events) {
            return Ok(());
        }
        let bytes = chunk.window(0..chunk.len())?;
        match self.queued.back_mut() {
            Some(Queued::Bytes(sender, last)) if *sender == peer => last.extend_from_slice(bytes),
            _ => self.queued.push_back(Queued::Bytes(peer, bytes.to_vec())),
        }
        Ok(())
    }

    /// Says whether the session has the host keep the client's chunk.
    fn would_hold(&self, passage: &Passage) -> bool {
        passage.hold || self.observer.outputs.iter().any(|output| matches!(output, Output::HoldRequest))
    }

    /// Says whether the session waits before its handshake is over.
    fn waits(&self) -> bool {
        !self.queued.is_empty() || (self.observer.is_waiting() && !self.observer.was_opened())
    }

    /// Says whether there is room for so many bytes more in the queue. If not, nothing more is judged, and that is told.
    fn has_room(&mut self, len: usize, events: &mut Vec<Event>) -> bool {
        self.queued_bytes = self.queued_bytes.saturating_add(len);
        let has_room = self.queued_bytes <= MOST_QUEUED;
        if !has_room {
            let instance = self.observer.instance.to_string();
            events.push(self.find(no_memory(), instance));
            self.end();
        }
        has_room
    }

    /// Tells the session what has come while it waited, once it waits no more.
    fn take_queued(&mut self, events: &mut Vec<Event>, shared: &mut dyn Shared, now: Duration) {
        while !self.is_done
            && !self.observer.is_waiting()
            && let Some(queued) = self.queued.pop_front()
        {
            match queued {
                Queued::Response(fields) => self.observer.handle(Input::Response(fields), shared, now),
                Queued::Bytes(peer, bytes) => {
                    // Bytes at hand can be read.
                    let _ = self.judge_now(peer, &mut bytes.as_slice(), shared, now);
                }
            }
            self.perform(events, shared, now);
        }
        if self.queued.is_empty() {
            self.queued_bytes = 0;
        }
    }

    /// Does nothing of what the session asks for, and takes what it tells.
    fn perform(&mut self, events: &mut Vec<Event>, shared: &mut dyn Shared, now: Duration) {
        while let Some(output) = self.observer.poll_output() {
            match output {
                Output::ReleaseRequest(_) => {
                    // Bytes at hand can be read.
                    let _ = self.judge_now(Peer::Client, &mut &[][..], shared, now);
                }
                Output::Tell(
                    Event::Closed { violation, instance } | Event::Refused { violation, instance },
                ) => {
                    events.push(self.find(violation, instance));
                    self.end();
                }
                Output::Tell(Event::Found { violation, instance, .. }) => {
                    events.push(self.find(violation, instance));
                }
                Output::Tell(event) => events.push(event),
                _ => {}
            }
        }
    }

    fn find(&mut self, violation: Violation, instance: String) -> Event {
        let is_first = self.found.is_none();
        self.found.get_or_insert(violation.reason);
        Event::Found { violation, instance, is_first }
    }

    /// Judges nothing more. The session stays among the live connections, as its stream does.
    fn end(&mut self) {
        self.tally.add(&self.observer.take_last_tally());
        self.observer.cut();
        (self.held, self.queued, self.queued_bytes) = (Vec::new(), VecDeque::new(), 0);
        self.is_done = true;
    }
}

/// Says whether a response agrees to another protocol.
fn is_switching(fields: &[Field]) -> bool {
    Headers::new(fields).single(":status") == Single::One(b"101")
}

/// Returns counts of messages that have all passed, whatever became of them in the judgement, and of no own Pings: none is
/// sent.
fn in_shadow(mut tally: Tally) -> Tally {
    tally.heartbeats = Heartbeats::default();
    for messages in [&mut tally.client, &mut tally.upstream] {
        let kept = [&mut messages.consumed, &mut messages.dropped, &mut messages.refused].map(std::mem::take);
        messages.allowed = kept.into_iter().fold(messages.allowed, u64::saturating_add);
    }
    tally
}
