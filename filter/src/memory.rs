//! The memory that the sessions of this VM hold for their peers, kept within the budget.
//!
//! A session tells what it holds whenever it has moved. When all of them come to hold too much, those whose
//! turn it is give back at once. Their outputs are performed at the next tick, or in their own next callback:
//! the one at hand may be another stream's, or that of a chunk of their own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use postern_engine::memory::Holdings;
use postern_engine::{Input, Session};

use crate::sessions::Live;
use crate::tables;

thread_local! {
    /// The holdings of the VM; all its root contexts share them, since there is one memory.
    static HOLDINGS: RefCell<Holdings> = RefCell::new(Holdings::new(u64::MAX));
    /// The sessions that hold anything, by their contexts.
    static HOLDERS: RefCell<BTreeMap<u32, Rc<Live>>> = RefCell::default();
}

/// Sets the budget of the VM, in bytes: that of the configuration taken last.
pub(crate) fn set_budget(bytes: u64) {
    HOLDINGS.with_borrow_mut(|holdings| holdings.set_budget(bytes));
}

/// Returns how much is held, and how much may be, in bytes.
pub(crate) fn held_and_budget() -> (u64, u64) {
    HOLDINGS.with_borrow(|holdings| (holdings.held(), holdings.budget()))
}

/// Says whether nobody may begin to hold anything.
pub(crate) fn is_full(now: Duration) -> bool {
    HOLDINGS.with_borrow(|holdings| holdings.is_full(now))
}

/// Says whether as much rests as may.
pub(crate) fn rests_enough() -> bool {
    HOLDINGS.with_borrow(Holdings::rests_enough)
}

/// Notes what `session`, which is that of `live`, holds now.
pub(crate) fn note(live: &Rc<Live>, session: &Session, now: Duration) {
    let held = session.held();
    if held == 0 {
        forget(live);
        return;
    }
    HOLDINGS.with_borrow_mut(|holdings| holdings.set(live.context_id, held, session.held_at_rest(), now));
    if !live.holds.replace(true) {
        HOLDERS.with_borrow_mut(|holders| holders.insert(live.context_id, Rc::clone(live)));
    }
}

/// Notes that bytes of a session have moved.
pub(crate) fn touch(live: &Live, now: Duration) {
    if live.holds.get() {
        HOLDINGS.with_borrow_mut(|holdings| holdings.touch(live.context_id, now));
    }
}

/// Notes that a session holds nothing, or is over.
pub(crate) fn forget(live: &Rc<Live>) {
    if live.holds.replace(false) {
        HOLDINGS.with_borrow_mut(|holdings| holdings.remove(live.context_id));
        HOLDERS.with_borrow_mut(|holders| holders.remove(&live.context_id));
    }
}

/// Has the sessions give back whose turn it is, as long as too much is held. No session may be borrowed.
pub(crate) fn keep_within_budget(now: Duration) {
    while let Some(live) = next_to_give_back(now) {
        let mut session = live.session.borrow_mut();
        tables::handle(&mut session, Input::MemoryExceeded, now);
        live.schedule(Some(now));
        // The session has given back all that it held.
        forget(&live);
    }
}

fn next_to_give_back(now: Duration) -> Option<Rc<Live>> {
    let context = HOLDINGS.with_borrow(|holdings| holdings.next_to_give_back(now))?;
    HOLDERS.with_borrow(|holders| holders.get(&context).cloned())
}
