//! The backlog of a client: the bytes that have gone to it, less those that an answered Ping proves it has
//! read.
//!
//! A host that has bytes for a client keeps them until the client reads, and so do the sockets on the way:
//! megabytes. A client that reads them slowly is not silent, though the Ping that it must answer lies behind
//! them. So Pings follow the bytes that go to it, at such distances that whoever reads answers one of them
//! now and then.

use std::time::Duration;

use postern_config::{Backlog as OnExceed, Backpressure};

use crate::decision::cause::{LimitExceeded, Measure};
use crate::moment::Moment;
use crate::websocket::FrameHeader;

use super::upload::at_slowest;

/// The most bytes that may lie between a host and a client that still reads: the buffers on the way hold no
/// more.
const MOST_UNREAD: u64 = 16 * 1024 * 1024;

/// The number of bytes that a client must have left unread, as far as is known, for its silence to be put
/// down to that. The first Ping that asks what it has read goes behind as many bytes, and each that follows
/// unanswered ones behind twice as many as the one before.
const MUCH: u64 = 64 * 1024;

/// The least number of bytes ahead of a Ping for proof while the last was asked or answered less than
/// [`BETWEEN_PROOFS`] ago.
const BULK: u64 = 1024 * 1024;

/// The time for which a client is left in peace after a Ping for proof or its answer, unless [`BULK`] bytes
/// have gone.
const BETWEEN_PROOFS: Duration = Duration::from_secs(1);

/// The most Pings for proof that are unanswered at once. One more may be, for a client that has been silent.
const MOST_PROOFS: u8 = 7;

/// The number of parts into which Pings divide the limit, so that a fast reader on a long line is not taken
/// for a slow one.
const MARKS: u64 = 8;

/// The bytes on their way to one client.
#[derive(Debug)]
pub(super) struct Backlog {
    /// The number of bytes that have gone to the client.
    sent: u64,
    /// The number of bytes that the client has read, as far as is known.
    read: u64,
    /// The Pings for proof; absent as long as few bytes have gone.
    asking: Option<Box<Asking>>,
    /// The limit and its marks; absent where nothing limits the backlog.
    limited: Option<Box<Limited>>,
}

/// The Pings whose answers show that a client reads.
#[derive(Debug)]
struct Asking {
    /// The number of bytes that had gone when Postern last asked the client.
    asked: u64,
    /// The time of the first Ping that the client has not answered yet, or of its last answer if that is
    /// later.
    asked_at: Moment,
    /// The number of bytes that had gone when the application last asked the client.
    asked_by_application: Option<u64>,
    /// Says whether a Ping must follow the next bytes.
    is_wanted: bool,
}

/// The limit of a backlog, and what is needed to keep it.
#[derive(Debug)]
struct Limited {
    limit: Backpressure,
    /// The number of bytes that had gone before there was a limit. Nobody had to prove that they were read.
    since: u64,
    /// The number of bytes that had gone when the client was last asked.
    marked: u64,
    /// The most bytes that were unread at once since [`Backlog::take_most`] was last called.
    most: u64,
}

/// The fate of a frame that a client has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom {
    /// The number of bytes that would be unread.
    pub(super) exceeded: LimitExceeded,
    /// Says whether the frame's message is discarded; otherwise the connection ends.
    pub(super) is_discarded: bool,
}

impl Backlog {
    pub(super) fn new(limit: Option<Backpressure>) -> Self {
        let limited = limit.map(|limit| Box::new(Limited { limit, since: 0, marked: 0, most: 0 }));
        Self { sent: 0, read: 0, asking: None, limited }
    }

    /// Changes the limit. What was unread under one counts under the next, and what went without any does not.
    pub(super) fn set_limit(&mut self, limit: Option<Backpressure>) {
        let sent = self.sent;
        self.limited = match (limit, self.limited.take()) {
            (Some(limit), Some(mut limited)) => {
                limited.limit = limit;
                Some(limited)
            }
            (Some(limit), None) => Some(Box::new(Limited { limit, since: sent, marked: sent, most: 0 })),
            (None, _) => None,
        };
    }

    /// Says whether the backlog has a limit, so that a frame may be too many.
    pub(super) fn is_limited(&self) -> bool {
        self.limited.is_some()
    }

    /// Returns the number of bytes that have gone to the client.
    pub(super) fn position(&self) -> u64 {
        self.sent
    }

