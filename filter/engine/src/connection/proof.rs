//! What a payload has to prove before it passes: the body of a Close, the text of a message, and
//! the size of what a compressed one inflates to.
//!
//! Reads payloads as they come. Of those it keeps what a compressed text inflates to that is captured, within the
//! size that a message may have; one that is not compressed is withheld anyway, and read there once it is whole. An
//! inflater keeps its window.

use crate::decision::cause::{FrameFault, LimitExceeded, Measure};
use crate::memory::blocks::Blocks;
use crate::websocket::close::CloseBody;
use crate::websocket::inflate::Inflater;
use crate::websocket::mask::Mask;
use crate::websocket::utf8::{InvalidUtf8, Utf8};
use crate::websocket::{FrameHeader, OpCode};

/// The proofs of one direction.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Says whether text messages are to be UTF-8.
    utf8: bool,
    /// How much a compressed message may inflate to, in bytes.
    max_message_bytes: u64,
    /// Present where compressed messages are inspected.
    inflater: Option<Box<Inflater>>,
    message: Message,
    frame: Frame,
    mask: Mask,
    /// Says whether text messages are captured.
    captures: bool,
    /// Says whether the open message is.
    keeps: bool,
    /// What of a message is kept, if anything is: few sessions ever do.
    kept: Option<Box<Kept>>,
}

/// A message as it reads. Its `Debug` does not show it: there may be a token in it.
enum Kept {
    /// It is being read.
    Parts(Blocks),
    Whole(Vec<u8>),
}

/// What the open message has shown so far.
#[derive(Debug)]
enum Message {
    /// Nothing is asked of it.
    Unread,
    /// Not compressed; it is to be UTF-8 if there is such a proof.
    Plain(Option<Utf8>),
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
    /// The message is whole, and captured.
    Message,
    /// Nothing yet: the rest of the message is needed.
    Nothing,
}

/// The reason why a payload does not prove what it has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unproved {
    /// By RFC 6455 or RFC 7692.
    Broken(FrameFault),
    /// It inflates to more than a message may have.
    TooBig(LimitExceeded),
}

/// How much is unmasked at a time to be inflated. The place for it is cleared for every chunk.
const BLOCK: usize = 512;

impl Proof {
    pub(crate) fn new(utf8: bool, max_message_bytes: u64, inflater: Option<Inflater>) -> Self {
        Self {
            utf8,
            max_message_bytes,
            inflater: inflater.map(Box::new),
            message: Message::Unread,
            frame: Frame::Unread,
            mask: Mask::default(),
            captures: false,
            keeps: false,
            kept: None,
        }
    }

    /// Says whether text messages that begin from now on are kept and withheld until they are whole.
    pub(crate) fn capture(&mut self, captures: bool) {
        self.captures = captures;
    }

    /// The message that has been kept.
    pub(crate) fn kept(&self) -> &[u8] {
        match self.kept.as_deref() {
            Some(Kept::Whole(text)) => text,
            Some(Kept::Parts(_)) | None => &[],
        }
    }

    /// Keeps `text`, which is the message that was withheld.
    pub(crate) fn keep(&mut self, text: Vec<u8>) {
        self.kept = Some(Box::new(Kept::Whole(text)));
    }

    /// Says whether the message that is open is kept only once it is whole.
    pub(crate) fn keeps_when_whole(&self) -> bool {
        self.keeps && matches!(self.message, Message::Plain(_))
    }

    /// Memory that is taken for what the sender has sent, in bytes.
    pub(crate) fn held(&self) -> usize {
        let kept = match self.kept.as_deref() {
            Some(Kept::Parts(parts)) => parts.held(),
            Some(Kept::Whole(text)) => text.capacity(),
            None => 0,
        };
        kept + self.inflater.as_ref().map_or(0, |inflater| inflater.held())
    }

    /// The part of it that an inflater takes between two messages.
    pub(crate) fn held_at_rest(&self) -> usize {
        self.inflater.as_ref().map_or(0, |inflater| inflater.held_at_rest())
    }

    /// Gives that memory back. Nothing more can be proved.
    pub(crate) fn give_back(&mut self) {
        (self.inflater, self.message, self.frame) = (None, Message::Unread, Frame::Unread);
        self.forget_kept();
    }

    /// Keeps it no longer.
    pub(crate) fn forget_kept(&mut self) {
        self.kept = None;
    }

