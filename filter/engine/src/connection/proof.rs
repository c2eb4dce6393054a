//! The proofs that a payload must give before it passes: the body of a Close, the text of a message, and the
//! size of what a compressed one inflates to.
//!
//! Reads payloads as they come. Keeps the text to which a captured message inflates, within the size that a
//! message may have; a message that is not compressed is withheld anyway, and read there once it is whole. An
//! inflater keeps its window.

use crate::decision::cause::{FrameFault, LimitExceeded, Measure};
use crate::memory::blocks::Blocks;
use crate::message::tunnels::Tunnelled;
use crate::peer::Peer;
use crate::websocket::close::CloseBody;
use crate::websocket::inflate::Inflater;
use crate::websocket::mask::Mask;
use crate::websocket::utf8::{InvalidUtf8, Utf8};
use crate::websocket::{FrameHeader, OpCode};

use super::opening::{Begun, Opening};
use super::shadowed_proofs::ShadowedProofs;

/// The proofs of one direction.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Says whether text messages must be UTF-8.
    utf8: bool,
    /// The most bytes that a compressed message may inflate to.
    max_message_bytes: u64,
    /// The inflater; present where compressed messages are inspected.
    inflater: Option<Box<Inflater>>,
    message: Message,
    frame: Frame,
    mask: Mask,
    /// Says whether text messages are captured.
    captures: bool,
    /// Says whether the open message is captured, and so kept.
    keeps: bool,
    /// The text that is kept of a message, if any is: few sessions ever keep one.
    kept: Option<Box<Kept>>,
    sender: Peer,
    /// The proofs that are told and not enforced; absent where all are enforced.
    shadow: Option<Box<ShadowedProofs>>,
    /// Says whether the first payload is still to be looked at.
    is_opening: bool,
    /// The first payload, as far as it has come and is looked at.
    opening: Option<Box<Begun>>,
    /// Says whether nothing had been said before the message that is open.
    is_first: bool,
}

/// The text of a captured message. Its `Debug` does not show it: there may be a token in it.
enum Kept {
    /// The text so far, while the message is being read.
    Parts(Blocks),
    Whole(Vec<u8>),
}

/// The state of the proof of the open message.
#[derive(Debug)]
enum Message {
    /// No proof is asked of the message.
    Unread,
    /// The message is not compressed; it must be UTF-8 if there is such a proof.
    Plain(Option<Utf8>),
    Compressed {
        text: Option<Utf8>,
        inflated: u64,
    },
}

/// The proof that the payload of the open frame belongs to.
#[derive(Debug)]
enum Frame {
    Close(CloseBody),
    Data {
        fin: bool,
    },
    /// No proof: nobody reads the payload.
    Unread,
}

/// The extent to which proved bytes may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proved {
    /// The frame may pass, and all that was withheld before it.
    AllSoFar,
    /// The message is whole, and captured.
    Message,
    /// Nothing may pass yet: the rest of the message is needed.
    Nothing,
}

/// The reason why a payload does not prove what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unproved {
    /// The payload breaks RFC 6455 or RFC 7692.
    Broken(FrameFault),
    /// The message inflates to more than it may have.
    TooBig(LimitExceeded),
    /// It opens another protocol.
    Tunnel(Tunnelled),
}

/// The number of payload bytes by which another protocol is told.
const OPENING: usize = 64;

/// The number of bytes that are unmasked at a time to be inflated. The place for them is cleared for every
/// chunk.
const BLOCK: usize = 512;