    /// Returns the number of bytes that have gone to the client and that it may not have read.
    pub(super) fn unread(&self) -> u64 {
        self.sent.saturating_sub(self.read)
    }

    /// Says whether so much may be unread that the client's silence is put down to it.
    pub(super) fn is_much(&self) -> bool {
        self.unread() >= MUCH
    }

    /// Returns the time by which the slowest reader has read up to `position`, behind which it was asked.
    pub(super) fn reached_by(&self, position: u64) -> Option<Moment> {
        let asking = self.asking.as_ref()?;
        Some(asking.asked_at.after(reading(position.saturating_sub(self.read))))
    }

    /// Returns the number of bytes that had gone when the application last asked the client, if that is
    /// known.
    pub(super) fn asked_by_application(&self) -> Option<u64> {
        self.asking.as_ref().and_then(|asking| asking.asked_by_application)
    }

    /// Notes that `len` more bytes go to the client.
    pub(super) fn add(&mut self, len: usize) {
        self.sent = self.sent.saturating_add(len as u64);
        let (sent, read) = (self.sent, self.read);
        if let Some(limited) = &mut self.limited {
            limited.most = limited.most.max(limited.unread(sent, read));
        }
    }

    /// Notes that the client has read up to `position`.
    pub(super) fn prove(&mut self, position: u64, now: Moment) {
        if position > self.read {
            self.read = position;
            self.note_answer(now);
        }
    }

    /// Notes that the client has answered a Ping whose position is not known.
    pub(super) fn note_answer(&mut self, now: Moment) {
        if let Some(asking) = &mut self.asking {
            asking.asked_at = now;
        }
    }

    /// Returns the number of bytes that may still go to the client, once `gone` have, before a Ping follows
    /// whose answer shows that it reads. `unanswered` is the number of Pings without an answer; none follows
    /// [`MOST_PROOFS`] of them.
    pub(super) fn proof_in(&self, gone: u64, unanswered: u8, now: Moment) -> Option<u64> {
        let asking = self.asking.as_ref();
        let is_rested = asking.is_none_or(|asking| asking.asked_at.after(BETWEEN_PROOFS) <= now);
        let apart = MUCH << unanswered.min(MOST_PROOFS);
        let apart = if is_rested { apart } else { apart.max(BULK) };
        let last = asking.map_or(0, |asking| asking.asked).max(self.read);
        (unanswered < MOST_PROOFS).then(|| last.saturating_add(apart).saturating_sub(gone))
    }

    /// Decides whether a Ping for proof follows the next bytes. `unanswered` is the number of Pings without
    /// an answer, or absent if none may be sent.
    pub(super) fn look_for_proof(&mut self, unanswered: Option<u8>, now: Moment) {
        let proof_in = unanswered.and_then(|unanswered| self.proof_in(self.sent, unanswered, now));
        let is_wanted = proof_in == Some(0);
        if is_wanted || self.asking.is_some() {
            self.asking().is_wanted = is_wanted;
        }
    }

    /// Says whether a Ping must follow, as [`Backlog::look_for_proof`] decided last.
    pub(super) fn wants_proof(&self) -> bool {
        self.asking.as_ref().is_some_and(|asking| asking.is_wanted)
    }

    /// Judges a data frame that goes `ahead` bytes behind what has gone. A control frame always fits.
    pub(super) fn judge(&self, header: &FrameHeader, starts_message: bool, ahead: u64) -> Result<(), NoRoom> {
        let Some(limited) = self.limited.as_ref().filter(|_| !header.opcode.is_control()) else {
            return Ok(());
        };
        let frame = header.payload_len.saturating_add(header.len as u64);
        let unread = limited.unread(self.sent, self.read);
        let value = unread.saturating_add(ahead).saturating_add(frame);
        let limit = limited.limit.max_backlog_bytes;
        if value <= limit {
            return Ok(());
        }
        let exceeded = LimitExceeded { measure: Measure::UnreadBytes, value, limit };
        match limited.limit.on_exceed {
            OnExceed::Close => Err(NoRoom { exceeded, is_discarded: false }),
            OnExceed::Drop if starts_message => Err(NoRoom { exceeded, is_discarded: true }),
            // The rest of a message that has begun to pass cannot be discarded.
            OnExceed::Drop => Ok(()),
        }
    }

