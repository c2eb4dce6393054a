//! The excuses for a client's silence, and the time that it has for what it has begun: the service may hold
//! up what it says, it may not be asked, and it may be reading what lies before the Ping that it must answer.
//!
//! Knows what has gone to the service by [`upload`](super::upload), and to the client by
//! [`backlog`](super::backlog); [`deadlines`](super::deadlines) decides what comes of silence.

use std::time::Duration;

use crate::moment::Moment;
use crate::peer::Peer;

use super::Connection;
use super::deadlines::UnderWay;
use super::upload::Upload;

/// The contents of a chunk of the client's, as far as they excuse silence.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brought {
    /// The length of the chunk, in bytes.
    pub(super) len: usize,
    /// Says whether no frame was under way at some point of the chunk.
    pub(super) begins_frame: bool,
    /// Says whether nothing was kept back at some point of the chunk.
    pub(super) begins_message: bool,
    /// The length of the payload, in bytes, that the last header declares which was whole in the chunk.
    pub(super) payload_len: Option<u64>,
}

impl Connection {
    /// Returns everything under way.
    pub(super) fn under_way(&self) -> UnderWay {
        let idle_timeout = self.deadlines.idle_timeout();
        let frame_ends_at = self.upload.as_ref().and_then(|upload| upload.frame_ends_at(idle_timeout));
        let held_up_until = self.held_up_until();
        UnderWay {
            held_up_until,
            in_frame: frame_ends_at.is_some(),
            whole_by: self.whole_by(frame_ends_at, held_up_until),
            upstream_whole_by: self.upstream_whole_by(),
            reads_until: self.reads_until().filter(|_| self.deadlines.asks()),
            unaskable: !self.upstream.at_boundary(),
        }
    }

    /// Returns the time until which the service may hold up what the client says.
    fn held_up_until(&self) -> Option<Moment> {
        let answers = self.parking.upstream_answers();
        let upload = self.upload.as_ref()?;
        upload.held_up_until(answers, self.deadlines.idle_timeout())
    }

    /// Returns the time by which the client's frame must be whole, and its message that is partly kept back.
    /// Bytes that come too late show that nobody holds the client up, unless so many come at once that
    /// somebody must have.
    fn whole_by(&self, frame_ends_at: Option<Moment>, held_up_until: Option<Moment>) -> Option<Moment> {
        let message_ends_at = self.message_ends_at(Peer::Client);
        let ends_at = [frame_ends_at, message_ends_at].into_iter().flatten().min()?;
        let is_in_time = self.deadlines.heard() <= ends_at;
        let lump_until = || self.upload.as_ref().and_then(|upload| upload.lump_until());
        let excused = if is_in_time { held_up_until } else { lump_until() };
        Some(excused.map_or(ends_at, |until| ends_at.max(until)))
    }

    /// Returns the time by which the service's message that is partly kept back must be whole. A host does
    /// not read a service for whose client it has much already.
    fn upstream_whole_by(&self) -> Option<Moment> {
        let ends_at = self.message_ends_at(Peer::Upstream)?;
        Some(self.reads_until().map_or(ends_at, |until| ends_at.max(until)))
    }

    /// Returns the time by which a message that is partly kept back must be whole, if nobody is to blame but
    /// its sender.
    fn message_ends_at(&self, sender: Peer) -> Option<Moment> {
        let direction = match sender {
            Peer::Client => &self.client,
            Peer::Upstream => &self.upstream,
        };
        self.holds.as_ref()?.ends_at(sender, direction.kept_back()?, self.deadlines.idle_timeout())
    }

    /// Returns the time until which a client may be reading, if it answers then. A client that nobody asks
    /// counts as silent all the same.
    fn reads_until(&self) -> Option<Moment> {
        self.backlog.is_much().then(|| self.read_by().after(self.deadlines.pong_timeout()))
    }

    /// Returns the time by which the slowest reader has read what has gone to the client, up to the first
    /// unanswered Ping.
    pub(super) fn read_by(&self) -> Moment {
        let read_at = self.deadlines.read_at();
        let reached_by = self.first_awaited().and_then(|position| self.backlog.reached_by(position));
        reached_by.map_or(read_at, |at| read_at.min(at))
    }

    /// Returns the number of bytes that had gone to the client before the first Ping, whosever, that it must
    /// still answer.
    pub(super) fn first_awaited(&self) -> Option<u64> {
        let is_asked = self.parking.is_client_asked_by_application();
        let by_application = self.backlog.asked_by_application().filter(|_| is_asked);
        [self.parking.first_awaited_of_client(), by_application].into_iter().flatten().min()
    }

    /// Returns the place in a chunk of the upstream's behind which the next own Ping must follow. `position`
    /// is a place in the chunk up to which `passes` bytes go on, with those ahead of the chunk.
    pub(super) fn proof_at(&mut self, position: usize, passes: usize, now: Duration) -> Option<usize> {
        let client = self.parking.of(Peer::Client);
        let may_ask = self.deadlines.asks() && self.authentication.is_open() && client.may_be_asked();
        let unanswered = may_ask.then(|| client.unanswered())?;
        let gone = self.backlog.position().saturating_add(passes as u64);
        let more = self.backlog.proof_in(gone, unanswered, now.into())?;
        usize::try_from(more).ok().map(|more| position.saturating_add(more))
    }

