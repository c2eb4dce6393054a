//! The port to what all workers of an Envoy share.

use std::time::Duration;

use super::live::{Acquired, Cap, LivePlace};
use super::table::{BucketRequest, Outcome};
use crate::auth::single_use::{Spent, Ticket};

/// The tables that all workers of an Envoy share. The caller that drives the engine has them, and they answer
/// at once. All times are since the Unix epoch.
pub trait Shared {
    /// Takes tokens from a bucket.
    fn charge(&mut self, request: &BucketRequest, now: Duration) -> Outcome;

    /// Takes tokens for a frame, of which there may be many. Tokens that were taken in advance will do.
    fn charge_frame(&mut self, request: &BucketRequest, now: Duration) -> Outcome;

    /// Says what [`Shared::charge`] would answer, and takes nothing.
    fn look(&mut self, request: &BucketRequest, now: Duration) -> Outcome;

    /// Says what [`Shared::spend`] would answer, as far as that is known, and spends nothing.
    fn look_at_ticket(&mut self, _ticket: &Ticket, _now: Duration) -> Spent {
        Spent::First
    }

    /// Spends a token that opens one connection only.
    fn spend(&mut self, ticket: &Ticket, now: Duration) -> Spent;

    /// Says what keeps a connection from a place under `cap`, if anything does, and counts nothing.
    fn has_room(&mut self, cap: &Cap) -> Result<(), Acquired>;

    /// Counts a connection under `cap`.
    fn acquire(&mut self, cap: &Cap, now: Duration) -> Acquired;

    /// Gives a place back.
    fn release(&mut self, place: LivePlace);
}
