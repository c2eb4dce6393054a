//! The open sessions of this VM: by their deadlines, and those with something to count.
//!
//! The SDK keeps stream contexts to itself, so what a timer acts on is shared here. All root
//! contexts of a VM share it too: a session outlives the configuration it was opened under.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::Duration;

use postern_engine::remote::Source;
use postern_engine::{Drains, Engine, Session};

thread_local! {
    /// Those that have a deadline, by it and by their contexts: each has one place, and leaves it when
    /// it moves or ends, however far ahead that is.
    static SCHEDULED: RefCell<BTreeMap<(NonZeroU64, u32), Rc<Live>>> = RefCell::default();
    /// The time when the clock was last looked at.
    static LAST: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// Those that wait for something that is fetched: in their handshake, or with a token sent later.
    static WAITING: RefCell<BTreeMap<u32, Rc<Live>>> = RefCell::default();
    /// Those through which something went since the last tick.
    static BUSY: RefCell<Vec<Rc<Live>>> = RefCell::default();
    /// The policies that go away.
    static DRAINS: RefCell<Drains<Plugin>> = RefCell::default();
    /// The root of each plugin whose configuration is in force.
    static IN_FORCE: RefCell<BTreeMap<Plugin, u32>> = RefCell::default();
}

/// How late a deadline may be met.
pub(crate) const LATEST: Duration = Duration::from_millis(250);

/// What tells one filter of an Envoy from another; the same over all its configurations. Every session
/// has two of them, so each is one word.
pub(crate) type Plugin = Rc<Vec<u8>>;

/// A session and its place here.
pub(crate) struct Live {
    plugin: Plugin,
    /// The root under whose configuration the stream began.
    root: u32,
    /// The stream's context.
    pub(crate) context_id: u32,
    /// What judges it.
    pub(crate) session: RefCell<Session>,
    /// In nanoseconds since the Unix epoch.
    scheduled: Cell<Option<NonZeroU64>>,
    busy: Cell<bool>,
    waiting: Cell<bool>,
    /// Says whether it is among those that hold something for their peers.
    pub(crate) holds: Cell<bool>,
}

impl Live {
    pub(crate) fn new(plugin: Plugin, root: u32, context_id: u32, session: Session) -> Rc<Self> {
        let session = RefCell::new(session);
        Rc::new(Self {
            plugin,
            root,
            context_id,
            session,
            scheduled: Cell::default(),
            busy: Cell::default(),
            waiting: Cell::default(),
            holds: Cell::default(),
        })
    }

    /// Sees to it that the session is due by its deadline. One that has moved away is looked at
    /// when it would have been due: most move with every frame.
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

    /// Says whether it waited for something that is fetched when that was last said.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.get()
    }

    /// Remembers whether it waits for something that is fetched.
    pub(crate) fn set_waiting(self: &Rc<Self>, waits: bool) {
        if self.waiting.replace(waits) == waits {
            return;
        }
        WAITING.with_borrow_mut(|waiting| match waits {
            true => waiting.insert(self.context_id, Rc::clone(self)),
            false => waiting.remove(&self.context_id),
        });
    }

    /// Remembers that something went through.
    pub(crate) fn note_traffic(self: &Rc<Self>) {
        if !self.busy.replace(true) {
            BUSY.with_borrow_mut(|busy| busy.push(Rc::clone(self)));
        }
    }
}

/// By how much the clock was set back since this was last asked, if that was more than a deadline may
/// be late.
pub(crate) fn set_back(now: Duration) -> Option<Duration> {
    LAST.replace(now).checked_sub(now).filter(|by| *by > LATEST)
}

/// The time when the clock was last looked at by the tick.
pub(crate) fn last_tick() -> Duration {
    LAST.get()
}

/// All that have a deadline.
pub(crate) fn scheduled() -> Vec<Rc<Live>> {
    SCHEDULED.with_borrow(|scheduled| scheduled.values().cloned().collect())
}

/// On how many streams something is done in one callback. What a host is asked of a stream it may do when the callback is
/// over, and call back for that within; Envoy does the next behind that call, one within the other, and a VM whose stack is
/// used up traps.
pub(crate) const AT_ONCE: usize = 32;

/// How soon a tick follows one behind which more is due.
pub(crate) const SOON: Duration = Duration::from_millis(1);

/// Says whether the deadline of a session has come.
pub(crate) fn is_any_due(now: Duration) -> bool {
    let now = nanoseconds(now);
    SCHEDULED.with_borrow(|scheduled| scheduled.first_key_value().is_some_and(|(key, _)| key.0 <= now))
}

/// The sessions whose deadline has come, [`AT_ONCE`] at most. They have none until they are scheduled again.
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

/// Every open session of `plugin` under a policy of this name, whatever configuration it was opened
/// under: each has a deadline.
pub(crate) fn under(plugin: &Plugin, policy: &str) -> Vec<Rc<Live>> {
    SCHEDULED.with_borrow(|scheduled| {
        let of_plugin = scheduled.values().filter(|live| live.plugin == *plugin);
        of_plugin.filter(|live| live.session.borrow().policy() == policy).cloned().collect()
    })
}

/// The policies of `plugin` go away of which the configuration of `root`, `engine`, says so, from `at` on.
pub(crate) fn set_drains(plugin: &Plugin, root: u32, at: Duration, engine: &Engine) {
    DRAINS.with_borrow_mut(|drains| drains.set(plugin, root, at, engine.draining()));
}

/// The configuration of `root` is in force for new streams of `plugin`.
pub(crate) fn put_in_force(plugin: &Plugin, root: u32) {
    IN_FORCE.with_borrow_mut(|in_force| in_force.insert(Rc::clone(plugin), root));
}

/// Says whether it is.
pub(crate) fn is_in_force(plugin: &Plugin, root: u32) -> bool {
    IN_FORCE.with_borrow(|in_force| in_force.get(plugin) == Some(&root))
}

impl Live {
    /// The time by which `session`, which has just opened, ends with its policy, if that goes away.
    pub(crate) fn ends_by(&self, session: &Session) -> Option<Duration> {
        DRAINS.with_borrow(|drains| drains.ends_by(&self.plugin, session.policy(), self.root))
    }
}

/// The sessions that wait for something that is fetched.
pub(crate) fn waiting() -> Vec<Rc<Live>> {
    WAITING.with_borrow(|waiting| waiting.values().cloned().collect())
}

/// The open sessions that this list may end.
pub(crate) fn revocable_by(list: &Rc<Source>) -> Vec<Rc<Live>> {
    SCHEDULED.with_borrow(|scheduled| {
        scheduled.values().filter(|live| live.session.borrow().is_revocable_by(list)).cloned().collect()
    })
}

/// The sessions that had traffic since this was last asked.
pub(crate) fn busy() -> Vec<Rc<Live>> {
    let busy = BUSY.take();
    for live in &busy {
        live.busy.set(false);
    }
    busy
}