    /// Decides whether an own Ping follows what goes to the client next.
    pub(super) fn look_for_proof(&mut self, now: Duration) {
        let asks = self.deadlines.asks();
        let client = self.parking.of(Peer::Client);
        let unanswered = (asks && client.may_be_asked()).then(|| client.unanswered());
        self.backlog.look_for_proof(unanswered, now.into());
    }

    /// Returns the number of bytes that have gone to the upstream.
    pub(super) fn uploaded(&self) -> u64 {
        self.upload.as_ref().map_or(0, |upload| upload.position())
    }

    /// Notes that `len` bytes of the client have gone to the upstream, and all before them, by `now`.
    pub(super) fn note_upload(&mut self, len: usize, now: Duration) {
        if len > 0 {
            self.add_upload(len);
        }
        let idle_timeout = self.deadlines.idle_timeout();
        if let Some(upload) = &mut self.upload {
            upload.note_time(idle_timeout, now.into());
        }
    }

    /// Notes that `len` bytes of the client pass, at a time that is not known yet.
    pub(super) fn note_unread(&mut self, len: usize) {
        self.add_upload(len);
        self.deadlines.note_unread();
    }

    /// Notes that a chunk of the client has been judged so far: a frame may be under way, and something kept
    /// back.
    pub(super) fn note_frame(&mut self, brought: Brought, now: Duration) {
        if !(brought.begins_frame && brought.begins_message) {
            self.excuse_held_up(brought.len as u64, now);
        }
        self.note_kept_back(Peer::Client, brought.begins_message, now);
        let reader = &self.client.reader;
        if reader.is_between_frames() {
            if let Some(upload) = &mut self.upload {
                upload.end_frame();
            }
            return;
        }
        let payload_len = if reader.held() > 0 { None } else { brought.payload_len };
        let upload = self.upload.get_or_insert_with(|| Box::new(Upload::new()));
        upload.note_frame(brought.begins_frame, payload_len, now.into());
    }

    /// Notes that a chunk of the upstream has been judged: something of it may be kept back. The wait for the
    /// rest `begins` anew if nothing was kept back in between.
    pub(super) fn note_upstream_message(&mut self, begins: bool, now: Duration) {
        self.excuse_upstream(now);
        self.note_kept_back(Peer::Upstream, begins, now);
    }

    fn note_kept_back(&mut self, sender: Peer, begins: bool, now: Duration) {
        let direction = match sender {
            Peer::Client => &self.client,
            Peer::Upstream => &self.upstream,
        };
        let is_kept = direction.kept_back().is_some();
        if is_kept || self.holds.is_some() {
            self.holds.get_or_insert_default().of(sender).note(is_kept, begins, now.into());
        }
    }

    /// Gives the upstream's message as much more time as the host may not have read the upstream because of
    /// the client.
    pub(super) fn excuse_upstream(&mut self, now: Duration) {
        let (until, now) = (self.reads_until(), Moment::from(now));
        if let Some(holds) = self.holds.as_mut().filter(|_| until.is_some_and(|until| until > now)) {
            holds.of(Peer::Upstream).excuse_from(self.deadlines.upstream_heard(), now);
        }
    }

    /// Notes that the upstream reads on: a client that it may have held up until now was not silent.
    pub(super) fn end_hold_up(&mut self, now: Duration) {
        if self.held_up_until().is_some_and(|until| until > Moment::from(now)) {
            self.excuse(self.deadlines.silence(now));
            self.deadlines.note_client(now);
        }
    }

    /// Excuses the client if it may have been held up before what has passed unread came.
    pub(super) fn excuse_unread(&mut self, now: Duration) {
        let bytes = self.upload.as_ref().map_or(0, |upload| upload.untimed());
        self.excuse_held_up(bytes, now);
    }

    /// Gives a frame or message of the client's as much more time as the client may have been held up, if so
    /// much has come now that it must have been.
    fn excuse_held_up(&mut self, bytes: u64, now: Duration) {
        if self.held_up_until().is_none_or(|until| until <= Moment::from(now)) {
            return;
        }
        let heard = self.deadlines.heard();
        let upload = self.upload.as_mut();
        if let Some(time) = upload.and_then(|upload| upload.note_lull(bytes, heard, now.into())) {
            self.excuse(time);
        }
    }

    fn excuse(&mut self, time: Duration) {
        if let Some(holds) = &mut self.holds {
            holds.of(Peer::Client).excuse(time);
        }
        if let Some(upload) = &mut self.upload {
            upload.excuse(time);
        }
    }

    fn add_upload(&mut self, len: usize) {
        self.upload.get_or_insert_with(|| Box::new(Upload::new())).add(len);
    }
}
