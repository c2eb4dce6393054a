//! Live connections: how many there are at once of an address, a user or a policy, over all VMs of an Envoy.
//!
//! Each VM knows its own connections, and writes how many it has of a key into a slot that all share. A
//! connection is admitted by the swap that counts it, so that of any number of VMs at once no more get in than
//! may. What a VM wrote holds as long as its [lease](super::lease): nobody counts what a dead one has left, and
//! a VM that only stood still writes its part anew.
//!
//! Where the user's oldest connection makes way for a new one, it is taken out of the part of the VM that has
//! it, and a note goes to that VM. The note says only where to look; what is missing in the part is what must
//! be closed, so that a note may be lost, or come for nothing, without harm.

mod notes;
pub(crate) mod places;
mod registry;
mod seen;
mod slot;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::lease::Holder;
use super::slots::EntryKey;

pub use registry::LiveConnections;

/// The tables that live connections are counted in, and the leases.
pub trait LiveTable {
    /// Returns the bytes of a slot of the table, and the number by which they can be swapped.
    fn read(&mut self, slot: u32) -> (Vec<u8>, Option<u32>);

    /// Swaps a slot's bytes; returns false when somebody else was faster.
    fn swap(&mut self, slot: u32, bytes: &[u8], number: Option<u32>) -> bool;

    /// Returns the bytes of the notes for the holder of a lease's slot, and the number by which they can be
    /// swapped.
    fn read_notes(&mut self, lease: u32) -> (Vec<u8>, Option<u32>);

    /// Swaps those bytes; returns false when somebody else was faster.
    fn swap_notes(&mut self, lease: u32, bytes: &[u8], number: Option<u32>) -> bool;

    /// Returns this VM's own lease, which it takes if it has none.
    fn holder(&mut self) -> Option<Holder>;

    /// Says whether a holder lives.
    fn is_alive(&mut self, holder: Holder) -> bool;
}

/// A cap on the live connections of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// The name of those that are counted together.
    pub key: EntryKey,
    /// The most that may be.
    pub limit: u64,
    /// Says whether the times of admission are kept, so that the oldest are known.
    pub has_ages: bool,
    /// Says whether the oldest make way for a new one.
    pub replaces: bool,
}

/// A connection's place under a cap, which must be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LivePlace {
    /// The name of those that are counted together.
    pub key: EntryKey,
    /// The time of the admission, since the Unix epoch; of one VM's connections under a cap that keeps ages no
    /// two have the same.
    pub admitted: Duration,
}

/// The answer to a connection that wants a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The connection is counted.
    Counted(LivePlace),
    /// There are so many connections that none may be added.
    Full(u64),
    /// The table has no room, or could not be swapped, or the VM has no lease: refuse.
    Unavailable,
}
