//! The times at which something is due on an open connection.
//!
//! Owns its timers, and what is known of when its peers were last heard. Knows no frames, and sends none.

use std::rc::Rc;
use std::time::Duration;

use postern_config::Liveness;

use crate::decision::{Reason, Rule, Violation};
use crate::moment::Moment;
use crate::peer::Peer;
use crate::ruleset::Ruleset;

use super::backlog::reading;
use super::timers::{Due, Timer, TimerTable};

/// Time for which nothing has come from the upstream before its stream is parked again.
const QUIET: Duration = Duration::from_millis(250);

/// Time for which a question that could not be asked waits to be tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Time that a client that does not answer has for the Close.
const LAST_WORD: Duration = Duration::from_millis(500);

/// The times of one connection, all since the Unix epoch.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// The ruleset that the connection began under. Its `liveness` is the same in every tier.
    ruleset: Rc<Ruleset>,
    /// The last sign of life of the client.
    heard: Moment,
    /// True once payload of the client has passed since, unread.
    moved: bool,
    /// The last time that something came from the upstream, as far as that is known.
    upstream_heard: Moment,
    /// Bytes that have come from the upstream since, unread.
    upstream_moved: u32,
    /// The time by which the slowest reader has read all that has gone to it.
    read_at: Moment,
    /// The timers that are set.
    timers: TimerTable,
}

/// Everything under way that decides for how long the client's silence does not count as such.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnderWay {
    /// The end of the time for which the service may hold up what the client says.
    pub(super) held_up_until: Option<Moment>,
    /// True while a frame of the client's is under way: its answer waits behind the end of that frame.
    pub(super) in_frame: bool,
    /// The time by which both the frame that the client is sending and its message that is partly kept back
    /// must be whole.
    pub(super) whole_by: Option<Moment>,
    /// The time by which the service's message that is partly kept back must be whole.
    pub(super) upstream_whole_by: Option<Moment>,
    /// The end of the time in which the client may be reading what lies before the Ping that it must answer.
    pub(super) reads_until: Option<Moment>,
    /// True while a frame of the service's is under way to the client, which cannot be asked meanwhile.
    pub(super) unaskable: bool,
}

impl Deadlines {
    /// Returns the ruleset that the connection began under.
    pub(super) fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// The deadlines of a connection that was opened at `now`, and lasts until `session_ends_at`.
    pub(super) fn new(ruleset: Rc<Ruleset>, session_ends_at: Option<Moment>, now: Duration) -> Self {
        let now = Moment::from(now);
        let mut deadlines = Self {
            ruleset,
            heard: now,
            moved: false,
            upstream_heard: now,
            upstream_moved: 0,
            read_at: now,
            timers: TimerTable::default(),
        };
        deadlines.timers.set(Timer::Session, session_ends_at);
        deadlines.timers.set(Timer::Ping, deadlines.ping_after(now));
        deadlines
    }

    /// Returns the time at which [`Deadlines::due`] must next be called.
    pub(super) fn next(&self, under_way: UnderWay) -> Option<Duration> {
        let [speak_at, cut_at] = [Timer::Speak, Timer::Cut].map(|timer| self.timers.get(timer));
        let open = || {
            let timer_at = self.timers_during(under_way).next();
            let idle_at = Some(self.idle_at(under_way));
            [timer_at, idle_at, under_way.upstream_whole_by].into_iter().flatten().min()
        };
        speak_at.or(cut_at).or_else(open).map(Duration::from)
    }

    /// Takes the first thing due at `now`. Must be called until it returns nothing; all but the ends are told
    /// once.
    pub(super) fn due(&mut self, under_way: UnderWay, now: Duration) -> Option<Due> {
        let now = Moment::from(now);
        if self.timers.take_expired(Timer::Speak, now) {
            return Some(Timer::Speak.due());
        }
        if let Some(cut_at) = self.timers.get(Timer::Cut) {
            return (cut_at <= now).then(|| Timer::Cut.due());
        }
        self.ask_before_idle(under_way, now);
        let (end_at, violation) = self.first_end(under_way, now).unzip();
        let mut end = violation.map(Due::End);
        Timer::ALL.into_iter().find_map(|timer| match timer.due() {
            // The first of the ends, which need not be this timer's.
            Due::End(_) => end.take(),
            // Of a fetch and an end that have both come the earlier counts.
            due @ Due::LookAgain => self.timers.take_expired(timer, end_at.unwrap_or(now)).then_some(due),
            due @ Due::AskClient => self.take_ping(now).then_some(due),
            due @ Due::ParkClient => self.take_park(now).then_some(due),
            due => self.timers.take_expired(timer, now).then_some(due),
        })
    }

