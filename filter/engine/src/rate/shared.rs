//! The port to what all workers of an Envoy share.

use std::time::Duration;

use super::live::{Acquired, Cap, LivePlace};
use super::table::{BucketRequest, Outcome};
use crate::auth::single_use::{Spent, Ticket};

/// The tables that all workers of an Envoy share. The caller that drives the engine has them, and they answer
/// at once. All times are since the Unix epoch.
///
/// Tables that count no connections, or that nobody can look at, let nobody in where a policy asks them to.
pub trait Shared {
    /// Takes tokens from a bucket.
    fn charge(&mut self, request: &BucketRequest, now: Duration) -> Outcome;

    /// Takes tokens for a frame, of which there may be many. Tokens that were taken in advance will do.
    fn charge_frame(&mut self, request: &BucketRequest, now: Duration) -> Outcome {
        self.charge(request, now)
    }

    /// Says what [`Shared::charge`] would answer, and takes nothing.
    fn look(&mut self, _request: &BucketRequest, _now: Duration) -> Outcome {
        Outcome::Full
    }

    /// Says what [`Shared::spend`] would answer, as far as that is known, and spends nothing.
    fn look_at_ticket(&mut self, _ticket: &Ticket, _now: Duration) -> Spent {
        Spent::First
    }

    /// Spends a token that opens one connection only.
    fn spend(&mut self, ticket: &Ticket, now: Duration) -> Spent;

    /// Says what keeps a connection from a place under `cap`, if anything does, and counts nothing.
    fn has_room(&mut self, _cap: &Cap) -> Result<(), Acquired> {
        Err(Acquired::Unavailable)
    }

    /// Counts a connection under `cap`.
    fn acquire(&mut self, _cap: &Cap, _now: Duration) -> Acquired {
        Acquired::Unavailable
    }

    /// Gives a place back.
    fn release(&mut self, _place: LivePlace) {}
}
