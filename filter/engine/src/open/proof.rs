//! What a payload has to prove before it passes: the body of a Close, the text of a message, and
//! the size of what a compressed one inflates to.
//!
//! Reads payloads as they come and keeps none of them; an inflater keeps its window.

use crate::close::CloseBody;
use crate::frame::{FrameHeader, OpCode};
use crate::inflate::Inflater;
use crate::mask::Mask;
use crate::reason::Reason;
use crate::utf8::{InvalidUtf8, Utf8};

/// The proofs of one direction.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Whether text messages are to be UTF-8.
    utf8: bool,
    /// How much a compressed message may inflate to, in bytes.
    max_message_bytes: u64,
    /// Present where compressed messages are inspected.
    inflater: Option<Box<Inflater>>,
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
    Compressed {
        text: Option<Utf8>,
        inflated: u64,
    },
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
    /// Nothing yet: the rest of the message is needed.
    Nothing,
}

/// How much is unmasked at a time to be inflated.
const BLOCK: usize = 4096;

impl Proof {
    pub(crate) fn new(utf8: bool, max_message_bytes: u64, inflater: Option<Inflater>) -> Self {
        Self {
            utf8,
            max_message_bytes,
            inflater: inflater.map(Box::new),
            message: Message::Unread,
            frame: Frame::Unread,
            mask: Mask::default(),
        }
    }

    /// What a text message of one frame, not compressed, has to prove by its payload and mask.
    pub(crate) fn of_text(&self) -> Option<impl Fn(&[u8], Mask) -> bool + use<>> {
        self.utf8.then_some(|payload: &[u8], mask| {
            let mut text = Utf8::default();
            prove(&mut text, payload, mask).is_ok() && text.is_complete()
        })
    }

    /// Begins a frame that passes by its header. Whether its payload has to be read.
    pub(crate) fn begin(&mut self, header: &FrameHeader, starts_message: bool) -> bool {
        self.mask = header.mask.map(Mask::new).unwrap_or_default();
        if starts_message {
            let text = (self.utf8 && header.opcode == OpCode::TEXT).then(Utf8::default);
            self.message = match text {
                text if self.inflater.is_some() && header.is_compressed() => {
                    Message::Compressed { text, inflated: 0 }
                }
                Some(text) => Message::Text(text),
                None => Message::Unread,
            };
        }
        self.frame = match (&self.message, header.opcode) {
            (_, OpCode::CLOSE) => Frame::Close(CloseBody::default()),
            (Message::Unread, _) => Frame::Unread,
            (_, opcode) if opcode.is_control() => Frame::Unread,
            _ => Frame::Data { fin: header.fin },
        };
        !matches!(self.frame, Frame::Unread)
    }

    /// Reads more of the payload of the open frame, as it is on the wire.
    pub(crate) fn push(&mut self, payload: &[u8]) -> Result<(), Reason> {
        let mask = self.mask;
        self.mask = mask.after(payload.len());
        match (&mut self.frame, &mut self.message) {
            (Frame::Close(body), _) => body.push(payload, mask),
            (Frame::Data { .. }, Message::Text(text)) => prove(text, payload, mask),
            (Frame::Data { .. }, Message::Compressed { text, inflated }) => {
                let Some(inflater) = &mut self.inflater else { return Err(Reason::Internal) };
                let limit = self.max_message_bytes;
                let mut judge = |plain: &[u8]| {
                    // In the order of the bytes, so that it does not show in which pieces they come.
                    let room = usize::try_from(limit.saturating_sub(*inflated)).unwrap_or(usize::MAX);
                    let within = plain.get(..room).unwrap_or(plain);
                    text.as_mut().map_or(Ok(()), |text| prove(text, within, Mask::default()))?;
                    *inflated = inflated.saturating_add(plain.len() as u64);
                    if *inflated > limit { Err(Reason::MessageTooBig) } else { Ok(()) }
                };
                let mut mask = mask;
                let mut scratch = [0; BLOCK];
                for block in payload.chunks(BLOCK) {
                    inflater.push(mask.remove(block, &mut scratch), &mut judge)?;
                    mask = mask.after(block.len());
                }
                Ok(())
            }
            (Frame::Data { .. }, Message::Unread) | (Frame::Unread, _) => Ok(()),
        }
    }

    /// Ends the open frame.
    pub(crate) fn end_frame(&mut self) -> Result<Proved, Reason> {
        match (&self.frame, &self.message) {
            (Frame::Close(body), _) => body.end()?,
            (Frame::Data { fin: true }, Message::Text(text)) => end_text(Some(text))?,
            (Frame::Data { fin: true }, Message::Compressed { text, .. }) => {
                self.inflater.as_mut().map_or(Err(Reason::Internal), |inflater| inflater.finish())?;
                end_text(text.as_ref())?;
            }
            (Frame::Data { fin: false }, Message::Compressed { .. }) => return Ok(Proved::Nothing),
            (Frame::Data { .. } | Frame::Unread, _) => {}
        }
        Ok(Proved::AllSoFar)
    }
}

fn prove(text: &mut Utf8, bytes: &[u8], mask: Mask) -> Result<(), Reason> {
    text.push(bytes, mask).map_err(|InvalidUtf8| Reason::InvalidUtf8)
}

fn end_text(text: Option<&Utf8>) -> Result<(), Reason> {
    if text.is_none_or(Utf8::is_complete) { Ok(()) } else { Err(Reason::InvalidUtf8) }
}
