//! A limit of the policy that something exceeds.

/// Something that exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{measure} {value}, and {limit} may be")]
pub struct LimitExceeded {
    /// The quantity that was measured.
    pub measure: Measure,
    /// The amount, as far as it was known when it was too much.
    pub value: u64,
    /// The most that it may be.
    pub limit: u64,
}

/// The quantity that a limit is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Measure {
    /// Live connections that are counted together, without the new one.
    #[error("the live connections are")]
    Connections,
    /// Bytes of a frame's payload, as its header declares them.
    #[error("the bytes of a frame are")]
    FrameBytes,
    /// Fragments of a message, empty ones included.
    #[error("the fragments of a message are")]
    Fragments,
    /// Bytes of a message, over all its fragments.
    #[error("the bytes of a message are")]
    MessageBytes,
    /// Bytes that a compressed message inflates to.
    #[error("the bytes that a message inflates to are")]
    InflatedBytes,
    /// Bytes that a client has not read.
    #[error("the unread bytes are")]
    UnreadBytes,
    /// Bytes of both sides before the client is authenticated.
    #[error("the bytes before a token is accepted are")]
    UnauthenticatedBytes,
}