    /// Returns the earliest of the ends that have come by `now`. Of several at once it is the one whose timer
    /// is named first.
    fn first_end(&self, under_way: UnderWay, now: Moment) -> Option<(Moment, Violation)> {
        let timers = self.timers_during(under_way);
        let of_timers = Timer::ALL.into_iter().filter_map(|timer| match timer.due() {
            Due::End(violation) => Some((timers.get(timer)?, violation)),
            _ => None,
        });
        let idle_at =
            [(Peer::Client, Some(self.idle_at(under_way))), (Peer::Upstream, under_way.upstream_whole_by)];
        let of_idle = idle_at.into_iter().filter_map(|(side, at)| {
            Some((at?, Violation::by(side, Rule::IdleTimeout, Reason::IdleTimeout)))
        });
        of_timers.chain(of_idle).filter(|(at, _)| *at <= now).min_by_key(|(at, _)| *at)
    }

    /// Returns the timers with what is under way taken into account: a client's Pong may have more time than
    /// it was given.
    fn timers_during(&self, under_way: UnderWay) -> TimerTable {
        let mut timers = self.timers;
        timers.set(Timer::Pong, self.silent_at(under_way));
        timers
    }

    /// Sets [`Timer::Ping`] anew once its time has come, and tells if the client must be asked.
    fn take_ping(&mut self, now: Moment) -> bool {
        if !self.timers.take_expired(Timer::Ping, now) {
            return false;
        }
        let is_due = self.is_ping_due(now.into());
        let ping_at = if is_due { Some(now.after(RETRY)) } else { self.ping_after(self.heard) };
        self.timers.set(Timer::Ping, ping_at);
        is_due
    }

    /// Sets [`Timer::Park`] anew where its time has come but the upstream is not quiet, and tells if it is.
    fn take_park(&mut self, now: Moment) -> bool {
        if !self.timers.take_expired(Timer::Park, now) {
            return false;
        }
        self.note_time(now.into());
        let quiet_at = self.upstream_heard.after(QUIET);
        let is_quiet = quiet_at <= now;
        if !is_quiet {
            self.timers.set(Timer::Park, quiet_at);
        }
        is_quiet
    }

    /// Gives a client the time to answer that a host that stood still, or whose clock was set forward, did
    /// not ask in the meantime: one that would be idle by now, but should have been asked before, counts as
    /// silent since the Ping was due.
    fn ask_before_idle(&mut self, under_way: UnderWay, now: Moment) {
        let Some(interval) = self.liveness().ping_interval else { return };
        let due_at = self.heard.after(interval);
        // A client that could not be asked must be asked again later than that.
        let is_unasked = self.timers.get(Timer::Ping).is_some_and(|at| at <= due_at);
        if is_unasked && due_at <= now && self.idle_at(under_way) <= now {
            self.heard = now.before(interval);
            self.timers.set(Timer::Ping, now);
        }
    }

    /// Tells if the client has been silent for so long that it must be asked, and has not been.
    pub(super) fn is_ping_due(&self, now: Duration) -> bool {
        let now = Moment::from(now);
        let is_asked = self.timers.get(Timer::Pong).is_some();
        // What has passed unread is a sign of life, too.
        !is_asked && !self.moved && self.ping_after(self.heard).is_some_and(|at| at <= now)
    }

    /// Tells if the client must be asked as soon as that can be done, since it could not be when it was due.
    pub(super) fn is_ping_overdue(&self) -> bool {
        let ping_at = self.timers.get(Timer::Ping);
        ping_at.zip(self.ping_after(self.heard)).is_some_and(|(at, due_at)| at > due_at)
    }

    /// Notes that the client has been asked, because that was due, and has read what lies before the Ping by
    /// `read_by`.
    pub(super) fn expect_pong(&mut self, read_by: Moment, now: Duration) {
        let read_by = read_by.max(now.into());
        self.timers.set(Timer::Pong, read_by.after(self.liveness().pong_timeout));
        self.timers.unset(Timer::Ping);
    }

    /// Notes that the client has answered, or will not because it has answered something else.
    pub(super) fn expect_no_pong(&mut self, now: Duration) {
        self.timers.unset(Timer::Pong);
        self.timers.set(Timer::Ping, self.ping_after(now.into()));
    }

    /// Has something said as soon as the chunk at hand has gone.
    pub(super) fn speak_next(&mut self, now: Duration) {
        self.timers.set(Timer::Speak, Moment::from(now));
    }

    /// Has a peer asked what it has read, as soon as the chunk at hand has gone.
    pub(super) fn mark_next(&mut self, now: Duration) {
        self.timers.set_if_unset(Timer::Mark, now.into());
    }

