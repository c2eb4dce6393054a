//! The gauges that are sums over all VMs of an Envoy, to which each VM adds its part.
//!
//! The host knows the sums only, and keeps in them what a dead VM had added. So the part of a VM stands in
//! its lease, and the others take it away again. The sums are changed before the record is: a VM that finds
//! its record gone then knows what was taken away, which is what the record said last.

use std::time::Duration;

use crate::rate::lease::{Holder, Lease, LeaseSlot, Parts, SLOTS, Watch};

/// The number of attempts at something that another VM may come in between. Each failure is another VM's
/// success, so this many in a row mean something else; the rest waits for the next tick.
const ATTEMPTS: u32 = 16;

/// The sums and slots that all VMs share.
pub trait SharedSums {
    /// Returns the bytes of a slot, and the number by which they can be swapped; no number if there never
    /// were any.
    fn read(&mut self, slot: u32) -> (Vec<u8>, Option<u32>);

    /// Swaps a slot's bytes; returns false when somebody else was faster.
    fn swap(&mut self, slot: u32, bytes: &[u8], number: Option<u32>) -> bool;

    /// Adds `by` to the sum called `name`.
    fn add(&mut self, name: &str, by: i64);
}

/// The part of one VM in all gauges.
#[derive(Debug)]
pub struct Gauges {
    /// The parts as they are now, without those that are 0.
    parts: Parts,
    /// The parts that are in the sums.
    told: Parts,
    lease: Lease,
    watch: Watch,
    /// Says whether the lease was found taken away since that was last told.
    was_lost: bool,
}

/// The findings of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// The number of VMs that were found dead.
    pub dead: u32,
    /// Says whether this VM itself had been taken for dead.
    pub was_lost: bool,
}

impl Gauges {
    /// Creates the part of a VM whose number nobody else has. It is nothing yet.
    pub fn new(id: u64) -> Self {
        Self {
            parts: Parts::new(),
            told: Parts::new(),
            lease: Lease::new(id),
            watch: Watch::default(),
            was_lost: false,
        }
    }

    /// Changes the part of this VM in the gauge called `name`.
    pub fn add(&mut self, name: &str, by: i64) {
        let part = self.parts.get(name).copied().unwrap_or(0).saturating_add_signed(by);
        self.set(name, part);
    }

    /// Sets the part of this VM in the gauge called `name`.
    pub fn set(&mut self, name: &str, part: u64) {
        match self.parts.get_mut(name) {
            _ if part == 0 => _ = self.parts.remove(name),
            Some(known) => *known = part,
            None => _ = self.parts.insert(name.to_owned(), part),
        }
    }

    /// Tells what has changed, renews the lease, and takes away what dead VMs had added. Must be called several
    /// times a second.
    pub fn tick(&mut self, sums: &mut impl SharedSums, now: Duration) -> Ticked {
        let is_due = self.lease.is_due(now);
        if is_due || self.parts != self.told {
            self.renew(sums, is_due);
        }
        let dead = if is_due { self.take_over(sums) } else { 0 };
        Ticked { dead, was_lost: std::mem::take(&mut self.was_lost) }
    }

    /// Returns this VM as others know it, with a lease that it takes if it has none.
    pub fn holder(&mut self, sums: &mut impl SharedSums) -> Option<Holder> {
        if !self.lease.is_held() {
            self.renew(sums, true);
        }
        self.lease.holder()
    }

    /// Takes away all that this VM has added, since it ends.
    pub fn give_back(&mut self, sums: &mut impl SharedSums) {
        let parts = std::mem::take(&mut self.parts);
        for _ in 0..ATTEMPTS {
            if !self.lease.is_held() {
                break;
            }
            let (bytes, number) = sums.read(self.lease.slot());
            match self.lease.look(&bytes) {
                LeaseSlot::Lost(parts) => add_anew(sums, &parts),
                LeaseSlot::Own | LeaseSlot::Taken => {
                    self.tell(sums);
                    if sums.swap(self.lease.slot(), b"", number) {
                        self.lease.released();
                    }
                }
            }
        }
        self.tell(sums);
        // Whatever is counted down after this belongs to nobody.
        self.parts = parts;
    }

    /// Tells what has changed, and records it if there is a record or it is time to begin one.
    fn renew(&mut self, sums: &mut impl SharedSums, is_due: bool) {
        let (mut has_place, mut attempts) = (is_due || self.lease.is_held(), 0);
        while has_place && attempts < ATTEMPTS {
            let (bytes, number) = sums.read(self.lease.slot());
            match self.lease.look(&bytes) {
                LeaseSlot::Own => {
                    self.tell(sums);
                    let (record, parts) = self.lease.record(&self.told);
                    if sums.swap(self.lease.slot(), &record, number) {
                        self.lease.recorded(parts);
                        return;
                    }
                    attempts += 1;
                }
                LeaseSlot::Lost(parts) => {
                    self.was_lost = true;
                    add_anew(sums, &parts);
                }
                // The last slot is followed by the first.
                LeaseSlot::Taken => has_place = self.lease.slot() > 0,
            }
        }
        self.tell(sums);
    }

    /// Brings the sums to what the part of this VM is now.
    fn tell(&mut self, sums: &mut impl SharedSums) {
        if self.told == self.parts {
            return;
        }
        for name in self.told.keys().chain(self.parts.keys().filter(|name| !self.told.contains_key(*name))) {
            let [before, now] = [&self.told, &self.parts].map(|parts| parts.get(name).copied().unwrap_or(0));
            match now.checked_sub(before) {
                Some(0) => {}
                Some(more) => sums.add(name, signed(more)),
                None => sums.add(name, -signed(before.saturating_sub(now))),
            }
        }
        self.told.clone_from(&self.parts);
    }

    fn take_over(&mut self, sums: &mut impl SharedSums) -> u32 {
        let mut dead = 0_u32;
        for slot in 0..SLOTS {
            if self.lease.is_held() && slot == self.lease.slot() {
                continue;
            }
            let (bytes, number) = sums.read(slot);
            if number.is_none() {
                // Slots are taken in their order and stay: there never was one behind this one.
                break;
            }
            if let Some(parts) = self.watch.look(slot, &bytes)
                && sums.swap(slot, b"", number)
            {
                parts.iter().for_each(|(name, part)| sums.add(name, -signed(*part)));
                dead = dead.saturating_add(1);
            }
        }
        dead
    }
}

fn add_anew(sums: &mut impl SharedSums, parts: &Parts) {
    parts.iter().for_each(|(name, part)| sums.add(name, signed(*part)));
}

fn signed(part: u64) -> i64 {
    i64::try_from(part).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
