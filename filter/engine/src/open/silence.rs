//! What is no silence of the client's: what it says may be held up by the service, and it may not be asked.
//!
//! Knows what has gone to the service by [`upload`](super::upload); what comes of silence is decided by
//! [`deadlines`](super::deadlines).

use std::time::Duration;

use crate::moment::Moment;

use super::Open;
use super::deadlines::Excuses;
use super::upload::Upload;

impl Open {
    /// What the client cannot help.
    pub(super) fn excuses(&self) -> Excuses {
        let held_up_until = self.upload.as_ref().and_then(|upload| {
            upload.held_up_until(self.parking.upstream_answers(), self.deadlines.idle_timeout())
        });
        Excuses { held_up_until, unaskable: !self.upstream.at_boundary() }
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

    /// The upstream reads on: whom it may have held up until now was not silent.
    pub(super) fn end_hold_up(&mut self, now: Duration) {
        if self.excuses().held_up_until.is_some_and(|until| until > Moment::from(now)) {
            self.deadlines.excuse(now);
        }
    }

    fn add_upload(&mut self, len: usize) {
        self.upload.get_or_insert_with(|| Box::new(Upload::new())).add(len);
    }
}
