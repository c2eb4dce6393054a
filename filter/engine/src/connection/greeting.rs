//! The upstream's greeting: what it sent before the client was authenticated, on its way to the client.

use crate::memory::blocks::Blocks;

/// What the upstream sent before the client was authenticated, and when it goes on.
#[derive(Debug, Default)]
pub(super) enum Greeting {
    /// There is none, or none any more.
    #[default]
    Gone,
    /// It goes at once, into the stream towards the client, which was parked.
    AtOnce(Blocks),
    /// It goes ahead of the upstream's next chunk, since that stream is not parked.
    WithNextChunk(Blocks),
}

impl Greeting {
    /// Takes it, if it goes at once.
    pub(super) fn take_at_once(&mut self) -> Option<Blocks> {
        match std::mem::take(self) {
            Self::AtOnce(bytes) => Some(bytes),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Takes it as the upstream's next chunk comes, if it waits for that.
    pub(super) fn take_with_chunk(&mut self) -> Blocks {
        match std::mem::take(self) {
            Self::WithNextChunk(bytes) => bytes,
            other => {
                *self = other;
                Blocks::default()
            }
        }
    }

    /// Says whether something waits for the upstream's next chunk.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::WithNextChunk(bytes) if !bytes.is_empty())
    }

    /// The memory that what waits takes, in bytes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::WithNextChunk(bytes) => bytes.held(),
            Self::Gone | Self::AtOnce(_) => 0,
        }
    }
}