    /// Tells if a peer must be asked what it has read, which could not be done yet.
    pub(super) fn is_mark_overdue(&self) -> bool {
        self.timers.get(Timer::Mark).is_some()
    }

    /// Notes that the upstream has been asked.
    pub(super) fn expect_upstream_pong(&mut self, now: Duration) {
        let pong_at = Moment::from(now).after(self.liveness().pong_timeout);
        self.timers.set_if_unset(Timer::UpstreamPong, pong_at);
    }

    /// Notes that the upstream has answered.
    pub(super) fn expect_no_upstream_pong(&mut self) {
        self.timers.unset(Timer::UpstreamPong);
    }

    /// Notes that payload of the client has passed unread, at a time that is not known yet.
    pub(super) fn note_unread(&mut self) {
        self.moved = true;
    }

    /// Tells if payload of the client has passed unread, at a time that is not known yet.
    pub(super) fn has_moved(&self) -> bool {
        self.moved
    }

    /// Notes that what passed unread did so by `now`.
    pub(super) fn note_time(&mut self, now: Duration) {
        if std::mem::take(&mut self.moved) {
            self.hear(now.into());
        }
        if self.upstream_moved > 0 {
            self.note_upstream(0, now);
        }
    }

    /// Notes that something has come from the client.
    pub(super) fn note_client(&mut self, now: Duration) {
        self.hear(now.into());
    }

