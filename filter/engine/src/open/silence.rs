//! What is no silence of the client's: what it says may be held up by the service, it may not be asked, and it may be
//! reading what lies before the Ping that it is to answer.
//!
//! Knows what has gone to the service by [`upload`](super::upload), and to the client by [`backlog`](super::backlog); what
//! comes of silence is decided by [`deadlines`](super::deadlines).

use std::time::Duration;

use crate::lane::Peer;
use crate::moment::Moment;

use super::Open;
use super::deadlines::UnderWay;
use super::upload::Upload;

impl Open {
    /// What is under way.
    pub(super) fn under_way(&self) -> UnderWay {
        let idle_timeout = self.deadlines.idle_timeout();
        let answers = self.parking.upstream_answers();
        let upload = self.upload.as_ref();
        UnderWay {
            held_up_until: upload.and_then(|upload| upload.held_up_until(answers, idle_timeout)),
            frame_ends_at: upload.and_then(|upload| upload.frame_ends_at(idle_timeout)),
            reads_until: self.reads_until(),
            unaskable: !self.upstream.at_boundary(),
        }
    }

    /// Until when a client that answers may be reading. One that nobody asks is silent all the same.
    fn reads_until(&self) -> Option<Moment> {
        let may_read = self.deadlines.asks() && self.backlog.is_much();
        may_read.then(|| self.read_by().after(self.deadlines.pong_timeout()))
    }

    /// When the slowest reader has read what has gone to the client, up to the first Ping that is unanswered.
    pub(super) fn read_by(&self) -> Moment {
        let read_at = self.deadlines.read_at();
        let reached_by = self.first_awaited().and_then(|position| self.backlog.reached_by(position));
        reached_by.map_or(read_at, |at| read_at.min(at))
    }

    /// How much had gone to the client before the first Ping, whosever, that it is still to answer.
    pub(super) fn first_awaited(&self) -> Option<u64> {
        let is_asked = self.parking.is_client_asked_by_application();
        let by_application = self.backlog.asked_by_application().filter(|_| is_asked);
        [self.parking.first_awaited_of_client(), by_application].into_iter().flatten().min()
    }

    /// Where in a chunk of the upstream's the next own Ping is to follow, seen from a `position` before which so many bytes
    /// of it and ahead of it go on.
    pub(super) fn proof_at(&mut self, position: usize, passes: usize, now: Duration) -> Option<usize> {
        let client = self.parking.of(Peer::Client);
        let may_ask = self.deadlines.asks() && self.entrance.is_open() && client.may_be_asked();
        let unanswered = may_ask.then(|| client.unanswered())?;
        let gone = self.backlog.position().saturating_add(passes as u64);
        let more = self.backlog.proof_in(gone, unanswered, now.into())?;
        usize::try_from(more).ok().map(|more| position.saturating_add(more))
    }

    /// Finds out whether an own Ping is to follow what goes to the client next.
    pub(super) fn look_for_proof(&mut self, now: Duration) {
        let asks = self.deadlines.asks();
        let client = self.parking.of(Peer::Client);
        let unanswered = (asks && client.may_be_asked()).then(|| client.unanswered());
        self.backlog.look_for_proof(unanswered, now.into());
    }

    /// How many bytes have gone to the upstream.
    pub(super) fn uploaded(&self) -> u64 {
        self.upload.as_ref().map_or(0, |upload| upload.position())
    }

    /// So many bytes of the client have gone to the upstream, and all before them, by `now`.
    pub(super) fn note_upload(&mut self, len: usize, now: Duration) {
        if len > 0 {
            self.add_upload(len);
        }
        let idle_timeout = self.deadlines.idle_timeout();
        if let Some(upload) = &mut self.upload {
            upload.note_time(idle_timeout, now.into());
        }
    }

    /// So many bytes of the client pass, at a time that is not known yet.
    pub(super) fn note_unread(&mut self, len: usize) {
        self.add_upload(len);
        self.deadlines.note_unread();
    }

    /// A chunk of the client has been judged, so far: a frame may be under way. One `begins` in it if none was
    /// at some point of it, and has a payload of this length, if its header came with it.
    pub(super) fn note_frame(&mut self, begins: bool, payload_len: Option<u64>, now: Duration) {
        if !begins {
            self.excuse_held_up(now);
        }
        let lane = &self.client.lane;
        if lane.is_between_frames() {
            if let Some(upload) = &mut self.upload {
                upload.end_frame();
            }
            return;
        }
        let payload_len = if lane.held() > 0 { None } else { payload_len };
        let upload = self.upload.get_or_insert_with(|| Box::new(Upload::new()));
        upload.note_frame(begins, payload_len, now.into());
    }

    /// The upstream reads on: whom it may have held up until now was not silent.
    pub(super) fn end_hold_up(&mut self, now: Duration) {
        if self.excuse_held_up(now) {
            self.deadlines.note_client(now);
        }
    }

    /// For as long as the client may have been held up, a frame of its own may take longer. Whether it may.
    pub(super) fn excuse_held_up(&mut self, now: Duration) -> bool {
        let may = self.under_way().held_up_until.is_some_and(|until| until > Moment::from(now));
        if let Some(upload) = self.upload.as_mut().filter(|_| may) {
            upload.excuse(self.deadlines.silence(now));
        }
        may
    }

    fn add_upload(&mut self, len: usize) {
        self.upload.get_or_insert_with(|| Box::new(Upload::new())).add(len);
    }
}
