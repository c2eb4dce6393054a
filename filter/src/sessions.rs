//! The open sessions of this VM: by their deadlines, and those with something to count.
//!
//! The SDK keeps stream contexts to itself, so the sessions that a timer acts on are shared here. All root
//! contexts of a VM share them too: a session outlives the configuration it was opened under.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::Duration;

use postern_engine::cause::Shown;
use postern_engine::rate::live::LivePlace;
use postern_engine::remote::Source;
use postern_engine::{Drains, Engine, Session};

use crate::log_lines::Whence;
use crate::metrics;

thread_local! {
    /// The sessions that have a deadline, by it and by their contexts: each has one place, and leaves it when
    /// it moves or ends, however far ahead that is.
    static SCHEDULED: RefCell<BTreeMap<(NonZeroU64, u32), Rc<Live>>> = RefCell::default();
    /// The time when the clock was last looked at.
    static LAST: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// The sessions that wait for something that is fetched: in their handshake, or with a token sent later.
    static WAITING: RefCell<BTreeMap<u32, Rc<Live>>> = RefCell::default();
    /// The sessions that may have to make way for a newer one of their user.
    static MAY_MAKE_WAY: RefCell<BTreeMap<u32, Rc<Live>>> = RefCell::default();
    /// The sessions through which something went since the last tick.
    static BUSY: RefCell<Vec<Rc<Live>>> = RefCell::default();
    /// The policies that go away.
    static DRAINS: RefCell<Drains<Plugin>> = RefCell::default();
    /// The root of each plugin whose configuration is in force, and what that asks for the state of this Envoy.
    static IN_FORCE: RefCell<BTreeMap<Plugin, (u32, Option<Rc<Source>>)>> = RefCell::default();
}

/// The longest time by which a deadline may be met late.
pub(crate) const LATEST: Duration = Duration::from_millis(250);

/// The identity of one filter of an Envoy, which is the same over all its configurations. Every session has
/// two of them, so each is one word.
pub(crate) type Plugin = Rc<Vec<u8>>;

/// A session and its place in the tables of the VM.
pub(crate) struct Live {
    plugin: Plugin,
    /// The root under whose configuration the stream began.
    root: u32,
    /// The stream's context.
    pub(crate) context_id: u32,
    /// The session that judges the stream.
    pub(crate) session: RefCell<Session>,
    /// The Origin of the handshake, as logs may show it.
    pub(crate) origin: Option<Shown>,
    /// The time when the WebSocket was opened, in nanoseconds since the Unix epoch.
    opened_at: Cell<Option<NonZeroU64>>,
    /// The deadline by which the session is scheduled, in nanoseconds since the Unix epoch.
    scheduled: Cell<Option<NonZeroU64>>,
    busy: Cell<bool>,
    waiting: Cell<bool>,
    may_make_way: Cell<bool>,
    /// Says whether the session is among those that hold something for their peers.
    pub(crate) holds: Cell<bool>,
}

impl Live {
    pub(crate) fn new(
        plugin: Plugin,
        root: u32,
        context_id: u32,
        session: Session,
        origin: Option<Shown>,
    ) -> Rc<Self> {
        let session = RefCell::new(session);
        Rc::new(Self {
            plugin,
            root,
            context_id,
            session,
            origin,
            opened_at: Cell::default(),
            scheduled: Cell::default(),
            busy: Cell::default(),
            waiting: Cell::default(),
            may_make_way: Cell::default(),
            holds: Cell::default(),
        })
    }

    /// Has the session come due by its deadline. A session whose deadline has moved away is looked at when it
    /// would have been due: most deadlines move with every frame.
    pub(crate) fn schedule(self: &Rc<Self>, deadline: Option<Duration>) {
        let deadline = deadline.map(nanoseconds);
        let before = self.scheduled.get();
        if before.zip(deadline).is_some_and(|(before, deadline)| before <= deadline) {
            return;
        }
        self.scheduled.set(deadline);
        SCHEDULED.with_borrow_mut(|scheduled| {
            if let Some(before) = before {
                scheduled.remove(&(before, self.context_id));
            }
            if let Some(deadline) = deadline {
                scheduled.insert((deadline, self.context_id), Rc::clone(self));
            }
        });
    }

    /// Returns what lines of the log say of the stream, which `session` judges.
    pub(crate) fn whence<'w>(&'w self, session: &'w Session) -> Whence<'w> {
        Whence { policy: session.policy(), origin: self.origin.as_ref(), session: Some(session) }
    }

