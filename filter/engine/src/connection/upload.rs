//! The upload of a client: the time for which a frame has been under way, and the bytes that the service is
//! not known to have read.
//!
//! A host that has more for a service than it will buffer stops reading the client, and tells nobody. All
//! that the client says then, Pongs included, waits behind what it has said before: it is held up, and not
//! silent. All that is known is what the answers to Postern's own Pings to the service prove, each of which
//! followed so many bytes of the client's.

use std::time::Duration;

use crate::moment::Moment;

/// The number of bytes that the service must have left unread, as far as is known, for a host to stop reading
/// the client: the buffers of two sockets and a proxy between them hold more.
const LEAST_HELD_UP: u64 = 64 * 1024;

/// The number of bytes a second that a client must send of a frame at least, and that a service is taken to
/// read as long as no answer of its own tells.
const SLOWEST: u64 = 16 * 1024;

/// The number of `idle_timeout`s for which a service may leave unread what it was sent before the client's
/// silence counts as such.
const PATIENCE: u32 = 10;

/// The time for which the client must have said nothing for the service to have held it up meanwhile. A host
/// that stops reading a client has much to write first.
const LULL: Duration = Duration::from_secs(2);

/// The number of bytes that a client that was held up has ready at least, unless that is all of a frame: as
/// many as a host reads at once. A client that drips has fewer.
const LUMP: u64 = 16 * 1024;

/// The time within which those bytes come.
const LUMP_TIME: Duration = Duration::from_secs(1);

/// The time for which a service is left in peace after one of the Pings that follow bytes of the client's.
const BETWEEN_MARKS: Duration = Duration::from_secs(1);

/// The client's bytes on their way to the service.
#[derive(Debug)]
pub(super) struct Upload {
    /// The number of bytes that have gone to the service.
    sent: u64,
    /// The number of bytes that the service is known to have read.
    read: u64,
    /// The number of bytes that had gone when the service was last asked.
    asked: u64,
    /// The time of the first Ping that the service has not answered yet, or of its last answer if that is
    /// later.
    asked_at: Moment,
    /// The number of bytes that had gone when the time was last known.
    timed: u64,
    /// The time by which the slowest service has read all that has gone.
    read_at: Moment,
    /// Says whether a Ping must follow the next bytes.
    wants_mark: bool,
    /// The time at which the frame began that is not whole.
    begun_at: Option<Moment>,
    /// The length of that frame's payload, in bytes, as far as is known.
    payload_len: u64,
    /// The last time for which the client may have been held up within the frame.
    lull: Lull,
}

/// A time for which nothing came from the client, and what has come since.
#[derive(Debug)]
struct Lull {
    /// The length of the lull; zero once what came has shown that the client was held up.
    len: Duration,
    ended_at: Moment,
    /// The number of bytes that have come since.
    bytes: u64,
}

impl Upload {
    /// Creates an upload of which nothing has gone yet.
    pub(super) fn new() -> Self {
        let epoch = Moment::from(Duration::ZERO);
        Self {
            sent: 0,
            read: 0,
            asked: 0,
            asked_at: epoch,
            timed: 0,
            read_at: epoch,
            wants_mark: false,
            begun_at: None,
            payload_len: 0,
            lull: Lull { len: Duration::ZERO, ended_at: epoch, bytes: 0 },
        }
    }

    /// Returns the number of bytes that have gone to the service.
    pub(super) fn position(&self) -> u64 {
        self.sent
    }

    /// Returns the number of bytes that have gone since the time was last known.
    pub(super) fn untimed(&self) -> u64 {
        self.sent.saturating_sub(self.timed)
    }

    /// Notes that `len` more bytes go.
    pub(super) fn add(&mut self, len: usize) {
        self.sent = self.sent.saturating_add(len as u64);
    }

    /// Notes that all that has gone had done so by `now`.
    pub(super) fn note_time(&mut self, idle_timeout: Duration, now: Moment) {
        let since = self.sent.saturating_sub(std::mem::replace(&mut self.timed, self.sent));
        let latest = now.after(idle_timeout.saturating_mul(PATIENCE));
        self.read_at = self.read_at.max(now).after(at_slowest(since)).min(latest);
        let unasked = self.sent.saturating_sub(self.asked.max(self.read));
        let is_rested = self.asked_at.after(BETWEEN_MARKS) <= now;
        self.wants_mark = unasked >= LEAST_HELD_UP && !self.awaits_answer() && is_rested;
    }

