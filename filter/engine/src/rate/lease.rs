//! The leases of VMs: what one must give back, where the others find it if the VM dies.
//!
//! A VM that traps can give nothing back. So each keeps a record in a slot that all VMs of an Envoy share,
//! and renews it about once a second. Whoever sees a record renewed no more takes it out of its slot by
//! compare-and-swap, in which one of all of them succeeds, and then gives back what it says. A VM that only
//! stood still finds its record gone, and takes all of it anew.
//!
//! The age of an unchanged record is counted by how often it was looked at, and never by comparing clocks: a
//! clock that is set, or stands while the whole machine sleeps, makes nobody old.

mod record;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use record::LeaseRecord;
pub(crate) use watch::Watch;

/// The number of slots, and so of VMs that can have a lease at once.
pub(crate) const SLOTS: u32 = 1024;

/// The time after which a lease is renewed, and the others are looked at. A little less than a second, so
/// that of ticks that come every quarter of one each fourth is not missed.
const INTERVAL: Duration = Duration::from_millis(900);

/// The parts that must be given back: the name of each, and its amount.
pub(crate) type Parts = BTreeMap<String, u64>;

/// A VM that has a lease, by which others know whether it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The number of the VM, which no other VM has.
    pub id: u64,
    /// The slot of its record.
    pub slot: u32,
}

impl Holder {
    /// Says whether the holder lives, by the bytes of its slot.
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        record::holder(bytes) == Some(self.id)
    }
}

/// The lease of one VM.
#[derive(Debug)]
pub(crate) struct Lease {
    /// The number of the VM, which no other VM has.
    id: u64,
    /// The number of renewals.
    serial: u64,
    /// The slot that the record is in or may be put in.
    slot: u32,
    is_held: bool,
    /// The parts in the record.
    recorded: Parts,
    /// The time of the last renewal.
    renewed: Option<Duration>,
}

/// The state of a slot for the lease that looked at it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LeaseSlot {
    /// The lease's record is there, or has room there.
    Own,
    /// The record of another VM is there.
    Taken,
    /// The lease's record was there and is no more: these parts have been given back in its place.
    Lost(Parts),
}

impl Lease {
    /// Creates the lease of a VM whose number nobody else has.
    pub(crate) fn new(id: u64) -> Self {
        Self { id, serial: 0, slot: 0, is_held: false, recorded: Parts::new(), renewed: None }
    }

    /// Returns the slot to look at.
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// Returns the VM and the slot of its record, as far as the VM knows that it has one.
    pub(crate) fn holder(&self) -> Option<Holder> {
        self.is_held.then_some(Holder { id: self.id, slot: self.slot })
    }

    /// Says whether the record is in a slot, as far as the VM knows.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Says whether the lease must be renewed, which counts as done with this call. A clock that is set back
    /// causes one renewal.
    pub(crate) fn is_due(&mut self, now: Duration) -> bool {
        let passed = self.renewed.and_then(|renewed| now.checked_sub(renewed));
        let is_due = passed.is_none_or(|passed| passed >= INTERVAL);
        if is_due {
            self.renewed = Some(now);
        }
        is_due
    }

    /// Looks at the bytes of the lease's [`slot`](Self::slot). If the record must not stay there, the next to
    /// look at is another.
    pub(crate) fn look(&mut self, bytes: &[u8]) -> LeaseSlot {
        let holder = LeaseRecord::read(bytes).map(|record| record.holder);
        match (self.is_held, holder) {
            (true, Some(holder)) if holder == self.id => LeaseSlot::Own,
            (true, _) => {
                (self.is_held, self.slot) = (false, 0);
                LeaseSlot::Lost(std::mem::take(&mut self.recorded))
            }
            (false, None) => LeaseSlot::Own,
            (false, Some(_)) => {
                self.slot = self.slot.saturating_add(1) % SLOTS;
                LeaseSlot::Taken
            }
        }
    }

    /// Returns the record to swap in, by which `parts` would have to be given back, and the parts that it has
    /// room for.
    pub(crate) fn record(&self, parts: &Parts) -> (Vec<u8>, Parts) {
        LeaseRecord { holder: self.id, serial: self.serial.wrapping_add(1), parts: parts.clone() }.write()
    }

    /// Notes that the record was swapped in, and says `parts`.
    pub(crate) fn recorded(&mut self, parts: Parts) {
        self.serial = self.serial.wrapping_add(1);
        (self.is_held, self.recorded) = (true, parts);
    }

    /// Notes that the VM itself has taken the record out of its slot.
    pub(crate) fn released(&mut self) {
        (self.is_held, self.slot) = (false, 0);
        self.recorded.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(value: u64) -> Parts {
        Parts::from([("postern_connections.policy=chat;".to_owned(), value)])
    }

    fn holding(id: u64, value: u64) -> (Lease, Vec<u8>) {
        let mut lease = Lease::new(id);
        assert_eq!(lease.look(b""), LeaseSlot::Own);
        let (bytes, recorded) = lease.record(&parts(value));
        lease.recorded(recorded);
        (lease, bytes)
    }

    #[test]
    fn a_lease_knows_its_own_slot_and_leaves_those_of_others() {
        let (mut first, bytes) = holding(7, 3);
        assert_eq!(first.look(&bytes), LeaseSlot::Own);
        let mut second = Lease::new(8);
        assert_eq!((second.look(&bytes), second.slot()), (LeaseSlot::Taken, 1));
        assert_eq!((second.look(b""), second.slot()), (LeaseSlot::Own, 1));
    }

    #[test]
    fn what_was_given_back_in_its_place_is_what_it_recorded_last() {
        let (other, theirs) = holding(8, 1);
        for found in [&b""[..], &theirs, b"no record"] {
            let (mut lease, _) = holding(7, 3);
            assert_eq!(lease.look(found), LeaseSlot::Lost(parts(3)));
            assert!(!lease.is_held());
            assert_ne!(lease.look(b""), LeaseSlot::Lost(parts(3)), "it is given back once");
        }
        assert!(other.is_held());
    }

    #[test]
    fn where_every_slot_is_taken_it_looks_at_each_and_begins_anew() {
        let (_, bytes) = holding(7, 3);
        let mut lease = Lease::new(8);
        for slot in 0..SLOTS {
            assert_eq!((lease.slot(), lease.look(&bytes)), (slot, LeaseSlot::Taken));
        }
        assert_eq!(lease.slot(), 0);
    }

    #[test]
    fn it_is_due_about_once_a_second_and_once_for_a_clock_that_is_set() {
        let mut lease = Lease::new(7);
        let seconds = Duration::from_secs;
        let day = seconds(86_400);
        let times = [
            (day, true),
            (day, false),
            (day + seconds(1) / 2, false),
            (day + seconds(1), true),
            (seconds(5), true),
            (seconds(5), false),
            (day * 400, true),
            (day * 400, false),
            (Duration::MAX, true),
            (Duration::MAX, false),
            (Duration::ZERO, true),
        ];
        for (now, is_due) in times {
            assert_eq!(lease.is_due(now), is_due, "{now:?}");
        }
    }
}