    /// Notes that the WebSocket was opened at `now`.
    pub(crate) fn note_opened(&self, now: Duration) {
        self.opened_at.set(Some(nanoseconds(now)));
    }

    /// Returns the time when the WebSocket was opened, if it was.
    pub(crate) fn opened_at(&self) -> Option<Duration> {
        self.opened_at.get().map(|at| Duration::from_nanos(at.get()))
    }

    /// Moves that time with a clock that was set back.
    pub(crate) fn set_back(&self, by: Duration) {
        if let Some(at) = self.opened_at() {
            self.note_opened(at.saturating_sub(by));
        }
    }

    /// Says whether the session waited for something that is fetched when [`Live::set_waiting`] was last
    /// called.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.get()
    }

    /// Notes whether the session, which is under `policy`, waits for something that is fetched.
    pub(crate) fn set_waiting(self: &Rc<Self>, waits: bool, policy: &str) {
        if self.waiting.replace(waits) == waits {
            return;
        }
        metrics::waiting(policy, if waits { 1 } else { -1 });
        WAITING.with_borrow_mut(|waiting| match waits {
            true => waiting.insert(self.context_id, Rc::clone(self)),
            false => waiting.remove(&self.context_id),
        });
    }

    /// Notes whether the session may have to make way for a newer one of its user.
    pub(crate) fn set_may_make_way(self: &Rc<Self>, may: bool) {
        if self.may_make_way.replace(may) == may {
            return;
        }
        MAY_MAKE_WAY.with_borrow_mut(|sessions| match may {
            true => sessions.insert(self.context_id, Rc::clone(self)),
            false => sessions.remove(&self.context_id),
        });
    }

    /// Notes that something went through.
    pub(crate) fn note_traffic(self: &Rc<Self>) {
        if !self.busy.replace(true) {
            BUSY.with_borrow_mut(|busy| busy.push(Rc::clone(self)));
        }
    }
}

/// Returns the time by which the clock was set back since the last call, if that is more than a deadline may
/// be late. The ends of policies have moved with it then.
pub(crate) fn set_back(now: Duration) -> Option<Duration> {
    let by = LAST.replace(now).checked_sub(now).filter(|by| *by > LATEST)?;
    DRAINS.with_borrow_mut(|drains| drains.set_back(by));
    Some(by)
}

/// Returns the time when the clock was last looked at.
pub(crate) fn last_tick() -> Duration {
    LAST.get()
}

/// Returns all sessions that have a deadline.
pub(crate) fn scheduled() -> Vec<Rc<Live>> {
    SCHEDULED.with_borrow(|scheduled| scheduled.values().cloned().collect())
}

/// The number of streams on which something is done in one callback. The host may do what it is asked of a
/// stream when the callback is over, and call back for that within; Envoy does the next behind that call, one
/// within the other, and a VM whose stack is used up traps.
pub(crate) const AT_ONCE: usize = 32;

/// The time after which a tick follows one behind which more is due.
pub(crate) const SOON: Duration = Duration::from_millis(1);

/// Says whether the deadline of a session has come.
pub(crate) fn is_any_due(now: Duration) -> bool {
    let now = nanoseconds(now);
    SCHEDULED.with_borrow(|scheduled| scheduled.first_key_value().is_some_and(|(key, _)| key.0 <= now))
}

/// Returns the sessions whose deadline has come, [`AT_ONCE`] at most. They have none until they are scheduled
/// again.
pub(crate) fn due(now: Duration) -> Vec<Rc<Live>> {
    let now = nanoseconds(now);
    SCHEDULED.with_borrow_mut(|scheduled| {
        let mut due = Vec::new();
        while due.len() < AT_ONCE
            && let Some(first) = scheduled.first_entry().filter(|first| first.key().0 <= now)
        {
            let live = first.remove();
            live.scheduled.set(None);
            due.push(live);
        }
        due
    })
}

fn nanoseconds(time: Duration) -> NonZeroU64 {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    NonZeroU64::new(nanoseconds).unwrap_or(NonZeroU64::MIN)
}

/// Returns every open session of `plugin`, whatever configuration it was opened under: each has a deadline.
pub(crate) fn of(plugin: &Plugin) -> Vec<Rc<Live>> {
    SCHEDULED
        .with_borrow(|scheduled| scheduled.values().filter(|live| live.plugin == *plugin).cloned().collect())
}

