//! How much a client has left unread: what has gone to it, less what an answered Ping proves that it
//! has read.

use postern_config::{Backlog as OnExceed, Backpressure};

use crate::frame::FrameHeader;

/// Into how many parts the limit is divided by Pings, so that a fast reader on a long line is not
/// taken for a slow one.
const MARKS: u64 = 8;

/// The bytes on their way to one client.
#[derive(Debug)]
pub(super) struct Backlog {
    /// How many have gone to the client.
    sent: u64,
    /// How many of them it has read, as far as is known.
    read: u64,
    /// Absent where nothing limits them.
    limited: Option<Box<Limited>>,
}

/// What a limit needs to be kept.
#[derive(Debug)]
struct Limited {
    limit: Backpressure,
    /// How many had gone when the client was last asked.
    marked: u64,
    /// The most that were unread, since this was last asked.
    most: u64,
}

/// What becomes of a frame that a client has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// Its message is discarded.
    Discard,
    /// It ends the connection.
    Close,
}

impl Backlog {
    pub(super) fn new(limit: Option<Backpressure>) -> Self {
        let limited = limit.map(|limit| Box::new(Limited { limit, marked: 0, most: 0 }));
        Self { sent: 0, read: 0, limited }
    }

    /// Whether any frame may be too many.
    pub(super) fn is_limited(&self) -> bool {
        self.limited.is_some()
    }

    /// How many bytes have gone to the client.
    pub(super) fn position(&self) -> u64 {
        self.sent
    }

    /// How many of them it may not have read.
    pub(super) fn unread(&self) -> u64 {
        self.sent.saturating_sub(self.read)
    }

    /// So many more go.
    pub(super) fn add(&mut self, len: usize) {
        self.sent = self.sent.saturating_add(len as u64);
        let unread = self.unread();
        if let Some(limited) = &mut self.limited {
            limited.most = limited.most.max(unread);
        }
    }

    /// The client has read up to a position.
    pub(super) fn prove(&mut self, position: u64) {
        self.read = self.read.max(position);
    }

    /// Whether a data frame may go, `ahead` bytes behind what has gone.
    pub(super) fn judge(&self, header: &FrameHeader, starts_message: bool, ahead: u64) -> Result<(), NoRoom> {
        let Some(limited) = self.limited.as_ref().filter(|_| !header.opcode.is_control()) else {
            return Ok(());
        };
        let frame = header.payload_len.saturating_add(header.len as u64);
        if self.unread().saturating_add(ahead).saturating_add(frame) <= limited.limit.max_backlog_bytes {
            return Ok(());
        }
        match limited.limit.on_exceed {
            OnExceed::Close => Err(NoRoom::Close),
            OnExceed::Drop if starts_message => Err(NoRoom::Discard),
            // Of a message that has begun to pass the rest cannot be discarded.
            OnExceed::Drop => Ok(()),
        }
    }

    /// Whether the client is to be asked now, so that its answer proves what it has read.
    /// `expected` says whether an answer is on its way.
    pub(super) fn wants_mark(&self, expected: bool) -> bool {
        let Some(Limited { limit, marked, .. }) = self.limited.as_deref() else { return false };
        let since = self.sent.saturating_sub(*marked);
        since > 0 && (!expected || since >= limit.max_backlog_bytes / MARKS)
    }

    /// The client has been asked.
    pub(super) fn mark(&mut self) {
        if let Some(limited) = &mut self.limited {
            limited.marked = self.sent;
        }
    }

    /// The most that were unread at once since this was last asked, where that is limited.
    pub(super) fn take_most(&mut self) -> Option<u64> {
        let unread = self.unread();
        let most = std::mem::replace(&mut self.limited.as_mut()?.most, unread);
        (most > 0).then_some(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::from_upstream;

    fn backlog(on_exceed: OnExceed) -> Backlog {
        Backlog::new(Some(Backpressure { max_backlog_bytes: 800, on_exceed }))
    }

    fn judge(backlog: &Backlog, first: u8, len: usize, ahead: u64) -> Result<(), NoRoom> {
        let header = FrameHeader::parse(&from_upstream(first, &vec![0; len])).unwrap().unwrap();
        backlog.judge(&header, first & 0xf != 0, ahead)
    }

    #[test]
    fn what_is_unread_and_ahead_and_the_frame_must_fit_the_limit() {
        let mut backlog = backlog(OnExceed::Close);
        assert_eq!(judge(&backlog, 0x82, 796, 0), Ok(()), "with its header of four bytes");
        assert_eq!(judge(&backlog, 0x82, 797, 0), Err(NoRoom::Close));
        backlog.add(500);
        assert_eq!(judge(&backlog, 0x82, 196, 100), Ok(()));
        assert_eq!(judge(&backlog, 0x82, 197, 100), Err(NoRoom::Close));
        assert_eq!(judge(&backlog, 0x89, 125, 700), Ok(()), "control frames always fit");
        backlog.prove(500);
        assert_eq!(judge(&backlog, 0x82, 796, 0), Ok(()));
    }

    #[test]
    fn a_message_is_discarded_whole_or_not_at_all() {
        let mut backlog = backlog(OnExceed::Drop);
        backlog.add(800);
        assert_eq!(judge(&backlog, 0x82, 1, 0), Err(NoRoom::Discard));
        assert_eq!(judge(&backlog, 0x80, 1, 0), Ok(()));
    }

    #[test]
    fn pings_divide_what_may_be_unread() {
        let mut backlog = backlog(OnExceed::Close);
        assert!(!backlog.wants_mark(false), "nothing to prove");
        backlog.add(10);
        assert!(backlog.wants_mark(false) && !backlog.wants_mark(true));
        backlog.mark();
        assert!(!backlog.wants_mark(false));
        backlog.add(99);
        assert!(!backlog.wants_mark(true));
        backlog.add(1);
        assert!(backlog.wants_mark(true));
        assert!(!Backlog::new(None).wants_mark(false));
    }

    #[test]
    fn the_most_unread_is_told_once() {
        let mut backlog = backlog(OnExceed::Close);
        assert_eq!(backlog.take_most(), None);
        backlog.add(300);
        backlog.prove(200);
        assert_eq!(backlog.take_most(), Some(300));
        assert_eq!(backlog.take_most(), Some(100), "what is unread still");
        backlog.prove(300);
        assert_eq!((backlog.take_most(), backlog.take_most()), (Some(100), None));
        let mut unlimited = Backlog::new(None);
        unlimited.add(5);
        assert_eq!(unlimited.take_most(), None);
    }
}
