//! The one call for a chunk, which tries the cheap answers first, since they need no time.

use std::time::Duration;

use crate::connection::Passage;
use crate::peer::Peer;
use crate::rate::Shared;
use crate::websocket::{Chunk, Unreadable};

use super::Session;

/// The judgement of a chunk and its stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// All of it goes on as it came, in a stream that stays as it was.
    Unread,
    /// All of it goes on as it came; its stream is resumed for that, and parked again.
    Plain,
    /// The passage goes on, by this time since the Unix epoch. There may be outputs.
    Judged(Passage, Duration),
}

impl Session {
    /// Judges a chunk that `peer` sent on the upgraded stream. `clock` is asked only if the time may matter.
    ///
    /// # Errors
    /// Returns [`Unreadable`] when bytes that must be judged cannot be read: the host has failed.
    pub fn on_chunk(
        &mut self,
        peer: Peer,
        chunk: &mut impl Chunk,
        shared: &mut dyn Shared,
        clock: impl FnOnce() -> Duration,
    ) -> Result<Judgement, Unreadable> {
        if self.pass_unread(peer, chunk.len()) {
            return Ok(Judgement::Unread);
        }
        if self.pass_plain(peer, chunk)? {
            return Ok(Judgement::Plain);
        }
        let now = clock();
        Ok(Judgement::Judged(self.judge(peer, chunk, shared, now)?, now))
    }
}
