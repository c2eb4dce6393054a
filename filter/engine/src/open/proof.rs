//! What a payload has to prove before its frame passes: the body of a Close, and the text of a
//! message.
//!
//! Reads payloads as they come and keeps none of them.

use crate::close::CloseBody;
use crate::frame::{FrameHeader, OpCode};
use crate::mask::Mask;
use crate::reason::Reason;
use crate::utf8::{InvalidUtf8, Utf8};

/// The proofs of one direction.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Whether text messages are to be UTF-8.
    utf8: bool,
    message: Message,
    frame: Frame,
    mask: Mask,
}

/// What the open message has shown so far.
#[derive(Debug)]
enum Message {
    /// Nothing is asked of it.
    Unread,
    Text(Utf8),
}

/// Which proof the payload of the open frame belongs to.
#[derive(Debug)]
enum Frame {
    Close(CloseBody),
    Data {
        fin: bool,
    },
    /// None: nobody reads it.
    Unread,
}

/// How far what was proved may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proved {
    /// This frame may pass, and all that was withheld before it.
    AllSoFar,
}

impl Proof {
    pub(crate) fn new(utf8: bool) -> Self {
        Self { utf8, message: Message::Unread, frame: Frame::Unread, mask: Mask::default() }
    }

    /// Begins a frame that passes by its header. Whether its payload has to be read.
    pub(crate) fn begin(&mut self, header: &FrameHeader, starts_message: bool) -> bool {
        self.mask = header.mask.map(Mask::new).unwrap_or_default();
        if starts_message {
            let text = self.utf8 && header.opcode == OpCode::TEXT;
            self.message = if text { Message::Text(Utf8::default()) } else { Message::Unread };
        }
        self.frame = match (&self.message, header.opcode) {
            (_, OpCode::CLOSE) => Frame::Close(CloseBody::default()),
            (Message::Text(_), opcode) if !opcode.is_control() => Frame::Data { fin: header.fin },
            _ => Frame::Unread,
        };
        !matches!(self.frame, Frame::Unread)
    }

    /// Reads more of the payload of the open frame, as it is on the wire.
    pub(crate) fn push(&mut self, payload: &[u8]) -> Result<(), Reason> {
        let mask = self.mask;
        self.mask = mask.after(payload.len());
        match (&mut self.frame, &mut self.message) {
            (Frame::Close(body), _) => body.push(payload, mask),
            (Frame::Data { .. }, Message::Text(text)) => {
                text.push(payload, mask).map_err(|InvalidUtf8| Reason::InvalidUtf8)
            }
            _ => Ok(()),
        }
    }

    /// Ends the open frame.
    pub(crate) fn end_frame(&mut self) -> Result<Proved, Reason> {
        match (&self.frame, &self.message) {
            (Frame::Close(body), _) => body.end()?,
            (Frame::Data { fin: true }, Message::Text(text)) if !text.is_complete() => {
                return Err(Reason::InvalidUtf8);
            }
            _ => {}
        }
        Ok(Proved::AllSoFar)
    }
}
