//! RFC 6455 and RFC 7692, and nothing else.
//!
//! Owns the frames of one direction: how they are found in the bytes, what their headers, the text and the
//! Close in them have to be, how they are masked and inflated. Knows no policy but the limits that it is
//! given, no time, and nobody who sends or receives.

mod chunk;
pub(crate) mod close;
mod frame;
pub(crate) mod frame_reader;
pub mod inflate;
pub(crate) mod mask;
pub(crate) mod short_frame;
pub(crate) mod utf8;

pub(crate) use chunk::Start;
pub use chunk::{Chunk, Unreadable};
pub use frame::{FrameHeader, MAX_HEADER_LEN, MalformedHeader, OpCode};
