//! The authentication of a connection, and the fate of both directions before it.
//!
//! Bytes of the upstream are judged like any others, and then wait here instead of going on, unless the
//! policy lets the upstream greet; nothing of the client's goes on. A Close is an exception, both ways: it
//! ends the wait, and whatever waited is forgotten.

use crate::connection::{Passage, Piece};
use crate::decision::cause::{LimitExceeded, Measure};
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::memory::blocks::Blocks;
use crate::peer::Peer;
use crate::websocket::{Chunk, Unreadable};
use crate::websocket::{FrameHeader, OpCode};

use super::queued_input;

/// The standing of a connection: authenticated or not.
pub(super) enum Authentication {
    /// The client is authenticated, or need not be.
    Open,
    /// The client is not authenticated, and will not be: only a Close goes on, and, if the service greets,
    /// the frame that is under way.
    Shut {
        /// Says whether the service greets.
        greets: bool,
    },
    /// The client's first message is awaited.
    Waiting(Box<Unauthenticated>),
}

/// The state of a connection before it is authenticated.
pub(super) struct Unauthenticated {
    /// The number of bytes that may still come.
    budget: u64,
    /// The bytes that wait to go to the client. If the service greets, none do.
    held: Blocks,
    /// Says whether the service greets: its messages reach the client at once.
    greets: bool,
}

impl Authentication {
    pub(super) fn waiting(max_unauthenticated_bytes: u64, greets: bool) -> Self {
        let (budget, held) = (max_unauthenticated_bytes, Blocks::default());
        Self::Waiting(Box::new(Unauthenticated { budget, held, greets }))
    }

    /// Says whether the upstream's bytes do not reach the client.
    pub(super) fn diverts(&self) -> bool {
        match self {
            Self::Open => false,
            Self::Shut { greets } => !greets,
            Self::Waiting(waiting) => !waiting.greets,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    /// Judges a frame of `peer` by its header; `passage` goes on ahead of it. A frame counts whole as soon as
    /// its length is declared, and so do the bytes that wait `behind` the first message.
    pub(super) fn judge(
        &mut self,
        peer: Peer,
        header: &FrameHeader,
        passage: &mut Passage,
        behind: usize,
    ) -> Result<(), Violation> {
        match self {
            Self::Open => return Ok(()),
            _ if header.opcode == OpCode::CLOSE => {
                if peer == Peer::Upstream {
                    if self.diverts() {
                        *passage = Passage::default();
                    }
                    self.shut();
                }
            }
            Self::Shut { .. } => {}
            Self::Waiting(waiting) => {
                let len = header.payload_len.saturating_add(header.len as u64);
                let left = waiting.budget.checked_sub(len).filter(|left| *left >= behind as u64);
                waiting.budget = left.ok_or_else(|| too_much(peer, len, waiting.budget))?;
            }
        }
        Ok(())
    }

    /// Judges the number of bytes that wait behind the first message.
    pub(super) fn judge_behind(&self, len: usize) -> Result<(), Violation> {
        match self {
            Self::Waiting(waiting) if len > queued_input::MAX_LEN || len as u64 > waiting.budget => {
                let limit = waiting.budget.min(queued_input::MAX_LEN as u64);
                Err(too_much(Peer::Client, len as u64, limit))
            }
            _ => Ok(()),
        }
    }

    /// Keeps the bytes that would go on of the upstream's chunk.
    pub(super) fn hold(&mut self, passage: &mut Passage, chunk: &mut impl Chunk) -> Result<(), Unreadable> {
        let Passage { before, keep, rest, .. } = std::mem::take(passage);
        if let Self::Waiting(waiting) = self {
            let held = &mut waiting.held;
            before.iter().for_each(|block| held.push(block));
            held.push(chunk.window(0..keep)?);
            for piece in rest {
                match piece {
                    Piece::Chunk(range) => held.push(chunk.window(range)?),
                    Piece::Other(bytes) => bytes.iter().for_each(|block| held.push(block)),
                }
            }
        }
        Ok(())
    }

    /// Returns the number of bytes that wait to go to the client.
    pub(super) fn held_len(&self) -> usize {
        match self {
            Self::Waiting(waiting) => waiting.held.len(),
            Self::Open | Self::Shut { .. } => 0,
        }
    }

    /// Returns the memory that is taken for what waits, in bytes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Waiting(waiting) => waiting.held.held(),
            Self::Open | Self::Shut { .. } => 0,
        }
    }

    /// Notes that the connection is authenticated, and returns what waited, which goes on now.
    pub(super) fn open(&mut self) -> Blocks {
        match std::mem::replace(self, Self::Open) {
            Self::Waiting(waiting) => waiting.held,
            Self::Open | Self::Shut { .. } => Blocks::default(),
        }
    }

    /// Notes that the connection ends; if it is not authenticated yet, it will not be.
    pub(super) fn shut(&mut self) {
        if !self.is_open() {
            *self = Self::Shut { greets: !self.diverts() };
        }
    }
}

/// Returns the violation by which a frame, or the bytes that wait, have `value` bytes where only `limit` more
/// may come.
fn too_much(peer: Peer, value: u64, limit: u64) -> Violation {
    let exceeded = LimitExceeded { measure: Measure::UnauthenticatedBytes, value, limit };
    Violation::by(peer, Rule::AuthMaxUnauthenticatedBytes, Reason::MessageTooBig).because(exceeded)
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Shut { .. } => "Shut",
            Self::Waiting(_) => "Waiting",
        })
    }
}
