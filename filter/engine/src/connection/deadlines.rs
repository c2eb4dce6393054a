//! When what is due on an open connection. Knows no frames, and sends none.

use std::rc::Rc;
use std::time::Duration;

use postern_config::Liveness;

use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::moment::Moment;
use crate::peer::Peer;
use crate::ruleset::Ruleset;

use super::backlog::reading;

/// For how long nothing may have come from the upstream before its stream is parked again.
const QUIET: Duration = Duration::from_millis(250);

/// How long a question that could not be asked waits to be tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How long a client that does not answer has for the Close.
const LAST_WORD: Duration = Duration::from_millis(500);

/// The times of one connection, all since the Unix epoch.
#[derive(Debug)]
pub(super) struct Deadlines {
    ruleset: Rc<Ruleset>,
    /// The last sign of life of the client.
    heard: Moment,
    /// Whether payload of the client has passed since, unread.
    moved: bool,
    /// When to look whether the client is to be asked.
    ping_at: Option<Moment>,
    /// When the client must have answered.
    pong_at: Option<Moment>,
    /// When the upstream must have answered.
    upstream_pong_at: Option<Moment>,
    /// When to look whether the stream towards the client is to be parked.
    park_at: Option<Moment>,
    /// When something last came from the upstream, as far as that is known.
    upstream_heard: Moment,
    /// How many bytes have come since, unread.
    upstream_moved: u32,
    /// When the slowest reader has read all that has gone to it.
    read_at: Moment,
    /// When the connection ends, and why, whatever happens on it.
    ends: Ends,
    /// When the client is told that its token ends soon.
    notice_at: Option<Moment>,
    /// Until when a token waits for something that is fetched.
    fetch_at: Option<Moment>,
    /// When what waits to be said can be.
    speak_at: Option<Moment>,
    /// When a peer can be asked what it has read.
    mark_at: Option<Moment>,
    /// When what is left is cut.
    cut_at: Option<Moment>,
}

/// What is under way, as far as it tells for how long the client's silence is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnderWay {
    /// Until when the service may hold up what the client says.
    pub(super) held_up_until: Option<Moment>,
    /// Whether a frame of the client's is under way, behind whose end its answer has to wait.
    pub(super) in_frame: bool,
    /// When the frame has to be whole that the client is sending, and the message of which something is kept back.
    pub(super) whole_by: Option<Moment>,
    /// When the message of the service's has to be whole of which something is kept back.
    pub(super) upstream_whole_by: Option<Moment>,
    /// Until when the client may be reading what lies before the Ping that it is to answer.
    pub(super) reads_until: Option<Moment>,
    /// Whether a frame of the service's is under way to the client, which cannot be asked meanwhile.
    pub(super) unaskable: bool,
}

/// The ends that are known ahead.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    /// Nobody has been authenticated.
    pub(crate) authentication: Option<Moment>,
    /// The right to the connection ends.
    pub(crate) expiry: Option<Moment>,
    /// It has lasted its time.
    pub(crate) session: Option<Moment>,
    /// Its policy is going away.
    pub(crate) drain: Option<Moment>,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Whatever is left is to be cut.
    Cut,
    /// The connection is over.
    End(Violation),
    /// The client is to be asked whether it is there.
    AskClient,
    /// A peer is to be asked what it has read.
    Mark,
    /// A token has waited long enough for something that is fetched.
    LookAgain,
    /// The client's token ends soon.
    GiveNotice,
    /// What waits to be said on a parked stream can be.
    Speak,
    /// The upstream will not answer.
    UpstreamMute,
    /// The stream towards the client may be parked.
    ParkClient,
}

impl Deadlines {
    pub(super) fn new(ruleset: Rc<Ruleset>, ends: Ends, now: Duration) -> Self {
        let now = Moment::from(now);
        let ping_at = ruleset.policy.liveness.ping_interval.map(|interval| now.after(interval));
        Self {
            ruleset,
            heard: now,
            moved: false,
            ping_at,
            pong_at: None,
            upstream_pong_at: None,
            park_at: None,
            upstream_heard: now,
            upstream_moved: 0,
            read_at: now,
            ends,
            notice_at: None,
            fetch_at: None,
            speak_at: None,
            mark_at: None,
            cut_at: None,
        }
    }

