//! The memory that a connection takes for what its peers have sent, and how it gives that back.

use std::time::Duration;

use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};

use super::Connection;
use super::greeting::Greeting;

impl Connection {
    /// Returns the memory that is taken for what the peers have sent, in bytes.
    pub(crate) fn held(&self) -> u64 {
        let grant = self.grant.as_ref().map_or(0, |grant| grant.held());
        let sides = self.client.held() + self.upstream.held();
        (sides + self.authentication.held() + self.greeting.held() + grant) as u64
    }

    /// Returns the part of [`Connection::held`] that inflaters take between two messages.
    pub(crate) fn held_at_rest(&self) -> u64 {
        (self.client.held_at_rest() + self.upstream.held_at_rest()) as u64
    }

    /// Gives back the memory that [`Connection::held`] counts, and ends the connection if nothing has. The
    /// caller may be in a callback of the connection's own chunk, so the Closes go when that is over.
    pub(crate) fn give_back(&mut self, now: Duration) {
        if self.greeting.waits() {
            self.greeting = Greeting::Gone;
            self.upstream.diverted = true;
        }
        self.client.give_back();
        self.upstream.give_back();
        if let Some(grant) = &mut self.grant {
            grant.give_back();
        }
        if self.begin_to_refuse(Violation::new(Rule::MemoryBudget, Reason::MemoryExceeded), now) {
            self.deadlines.speak_next(now);
        }
    }
}
