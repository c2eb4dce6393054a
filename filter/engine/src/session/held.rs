//! The memory that a session holds for its peers, and how it gives that back.

use std::time::Duration;

use postern_config::Compression;

use super::{Awaiting, Phase, Session};
use crate::handshake;

impl Session {
    /// Returns the memory that is taken for what the peers have sent, in bytes: bytes that wait to be judged
    /// or for the client to be authenticated, and the windows of inflaters.
    pub fn held(&self) -> u64 {
        match &self.phase {
            Phase::Handshake(handshake) if self.held => handshake.held(),
            Phase::AwaitingResponse(awaiting) => awaiting.expected.held() + self.awaited_at_rest(awaiting),
            Phase::Open(open) => open.held(),
            Phase::Shadowed(shadowed) => shadowed.held(),
            _ => self.page.as_ref().map_or(0, |page| page.held()),
        }
    }

    /// Returns the part of [`Session::held`] that idle peers hold, too: the windows that inflaters keep
    /// between messages.
    pub fn held_at_rest(&self) -> u64 {
        match &self.phase {
            Phase::Open(open) => open.held_at_rest(),
            Phase::AwaitingResponse(awaiting) => self.awaited_at_rest(awaiting),
            Phase::Shadowed(shadowed) => shadowed.observer().held_at_rest(),
            _ => 0,
        }
    }

    fn awaited_at_rest(&self, awaiting: &Awaiting) -> u64 {
        let inspects = self.ruleset.policy.compression != Compression::Pass;
        if inspects { awaiting.expected.held_at_rest() } else { 0 }
    }

    /// Gives back the memory that [`Session::held`] counts, and ends.
    pub(super) fn give_back(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Handshake(_) => self.refuse_held(handshake::no_memory()),
            Phase::AwaitingResponse(_) => self.refuse_response(handshake::no_memory()),
            Phase::Open(_) => self.act(|open| open.give_back(now)),
            // The page of an ordinary request gets no token then.
            _ => self.page = None,
        }
    }
}
