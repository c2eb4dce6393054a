//! The tables that workers share, as sessions are given them.

use std::collections::BTreeMap;
use std::time::Duration;

use postern_engine::auth::single_use::{Spent, Ticket};
use postern_engine::rate::{self, BucketRequest, Charged, Outcome, Shared};

/// Buckets that are full, and tokens that nobody has spent.
pub(crate) struct Open;

impl Shared for Open {
    fn charge(&mut self, _request: &BucketRequest, _now: Duration) -> Outcome {
        Outcome::Charged(Charged::Taken)
    }

    fn spend(&mut self, _ticket: &Ticket, _now: Duration) -> Spent {
        Spent::First
    }
}

/// Buckets that are charged as the filter charges them, and tokens that nobody has spent.
#[derive(Debug, Default)]
pub(crate) struct Slots(BTreeMap<u32, Vec<u8>>);

impl Shared for Slots {
    fn charge(&mut self, request: &BucketRequest, now: Duration) -> Outcome {
        let slot = self.0.entry(request.key.slot()).or_default();
        let (outcome, changed) = rate::charge(slot, request, now);
        if let Some(changed) = changed {
            *slot = changed;
        }
        outcome
    }

    fn spend(&mut self, _ticket: &Ticket, _now: Duration) -> Spent {
        Spent::First
    }

    fn look(&mut self, request: &BucketRequest, now: Duration) -> Outcome {
        rate::look(self.0.entry(request.key.slot()).or_default(), request, now)
    }
}