/// Returns those of them under a policy of this name.
pub(crate) fn under(plugin: &Plugin, policy: &str) -> Vec<Rc<Live>> {
    let mut sessions = of(plugin);
    sessions.retain(|live| live.session.borrow().policy() == policy);
    sessions
}

/// Has the policies of `plugin` go away, from `at` on, of which `engine`, the configuration of `root`, says
/// so.
pub(crate) fn set_drains(plugin: &Plugin, root: u32, at: Duration, engine: &Engine) {
    DRAINS.with_borrow_mut(|drains| drains.set(plugin, root, at, engine.draining()));
}

/// Notes what `engine`, the configuration that is in force for `plugin`, knows of this Envoy. Returns the time over which its
/// connections go from now on, or that none goes any more, if either is new.
pub(crate) fn follow_envoy(plugin: &Plugin, engine: &Engine, now: Duration) -> Option<Option<Duration>> {
    let over = engine.draining_with_envoy();
    DRAINS.with_borrow_mut(|drains| drains.follow_envoy(plugin, over, now)).then_some(over)
}

/// Says whether the connections of any filter go with this Envoy.
pub(crate) fn is_any_with_envoy() -> bool {
    DRAINS.with_borrow(Drains::is_any_with_envoy)
}

/// Notes that `engine`, the configuration of `root`, is in force for new streams of `plugin`.
pub(crate) fn put_in_force(plugin: &Plugin, root: u32, engine: &Engine) {
    let own = engine.server_info();
    let entry = (root, own.clone());
    let before = IN_FORCE.with_borrow_mut(|in_force| in_force.insert(Rc::clone(plugin), entry));
    if let (Some(own), Some((_, Some(before)))) = (own, before) {
        own.inherit(&before);
    }
}

/// Says whether any configuration is in force for new streams of `plugin`.
pub(crate) fn is_any_in_force(plugin: &Plugin) -> bool {
    IN_FORCE.with_borrow(|in_force| in_force.contains_key(plugin))
}

/// Forgets `plugin`, of which `root` was the last in force.
pub(crate) fn forget(plugin: &Plugin, root: u32) {
    if is_in_force(plugin, root) {
        IN_FORCE.with_borrow_mut(|in_force| in_force.remove(plugin));
        DRAINS.with_borrow_mut(|drains| drains.forget(plugin));
    }
}

/// Says whether the configuration of `root` is in force for new streams of `plugin`.
pub(crate) fn is_in_force(plugin: &Plugin, root: u32) -> bool {
    IN_FORCE.with_borrow(|in_force| in_force.get(plugin).is_some_and(|(in_force, _)| *in_force == root))
}

impl Live {
    /// Returns the time by which `session`, which has just opened, ends with its policy, if that goes away.
    pub(crate) fn ends_by(&self, session: &Session) -> Option<Duration> {
        DRAINS.with_borrow(|drains| drains.ends_by(&self.plugin, session.policy(), self.root))
    }

    /// Returns the time by which a session that has just opened ends with Envoy, if that is about to end.
    pub(crate) fn ends_with_envoy_by(&self) -> Option<Duration> {
        DRAINS.with_borrow(|drains| drains.ends_with_envoy_by(&self.plugin))
    }
}

/// Returns the sessions that wait for something that is fetched.
pub(crate) fn waiting() -> Vec<Rc<Live>> {
    WAITING.with_borrow(|waiting| waiting.values().cloned().collect())
}

/// Returns the session that has this place.
pub(crate) fn with_place(place: LivePlace) -> Option<Rc<Live>> {
    MAY_MAKE_WAY.with_borrow(|sessions| {
        sessions.values().find(|live| live.session.borrow().has_place(place)).cloned()
    })
}

/// Returns the open sessions that this list may end.
pub(crate) fn revocable_by(list: &Rc<Source>) -> Vec<Rc<Live>> {
    SCHEDULED.with_borrow(|scheduled| {
        scheduled.values().filter(|live| live.session.borrow().is_revocable_by(list)).cloned().collect()
    })
}

/// Takes the sessions that had traffic since the last call.
pub(crate) fn busy() -> Vec<Rc<Live>> {
    let busy = BUSY.take();
    for live in &busy {
        live.busy.set(false);
    }
    busy
}
