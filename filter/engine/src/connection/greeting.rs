//! The upstream's greeting: what it sent before the client was authenticated, on its way to the client.

use crate::memory::blocks::Blocks;

/// The bytes that the upstream sent before the client was authenticated, and when they go on.
#[derive(Debug, Default)]
pub(super) enum Greeting {
    /// No bytes wait, or none any more.
    #[default]
    Gone,
    /// The bytes go at once, into the stream towards the client, which was parked.
    AtOnce(Box<Blocks>),
    /// The bytes go ahead of the upstream's next chunk, since that stream is not parked.
    WithNextChunk(Box<Blocks>),
}

impl Greeting {
    /// Takes the bytes, if they go at once.
    pub(super) fn take_at_once(&mut self) -> Option<Blocks> {
        match std::mem::take(self) {
            Self::AtOnce(bytes) => Some(*bytes),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Takes the bytes as the upstream's next chunk comes, if they wait for that.
    pub(super) fn take_with_chunk(&mut self) -> Blocks {
        match std::mem::take(self) {
            Self::WithNextChunk(bytes) => *bytes,
            other => {
                *self = other;
                Blocks::default()
            }
        }
    }

    /// Says whether bytes go at once.
    pub(super) fn goes_at_once(&self) -> bool {
        matches!(self, Self::AtOnce(_))
    }

    /// Says whether bytes wait for the upstream's next chunk.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::WithNextChunk(bytes) if !bytes.is_empty())
    }

    /// Returns the memory that is taken for bytes that wait for the next chunk, in bytes.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::WithNextChunk(bytes) => bytes.held(),
            Self::Gone | Self::AtOnce(_) => 0,
        }
    }
}
