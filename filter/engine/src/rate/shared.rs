//! The port to what all workers of an Envoy share.

use std::time::Duration;

use super::table::{BucketRequest, Outcome};
use crate::auth::single_use::{Spent, Ticket};

/// The tables that all workers of an Envoy share. The caller that drives the engine has them, and they answer
/// at once.
pub trait Shared {
    /// Takes tokens from a bucket; `now` is the time since the Unix epoch.
    fn charge(&mut self, request: &BucketRequest, now: Duration) -> Outcome;

    /// Spends a token that opens one connection only; `now` is the time since the Unix epoch.
    fn spend(&mut self, ticket: &Ticket, now: Duration) -> Spent;
}
