//! The gates that a frame must pass before a byte of its payload does: a flat list for each direction.
//!
//! The frame reader has judged its header by itself. The gates judge it by everything else: whether its
//! sender is authenticated, what it may be an answer to, how much was sent before. Payloads are not read.

use crate::decision::cause::FrameFault;
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::peer::Peer;
use crate::rate::Shared;
use crate::websocket::frame_reader::Frame;

use super::backlog::NoRoom;
use super::candidate::Candidate;
use super::ending::Sink;
use super::judge::Progress;
use super::rates::{Counted, Verdict};
use super::{Connection, Passage};

/// The fate of a frame by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// The frame is discarded with its message, which is being discarded.
    Discard,
    /// The frame's message is discarded from here on.
    Drop,
    /// The frame is collected, to see whether it goes on at all.
    Examine,
    /// The frame passes as far as its header tells.
    Pass,
}

impl Connection {
    /// Judges a frame by its header, gate by gate.
    pub(super) fn judge_header(
        &mut self,
        frame: &Frame,
        progress: &mut Progress,
        shared: &mut dyn Shared,
    ) -> Result<Gate, Violation> {
        let peer = progress.peer;
        let may_answer = self.parking.of(peer).may_answer();
        if frame.lacks_mask(peer) && !may_answer {
            return Err(self.direction(peer).0.broken(FrameFault::NotMasked));
        }
        let queued = self.queued.as_ref().map_or(0, |queued| queued.len);
        self.authentication.judge(peer, &frame.header, &mut progress.passage, queued)?;
        if self.direction(peer).0.is_discarded(frame) {
            return Ok(Gate::Discard);
        }
        if may_answer && Candidate::fits(&frame.header) {
            return Ok(Gate::Examine);
        }
        match peer {
            Peer::Client => self.judge_rates(frame, progress, shared),
            Peer::Upstream => self.judge_backlog(frame, &progress.passage),
        }
    }

    fn judge_rates(
        &mut self,
        frame: &Frame,
        progress: &Progress,
        shared: &mut dyn Shared,
    ) -> Result<Gate, Violation> {
        let measures = self.deadlines.ruleset().measures();
        let mut sink = Sink::of(&mut self.findings, &self.deadlines);
        let enforce = &mut |violation| sink.enforce(violation);
        match self.rates.charge(Counted::of(frame), shared, (measures, enforce), progress.now) {
            Verdict::Pass => Ok(Gate::Pass),
            Verdict::Discard => Ok(Gate::Drop),
            Verdict::Refuse(violation) => Err(violation),
        }
    }

    fn judge_backlog(&mut self, frame: &Frame, passage: &Passage) -> Result<Gate, Violation> {
        let ahead = self.authentication.held_len() + passage.len() + self.upstream.withheld_frames();
        let Err(NoRoom { exceeded, is_discarded }) =
            self.backlog.judge(&frame.header, frame.starts_message, ahead as u64)
        else {
            return Ok(Gate::Pass);
        };
        let violation = Violation::new(Rule::Backpressure, Reason::BacklogExceeded).because(exceeded);
        match Sink::of(&mut self.findings, &self.deadlines).enforce(violation) {
            Ok(()) => Ok(Gate::Pass),
            Err(_) if is_discarded => Ok(Gate::Drop),
            Err(violation) => Err(violation),
        }
    }
}