    /// What a text message of one frame, not compressed, has to prove by its payload and mask. One
    /// that is captured proves nothing by itself.
    pub(crate) fn of_text(&self) -> Option<impl Fn(&[u8], Mask) -> bool + use<>> {
        let captures = self.captures;
        (self.utf8 || captures).then_some(move |payload: &[u8], mask| {
            let mut text = Utf8::default();
            !captures && prove(&mut text, payload, mask).is_ok() && text.is_complete()
        })
    }

    /// Begins a frame that passes by its header. Whether its payload has to be read.
    pub(crate) fn begin(&mut self, header: &FrameHeader, starts_message: bool) -> bool {
        self.mask = header.mask.map(Mask::new).unwrap_or_default();
        if starts_message {
            let is_text = header.opcode == OpCode::TEXT;
            self.keeps = self.captures && is_text;
            self.forget_kept();
            let text = (self.utf8 && is_text).then(Utf8::default);
            self.message = if self.inflater.is_some() && header.is_compressed() {
                Message::Compressed { text, inflated: 0 }
            } else if self.keeps || text.is_some() {
                Message::Plain(text)
            } else {
                Message::Unread
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
    pub(crate) fn push(&mut self, payload: &[u8]) -> Result<(), Unproved> {
        let mask = self.mask;
        self.mask = mask.after(payload.len());
        match (&mut self.frame, &mut self.message) {
            (Frame::Close(body), _) => Ok(body.push(payload, mask)?),
            (Frame::Data { .. }, Message::Plain(text)) => {
                Ok(text.as_mut().map_or(Ok(()), |text| prove(text, payload, mask))?)
            }
            (Frame::Data { .. }, Message::Compressed { text, inflated }) => {
                let Some(inflater) = &mut self.inflater else { return Err(FrameFault::Deflate.into()) };
                let limit = self.max_message_bytes;
                let (keeps, kept) = (self.keeps, &mut self.kept);
                let mut judge = |plain: &[u8]| {
                    // In the order of the bytes, so that it does not show in which pieces they come.
                    let room = usize::try_from(limit.saturating_sub(*inflated)).unwrap_or(usize::MAX);
                    let within = plain.get(..room).unwrap_or(plain);
                    text.as_mut().map_or(Ok(()), |text| prove(text, within, Mask::default()))?;
                    if keeps && let Kept::Parts(parts) = kept.get_or_insert_default().as_mut() {
                        parts.push(within);
                    }
                    *inflated = inflated.saturating_add(plain.len() as u64);
                    if *inflated <= limit {
                        return Ok(());
                    }
                    let measure = Measure::InflatedBytes;
                    Err(Unproved::TooBig(LimitExceeded { measure, value: *inflated, limit }))
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
    pub(crate) fn end_frame(&mut self) -> Result<Proved, FrameFault> {
        match (&self.frame, &self.message) {
            (Frame::Close(body), _) => body.end()?,
            (Frame::Data { fin: true }, Message::Plain(text)) => end_text(text.as_ref())?,
            (Frame::Data { fin: true }, Message::Compressed { text, .. }) => {
                self.inflater.as_mut().map_or(Err(FrameFault::Deflate), |inflater| inflater.finish())?;
                end_text(text.as_ref())?;
            }
            (Frame::Data { fin: false }, Message::Compressed { .. }) => return Ok(Proved::Nothing),
            (Frame::Data { fin: false }, _) if self.keeps => return Ok(Proved::Nothing),
            (Frame::Data { .. } | Frame::Unread, _) => {}
        }
        let is_kept = self.keeps && matches!(self.frame, Frame::Data { fin: true });
        if is_kept && let Some(Kept::Parts(parts)) = self.kept.as_deref() {
            self.keep(parts.to_vec(0));
        }
        Ok(if is_kept { Proved::Message } else { Proved::AllSoFar })
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self::Parts(Blocks::default())
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept(…)")
    }
}

impl From<FrameFault> for Unproved {
    fn from(fault: FrameFault) -> Self {
        Self::Broken(fault)
    }
}

fn prove(text: &mut Utf8, bytes: &[u8], mask: Mask) -> Result<(), FrameFault> {
    text.push(bytes, mask).map_err(|InvalidUtf8| FrameFault::Text)
}

fn end_text(text: Option<&Utf8>) -> Result<(), FrameFault> {
    if text.is_none_or(Utf8::is_complete) { Ok(()) } else { Err(FrameFault::Text) }
}
