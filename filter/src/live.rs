//! The live connections of this VM, and the table in which those of all workers are counted.

use std::cell::RefCell;
use std::time::Duration;

use postern_engine::Input;
use postern_engine::rate::lease::Holder;
use postern_engine::rate::live::{Acquired, Cap, LiveConnections, LivePlace, LiveTable};

use crate::{gauges, host, sessions, stream, tables};

thread_local! {
    /// The connections that are counted: all roots of the VM share them.
    static LIVE: RefCell<LiveConnections> = RefCell::default();
}

/// The names of the slots of the table, and of the notes. As with other tables, slots that come to look otherwise
/// must be named otherwise.
const LIVE_CONNECTIONS: &str = "postern.live";
const NOTES: &str = "postern.replaced";

/// Says what keeps a connection from a place, if anything does.
pub(crate) fn has_room(cap: &Cap) -> Result<(), Acquired> {
    LIVE.with_borrow_mut(|live| live.look(&mut Host, cap))
}

/// Counts a connection.
pub(crate) fn acquire(cap: &Cap, now: Duration) -> Acquired {
    LIVE.with_borrow_mut(|live| live.acquire(&mut Host, cap, now))
}

/// Gives a place back.
pub(crate) fn release(place: LivePlace) {
    LIVE.with_borrow_mut(|live| live.release(&mut Host, place));
}

/// Writes anew what others have forgotten, since this VM had been taken for dead.
pub(crate) fn write_all() {
    LIVE.with_borrow_mut(|live| live.write_all(&mut Host));
}

/// Closes the connections that have made way for newer ones, and says whether there are more.
pub(crate) fn tick(now: Duration) -> bool {
    let (replaced, are_more) = LIVE.with_borrow_mut(|live| {
        live.tick(&mut Host, now);
        (live.take_replaced(sessions::AT_ONCE), live.has_replaced())
    });
    for place in replaced {
        let Some(live) = sessions::with_place(place) else { continue };
        if host::enter(live.context_id) {
            let mut session = live.session.borrow_mut();
            tables::handle(&mut session, Input::Replaced, now);
            stream::perform(&live, &mut session, now);
        }
    }
    are_more
}

struct Host;

impl LiveTable for Host {
    fn read(&mut self, slot: u32) -> (Vec<u8>, Option<u32>) {
        host::shared(&format!("{LIVE_CONNECTIONS}.{slot}"))
    }

    fn swap(&mut self, slot: u32, bytes: &[u8], number: Option<u32>) -> bool {
        host::swap_shared(&format!("{LIVE_CONNECTIONS}.{slot}"), bytes, number)
    }

    fn read_notes(&mut self, lease: u32) -> (Vec<u8>, Option<u32>) {
        host::shared(&format!("{NOTES}.{lease}"))
    }

    fn swap_notes(&mut self, lease: u32, bytes: &[u8], number: Option<u32>) -> bool {
        host::swap_shared(&format!("{NOTES}.{lease}"), bytes, number)
    }

    fn holder(&mut self) -> Option<Holder> {
        gauges::holder()
    }

    fn is_alive(&mut self, holder: Holder) -> bool {
        gauges::is_alive(holder)
    }
}
