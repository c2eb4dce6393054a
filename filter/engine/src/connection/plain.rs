//! The short way for plain chunks: short ones, of whole messages that are plainly fine, on a parked stream.
//!
//! Most chunks of a conversation are such, and [`Connection::on_bytes`] has nothing to decide about them:
//! each goes on as it came, its stream is parked again, and what happened needs no time but that of the next
//! look at the clock. So the host is spared that look, and all questions about what follows. Whatever is in
//! doubt is left to [`Connection::on_bytes`], and nothing has been done with it then.

use super::Connection;
use crate::peer::Peer;
use crate::websocket::{Chunk, Unreadable};

/// The length of the longest plain chunk, in bytes. The short way would save little of the cost of a longer
/// one, whose end is more often that of a read than of a message.
const LONGEST: usize = 4096;

impl Connection {
    /// Says whether all of a chunk from `peer` goes on as it came, with its stream, which was parked, resumed
    /// and parked again, and nothing else to do for it. If so, the chunk counts as passed.
    pub(crate) fn pass_plain(&mut self, peer: Peer, chunk: &mut impl Chunk) -> Result<bool, Unreadable> {
        let len = chunk.len();
        if len == 0 || len > LONGEST || !self.takes_plain(peer) {
            return Ok(false);
        }
        let direction = match peer {
            Peer::Client => &mut self.client,
            Peer::Upstream => &mut self.upstream,
        };
        let passes = direction.may_skim() && direction.skim_all(chunk, &mut self.tally)?;
        if passes {
            match peer {
                Peer::Client => self.note_unread(len),
                Peer::Upstream => {
                    self.backlog.add(len);
                    self.deadlines.note_upstream_unread(len);
                }
            }
        }
        Ok(passes)
    }

    /// Says whether a chunk of `peer` could ask for nothing more than that it passes, whatever is in it.
    fn takes_plain(&self, peer: Peer) -> bool {
        let is_parked = self.parking.has_parked(peer.other());
        let is_settled = self.authentication.is_open()
            && !self.has_words()
            && self.dropped_len(Peer::Upstream) == 0
            && !self.limits_change(peer)
            && !self.deadlines.is_closing();
        let is_alone = match peer {
            Peer::Client => {
                let marks = self.upload.as_ref().is_some_and(|upload| upload.wants_mark());
                let asks = marks || (self.parking.can_park_client() && !self.deadlines.awaits_quiet());
                self.rates.is_empty() && self.queued.is_none() && !asks
            }
            Peer::Upstream => {
                let marks = self.backlog.is_limited() || self.backlog.wants_proof();
                let asks = marks || self.deadlines.is_ping_overdue();
                !asks && !self.greeting.waits()
            }
        };
        is_parked && is_settled && is_alone
    }
}