    /// When the next of them is.
    pub(super) fn next(&self, under_way: UnderWay) -> Option<Duration> {
        let idle_at = Some(self.idle_at(under_way));
        let Ends { authentication, expiry, session, drain } = self.ends;
        let open = [
            idle_at,
            self.ping_at,
            self.silent_at(under_way),
            under_way.upstream_whole_by,
            self.upstream_pong_at,
            self.park_at,
            self.mark_at,
            self.notice_at,
            self.fetch_at,
            authentication,
            expiry,
            session,
            drain,
        ];
        let first = self.speak_at.or(self.cut_at).or_else(|| open.into_iter().flatten().min());
        first.map(Duration::from)
    }

    /// What is due at `now`. To be asked until it is nothing; all but the ends is told once.
    pub(super) fn due(&mut self, under_way: UnderWay, now: Duration) -> Option<Due> {
        let now = Moment::from(now);
        let passed = |at: Option<Moment>| at.is_some_and(|at| at <= now);
        if self.speak_at.take_if(|at| *at <= now).is_some() {
            return Some(Due::Speak);
        }
        if let Some(cut_at) = self.cut_at {
            return (cut_at <= now).then_some(Due::Cut);
        }
        self.ask_before_idle(under_way, now);
        let client = Some(Peer::Client);
        let ends = [
            (self.ends.authentication, Rule::AuthFirstMessageTimeout, Reason::AuthTimeout, client),
            (self.ends.expiry, Rule::AuthExpiry, Reason::TokenExpired, client),
            (self.ends.session, Rule::AuthMaxSession, Reason::SessionLimit, None),
            (self.ends.drain, Rule::Drain, Reason::Drain, None),
            (self.silent_at(under_way), Rule::PongTimeout, Reason::PongTimeout, client),
            (Some(self.idle_at(under_way)), Rule::IdleTimeout, Reason::IdleTimeout, client),
            (under_way.upstream_whole_by, Rule::IdleTimeout, Reason::IdleTimeout, Some(Peer::Upstream)),
        ];
        let end = ends.into_iter().filter(|(at, ..)| passed(*at)).min_by_key(|(at, ..)| *at);
        // Of what has passed by now the first counts.
        let is_first =
            |at: &mut Moment| *at <= now && end.is_none_or(|(end, ..)| end.is_none_or(|end| *at <= end));
        if self.fetch_at.take_if(is_first).is_some() {
            return Some(Due::LookAgain);
        }
        if let Some((_, rule, reason, side)) = end {
            return Some(Due::End(Violation { side, ..Violation::new(rule, reason) }));
        }
        if self.notice_at.take_if(|at| *at <= now).is_some() {
            return Some(Due::GiveNotice);
        }
        if passed(self.upstream_pong_at) {
            self.upstream_pong_at = None;
            return Some(Due::UpstreamMute);
        }
        if self.mark_at.take_if(|at| *at <= now).is_some() {
            return Some(Due::Mark);
        }
        if passed(self.ping_at) {
            if self.is_ping_due(now.into()) {
                self.ping_at = Some(now.after(RETRY));
                return Some(Due::AskClient);
            }
            self.ping_at = self.liveness().ping_interval.map(|interval| self.heard.after(interval));
        }
        if passed(self.park_at) {
            self.note_time(now.into());
            let quiet_at = self.upstream_heard.after(QUIET);
            self.park_at = (quiet_at > now).then_some(quiet_at);
            if self.park_at.is_none() {
                return Some(Due::ParkClient);
            }
        }
        None
    }

    /// A host that stood still, or whose clock was set forward, has had nobody asked meanwhile: who
    /// would be idle by now, but should have been asked before, counts as silent since it was due.
    fn ask_before_idle(&mut self, under_way: UnderWay, now: Moment) {
        let Some(interval) = self.liveness().ping_interval else { return };
        let due_at = self.heard.after(interval);
        // One that could not be asked is to be tried again later than that.
        let is_unasked = self.ping_at.is_some_and(|at| at <= due_at);
        if is_unasked && due_at <= now && self.idle_at(under_way) <= now {
            self.heard = now.before(interval);
            self.ping_at = Some(now);
        }
    }

    /// Whether the client has been silent for so long that it is to be asked, and has not been.
    pub(super) fn is_ping_due(&self, now: Duration) -> bool {
        let now = Moment::from(now);
        let due_at = self.liveness().ping_interval.map(|interval| self.heard.after(interval));
        // What has passed unread is a sign of life, too.
        self.pong_at.is_none() && !self.moved && due_at.is_some_and(|at| at <= now)
    }

