//! Tables of one judge's own, which start empty and remember what they are told.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::auth::single_use::{self, Spent, Ticket};
use crate::rate::live::{Acquired, Cap, LivePlace};
use crate::rate::slots::EntryKey;
use crate::rate::{self, BucketRequest, Charged, Outcome, Shared};

/// The buckets that were charged of late, as others see it.
pub(super) type Charges = Rc<RefCell<Vec<EntryKey>>>;

/// Tables that nobody shares: every bucket is full at first, no place is taken and no token is spent. They grow with what
/// is counted, so they are no tables for strangers.
#[derive(Debug, Default)]
pub struct PlainTables {
    buckets: BTreeMap<EntryKey, Vec<u8>>,
    tickets: BTreeMap<u32, Vec<u8>>,
    live: BTreeMap<EntryKey, u64>,
    charged: Charges,
}

impl PlainTables {
    /// Returns the list of what is charged from now on.
    pub(super) fn charged(&self) -> Charges {
        self.charged.borrow_mut().clear();
        Rc::clone(&self.charged)
    }
}

impl Shared for PlainTables {
    fn charge(&mut self, request: &BucketRequest, now: Duration) -> Outcome {
        let bucket = self.buckets.entry(request.key).or_default();
        let (outcome, changed) = rate::charge(bucket, request, now);
        if let Some(changed) = changed {
            *bucket = changed;
        }
        if outcome == Outcome::Charged(Charged::Taken) {
            self.charged.borrow_mut().push(request.key);
        }
        outcome
    }

    fn look(&mut self, request: &BucketRequest, now: Duration) -> Outcome {
        let bucket = self.buckets.get(&request.key).map(Vec::as_slice).unwrap_or_default();
        rate::look(bucket, request, now)
    }

    fn look_at_ticket(&mut self, ticket: &Ticket, now: Duration) -> Spent {
        let slot = self.tickets.get(&ticket.slot()).map(Vec::as_slice).unwrap_or_default();
        single_use::spend(slot, ticket, now).0
    }

    fn spend(&mut self, ticket: &Ticket, now: Duration) -> Spent {
        let slot = self.tickets.entry(ticket.slot()).or_default();
        let (spent, changed) = single_use::spend(slot, ticket, now);
        if let Some(changed) = changed {
            *slot = changed;
        }
        spent
    }

    fn has_room(&mut self, cap: &Cap) -> Result<(), Acquired> {
        match self.live.get(&cap.key) {
            Some(count) if *count >= cap.limit && !cap.replaces => Err(Acquired::Full(*count)),
            _ => Ok(()),
        }
    }

    fn acquire(&mut self, cap: &Cap, now: Duration) -> Acquired {
        if let Err(full) = self.has_room(cap) {
            return full;
        }
        let count = self.live.entry(cap.key).or_default();
        // One makes way where the cap is reached.
        *count = count.saturating_add(1).min(cap.limit);
        Acquired::Counted(LivePlace { key: cap.key, admitted: now })
    }

    fn release(&mut self, place: LivePlace) {
        if let Some(count) = self.live.get_mut(&place.key) {
            *count = count.saturating_sub(1);
        }
    }
}
