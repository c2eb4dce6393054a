//! One direction of an open WebSocket: the bytes that a peer sends, and how far they still go.

use std::ops::Range;

use postern_config::{Compression, Policy};

use crate::connection::Passage;
use crate::decision::Cause;
use crate::decision::cause::FrameFault;
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::metrics::tally::Counts;
use crate::peer::Peer;
use crate::websocket::OpCode;
use crate::websocket::frame_reader::{Frame, FrameLimits, FrameReader, Run};
use crate::websocket::inflate::{Context, Inflater};
use crate::websocket::{Chunk, Unreadable};

use super::candidate::Candidate;
use super::proof::{Proof, Proved, Unproved};
use super::shadowed_proofs::ShadowedProofs;
use super::withheld::Withheld;

/// The bytes that a peer sends, and how far they still go.
#[derive(Debug)]
pub(super) struct Direction {
    sender: Peer,
    pub(super) reader: FrameReader,
    pub(super) flow: Flow,
    proof: Proof,
    withheld: Withheld,
    /// The Pong that is being collected, since it may answer a Ping of Postern's own.
    pub(super) candidate: Option<Box<Candidate>>,
    /// The fate of the frame that is open.
    disposition: Disposition,
    /// Says whether the open message is being discarded.
    discarding: bool,
    /// Says whether the last message to begin was one frame, as the next may be then.
    whole: bool,
    capture: Capture,
    /// Says whether the last message is whole and captured.
    is_captured: bool,
    /// Says whether what passes is diverted, so that nothing of it has gone on.
    pub(super) diverted: bool,
    /// Says whether the sender may open another protocol, since the subprotocol that was agreed on is one.
    lets_tunnels: bool,
    /// Says whether a message has passed.
    has_spoken: bool,
}

/// The messages of a direction that are captured, to be judged by what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capture {
    /// No message; only a Close goes on.
    Ended,
    /// The first message. Nothing else but a Close goes on.
    First,
    /// No message.
    Off,
    /// Any text message, since each may be meant for Postern.
    Texts,
}

/// The point up to which the bytes of a direction still go.
#[derive(Debug)]
pub(super) enum Flow {
    /// The next frame boundary, where this Close takes their place.
    Closing(Vec<u8>),
    /// No further: a Close has gone.
    Ended,
    /// Without end.
    Passing,
}

/// The fate of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disposition {
    Discard,
    /// The frame is collected, to see whether it goes on at all.
    Examine,
    /// The frame passes, and nobody reads its payload.
    Pass,
    /// The payload is read, and the frame passes once that is proved.
    Withhold,
}

/// The reason why the judgement of a chunk stops.
#[derive(Debug)]
pub(super) enum Stop {
    Unreadable,
    Violated(Box<Violation>),
}

/// The most bytes of headers that a withheld message of the upstream may have, since no rule counts its
/// fragments.
pub(crate) const MAX_WITHHELD_HEADERS: u64 = 16 * 1024;

impl Direction {
    /// Creates the direction of what `sender` sends. With `lets_tunnels` it may be any protocol.
    pub(super) fn new(sender: Peer, policy: &Policy, deflate: Option<Context>, lets_tunnels: bool) -> Self {
        let (limits, utf8) = rules(sender, policy);
        let inflater = deflate.filter(|_| policy.compression != Compression::Pass).map(Inflater::new);
        let limits = FrameLimits { compressible: deflate.is_some(), inflated: inflater.is_some(), ..limits };
        let looks_for_tunnels = policy.messages.deny_tunnels && !lets_tunnels;
        let mut proof = Proof::new((sender, looks_for_tunnels), utf8, limits.max_message_bytes, inflater);
        proof.set_shadow(ShadowedProofs::of(sender, policy));
        Self {
            sender,
            reader: FrameReader::new(sender, limits),
            flow: Flow::Passing,
            proof,
            withheld: Withheld::default(),
            candidate: None,
            disposition: Disposition::Pass,
            discarding: false,
            whole: true,
            capture: Capture::Off,
            is_captured: false,
            diverted: false,
            lets_tunnels,
            has_spoken: false,
        }
    }

    /// Judges the messages that begin from now on by the limits of `policy`. Meant to be called between two messages.
    pub(super) fn judge_by(&mut self, policy: &Policy) {
        let (limits, utf8) = rules(self.sender, policy);
        let is_first = self.proof.is_opening() || !self.has_spoken;
        let looks_for_tunnels = policy.messages.deny_tunnels && !self.lets_tunnels && is_first;
        self.reader.set_limits(limits);
        self.proof.set_limits(utf8, limits.max_message_bytes, looks_for_tunnels);
    }

