//! The loop that judges a chunk, frame by frame.
//!
//! Knows in which order a frame is judged and what follows of that. [`gates`](super::gates) hold a frame back
//! by its header, and [`direction`](super::direction) knows what its payload must prove.

use std::time::Duration;

use crate::decision::Violation;
use crate::decision::cause::FrameFault;
use crate::metrics::tally::Counts;
use crate::peer::Peer;
use crate::rate::Shared;
use crate::websocket::frame_reader::{Frame, Step};
use crate::websocket::{Chunk, OpCode, Start, Unreadable};

use super::direction::{Direction, Stop};
use super::ending::Sink;
use super::gates::Gate;
use super::in_band::Waits;
use super::pause::Pause;
use super::queued_input::QueuedInput;
use super::silence::Brought;
use super::{Connection, Passage, parking, rates};

/// A chunk as far as it has been judged.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) peer: Peer,
    pub(super) now: Duration,
    /// The place in the chunk up to which it has been judged.
    pub(super) position: usize,
    /// The bytes that go on.
    pub(super) passage: Passage,
    /// The most bytes that may go on, with those that are put in.
    room: usize,
    /// The most bytes that may go on, but for those that are put in.
    most: usize,
    /// The place in the chunk where the client must be asked what it has read; absent where the end of the
    /// chunk does.
    proof_at: Option<usize>,
    brought: Brought,
    /// The bytes that waited behind the first message, and that the host has given back.
    queued: Option<Box<QueuedInput>>,
    /// Says whether the chunk's stream was parked.
    was_parked: bool,
    /// Says whether the chunk's stream is paused, parked or not.
    is_paused: bool,
    /// Says whether the upstream was within a frame.
    was_within: bool,
}

impl Connection {
    /// Judges a chunk from `peer`, and says what goes on of it.
    pub(crate) fn on_bytes(
        &mut self,
        peer: Peer,
        chunk: &mut impl Chunk,
        shared: &mut dyn Shared,
        now: Duration,
    ) -> Result<Passage, Unreadable> {
        let mut progress = self.begin_chunk(peer, chunk.len(), now);
        loop {
            if peer == Peer::Client && self.client.is_captured() {
                let Progress { queued, passage, .. } = &mut progress;
                if let Err(Waits) = self.judge_captured(queued.as_deref(), passage, shared, now) {
                    self.note_frame(progress.brought, now);
                    let queued = progress.queued.take();
                    if let Some(passage) = self.hold_behind(queued, chunk, progress.position, now)? {
                        return Ok(passage);
                    }
                    continue;
                }
            } else if peer == Peer::Client {
                self.answer_between(&mut progress.passage, chunk.len(), progress.room);
            } else if peer == Peer::Upstream {
                if self.upstream.is_captured() {
                    self.judge_content(Peer::Upstream, &mut progress.passage, now);
                }
                self.insert_between(chunk.len(), &mut progress);
            }
            if self.limits_change(peer) {
                self.renew_limits(peer);
            }
            let (direction, _) = self.direction(peer);
            progress.brought.begins_frame |= direction.reader.is_between_frames();
            progress.brought.begins_message |= direction.kept_back().is_none();
            if direction.ends_here(&mut progress.passage, progress.room) {
                break;
            }
            self.skim(chunk, &mut progress)?;
            let (direction, _) = self.direction(peer);
            let judged = match direction.reader.step(chunk, progress.position)? {
                Step::End => {
                    direction.end_chunk(chunk)?;
                    break;
                }
                Step::Frame(frame) => self.on_frame(frame, chunk, &mut progress, shared),
                Step::Payload(range) => {
                    progress.position = range.end;
                    let (direction, tally) = self.direction(peer);
                    direction
                        .take_payload(range, chunk, &mut progress.passage, tally)
                        .and_then(|()| self.on_collected(&mut progress, shared))
                }
                Step::Violation(violation) => {
                    let violation = direction.refusal_by(violation);
                    self.lift(peer, *violation).map_err(Stop::from)
                }
            };
            self.tell_unproved(peer);
            match judged {
                Ok(()) => self.note_close(peer, now),
                Err(Stop::Unreadable) => return Err(Unreadable),
                Err(Stop::Violated(violation)) => self.refuse_frame(*violation, &mut progress),
            }
        }
        self.end_chunk(chunk, progress)
    }

