//! The part of this VM in the gauges that are sums over all VMs.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use log::Level;
use postern_engine::Detail;
use postern_engine::metrics::gauges::{Gauges, SharedSums, Ticked};
use postern_engine::rate::lease::Holder;

use crate::host::MetricKind;
use crate::{host, log_lines, metrics};

thread_local! {
    /// The part of this VM: one, whatever roots the VM has.
    static GAUGES: RefCell<Gauges> = RefCell::new(Gauges::new(host::random_number().unwrap_or(1)));
    /// The roots that have ticks.
    static ROOTS: RefCell<BTreeSet<u32>> = RefCell::default();
}

/// The name of the slots of the leases. As with other tables, slots that come to look otherwise must be named
/// otherwise.
const LEASES: &str = "postern.leases";

/// Changes the part of this VM in a gauge; the next tick tells it.
pub(crate) fn add(name: &str, by: i64) {
    if by != 0 {
        GAUGES.with_borrow_mut(|gauges| gauges.add(name, by));
    }
}

/// Sets the part of this VM in a gauge; the next tick tells it.
pub(crate) fn set(name: &str, part: u64) {
    GAUGES.with_borrow_mut(|gauges| gauges.set(name, part));
}

/// Tells what has changed, and takes back what VMs had added that have trapped. Says whether this VM had been
/// taken for one of them.
pub(crate) fn tick(now: Duration) -> bool {
    let Ticked { dead, was_lost } = GAUGES.with_borrow_mut(|gauges| gauges.tick(&mut Host, now));
    if dead > 0 {
        let text =
            format!("postern: VMs have trapped (or stood still): {dead}; what they counted is taken back");
        log_lines::write(Level::Error, "trapped", &text, &[("vms", Detail::Number(u64::from(dead)))]);
    }
    was_lost
}

/// Returns this VM's lease, as long as the VM has a root that can renew it.
pub(crate) fn holder() -> Option<Holder> {
    if ROOTS.with_borrow(BTreeSet::is_empty) {
        return None;
    }
    GAUGES.with_borrow_mut(|gauges| gauges.holder(&mut Host))
}

/// Says whether the VM lives that has a lease.
pub(crate) fn is_alive(holder: Holder) -> bool {
    holder.is_in(&host::shared(&key(holder.slot)).0)
}

/// Notes that a root begins to have ticks.
pub(crate) fn begin(root: u32) {
    ROOTS.with_borrow_mut(|roots| roots.insert(root));
}

/// Notes that a root ends; the VM does so with its last one.
pub(crate) fn end(root: u32) {
    let is_last = ROOTS.with_borrow_mut(|roots| roots.remove(&root) && roots.is_empty());
    if is_last {
        GAUGES.with_borrow_mut(|gauges| gauges.give_back(&mut Host));
    }
}

struct Host;

impl SharedSums for Host {
    fn read(&mut self, slot: u32) -> (Vec<u8>, Option<u32>) {
        host::shared(&key(slot))
    }

    fn swap(&mut self, slot: u32, bytes: &[u8], number: Option<u32>) -> bool {
        host::swap_shared(&key(slot), bytes, number)
    }

    fn add(&mut self, name: &str, by: i64) {
        metrics::add(MetricKind::Gauge, name.to_owned(), by);
    }
}

fn key(slot: u32) -> String {
    format!("{LEASES}.{slot}")
}
