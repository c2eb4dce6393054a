//! The clauses of RFC 6455 and RFC 7692 that a frame, or a message of frames, can break.

use crate::decision::reason::Reason;

/// A fault of a frame, one variant for each clause. Sections are those of RFC 6455, if no other is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// A Close carries a code that must not be sent (§7.4).
    #[error("the code of a Close is none that may be sent")]
    CloseCode,
    /// The reason of a Close is not UTF-8 (§5.5.1).
    #[error("the reason of a Close is not UTF-8")]
    CloseReason,
    /// A continuation continues nothing (§5.4).
    #[error("a continuation frame continues no message")]
    Continuation,
    /// A control frame is longer than 125 bytes (§5.5).
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A compressed message is no DEFLATE stream (RFC 7692 §7.2.2, RFC 1951).
    #[error("a compressed message cannot be inflated")]
    Deflate,
    /// A compressed message has far more blocks than the bytes it inflates to need.
    #[error("a compressed message has too many blocks for what it inflates to")]
    DeflateBlocks,
    /// A compressed message ends within a block (RFC 7692 §7.2.1).
    #[error("a compressed message ends within a block")]
    DeflateUnfinished,
    /// A control frame is a fragment (§5.5).
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A Close has one byte of a code (§5.5.1).
    #[error("a Close has half a code")]
    HalfACode,
    /// A message begins within another one (§5.4).
    #[error("a message begins within another")]
    Interrupted,
    /// A length is not written in its shortest form (§5.2).
    #[error("the length of a frame is not written in its shortest form")]
    LengthNotMinimal,
    /// The top bit of a length of 64 bits is set (§5.2).
    #[error("the top bit of the length of a frame is set")]
    LengthTopBit,
    /// A service's frame is masked (§5.1).
    #[error("a frame of the service is masked")]
    Masked,
    /// A client's frame is not masked (§5.1).
    #[error("a frame of the client is not masked")]
    NotMasked,
    /// A reserved bit is set without an extension that gives it a meaning (§5.2, RFC 7692 §6).
    #[error("a reserved bit is set")]
    ReservedBit,
    /// An opcode is reserved (§5.2).
    #[error("the opcode of a frame is reserved")]
    ReservedOpcode,
    /// A text message is not UTF-8 (§8.1).
    #[error("a text message is not UTF-8")]
    Text,
    /// A stream of HTTP/2 or HTTP/3 has trailers, which a WebSocket has none of (RFC 8441 §5).
    #[error("the stream has trailers")]
    Trailers,
}

impl FrameFault {
    /// Every fault.
    pub const ALL: [Self; 18] = [
        Self::CloseCode,
        Self::CloseReason,
        Self::Continuation,
        Self::ControlTooLong,
        Self::Deflate,
        Self::DeflateBlocks,
        Self::DeflateUnfinished,
        Self::FragmentedControl,
        Self::HalfACode,
        Self::Interrupted,
        Self::LengthNotMinimal,
        Self::LengthTopBit,
        Self::Masked,
        Self::NotMasked,
        Self::ReservedBit,
        Self::ReservedOpcode,
        Self::Text,
        Self::Trailers,
    ];

    /// Returns what both sides are told: text that is not UTF-8 has a code of its own (§7.4.1).
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::CloseReason | Self::Text => Reason::InvalidUtf8,
            _ => Reason::ProtocolError,
        }
    }
}