    /// Takes the violation of a limit on frames. One that is shadowed refuses nothing from here on, and the frame is read once
    /// more.
    fn lift(&mut self, peer: Peer, violation: Violation) -> Result<(), Violation> {
        let rule = violation.rule;
        // Nothing but a whole message can bring the token.
        if peer == Peer::Client && !self.authentication.is_open() {
            return Err(violation);
        }
        Sink::of(&mut self.findings, &self.deadlines).enforce(violation)?;
        self.direction(peer).0.reader.lift(rule);
        Ok(())
    }

    /// Tells what payloads of `peer` have not proved, where that is shadowed.
    fn tell_unproved(&mut self, peer: Peer) {
        for violation in self.direction(peer).0.take_unproved() {
            // Nothing else is taken note of than what is shadowed.
            let _ = Sink::of(&mut self.findings, &self.deadlines).enforce(violation);
        }
    }

    fn begin_chunk(&mut self, peer: Peer, len: usize, now: Duration) -> Progress {
        let pause = &mut self.parking.of(peer.other()).pause;
        let mut passage = Passage::default();
        let mut queued = None;
        match peer {
            Peer::Client => {
                queued = self.queued.take();
                if queued.as_ref().is_some_and(|queued| !queued.released) {
                    // The host has given back what it held, so that the chunk behind this one is its own.
                    *pause = Pause::Holding(1);
                }
            }
            Peer::Upstream => passage.release(self.greeting.take_with_chunk()),
        }
        let pause = pause.take();
        let is_paused = pause != Pause::Flowing;
        let proof_at = match peer {
            Peer::Client => None,
            Peer::Upstream => self.proof_at(0, passage.len(), now).filter(|at| *at < len),
        };
        Progress {
            peer,
            now,
            position: 0,
            // A parked stream may come to hold this much.
            room: if is_paused { len.max(parking::ROOM) } else { usize::MAX },
            most: len.saturating_add(passage.len()).saturating_add(self.upstream.withheld()),
            proof_at,
            brought: Brought { len, ..Brought::default() },
            queued,
            was_parked: pause == Pause::Parked,
            is_paused,
            was_within: !self.upstream.at_boundary(),
            passage,
        }
    }

    /// Puts in between two frames of the upstream's what the client must be told or asked there.
    fn insert_between(&mut self, len: usize, progress: &mut Progress) {
        let Progress { position, now, room, .. } = *progress;
        if self.has_words() {
            self.speak_between(&mut progress.passage, len, room, now);
        } else if progress.proof_at.is_some_and(|at| at <= position)
            && position < len
            && self.upstream.at_boundary()
        {
            let Progress { passage, most, .. } = progress;
            progress.proof_at = self.prove_between(position, passage, most, room, now);
        }
    }

    /// Lets messages go on that are plainly fine, where none is counted.
    fn skim(&mut self, chunk: &mut impl Chunk, progress: &mut Progress) -> Result<(), Unreadable> {
        let is_uncounted = match progress.peer {
            Peer::Client => self.rates.is_empty(),
            Peer::Upstream => !self.backlog.is_limited(),
        };
        let is_open = self.authentication.is_open() && progress.position < chunk.len();
        let (direction, tally) = self.direction(progress.peer);
        if is_uncounted && is_open && direction.may_skim() {
            let Progress { position, passage, .. } = progress;
            *position = match progress.proof_at {
                Some(at) => direction.skim(*position, &mut Start::new(chunk, at), passage, tally)?,
                None => direction.skim(*position, chunk, passage, tally)?,
            };
        }
        Ok(())
    }

    /// Takes the header of a frame, whose payload follows.
    fn on_frame(
        &mut self,
        frame: Frame,
        chunk: &mut impl Chunk,
        progress: &mut Progress,
        shared: &mut dyn Shared,
    ) -> Result<(), Stop> {
        progress.position = frame.range.end;
        progress.brought.payload_len = Some(frame.header.payload_len);
        let gate = self.judge_header(&frame, progress, shared)?;
        let (direction, tally) = self.direction(progress.peer);
        match gate {
            Gate::Discard => direction.discard_frame(),
            Gate::Drop => {
                tally.dropped(progress.peer);
                direction.discard_frame();
            }
            Gate::Examine => direction.examine_frame(frame, chunk)?,
            Gate::Pass => {
                let opcode = frame.header.opcode;
                let Progress { position, passage, .. } = progress;
                direction.begin_frame(frame, chunk, position, passage, tally)?;
                self.note_control(opcode, progress);
            }
        }
        Ok(())
    }