impl Proof {
    pub(super) fn new(
        (sender, looks_for_tunnels): (Peer, bool),
        utf8: bool,
        max_message_bytes: u64,
        inflater: Option<Inflater>,
    ) -> Self {
        Self {
            sender,
            shadow: None,
            is_opening: looks_for_tunnels,
            opening: None,
            is_first: false,
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

    /// Has some proofs told and not enforced.
    pub(super) fn set_shadow(&mut self, shadow: ShadowedProofs) {
        self.shadow = shadow.is_any().then(|| Box::new(shadow));
    }

    /// Takes what was not proved, and need not be.
    pub(super) fn take_unproved(&mut self) -> Vec<Unproved> {
        self.shadow.as_mut().map(|shadow| shadow.take_unproved()).unwrap_or_default()
    }

    /// Proves nothing more of the message that is open, of which no more can be held, but for what its first bytes are. Says
    /// whether there was anything to prove.
    pub(super) fn give_up_message(&mut self) -> bool {
        if matches!(self.message, Message::Unread) {
            return false;
        }
        if matches!(self.message, Message::Compressed { .. }) {
            // It is the history of those behind it.
            self.inflater = None;
            (self.is_opening, self.opening) = (false, None);
        }
        (self.message, self.keeps) = (Message::Unread, false);
        if !self.is_opening {
            self.frame = Frame::Unread;
        }
        self.forget_kept();
        true
    }

    /// Says whether the payload of the open frame has to be read.
    pub(super) fn reads(&self) -> bool {
        !matches!(self.frame, Frame::Unread)
    }

    /// Judges messages that begin from now on by other rules. `looks_for_tunnels` says whether the first payload is to be
    /// looked at, if it has not passed.
    pub(super) fn set_limits(&mut self, utf8: bool, max_message_bytes: u64, looks_for_tunnels: bool) {
        (self.utf8, self.max_message_bytes) = (utf8, max_message_bytes);
        if self.is_opening != looks_for_tunnels {
            (self.is_opening, self.opening) = (looks_for_tunnels, None);
        }
    }

    /// Sets whether text messages that begin from now on are kept and withheld until they are whole.
    pub(crate) fn capture(&mut self, captures: bool) {
        self.captures = captures;
    }

    /// Returns the message that has been kept.
    pub(crate) fn kept(&self) -> &[u8] {
        match self.kept.as_deref() {
            Some(Kept::Whole(text)) => text,
            Some(Kept::Parts(_)) | None => &[],
        }
    }

    /// Says whether the open frame has nothing more to prove, so that the rest of it passes unread.
    pub(crate) fn lets_go(&self) -> bool {
        !self.is_opening
            && matches!((&self.frame, &self.message), (Frame::Data { .. } | Frame::Unread, Message::Unread))
    }

    /// Says whether the first payload is still to be looked at, so that nothing passes unread.
    pub(crate) fn is_opening(&self) -> bool {
        self.is_opening
    }

    fn opening(&mut self) -> Opening<'_> {
        Opening { sender: self.sender, is_open: &mut self.is_opening, begun: &mut self.opening }
    }

    /// Takes the message that was open for one that the receiver never sees.
    pub(crate) fn take_out(&mut self) {
        let is_first = self.is_first;
        self.opening().take_out(is_first);
    }

    /// Keeps `text`, which is the message that was withheld.
    pub(crate) fn keep(&mut self, text: Vec<u8>) {
        self.kept = Some(Box::new(Kept::Whole(text)));
    }

    /// Says whether the message that is open is kept only once it is whole.
    pub(crate) fn keeps_when_whole(&self) -> bool {
        self.keeps && matches!(self.message, Message::Plain(_))
    }

    /// Returns the code of the Close that was the last frame, if it was one and has a code.
    pub(crate) fn close_code(&self) -> Option<u16> {
        match &self.frame {
            Frame::Close(body) => body.code(),
            Frame::Data { .. } | Frame::Unread => None,
        }
    }

    /// Returns the memory that is taken for what the sender has sent, in bytes.
    pub(crate) fn held(&self) -> usize {
        let kept = match self.kept.as_deref() {
            Some(Kept::Parts(parts)) => parts.held(),
            Some(Kept::Whole(text)) => text.capacity(),
            None => 0,
        };
        kept + self.inflater.as_ref().map_or(0, |inflater| inflater.held())
    }

    /// Returns the part of [`Proof::held`] that an inflater takes between two messages.
    pub(crate) fn held_at_rest(&self) -> usize {
        self.inflater.as_ref().map_or(0, |inflater| inflater.held_at_rest())
    }

    /// Gives back the memory that [`Proof::held`] counts. Nothing more can be proved.
    pub(crate) fn give_back(&mut self) {
        (self.inflater, self.message, self.frame) = (None, Message::Unread, Frame::Unread);
        self.forget_kept();
    }

    /// Forgets the message that has been kept.
    pub(crate) fn forget_kept(&mut self) {
        self.kept = None;
    }

    /// Returns the proof that a text message of one frame, not compressed, gives by its payload and mask;
    /// absent where none is asked. A captured message proves nothing by itself.
    pub(crate) fn of_text(&self) -> Option<impl Fn(&[u8], Mask) -> bool + use<>> {
        let captures = self.captures;
        (self.utf8 || captures).then_some(move |payload: &[u8], mask| {
            let mut text = Utf8::default();
            !captures && text.push(payload, mask).is_ok() && text.is_complete()
        })
    }

    /// Begins a frame that passes by its header, and says whether its payload has to be read.
    pub(crate) fn begin(&mut self, header: &FrameHeader, starts_message: bool) -> bool {
        self.mask = header.mask.map(Mask::new).unwrap_or_default();
        if starts_message {
            let is_text = header.opcode == OpCode::TEXT;
            // Nobody reads what is compressed and not inflated.
            let is_opaque = header.is_compressed() && self.inflater.is_none();
            self.keeps = self.captures && is_text && !is_opaque;
            let keeps = self.keeps;
            self.is_first = self.opening().begin_message(keeps);
            if is_opaque {
                (self.is_opening, self.opening) = (false, None);
            }
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
            (_, opcode) if opcode.is_control() => Frame::Unread,
            (Message::Unread, _) if !self.is_opening => Frame::Unread,
            _ => Frame::Data { fin: header.fin },
        };
        self.reads()
    }

    /// Reads more of the payload of the open frame, as it is on the wire.
    pub(crate) fn push(&mut self, payload: &[u8]) -> Result<(), Unproved> {
        match self.read(payload) {
            Err(unproved @ Unproved::TooBig(_)) if self.shadow.is_some() => {
                ShadowedProofs::pass_over(&mut self.shadow, unproved)?;
                self.give_up_message();
                Ok(())
            }
            read => read,
        }
    }

    fn read(&mut self, payload: &[u8]) -> Result<(), Unproved> {
        let mask = self.mask;
        self.mask = mask.after(payload.len());
        match (&mut self.frame, &mut self.message) {
            (Frame::Close(body), _) => Ok(body.push(payload, mask)?),
            (Frame::Data { .. }, Message::Plain(text)) => {
                let (is_open, begun) = (&mut self.is_opening, &mut self.opening);
                let opening = Opening { sender: self.sender, is_open, begun };
                let shadow = &mut self.shadow;
                let looked_at = look_and_prove(opening, text, shadow, payload, mask)?;
                let (rest, mask) = (payload.get(looked_at..).unwrap_or_default(), mask.after(looked_at));
                prove(text, shadow, rest, mask)
            }
            (Frame::Data { .. }, Message::Compressed { text, inflated }) => {
                let Some(inflater) = &mut self.inflater else { return Err(FrameFault::Deflate.into()) };
                let limit = self.max_message_bytes;
                let (keeps, kept) = (self.keeps, &mut self.kept);
                let (is_open, begun) = (&mut self.is_opening, &mut self.opening);
                let mut opening = Opening { sender: self.sender, is_open, begun };
                let shadow = &mut self.shadow;
                let mut judge = |plain: &[u8]| {
                    // Bytes are judged in order, so that it does not show in which pieces they come.
                    let room = usize::try_from(limit.saturating_sub(*inflated)).unwrap_or(usize::MAX);
                    let within = plain.get(..room).unwrap_or(plain);
                    let looked_at =
                        look_and_prove(opening.reborrow(), text, shadow, within, Mask::default())?;
                    let rest = within.get(looked_at..).unwrap_or_default();
                    prove(text, shadow, rest, Mask::default())?;
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
            (Frame::Data { .. }, Message::Unread) => {
                let (is_open, begun) = (&mut self.is_opening, &mut self.opening);
                look(Opening { sender: self.sender, is_open, begun }, &mut self.shadow, payload, mask)
            }
            (Frame::Unread, _) => Ok(()),
        }
    }

    /// Ends the open frame.
    pub(crate) fn end_frame(&mut self) -> Result<Proved, Unproved> {
        match (&self.frame, &self.message) {
            (Frame::Close(body), _) => body.end()?,
            (Frame::Data { fin: true }, Message::Plain(text)) => end_text(text.as_ref(), &mut self.shadow)?,
            (Frame::Data { fin: true }, Message::Compressed { text, .. }) => {
                self.inflater.as_mut().map_or(Err(FrameFault::Deflate), |inflater| inflater.finish())?;
                end_text(text.as_ref(), &mut self.shadow)?;
            }
            (Frame::Data { fin: false }, Message::Compressed { .. }) => return Ok(Proved::Nothing),
            (Frame::Data { fin: false }, _) if self.keeps => return Ok(Proved::Nothing),
            (Frame::Data { .. } | Frame::Unread, _) => {}
        }
        if matches!(self.frame, Frame::Data { fin: true }) {
            let told = self.opening().end_message().map_err(Unproved::from);
            told.or_else(|unproved| ShadowedProofs::pass_over(&mut self.shadow, unproved))?;
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

impl From<Tunnelled> for Unproved {
    fn from(tunnelled: Tunnelled) -> Self {
        Self::Tunnel(tunnelled)
    }
}

impl From<FrameFault> for Unproved {
    fn from(fault: FrameFault) -> Self {
        Self::Broken(fault)
    }
}

/// Looks at the first payload, as it is on the wire, and proves it to be text byte by byte, so that it does not show in which
/// pieces it comes. Returns the number of bytes that are proved by that.
fn look_and_prove(
    mut opening: Opening<'_>,
    text: &mut Option<Utf8>,
    shadow: &mut Option<Box<ShadowedProofs>>,
    payload: &[u8],
    mask: Mask,
) -> Result<usize, Unproved> {
    if !*opening.is_open {
        return Ok(0);
    }
    let first = payload.get(..OPENING).unwrap_or(payload);
    let mut mask = mask;
    for byte in first.chunks(1) {
        look(opening.reborrow(), shadow, byte, mask)?;
        prove(text, shadow, byte, mask)?;
        mask = mask.after(1);
    }
    Ok(first.len())
}

/// Looks at the first payload, as it is on the wire.
fn look(
    mut opening: Opening<'_>,
    shadow: &mut Option<Box<ShadowedProofs>>,
    payload: &[u8],
    mask: Mask,
) -> Result<(), Unproved> {
    if !*opening.is_open {
        return Ok(());
    }
    let mut scratch = [0; OPENING];
    let first = payload.get(..OPENING).unwrap_or(payload);
    let told = opening.push(mask.remove(first, &mut scratch)).map_err(Unproved::from);
    told.or_else(|unproved| ShadowedProofs::pass_over(shadow, unproved))
}

/// Proves the next bytes to be text. Text that need not be is proved no further than to its first fault.
fn prove(
    text: &mut Option<Utf8>,
    shadow: &mut Option<Box<ShadowedProofs>>,
    bytes: &[u8],
    mask: Mask,
) -> Result<(), Unproved> {
    if let Some(proved) = text
        && let Err(InvalidUtf8) = proved.push(bytes, mask)
    {
        ShadowedProofs::pass_over(shadow, FrameFault::Text.into())?;
        *text = None;
    }
    Ok(())
}

fn end_text(text: Option<&Utf8>, shadow: &mut Option<Box<ShadowedProofs>>) -> Result<(), Unproved> {
    match text.is_none_or(Utf8::is_complete) {
        true => Ok(()),
        false => ShadowedProofs::pass_over(shadow, FrameFault::Text.into()),
    }
}