    /// Says whether an own Ping must follow what goes next, so that its answer proves what was read.
    pub(super) fn wants_mark(&self) -> bool {
        self.wants_mark
    }

    /// Says whether so much may be unread that the client is held up by it.
    pub(super) fn is_much(&self) -> bool {
        self.sent.saturating_sub(self.read) >= LEAST_HELD_UP
    }

    /// Notes that an own Ping goes behind all that has gone.
    pub(super) fn ask(&mut self, now: Moment) {
        if !self.awaits_answer() {
            self.asked_at = now;
        }
        (self.asked, self.wants_mark) = (self.sent, false);
    }

    /// Notes that the service has read up to `position`.
    pub(super) fn prove(&mut self, position: u64, now: Moment) {
        if position > self.read {
            (self.read, self.asked_at) = (position, now);
        }
    }

    /// Notes that the service will not answer what it was asked, since it has answered something else.
    pub(super) fn expect_no_answer(&mut self) {
        self.asked = self.asked.min(self.read);
    }

    /// Returns the time until which the client's silence may be the service's fault; `answers` says whether
    /// the service is known to answer Pings.
    pub(super) fn held_up_until(&self, answers: bool, idle_timeout: Duration) -> Option<Moment> {
        self.is_much().then(|| match answers && self.awaits_answer() {
            true => self.asked_at.after(idle_timeout.saturating_mul(PATIENCE)),
            false => self.read_at,
        })
    }

    /// Notes that a frame is under way: another than before if it `begins`. `payload_len` is the length of
    /// its payload, if that has become known.
    pub(super) fn note_frame(&mut self, begins: bool, payload_len: Option<u64>, now: Moment) {
        if begins {
            (self.begun_at, self.payload_len) = (Some(now), 0);
        }
        self.begun_at.get_or_insert(now);
        self.payload_len = payload_len.unwrap_or(self.payload_len);
    }

    /// Notes that no frame is under way.
    pub(super) fn end_frame(&mut self) {
        self.begun_at = None;
    }

    /// Notes that `bytes` more have come from a client that was last heard at `heard`, and may have been held
    /// up since. Returns for how long it was, if they show that it was.
    pub(super) fn note_lull(&mut self, bytes: u64, heard: Moment, now: Moment) -> Option<Duration> {
        let lull = &mut self.lull;
        let silence = Duration::from(now).saturating_sub(heard.max(lull.ended_at).into());
        if silence >= LULL {
            *lull = Lull { len: silence, ended_at: now, bytes: 0 };
        }
        lull.bytes = lull.bytes.saturating_add(bytes);
        let is_lump = lull.bytes >= LUMP && now <= lull.ended_at.after(LUMP_TIME);
        is_lump.then(|| std::mem::take(&mut lull.len)).filter(|len| !len.is_zero())
    }

    /// Returns the time until which what may still come shows that the client was held up, even if it was due
    /// before.
    pub(super) fn lump_until(&self) -> Option<Moment> {
        (!self.lull.len.is_zero()).then(|| self.lull.ended_at.after(LUMP_TIME))
    }

    /// Gives the frame more time, since nobody could hear the client for so long.
    pub(super) fn excuse(&mut self, time: Duration) {
        self.begun_at = self.begun_at.map(|at| at.after(time));
    }

    /// Returns the time by which the frame that is under way must be whole.
    pub(super) fn frame_ends_at(&self, idle_timeout: Duration) -> Option<Moment> {
        let longest = idle_timeout.saturating_add(at_slowest(self.payload_len));
        self.begun_at.map(|at| at.after(longest))
    }

    /// Moves the times with a clock that was set back.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.begun_at = self.begun_at.map(|at| at.before(by));
        for at in [&mut self.asked_at, &mut self.read_at, &mut self.lull.ended_at] {
            *at = at.before(by);
        }
    }

    /// Says whether the service has been asked what it has read, and has not answered.
    fn awaits_answer(&self) -> bool {
        self.asked > self.read
    }
}