    /// Whether the client is to be asked as soon as that can be done, since it could not be when it was
    /// due.
    pub(super) fn is_ping_overdue(&self) -> bool {
        let due_at = self.liveness().ping_interval.map(|interval| self.heard.after(interval));
        self.ping_at.zip(due_at).is_some_and(|(at, due_at)| at > due_at)
    }

    /// The client has been asked, because that was due, and has read what lies before by then.
    pub(super) fn expect_pong(&mut self, read_by: Moment, now: Duration) {
        let read_by = read_by.max(now.into());
        self.pong_at = Some(read_by.after(self.liveness().pong_timeout));
        self.ping_at = None;
    }

    /// The client has answered, or will not because it has answered something else.
    pub(super) fn expect_no_pong(&mut self, now: Duration) {
        let now = Moment::from(now);
        self.pong_at = None;
        self.ping_at = self.liveness().ping_interval.map(|interval| now.after(interval));
    }

    /// Something is to be said as soon as the chunk at hand has gone.
    pub(super) fn speak_next(&mut self, now: Duration) {
        self.speak_at = Some(now.into());
    }

    /// A peer is to be asked what it has read, as soon as the chunk at hand has gone.
    pub(super) fn mark_next(&mut self, now: Duration) {
        let now = Moment::from(now);
        self.mark_at.get_or_insert(now);
    }

    /// Whether that could not be done yet.
    pub(super) fn is_mark_overdue(&self) -> bool {
        self.mark_at.is_some()
    }

    /// The upstream has been asked.
    pub(super) fn expect_upstream_pong(&mut self, now: Duration) {
        let now = Moment::from(now);
        self.upstream_pong_at.get_or_insert(now.after(self.liveness().pong_timeout));
    }

    /// The upstream has answered.
    pub(super) fn expect_no_upstream_pong(&mut self) {
        self.upstream_pong_at = None;
    }

    /// Payload of the client has passed unread, at a time that is not known yet.
    pub(super) fn note_unread(&mut self) {
        self.moved = true;
    }

    /// Whether payload of the client has passed unread, at a time that is not known yet.
    pub(super) fn has_moved(&self) -> bool {
        self.moved
    }

    /// What passed unread did so by `now`.
    pub(super) fn note_time(&mut self, now: Duration) {
        if std::mem::take(&mut self.moved) {
            self.hear(now.into());
        }
        if self.upstream_moved > 0 {
            self.note_upstream(0, now);
        }
    }

    /// Something has come from the client.
    pub(super) fn note_client(&mut self, now: Duration) {
        self.hear(now.into());
    }