    /// Takes a collected Pong once it is whole: an answer to an own Ping goes no further, any other Pong
    /// does.
    fn on_collected(&mut self, progress: &mut Progress, shared: &mut dyn Shared) -> Result<(), Stop> {
        let Progress { peer, now, .. } = *progress;
        let (direction, _) = self.direction(peer);
        let Some(pong) = direction.candidate.as_ref().filter(|pong| pong.is_whole()) else { return Ok(()) };
        let (payload, frame) = (pong.payload(), pong.frame(progress.position));
        // The first answer to a Ping is free.
        let is_counted = peer == Peer::Client && !self.rates.is_empty();
        let is_repeated = is_counted && self.parking.is_answered(peer, &payload);
        if let Some(read) = self.parking.take_answer(peer, &payload) {
            self.on_answer(peer, read, now);
            if is_repeated {
                self.charge(&frame, shared, now)?;
            }
            self.direction(peer).0.candidate = None;
            return Ok(());
        }
        if frame.lacks_mask(peer) {
            return Err(self.direction(peer).0.broken(FrameFault::NotMasked).into());
        }
        if peer == Peer::Client {
            self.charge(&frame, shared, now)?;
        }
        self.direction(peer).0.release_candidate(&mut progress.passage);
        self.note_control(OpCode::PONG, progress);
        Ok(())
    }

    /// Charges a control frame, none of which is ever discarded.
    fn charge(&mut self, frame: &Frame, shared: &mut dyn Shared, now: Duration) -> Result<(), Violation> {
        let measures = self.deadlines.ruleset().measures();
        let mut sink = Sink::of(&mut self.findings, &self.deadlines);
        let enforce = &mut |violation| sink.enforce(violation);
        match self.rates.charge(rates::Counted::of(frame), shared, (measures, enforce), now) {
            rates::Verdict::Pass | rates::Verdict::Discard => Ok(()),
            rates::Verdict::Refuse(violation) => Err(violation),
        }
    }

    /// Notes a control frame of the application's that passes.
    fn note_control(&mut self, opcode: OpCode, progress: &Progress) {
        let Progress { peer, now, .. } = *progress;
        match opcode {
            OpCode::PING if !self.direction(peer).0.takes(OpCode::PING) => {
                self.on_foreign_ping(peer.other(), progress.passage.len(), now);
            }
            OpCode::PONG => self.on_foreign_pong(peer, now),
            _ => {}
        }
    }

    /// Ends a direction behind a Close that has passed.
    fn note_close(&mut self, peer: Peer, now: Duration) {
        let (direction, _) = self.direction(peer);
        if direction.reader.is_closed() {
            direction.end();
            self.closed_by.get_or_insert(peer);
            self.shut();
            self.deadlines.close(None, now);
        }
    }

    /// Ends the connection for a frame, of which nothing passes.
    fn refuse_frame(&mut self, violation: Violation, progress: &mut Progress) {
        let (direction, tally) = self.direction(progress.peer);
        direction.forget_frame();
        tally.refused(progress.peer);
        if progress.peer == Peer::Upstream && self.authentication.diverts() {
            progress.passage = Passage::default();
        }
        self.refuse(violation, progress.now);
    }

    fn end_chunk(&mut self, chunk: &mut impl Chunk, progress: Progress) -> Result<Passage, Unreadable> {
        let Progress { peer, now, mut passage, brought, was_parked, is_paused, room, was_within, .. } =
            progress;
        match peer {
            Peer::Client => self.note_frame(brought, now),
            Peer::Upstream => {
                self.keep_from_client(&mut passage, chunk)?;
                self.note_upstream_message(brought.begins_message, now);
                if was_within && self.upstream.at_boundary() {
                    self.deadlines.note_askable(now);
                }
            }
        }
        self.settle(peer, chunk.len(), (was_parked, room), &mut passage, now);
        match peer {
            Peer::Client => {
                self.speak(now);
                self.answer_later(now);
            }
            Peer::Upstream => {
                self.speak_later(now);
                self.answer_upstream(now);
            }
        }
        passage.resume = is_paused && !passage.is_empty();
        Ok(passage)
    }

    pub(super) fn direction(&mut self, peer: Peer) -> (&mut Direction, &mut Counts) {
        let direction = match peer {
            Peer::Client => &mut self.client,
            Peer::Upstream => &mut self.upstream,
        };
        (direction, &mut self.tally)
    }
}
