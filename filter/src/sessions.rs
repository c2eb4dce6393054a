//! The open sessions of this VM, by their deadlines.
//!
//! The SDK keeps stream contexts to itself, so what a timer acts on is shared here. All root
//! contexts of a VM share it too: a session outlives the configuration it was opened under.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use postern_engine::Session;

thread_local! {
    static SESSIONS: RefCell<Sessions> = RefCell::default();
}

#[derive(Default)]
struct Sessions {
    by_id: HashMap<u32, Entry>,
    deadlines: BTreeSet<(Duration, u32)>,
}

struct Entry {
    session: Rc<RefCell<Session>>,
    deadline: Option<Duration>,
}

/// Keeps the deadline of the session of stream `context_id` up to date.
pub(crate) fn schedule(context_id: u32, session: &Rc<RefCell<Session>>, deadline: Option<Duration>) {
    SESSIONS.with_borrow_mut(|sessions| {
        let entry = sessions
            .by_id
            .entry(context_id)
            .or_insert_with(|| Entry { session: Rc::clone(session), deadline: None });
        if entry.deadline == deadline {
            return;
        }
        if let Some(old) = entry.deadline {
            sessions.deadlines.remove(&(old, context_id));
        }
        entry.deadline = deadline;
        sessions.deadlines.extend(deadline.map(|deadline| (deadline, context_id)));
    });
}

/// Forgets a stream.
pub(crate) fn forget(context_id: u32) {
    SESSIONS.with_borrow_mut(|sessions| {
        if let Some(deadline) = sessions.by_id.remove(&context_id).and_then(|entry| entry.deadline) {
            sessions.deadlines.remove(&(deadline, context_id));
        }
    });
}

/// The sessions whose deadline has come, which are no longer scheduled.
pub(crate) fn due(now: Duration) -> Vec<(u32, Rc<RefCell<Session>>)> {
    SESSIONS.with_borrow_mut(|sessions| {
        let later = sessions.deadlines.split_off(&(now.saturating_add(Duration::from_nanos(1)), 0));
        let due = std::mem::replace(&mut sessions.deadlines, later);
        due.into_iter()
            .filter_map(|(_, id)| {
                let entry = sessions.by_id.get_mut(&id)?;
                entry.deadline = None;
                Some((id, Rc::clone(&entry.session)))
            })
            .collect()
    })
}