    /// Says whether the client must be asked now, so that its answer proves what it has read. `expected` says
    /// whether an answer is on its way.
    pub(super) fn wants_mark(&self, expected: bool) -> bool {
        let Some(Limited { limit, marked, .. }) = self.limited.as_deref() else { return false };
        let since = self.sent.saturating_sub(*marked);
        since > 0 && (!expected || since >= limit.max_backlog_bytes / MARKS)
    }

    /// Notes that an own Ping goes to the client at `position`. `first` is the position of the first Ping
    /// that it has not answered yet.
    pub(super) fn ask(&mut self, position: u64, first: Option<u64>, now: Moment) {
        if let Some(limited) = &mut self.limited {
            limited.marked = position;
        }
        let is_much = position.saturating_sub(self.read) >= MUCH;
        if is_much || self.asking.is_some() {
            let asking = self.asking();
            asking.note(position, first, now);
            (asking.asked, asking.is_wanted) = (position, false);
        }
    }

    /// Notes that a Ping of the application's goes to the client at `position`. `first` is as for
    /// [`Backlog::ask`].
    pub(super) fn note_application(&mut self, position: u64, first: Option<u64>, now: Moment) {
        let asking = self.asking();
        asking.note(position, first, now);
        asking.asked_by_application = Some(position);
    }

    /// Moves the times with a clock that was set back.
    pub(super) fn set_back(&mut self, by: Duration) {
        if let Some(asking) = &mut self.asking {
            asking.asked_at = asking.asked_at.before(by);
        }
    }

    fn asking(&mut self) -> &mut Asking {
        let asked_at = Moment::from(Duration::ZERO);
        self.asking.get_or_insert_with(|| {
            Box::new(Asking { asked: 0, asked_at, asked_by_application: None, is_wanted: false })
        })
    }

    /// Takes the most bytes that were unread at once since the last call, where the backlog has a limit.
    pub(super) fn take_most(&mut self) -> Option<u64> {
        let limited = self.limited.as_mut()?;
        let unread = limited.unread(self.sent, self.read);
        let most = std::mem::replace(&mut limited.most, unread);
        (most > 0).then_some(most)
    }
}

impl Limited {
    /// Returns the number of bytes that count as unread where `sent` have gone, of which the client has `read` some.
    fn unread(&self, sent: u64, read: u64) -> u64 {
        sent.saturating_sub(read.max(self.since))
    }
}

impl Asking {
    /// Notes that the client is asked at `position`. If it had answered all before, this is the Ping that it
    /// answers first.
    fn note(&mut self, position: u64, first: Option<u64>, now: Moment) {
        if first.is_none_or(|first| first >= position) {
            self.asked_at = now;
        }
    }
}

