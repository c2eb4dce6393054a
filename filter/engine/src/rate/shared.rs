//! What all workers of an Envoy share, as the engine sees it.

use std::time::Duration;

use super::table::{BucketRequest, Outcome};
use crate::auth::single_use::{Spent, Ticket};

/// The tables that all workers of an Envoy share: it answers at once, and whoever drives the engine has it.
pub trait Shared {
    /// Takes tokens from a bucket; `now` is the time since the Unix epoch.
    fn charge(&mut self, request: &BucketRequest, now: Duration) -> Outcome;

    /// Spends a token that opens one connection only; `now` is the time since the Unix epoch.
    fn spend(&mut self, ticket: &Ticket, now: Duration) -> Spent;
}