    /// Says whether what went on ends with a whole frame, so that a frame of Postern's own may follow.
    pub(super) fn at_boundary(&self) -> bool {
        self.diverted || self.reader.at_boundary() || self.disposition != Disposition::Pass
    }

    /// Says whether what went on ends with a whole message, so that a message of Postern's own may follow.
    pub(super) fn may_be_followed(&self) -> bool {
        matches!(self.flow, Flow::Passing) && self.reader.is_between_messages()
    }

    /// Returns the number of bytes that have come and have neither gone on nor been discarded.
    pub(super) fn withheld(&self) -> usize {
        if self.diverted {
            return 0;
        }
        let candidate = self.candidate.as_ref().map_or(0, |candidate| candidate.len());
        self.reader.held() + candidate + self.withheld.len()
    }

    /// Returns the number of bytes of the frames that are withheld, and go on if their message does.
    pub(super) fn withheld_frames(&self) -> usize {
        self.withheld.len()
    }

    /// Returns the number of bytes that are kept back of a message that is not whole, with those still to
    /// come that are known of.
    pub(super) fn kept_back(&self) -> Option<u64> {
        let is_kept = !self.withheld.is_empty() && !self.is_captured;
        is_kept.then(|| self.reader.payload_left().saturating_add(self.withheld.len() as u64))
    }

    /// Says whether the next `len` bytes are nothing but payload that nobody reads. If so, they count as
    /// passed.
    pub(super) fn pass_unread(&mut self, len: usize) -> bool {
        let passes = len > 0
            && matches!(self.flow, Flow::Passing)
            && self.disposition == Disposition::Pass
            && self.reader.within_payload(len);
        if passes {
            self.reader.skip_payload(len);
        }
        passes
    }

    /// Returns the code of the Close that has ended the direction, if one has and has a code.
    pub(super) fn close_code(&self) -> Option<u16> {
        self.proof.close_code()
    }

    /// Ends the direction with `close`, at the next frame boundary.
    pub(super) fn end_with(&mut self, close: Vec<u8>) {
        if matches!(self.flow, Flow::Passing) {
            self.flow = Flow::Closing(close);
        }
    }