    /// Returns the time for which nothing has come from the client, as far as that is known.
    pub(super) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard.into())
    }

    /// Returns the last time that something came from the upstream, as far as that is known.
    pub(super) fn upstream_heard(&self) -> Moment {
        self.upstream_heard
    }

    /// Notes that the client can be asked again, which a frame on its way to it prevented: a client that
    /// should have been asked meanwhile is asked before it counts as idle.
    pub(super) fn note_askable(&mut self, now: Duration) {
        if let Some(interval) = self.liveness().ping_interval {
            self.heard = self.heard.max(Moment::from(now).before(interval));
        }
    }

    /// Tells if silent clients are asked.
    pub(super) fn asks(&self) -> bool {
        self.liveness().ping_interval.is_some()
    }

    /// Returns the last time that something came from the client.
    pub(super) fn heard(&self) -> Moment {
        self.heard
    }

    /// Returns the time that an answer may take.
    pub(super) fn pong_timeout(&self) -> Duration {
        self.liveness().pong_timeout
    }

    /// Returns the time by which the slowest reader has read all that has gone to it.
    pub(super) fn read_at(&self) -> Moment {
        self.read_at
    }

    /// Notes that the client has read all but `unread` bytes.
    pub(super) fn note_read(&mut self, unread: u64, now: Duration) {
        self.read_at = self.read_at.min(Moment::from(now).after(reading(unread)));
    }

    /// Returns the time for which the client may be idle.
    pub(super) fn idle_timeout(&self) -> Duration {
        self.liveness().idle_timeout
    }

    /// Tells if a Close has gone, so that what is left will be cut.
    pub(super) fn is_closing(&self) -> bool {
        self.timers.get(Timer::Cut).is_some()
    }

    /// Notes that something has come from the upstream, and that `len` bytes of it went on to the client.
    pub(super) fn note_upstream(&mut self, len: usize, now: Duration) {
        self.upstream_heard = now.into();
        let unread = u64::from(std::mem::take(&mut self.upstream_moved));
        let latest = Moment::from(now).after(reading(u64::MAX));
        let read_at = self.read_at.max(now.into()).after(reading(unread.saturating_add(len as u64)));
        self.read_at = read_at.min(latest);
    }

    /// Notes that `len` bytes of payload of the upstream have passed unread, at a time that is not known yet.
    pub(super) fn note_upstream_unread(&mut self, len: usize) {
        self.upstream_moved = self.upstream_moved.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Tells if nothing has come from the upstream for a while.
    pub(super) fn is_quiet(&self, now: Duration) -> bool {
        let now = Moment::from(now);
        self.upstream_moved == 0 && self.upstream_heard.after(QUIET) <= now
    }

    /// Has the stream towards the client parked once it is quiet.
    pub(super) fn park_when_quiet(&mut self, now: Duration) {
        self.timers.set_if_unset(Timer::Park, Moment::from(now).after(QUIET));
    }

    /// Tells if the stream towards the client will be parked once it is quiet.
    pub(super) fn awaits_quiet(&self) -> bool {
        self.timers.get(Timer::Park).is_some()
    }

    /// Has a token come by `at`.
    pub(super) fn await_token(&mut self, at: Duration) {
        self.timers.set(Timer::Authentication, Moment::from(at));
    }

    /// Has a token wait `until` then for something that is fetched, or not at all.
    pub(super) fn await_fetch(&mut self, until: Option<Duration>) {
        self.timers.set(Timer::Fetch, until.map(Moment::from));
        if until.is_some() {
            // The token that was awaited has come.
            self.timers.unset(Timer::Authentication);
        }
    }

    /// Notes that a token has been accepted: when the connection ends with it, and when the client is told.
    pub(super) fn renew(&mut self, expiry: Option<Duration>, notice: Option<Duration>) {
        self.timers.unset(Timer::Authentication);
        self.timers.unset(Timer::Fetch);
        self.timers.set(Timer::Expiry, expiry.map(Moment::from));
        self.timers.set(Timer::Notice, notice.map(Moment::from));
    }

    /// Has the connection last until `session_ends_at`, since a token has brought that, or without end.
    pub(super) fn last_until(&mut self, session_ends_at: Option<Moment>) {
        self.timers.set(Timer::Session, session_ends_at);
    }

    /// Has nothing end by the timer of `rule`, whose time has come.
    pub(super) fn pass_over(&mut self, rule: Rule) {
        let of_rule = |timer: &Timer| matches!(timer.due(), Due::End(violation) if violation.rule == rule);
        for timer in Timer::ALL.into_iter().filter(of_rule) {
            self.timers.unset(timer);
        }
    }

    /// Has the connection end by `at`, since its policy goes away.
    pub(super) fn drain(&mut self, at: Duration) {
        self.end_by(Timer::Drain, at.into());
    }

    /// Has the connection end by `at`, since Envoy is about to end.
    pub(super) fn drain_with_envoy(&mut self, at: Duration) {
        self.end_by(Timer::DrainWithEnvoy, at.into());
    }

    /// Has the connection stay, since Envoy is not about to end any more.
    pub(super) fn stay_with_envoy(&mut self) {
        self.timers.unset(Timer::DrainWithEnvoy);
    }

    /// Has `timer` go off at `at`, unless it does so sooner.
    fn end_by(&mut self, timer: Timer, at: Moment) {
        let sooner = self.timers.get(timer).map_or(at, |before| before.min(at));
        self.timers.set(timer, sooner);
    }

    /// Moves all times that a clock gave which was set back by so much.
    pub(super) fn set_back(&mut self, by: Duration) {
        for at in [&mut self.heard, &mut self.upstream_heard, &mut self.read_at] {
            *at = at.before(by);
        }
        self.timers.set_back(by);
    }

    /// Has what is left cut in time, since a Close has gone. `reason` is Postern's own for it, absent if a
    /// peer closed.
    pub(super) fn close(&mut self, reason: Option<Reason>, now: Duration) {
        let timeout = match reason {
            // A client that is not there is not waited for.
            Some(Reason::PongTimeout) => self.liveness().close_timeout.min(LAST_WORD),
            _ => self.liveness().close_timeout,
        };
        self.timers.set_if_unset(Timer::Cut, Moment::from(now).after(timeout));
    }

    fn hear(&mut self, now: Moment) {
        self.heard = now;
        // The clock may have been set back since the timer was set.
        let ping_at =
            self.timers.get(Timer::Ping).zip(self.ping_after(now)).map(|(at, due_at)| at.min(due_at));
        self.timers.set(Timer::Ping, ping_at);
    }

    /// Returns the time at which a client that was heard at `heard` must be asked, if silent clients are.
    fn ping_after(&self, heard: Moment) -> Option<Moment> {
        self.liveness().ping_interval.map(|interval| heard.after(interval))
    }

    fn liveness(&self) -> &Liveness {
        &self.ruleset.policy.liveness
    }

    /// Returns the time at which the client has been idle for too long. Bytes of a frame or message that does
    /// not end in time are no sign of life.
    fn idle_at(&self, under_way: UnderWay) -> Moment {
        let since =
            if under_way.unaskable && self.asks() { self.heard.max(self.upstream_heard) } else { self.heard };
        let at = since.after(self.liveness().idle_timeout);
        let at = [under_way.reads_until, under_way.held_up_until].into_iter().flatten().fold(at, Moment::max);
        under_way.whole_by.map_or(at, |whole_by| at.min(whole_by))
    }

    /// Returns the time at which the client's answer is overdue. A Pong cannot overtake what the client is
    /// sending, least of all a frame.
    fn silent_at(&self, UnderWay { held_up_until, in_frame, .. }: UnderWay) -> Option<Moment> {
        let pong_at = self.timers.get(Timer::Pong).filter(|_| !in_frame)?;
        let at = pong_at.max(self.heard.after(self.liveness().pong_timeout));
        Some(held_up_until.map_or(at, |until| at.max(until)))
    }
}
