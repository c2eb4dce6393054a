//! What a session holds for its peers in memory, and how it gives that back.

use std::time::Duration;

use postern_config::Compression;

use super::{Awaiting, Phase, Session};
use crate::handshake;

impl Session {
    /// Memory that is taken for what the peers have sent, in bytes: what waits to be judged or to be authenticated, and
    /// what inflaters know.
    pub fn held(&self) -> u64 {
        match &self.phase {
            Phase::Handshake(handshake) if self.held => handshake.held(),
            Phase::AwaitingResponse(awaiting) => awaiting.expected.held() + self.awaited_at_rest(awaiting),
            Phase::Open(open) => open.held(),
            _ => self.page.as_ref().map_or(0, |page| page.held()),
        }
    }

    /// The part of it that peers hold who are idle, too: what inflaters know of earlier messages.
    pub fn held_at_rest(&self) -> u64 {
        match &self.phase {
            Phase::Open(open) => open.held_at_rest(),
            Phase::AwaitingResponse(awaiting) => self.awaited_at_rest(awaiting),
            _ => 0,
        }
    }

    fn awaited_at_rest(&self, awaiting: &Awaiting) -> u64 {
        let inspects = self.ruleset.policy.compression == Compression::Inspect;
        if inspects { awaiting.expected.held_at_rest() } else { 0 }
    }

    /// Gives that memory back, and ends.
    pub(super) fn give_back(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Handshake(_) => self.refuse_held(handshake::no_memory()),
            Phase::AwaitingResponse(_) => self.refuse(Vec::new(), handshake::no_memory().into()),
            Phase::Open(_) => self.act(|open| open.give_back(now)),
            // Its page gets no token.
            _ => self.page = None,
        }
    }
}