/// Returns the time that the slowest reader takes for `bytes`, of which buffers hold [`MOST_UNREAD`] at most.
pub(super) fn reading(bytes: u64) -> Duration {
    at_slowest(bytes.min(MOST_UNREAD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::from_upstream;

    fn backlog(on_exceed: OnExceed) -> Backlog {
        Backlog::new(Some(Backpressure { max_backlog_bytes: 800, on_exceed }))
    }

    fn at(second: u64) -> Moment {
        Moment::from(Duration::from_secs(1_800_000_000 + second))
    }

    fn judge(backlog: &Backlog, first: u8, len: usize, ahead: u64) -> Result<(), NoRoom> {
        let header = FrameHeader::parse(&from_upstream(first, &vec![0; len])).unwrap().unwrap();
        backlog.judge(&header, first & 0xf != 0, ahead)
    }

    fn too_much(value: u64) -> Result<(), NoRoom> {
        let exceeded = LimitExceeded { measure: Measure::UnreadBytes, value, limit: 800 };
        Err(NoRoom { exceeded, is_discarded: false })
    }

    #[test]
    fn what_is_unread_and_ahead_and_the_frame_must_fit_the_limit() {
        let mut backlog = backlog(OnExceed::Close);
        assert_eq!(judge(&backlog, 0x82, 796, 0), Ok(()), "with its header of four bytes");
        assert_eq!(judge(&backlog, 0x82, 797, 0), too_much(801));
        backlog.add(500);
        assert_eq!(judge(&backlog, 0x82, 196, 100), Ok(()));
        assert_eq!(judge(&backlog, 0x82, 197, 100), too_much(801));
        assert_eq!(judge(&backlog, 0x89, 125, 700), Ok(()), "control frames always fit");
        backlog.prove(500, at(1));
        assert_eq!(judge(&backlog, 0x82, 796, 0), Ok(()));
    }

    #[test]
    fn a_message_is_discarded_whole_or_not_at_all() {
        let mut backlog = backlog(OnExceed::Drop);
        backlog.add(800);
        let discarded = judge(&backlog, 0x82, 1, 0).map_err(|NoRoom { is_discarded, .. }| is_discarded);
        assert_eq!(discarded, Err(true));
        assert_eq!(judge(&backlog, 0x80, 1, 0), Ok(()));
    }

    #[test]
    fn pings_divide_what_may_be_unread() {
        let mut backlog = backlog(OnExceed::Close);
        assert!(!backlog.wants_mark(false), "nothing to prove");
        backlog.add(10);
        assert!(backlog.wants_mark(false) && !backlog.wants_mark(true));
        backlog.ask(10, None, at(1));
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
        backlog.prove(200, at(1));
        assert_eq!(backlog.take_most(), Some(300));
        assert_eq!(backlog.take_most(), Some(100), "what is unread still");
        backlog.prove(300, at(1));
        assert_eq!((backlog.take_most(), backlog.take_most()), (Some(100), None));
        let mut unlimited = Backlog::new(None);
        unlimited.add(5);
        assert_eq!(unlimited.take_most(), None);
    }
    #[test]
    fn pings_follow_a_burst_ever_farther_apart_and_a_fast_reader_is_asked_once_a_second_or_mebibyte() {
        let step = 16 * 1024;
        let run = |answers: bool, steps: u64| {
            let (mut backlog, mut asked, mut unanswered) = (Backlog::new(None), Vec::new(), 0);
            for _ in 0..steps {
                backlog.add(step);
                backlog.look_for_proof(Some(unanswered), at(0));
                if backlog.wants_proof() {
                    asked.push(backlog.position() / MUCH);
                    backlog.ask(backlog.position(), Some(asked[0] * MUCH), at(0));
                    unanswered += 1;
                    if answers {
                        backlog.prove(backlog.position(), at(0));
                        unanswered = 0;
                    }
                    assert!(!backlog.wants_proof());
                }
            }
            asked
        };
        assert_eq!(run(false, 1024), [1, 17, 33, 49, 65, 97, 161]);
        assert_eq!(run(true, 256), [1, 17, 33, 49]);
        let mut backlog = Backlog::new(None);
        backlog.add(1 << 30);
        backlog.look_for_proof(None, at(0));
        assert!(!backlog.wants_proof(), "nobody may be asked");
        backlog.look_for_proof(Some(0), at(0));
        backlog.ask(1 << 30, None, at(0));
        backlog.prove(1 << 30, at(1));
        backlog.add(65_536);
        backlog.look_for_proof(Some(0), at(1));
        assert!(!backlog.wants_proof(), "it has just answered");
        backlog.look_for_proof(Some(0), at(2));
        assert!(backlog.wants_proof());
    }

    #[test]
    fn a_position_is_reached_at_16_kib_a_second_from_the_question_or_from_the_last_answer_on() {
        let mut backlog = Backlog::new(None);
        backlog.add(1 << 20);
        backlog.look_for_proof(Some(0), at(3));
        backlog.ask(1 << 20, Some(1 << 20), at(3));
        assert_eq!(backlog.reached_by(1 << 20), Some(at(3 + 64)));
        backlog.add(1 << 20);
        backlog.ask(2 << 20, Some(1 << 20), at(9));
        assert_eq!(backlog.reached_by(1 << 20), Some(at(3 + 64)), "it is the first that counts");
        backlog.prove(1 << 20, at(40));
        backlog.prove(1 << 20, at(50));
        assert_eq!(
            backlog.reached_by(2 << 20),
            Some(at(40 + 64)),
            "an answer that comes again shows nothing"
        );
        backlog.set_back(Duration::from_secs(1));
        assert_eq!(backlog.reached_by(2 << 20), Some(at(39 + 64)));
        assert_eq!(backlog.reached_by(1 << 40), Some(at(39 + 1024)), "buffers hold no more");
    }
}
