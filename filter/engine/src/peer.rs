//! The two ends of a stream.

use std::fmt;

/// An end of a stream, as Envoy and RFC 6455 see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The client, downstream: its frames are masked (RFC 6455 §5.1).
    Client,
    /// The service, upstream: its frames are not masked.
    Upstream,
}

impl Peer {
    /// Returns the other end.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
        })
    }
}
