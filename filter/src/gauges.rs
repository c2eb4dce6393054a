//! The part of this worker in the gauges that are sums over all workers, and the lease that says that it lives.

use postern_engine::rate::lease::Holder;

use crate::host;
use crate::metrics::{self, Taken};

/// The name of the slots of the leases. As with other tables, slots that come to look otherwise must be named
/// otherwise.
const LEASES: &str = "postern.leases";

/// Changes the part of this worker in a gauge, which is told later.
pub(crate) fn add(name: &str, by: i64) {
    if by != 0 {
        host::with_counts(|counts| counts.gauges.add(name, by));
    }
}

/// Sets the part of this worker in a gauge, which is told later.
pub(crate) fn set(name: &str, part: u64) {
    host::with_counts(|counts| counts.gauges.set(name, part));
}

/// Returns this worker's lease, as long as it has a root that can renew it.
pub(crate) fn holder() -> Option<Holder> {
    let mut changes = Taken::default();
    let holder = host::with_counts(|counts| match counts.roots.is_empty() {
        true => None,
        false => counts.gauges.holder(&mut changes),
    });
    metrics::tell(changes);
    holder
}

/// Says whether the worker lives that has a lease.
pub(crate) fn is_alive(holder: Holder) -> bool {
    holder.is_in(&read_lease(holder.slot).0)
}

/// Notes that a root begins to have ticks.
pub(crate) fn begin(root: u32) {
    host::with_counts(|counts| counts.roots.insert(root));
}

/// Notes that a root ends; the worker gives all back with its last one.
pub(crate) fn end(root: u32) {
    let mut changes = Taken::default();
    host::with_counts(|counts| {
        if counts.roots.remove(&root) && counts.roots.is_empty() {
            counts.gauges.give_back(&mut changes);
        }
    });
    metrics::tell(changes);
}

/// Returns the record in a slot of the leases, and the number to swap it by.
pub(crate) fn read_lease(slot: u32) -> (Vec<u8>, Option<u32>) {
    host::shared(&key(slot))
}

/// Swaps that record; returns false when somebody else was faster.
pub(crate) fn swap_lease(slot: u32, bytes: &[u8], number: Option<u32>) -> bool {
    host::swap_shared(&key(slot), bytes, number)
}

fn key(slot: u32) -> String {
    format!("{LEASES}.{slot}")
}