    /// For how long nothing has come from the client, as far as that is known.
    pub(super) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard.into())
    }

    /// When something last came from the upstream, as far as that is known.
    pub(super) fn upstream_heard(&self) -> Moment {
        self.upstream_heard
    }

    /// The client can be asked again, which a frame on its way to it prevented: who should have been asked
    /// meanwhile is, before it is idle.
    pub(super) fn note_askable(&mut self, now: Duration) {
        if let Some(interval) = self.liveness().ping_interval {
            self.heard = self.heard.max(Moment::from(now).before(interval));
        }
    }

    /// Whether silent clients are asked.
    pub(super) fn asks(&self) -> bool {
        self.liveness().ping_interval.is_some()
    }

    /// When something last came of the client.
    pub(super) fn heard(&self) -> Moment {
        self.heard
    }

    /// How long an answer may take.
    pub(super) fn pong_timeout(&self) -> Duration {
        self.liveness().pong_timeout
    }

    /// When the slowest reader has read all that has gone to it.
    pub(super) fn read_at(&self) -> Moment {
        self.read_at
    }

    /// The client is known to have read all but so many bytes.
    pub(super) fn note_read(&mut self, unread: u64, now: Duration) {
        self.read_at = self.read_at.min(Moment::from(now).after(reading(unread)));
    }

    /// How long the client may be idle.
    pub(super) fn idle_timeout(&self) -> Duration {
        self.liveness().idle_timeout
    }

    /// Whether a Close has gone, so that what is left will be cut.
    pub(super) fn is_closing(&self) -> bool {
        self.cut_at.is_some()
    }

    /// Something has come from the upstream, and `len` bytes of it went on to the client.
    pub(super) fn note_upstream(&mut self, len: usize, now: Duration) {
        self.upstream_heard = now.into();
        let unread = u64::from(std::mem::take(&mut self.upstream_moved));
        let latest = Moment::from(now).after(reading(u64::MAX));
        let read_at = self.read_at.max(now.into()).after(reading(unread.saturating_add(len as u64)));
        self.read_at = read_at.min(latest);
    }

    /// So many bytes of payload of the upstream have passed unread, at a time that is not known yet.
    pub(super) fn note_upstream_unread(&mut self, len: usize) {
        self.upstream_moved = self.upstream_moved.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Whether nothing has come from the upstream for a while.
    pub(super) fn is_quiet(&self, now: Duration) -> bool {
        let now = Moment::from(now);
        self.upstream_moved == 0 && self.upstream_heard.after(QUIET) <= now
    }

    /// The stream towards the client is to be parked once it is quiet.
    pub(super) fn park_when_quiet(&mut self, now: Duration) {
        let now = Moment::from(now);
        self.park_at.get_or_insert(now.after(QUIET));
    }

    /// Whether it is.
    pub(super) fn awaits_quiet(&self) -> bool {
        self.park_at.is_some()
    }

    /// A token has to come by `at`.
    pub(super) fn await_token(&mut self, at: Duration) {
        self.ends.authentication = Some(at.into());
    }

    /// A token waits for something that is fetched until then, or none does.
    pub(super) fn await_fetch(&mut self, until: Option<Duration>) {
        self.fetch_at = until.map(Moment::from);
        if until.is_some() {
            // It has come.
            self.ends.authentication = None;
        }
    }

    /// A token has been accepted: when the connection ends with it, and when the client is told.
    pub(super) fn renew(&mut self, expiry: Option<Duration>, notice: Option<Duration>) {
        let (expiry, notice) = (expiry.map(Moment::from), notice.map(Moment::from));
        (self.ends.authentication, self.ends.expiry, self.notice_at) = (None, expiry, notice);
        self.fetch_at = None;
    }

    /// The connection ends by `at`, since its policy goes away.
    pub(super) fn drain(&mut self, at: Duration) {
        let at = Moment::from(at);
        self.ends.drain = Some(self.ends.drain.map_or(at, |before| before.min(at)));
    }

    /// The clock was set back by so much: so is all that was set by it, but for the times that are
    /// written in a token.
    pub(super) fn set_back(&mut self, by: Duration) {
        for at in [&mut self.heard, &mut self.upstream_heard, &mut self.read_at] {
            *at = at.before(by);
        }
        let Ends { authentication, expiry: _, session, drain } = &mut self.ends;
        for at in [
            &mut self.ping_at,
            &mut self.pong_at,
            &mut self.upstream_pong_at,
            &mut self.park_at,
            &mut self.fetch_at,
            &mut self.speak_at,
            &mut self.mark_at,
            &mut self.cut_at,
            authentication,
            session,
            drain,
        ] {
            *at = at.map(|at| at.before(by));
        }
    }

    /// A Close has gone: what is left is cut in time. `reason` is why, if that is Postern's.
    pub(super) fn close(&mut self, reason: Option<Reason>, now: Duration) {
        let now = Moment::from(now);
        let timeout = match reason {
            // Who is not there is not waited for.
            Some(Reason::PongTimeout) => self.liveness().close_timeout.min(LAST_WORD),
            _ => self.liveness().close_timeout,
        };
        self.cut_at.get_or_insert(now.after(timeout));
    }

    fn hear(&mut self, now: Moment) {
        self.heard = now;
        // The clock may have been set back since that was set.
        let due_at = self.liveness().ping_interval.map(|interval| now.after(interval));
        self.ping_at = self.ping_at.zip(due_at).map(|(at, due_at)| at.min(due_at));
    }

    fn liveness(&self) -> &Liveness {
        &self.ruleset.policy.liveness
    }

    /// When the client has been idle for too long. Bytes of what does not end are no sign of life.
    fn idle_at(&self, under_way: UnderWay) -> Moment {
        let since =
            if under_way.unaskable && self.asks() { self.heard.max(self.upstream_heard) } else { self.heard };
        let at = since.after(self.liveness().idle_timeout);
        let at = [under_way.reads_until, under_way.held_up_until].into_iter().flatten().fold(at, Moment::max);
        under_way.whole_by.map_or(at, |whole_by| at.min(whole_by))
    }

    /// When its answer is overdue. It cannot overtake what the client is sending, least of all a frame.
    fn silent_at(&self, UnderWay { held_up_until, in_frame, .. }: UnderWay) -> Option<Moment> {
        let pong_at = self.pong_at.filter(|_| !in_frame)?;
        let at = pong_at.max(self.heard.after(self.liveness().pong_timeout));
        Some(held_up_until.map_or(at, |until| at.max(until)))
    }
}
