//! What a header breaks of RFC 6455, for the operator's log.

use crate::websocket::MalformedHeader;

/// What is wrong with a header, whatever the limits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A continuation continues nothing (§5.4).
    #[error("a continuation frame continues no message")]
    Continuation,
    /// A Close has one byte of a code (§5.5.1).
    #[error("a Close has half a code")]
    HalfACode,
    /// A message begins within another one (§5.4).
    #[error("a message begins within another")]
    Interrupted,
    /// A length is not written in its shortest form, or has its top bit set (§5.2).
    #[error("the length of a frame is not well formed")]
    Length,
    /// A control frame is a fragment, or longer than 125 bytes (§5.5).
    #[error("a control frame is fragmented or longer than 125 bytes")]
    LongControl,
    /// A service's frame is masked (§5.1).
    #[error("a frame of the service is masked")]
    Masked,
    /// A client's frame is not masked (§5.1).
    #[error("a frame of the client is not masked")]
    NotMasked,
    /// A reserved bit is set without an extension that gives it a meaning (§5.2).
    #[error("a reserved bit is set")]
    ReservedBit,
    /// An opcode is reserved (§5.2).
    #[error("the opcode of a frame is reserved")]
    ReservedOpcode,
}

impl From<MalformedHeader> for Fault {
    fn from(malformed: MalformedHeader) -> Self {
        match malformed {
            MalformedHeader::LengthNotMinimal | MalformedHeader::LengthTopBit => Self::Length,
        }
    }
}