    /// Takes the Close that waits for the next boundary, so that it goes now.
    pub(super) fn take_close(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.flow, Flow::Ended) {
            Flow::Closing(close) => {
                self.end();
                Some(close)
            }
            flow => {
                self.flow = flow;
                None
            }
        }
    }

    /// Says whether nothing more goes on. If a Close waits for this boundary it is put in, unless more than
    /// `room` bytes would go then.
    pub(super) fn ends_here(&mut self, passage: &mut Passage, room: usize) -> bool {
        let at_boundary = self.at_boundary();
        match &self.flow {
            Flow::Passing => false,
            Flow::Ended => true,
            Flow::Closing(close) if at_boundary && passage.len() + close.len() > room => true,
            Flow::Closing(close) if at_boundary => {
                passage.insert(close);
                self.end();
                true
            }
            Flow::Closing(_) => false,
        }
    }

    /// Ends the direction: nothing more goes on.
    pub(super) fn end(&mut self) {
        self.flow = Flow::Ended;
        self.withheld.discard();
    }

    /// Says whether `frame` belongs to the open message, which is being discarded.
    pub(super) fn is_discarded(&self, frame: &Frame) -> bool {
        self.discarding && !frame.starts_message && !frame.header.opcode.is_control()
    }

    /// Takes the header of a frame that is discarded with its message.
    pub(super) fn discard_frame(&mut self) {
        self.reader.release_held(|_| ());
        self.discarding = true;
        self.disposition = Disposition::Discard;
    }

    /// Takes the header of a Pong that may answer a Ping of Postern's own.
    pub(super) fn examine_frame(&mut self, frame: Frame, chunk: &mut impl Chunk) -> Result<(), Unreadable> {
        self.withheld.stash(chunk)?;
        let candidate = self.candidate.insert(Box::new(Candidate::new(frame.header)));
        self.reader.release_held(|held| candidate.push(held));
        candidate.push(chunk.window(frame.range)?);
        self.disposition = Disposition::Examine;
        Ok(())
    }

    /// Lets the collected Pong go on, since it answers something else. It goes ahead of what is withheld.
    pub(super) fn release_candidate(&mut self, passage: &mut Passage) {
        if let Some(candidate) = self.candidate.take()
            && !self.takes(OpCode::PONG)
        {
            passage.insert(&candidate.into_bytes());
        }
    }

    /// Says whether there may be messages to skim: a look that finds none costs time.
    pub(super) fn may_skim(&self) -> bool {
        self.whole && self.reader.is_between_messages() && !self.proof.is_opening()
    }

    /// Lets the messages at `position` go on that are plainly fine, as far as they follow each other, and
    /// returns where they end. Meant for a direction none of whose frames is charged.
    pub(super) fn skim(
        &mut self,
        position: usize,
        chunk: &mut impl Chunk,
        passage: &mut Passage,
        tally: &mut Counts,
    ) -> Result<usize, Unreadable> {
        let run = self.run(position, chunk)?;
        if run.messages > 0 {
            passage.pass(position..run.end);
            self.count_run(run, tally);
        }
        Ok(run.end)
    }

    /// Says whether all of a chunk, which is not empty, may go on as [`Direction::skim`] would let it. If
    /// not, nothing has been done.
    pub(super) fn skim_all(
        &mut self,
        chunk: &mut impl Chunk,
        tally: &mut Counts,
    ) -> Result<bool, Unreadable> {
        let run = self.run(0, chunk)?;
        let is_all = run.end == chunk.len();
        if is_all {
            self.count_run(run, tally);
        }
        Ok(is_all)
    }

    /// Returns the run of messages at `position` that are plainly fine.
    // The loop over frames wants the registers for itself.
    #[inline(never)]
    fn run(&self, position: usize, chunk: &mut impl Chunk) -> Result<Run, Unreadable> {
        if !matches!(self.flow, Flow::Passing) || !self.withheld.is_empty() {
            return Ok(Run { end: position, ..Run::default() });
        }
        self.reader.skim(chunk, position, self.proof.of_text())
    }

    fn count_run(&mut self, run: Run, tally: &mut Counts) {
        self.has_spoken |= run.messages > 0;
        tally.allowed(self.sender, run.messages);
        tally.bytes(self.sender, run.payload_bytes);
        match run.messages {
            0 => {}
            1 => tally.size(self.sender, run.payload_bytes),
            _ => tally.sizes(self.sender, &run.sizes, run.payload_bytes),
        }
    }

    /// Takes the header of a frame that may pass. `position` is where its payload begins; of a payload that
    /// nobody reads it moves past what the chunk has.
    pub(super) fn begin_frame(
        &mut self,
        frame: Frame,
        chunk: &mut impl Chunk,
        position: &mut usize,
        passage: &mut Passage,
        tally: &mut Counts,
    ) -> Result<(), Stop> {
        let Frame { header, starts_message, is_beyond, range } = frame;
        if starts_message {
            (self.discarding, self.whole) = (false, header.fin);
        }
        if self.capture == Capture::First && header.opcode == OpCode::BINARY {
            return Err(self.no_token().into());
        }
        if self.takes(header.opcode) {
            self.withheld.stash(chunk)?;
            self.reader.release_held(|_| ());
            self.disposition = Disposition::Discard;
            return Ok(());
        }
        self.proof.begin(&header, starts_message);
        if is_beyond && self.proof.give_up_message() {
            self.release(passage, tally);
            tally.unjudged(self.sender);
        }
        if self.proof.reads() {
            self.disposition = Disposition::Withhold;
            if header.opcode.is_control() {
                // The message of which something is withheld will never be whole, now that a Close has come.
                self.withheld.discard();
            }
            self.reader.release_held(|held| self.withheld.push(held));
            self.withheld.stage(range);
            if self.sender == Peer::Upstream && self.withheld.header_bytes() > MAX_WITHHELD_HEADERS {
                return Err(self.violation(Rule::MaxFragments(self.sender), Reason::TooManyFragments).into());
            }
            if !header.opcode.is_control() {
                self.withheld.starts_message |= starts_message;
                self.withheld.ends_message |= header.fin;
                self.withheld.payload_bytes += header.payload_len;
            }
        } else {
            self.disposition = Disposition::Pass;
            self.withheld.stash(chunk)?;
            self.reader.release_held(|held| passage.insert(held));
            *position += self.reader.take_payload(chunk.len().saturating_sub(*position));
            passage.pass(range.start..*position);
            if !header.opcode.is_control() {
                self.count((starts_message, header.fin), header.payload_len, tally);
            }
        }
        if header.payload_len == 0 && self.disposition == Disposition::Withhold {
            return self.end_frame(chunk, passage, tally);
        }
        Ok(())
    }

    /// Takes what payloads have not proved, and need not.
    pub(super) fn take_unproved(&mut self) -> Vec<Violation> {
        let unproved = self.proof.take_unproved();
        unproved.into_iter().map(|unproved| self.unproved(unproved)).collect()
    }

    /// Takes payload of the open frame.
    pub(super) fn take_payload(
        &mut self,
        range: Range<usize>,
        chunk: &mut impl Chunk,
        passage: &mut Passage,
        tally: &mut Counts,
    ) -> Result<(), Stop> {
        match self.disposition {
            Disposition::Discard => {}
            Disposition::Examine => {
                if let Some(candidate) = &mut self.candidate {
                    candidate.push(chunk.window(range)?);
                }
            }
            Disposition::Pass => passage.pass(range),
            Disposition::Withhold => {
                let mut start = range.start;
                while start < range.end {
                    let piece = chunk.piece(start..range.end)?;
                    if piece.is_empty() {
                        return Err(Unreadable.into());
                    }
                    start += piece.len();
                    self.proof.push(piece).map_err(|unproved| self.unproved(unproved))?;
                }
                self.withheld.stage(range);
                if self.reader.at_boundary() {
                    return self.end_frame(chunk, passage, tally);
                }
                if self.proof.lets_go() {
                    self.release(passage, tally);
                    self.disposition = Disposition::Pass;
                }
            }
        }
        Ok(())
    }

    /// Keeps what the chunk has of a frame or message that is not proved yet.
    pub(super) fn end_chunk(&mut self, chunk: &mut impl Chunk) -> Result<(), Unreadable> {
        self.withheld.stash(chunk)
    }

    /// Returns the memory that is taken for what has come and has not gone on, in bytes.
    pub(super) fn held(&self) -> usize {
        self.withheld.held() + self.proof.held()
    }

    /// Returns the part of [`Direction::held`] that an inflater takes between two messages.
    pub(super) fn held_at_rest(&self) -> usize {
        self.proof.held_at_rest()
    }

    /// Gives back the memory that [`Direction::held`] counts, for a direction that is about to end. What was
    /// in it does not go on, and nor does the rest of the open frame, unless its beginning has gone: then its
    /// rest passes.
    pub(super) fn give_back(&mut self) {
        if self.diverted || self.disposition != Disposition::Pass {
            self.forget_frame();
            self.disposition = Disposition::Discard;
        }
        self.withheld.discard();
        self.proof.give_back();
    }

    /// Returns to where the direction stood before the frame that was refused.
    pub(super) fn forget_frame(&mut self) {
        self.reader.forget_frame();
        self.withheld.discard();
        self.candidate = None;
        self.end_capture();
    }

    /// Captures messages as `capture` says, from the next frame on.
    pub(super) fn set_capture(&mut self, capture: Capture) {
        self.capture = capture;
        self.proof.capture(matches!(capture, Capture::First | Capture::Texts));
    }

    /// Says whether a frame with this opcode goes no further, whatever its payload.
    pub(super) fn takes(&self, opcode: OpCode) -> bool {
        match self.capture {
            Capture::Ended => opcode != OpCode::CLOSE,
            Capture::First => opcode.is_control() && opcode != OpCode::CLOSE,
            Capture::Off | Capture::Texts => false,
        }
    }

    /// Returns the violation for a frame that the reader refuses by `violation`. A first message must be
    /// text, whatever types messages may have.
    pub(super) fn refusal_by(&self, violation: Box<Violation>) -> Box<Violation> {
        if violation.reason == Reason::TypeDenied && self.capture == Capture::First {
            return Box::new(self.no_token());
        }
        violation
    }

    /// Returns the violation for a frame that breaks the protocol.
    pub(super) fn broken(&self, fault: FrameFault) -> Violation {
        let rule = if fault == FrameFault::Text { Rule::Utf8(self.sender) } else { Rule::Protocol };
        self.violation(rule, fault.reason()).because(fault)
    }

    fn unproved(&self, unproved: Unproved) -> Violation {
        match unproved {
            Unproved::Broken(fault) => self.broken(fault),
            Unproved::Tunnel(tunnelled) => {
                let violation = self.violation(Rule::Tunnels, Reason::TunnelDetected);
                violation.because(Cause::Tunnel(tunnelled.name()))
            }
            Unproved::TooBig(exceeded) => {
                let rule = Rule::MaxMessageBytes(self.sender);
                self.violation(rule, Reason::MessageTooBig).because(exceeded)
            }
        }
    }

    fn no_token(&self) -> Violation {
        self.violation(Rule::Auth, Reason::TokenMissing)
    }

    fn violation(&self, rule: Rule, reason: Reason) -> Violation {
        Violation::by(self.sender, rule, reason)
    }

    /// Says whether a message is captured, which must be judged before anything else is done.
    pub(super) fn is_captured(&self) -> bool {
        self.is_captured
    }

    /// Returns the captured message.
    pub(super) fn captured(&self) -> &[u8] {
        self.proof.kept()
    }

    /// Forgets the bytes of the captured message, once what is needed of it has been taken.
    pub(super) fn forget_captured(&mut self) {
        self.withheld.discard();
        self.proof.forget_kept();
    }

    /// Keeps the bytes of the captured message, which is to go on later, and what it says only if that `is_to_be_judged`.
    pub(super) fn keep_captured(
        &mut self,
        chunk: &mut impl Chunk,
        is_to_be_judged: bool,
    ) -> Result<(), Unreadable> {
        if !is_to_be_judged {
            self.proof.forget_kept();
        }
        self.withheld.stash(chunk)
    }

    /// Lets the captured message go on.
    pub(super) fn release_captured(&mut self, passage: &mut Passage, tally: &mut Counts) {
        self.end_capture();
        self.release(passage, tally);
    }

    /// Takes the captured message out, so that it does not go on.
    pub(super) fn consume_captured(&mut self, tally: &mut Counts) {
        self.end_capture();
        self.withheld.discard();
        self.proof.take_out();
        tally.consumed(self.sender);
    }

    /// Takes the captured message out, which is refused.
    pub(super) fn drop_captured(&mut self, tally: &mut Counts) {
        self.end_capture();
        self.withheld.discard();
        self.proof.take_out();
        tally.dropped(self.sender);
    }

    fn end_capture(&mut self) {
        self.is_captured = false;
        self.proof.forget_kept();
    }

    /// Ends a frame that is being proved.
    fn end_frame(
        &mut self,
        chunk: &mut impl Chunk,
        passage: &mut Passage,
        tally: &mut Counts,
    ) -> Result<(), Stop> {
        match self.proof.end_frame().map_err(|unproved| self.unproved(unproved))? {
            Proved::AllSoFar => self.release(passage, tally),
            Proved::Message => {
                if self.proof.keeps_when_whole() {
                    self.proof.keep(self.withheld.payload(chunk)?);
                }
                self.is_captured = true;
            }
            Proved::Nothing => {}
        }
        Ok(())
    }

    fn release(&mut self, passage: &mut Passage, tally: &mut Counts) {
        let Withheld { starts_message, ends_message, payload_bytes, .. } = self.withheld;
        self.count((starts_message, ends_message), payload_bytes, tally);
        self.withheld.release(passage);
    }

    /// Counts frames of one message that pass, and says of it whether it starts and whether it ends there.
    fn count(
        &mut self,
        (starts_message, ends_message): (bool, bool),
        payload_bytes: u64,
        tally: &mut Counts,
    ) {
        self.has_spoken |= starts_message;
        if starts_message {
            tally.allowed(self.sender, 1);
        }
        tally.bytes(self.sender, payload_bytes);
        if ends_message {
            tally.size(self.sender, self.reader.message_bytes());
        }
    }
}

/// Returns the limits of frames of `sender` under `policy`, and whether its text must be UTF-8. Where compressed text passes
/// unread, text that is not compressed proves nothing either.
fn rules(sender: Peer, policy: &Policy) -> (FrameLimits, bool) {
    let (limits, utf8) = match sender {
        Peer::Client => (FrameLimits::client(&policy.messages), policy.messages.utf8),
        Peer::Upstream => (FrameLimits::upstream(&policy.upstream_messages), policy.upstream_messages.utf8),
    };
    (limits, utf8 && policy.compression != Compression::Pass)
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Violated(Box::new(violation))
    }
}

impl From<Unreadable> for Stop {
    fn from(Unreadable: Unreadable) -> Self {
        Self::Unreadable
    }
}

#[cfg(test)]
mod tests;