/// Returns the time that the slowest peer takes for `bytes`.
pub(super) fn at_slowest(bytes: u64) -> Duration {
    let rest = (bytes % SLOWEST) * 1_000_000_000 / SLOWEST;
    Duration::from_secs(bytes / SLOWEST).saturating_add(Duration::from_nanos(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const IDLE: Duration = Duration::from_secs(30);

    fn at(second: u32) -> Moment {
        Moment::from(Duration::from_secs(1_800_000_000) + second * SECOND)
    }

    fn sent(bytes: u64) -> Upload {
        let mut upload = Upload::new();
        upload.add(usize::try_from(bytes).unwrap());
        upload.note_time(IDLE, at(0));
        upload
    }

    #[test]
    fn little_holds_nobody_up_and_what_is_proved_read_no_longer() {
        assert_eq!(sent(LEAST_HELD_UP - 1).held_up_until(false, IDLE), None);
        let mut upload = sent(LEAST_HELD_UP);
        assert_eq!(upload.held_up_until(false, IDLE), Some(at(4)), "16 KiB a second");
        upload.prove(1, at(1));
        assert_eq!(upload.held_up_until(false, IDLE), None);
    }

    #[test]
    fn a_service_that_answers_has_ten_idle_timeouts_from_what_it_was_asked_first() {
        let mut upload = sent(LEAST_HELD_UP);
        assert!(upload.wants_mark());
        upload.ask(at(1));
        assert_eq!(upload.held_up_until(true, IDLE), Some(at(301)));
        assert_eq!(upload.held_up_until(false, IDLE), Some(at(4)));
        upload.add(1 << 20);
        upload.note_time(IDLE, at(9));
        assert!(!upload.wants_mark(), "one at a time");
        upload.ask(at(9));
        assert_eq!(upload.held_up_until(true, IDLE), Some(at(301)), "whatever else it is asked");
        upload.prove(LEAST_HELD_UP, at(10));
        assert_eq!(upload.held_up_until(true, IDLE), Some(at(310)), "it reads");
        upload.expect_no_answer();
        assert_eq!(upload.held_up_until(true, IDLE), Some(at(9 + 64)));
    }

    #[test]
    fn what_nobody_proves_is_taken_for_read_at_16_kib_a_second_and_after_ten_idle_timeouts() {
        let mut upload = sent(1 << 40);
        assert_eq!(upload.held_up_until(false, IDLE), Some(at(300)));
        upload.note_time(IDLE, at(400));
        assert_eq!(upload.held_up_until(false, IDLE), Some(at(400)));
        upload.set_back(SECOND);
        assert_eq!(upload.held_up_until(false, IDLE), Some(at(399)));
    }

    #[test]
    fn a_mark_is_wanted_at_most_once_a_second() {
        let mut upload = sent(LEAST_HELD_UP);
        upload.ask(at(0));
        upload.prove(LEAST_HELD_UP, at(0));
        upload.add(1 << 20);
        upload.note_time(IDLE, at(0));
        assert!(!upload.wants_mark());
        upload.note_time(IDLE, at(1));
        assert!(upload.wants_mark());
    }
    #[test]
    fn a_lull_is_excused_by_much_that_comes_at_once_and_not_by_what_drips() {
        let mut upload = sent(LEAST_HELD_UP);
        assert_eq!(upload.note_lull(LUMP - 1, at(0), at(10)), None);
        assert_eq!(upload.lump_until(), Some(at(11)), "the rest may follow");
        assert_eq!(upload.note_lull(1, at(10), at(10)), Some(10 * SECOND), "in whatever pieces");
        assert_eq!((upload.note_lull(LUMP, at(10), at(11)), upload.lump_until()), (None, None), "once");
        for second in [13, 16, 19] {
            assert_eq!(upload.note_lull(LUMP / 2, at(second - 3), at(second)), None, "each after a lull");
        }
        assert_eq!(upload.note_lull(LUMP / 2, at(19), at(21)), None, "a new one");
        upload.set_back(SECOND);
        assert_eq!(upload.lump_until(), Some(at(21)));
    }
}
