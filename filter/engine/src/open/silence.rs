//! What is no silence of the client's: what it says may be held up by the service, and it may not be asked.
//!
//! Knows what has gone to the service by [`upload`](super::upload); what comes of silence is decided by
//! [`deadlines`](super::deadlines).

use std::time::Duration;

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
            unaskable: !self.upstream.at_boundary(),
        }
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
