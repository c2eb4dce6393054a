//! The client's acts, one frame or wait at a time.

use postern_e2e::frames::opcode;
use postern_e2e::{Frame, LengthForm};
use serde::Deserialize;

use crate::payload::{Payload, unhex};

/// RSV1, which marks a compressed message (RFC 7692 §6).
pub(crate) const RSV1: u8 = 4;

/// One act of the client.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends a frame.
    Frame(Outgoing),
    /// Sends bytes that are no frame of this notation.
    Raw(Vec<u8>),
    /// Waits until everything sent so far has been answered.
    Await,
}

/// A frame to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) frame: Frame,
    /// The part of the message that this frame adds, not compressed. A compressed message that is cut into
    /// fragments here has all of it in the first.
    pub(crate) plain: Vec<u8>,
    /// The bytes that go out.
    pub(crate) bytes: Vec<u8>,
}

/// A step as a case writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    text: Option<Payload>,
    binary: Option<Payload>,
    more: Option<Payload>,
    ping: Option<Payload>,
    pong: Option<Payload>,
    close: Option<CloseBody>,
    opcode: Option<u8>,
    raw: Option<String>,
    #[serde(rename = "await")]
    waits: Option<Answers>,
    payload: Option<Payload>,
    reason: Option<Payload>,
    fin: Option<bool>,
    rsv: Option<u8>,
    mask: Option<Mask>,
    length_as: Option<u8>,
    claim: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CloseBody {
    Code(u16),
    Whole(Payload),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Mask {
    Is(bool),
    Key(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answers {
    Answers,
}

impl Written {
    pub(crate) fn step(self) -> Step {
        if let Some(hex) = &self.raw {
            return Step::Raw(unhex(hex));
        }
        if let Some(Answers::Answers) = self.waits {
            return Step::Await;
        }
        let (mut frame, plain) = self.frame();
        frame.fin = self.fin.unwrap_or(true);
        frame.rsv = self.rsv.unwrap_or(frame.rsv);
        frame = match &self.mask {
            None | Some(Mask::Is(true)) => frame.masked(),
            Some(Mask::Is(false)) => frame,
            Some(Mask::Key(key)) => Frame { mask: Some(unhex(key).try_into().expect("four bytes")), ..frame },
        };
        let length = self.claim.unwrap_or(frame.payload.len() as u64);
        let form = match self.length_as {
            Some(7) => LengthForm::Seven,
            Some(16) => LengthForm::Sixteen,
            Some(64) => LengthForm::SixtyFour,
            Some(bits) => panic!("no length has {bits} bits"),
            None if length < 126 => LengthForm::Seven,
            None if length < 1 << 16 => LengthForm::Sixteen,
            None => LengthForm::SixtyFour,
        };
        let bytes = frame.bytes_claiming(form, length);
        Step::Frame(Outgoing { frame, plain, bytes })
    }

    /// Returns the frame with its opcode, payload and, where that is compressed, RSV1; and the bytes that the
    /// payload stands for.
    fn frame(&self) -> (Frame, Vec<u8>) {
        let of = |code, payload: &Payload| {
            let starts = matches!(code, opcode::TEXT | opcode::BINARY);
            let rsv = if starts && payload.is_compressed() { RSV1 } else { 0 };
            (Frame::new(code, payload.wire()).rsv(rsv), payload.plain())
        };
        let kinds = [
            (opcode::TEXT, &self.text),
            (opcode::BINARY, &self.binary),
            (opcode::CONTINUATION, &self.more),
            (opcode::PING, &self.ping),
            (opcode::PONG, &self.pong),
        ];
        for (code, payload) in kinds {
            if let Some(payload) = payload {
                return of(code, payload);
            }
        }
        let reason = self.reason.as_ref().map(Payload::wire).unwrap_or_default();
        let nothing = Payload::Text(String::new());
        match (&self.close, self.opcode) {
            (Some(CloseBody::Code(code)), _) => {
                let body = [code.to_be_bytes().to_vec(), reason].concat();
                (Frame::new(opcode::CLOSE, body), Vec::new())
            }
            (Some(CloseBody::Whole(body)), _) => of(opcode::CLOSE, body),
            (None, Some(code)) => of(code, self.payload.as_ref().unwrap_or(&nothing)),
            (None, None) => panic!("a step without a frame: {self:?}"),
        }
    }
}

/// Cuts a data frame into fragments with `size` bytes of payload each, with the reserved bits on the first
/// only.
pub(crate) fn fragmented(step: Step, size: usize) -> Vec<Step> {
    let Outgoing { frame, plain, .. } = match step {
        Step::Frame(sent) if matches!(sent.frame.opcode, opcode::TEXT | opcode::BINARY) => sent,
        other => return vec![other],
    };
    let count = frame.payload.len().div_ceil(size).max(1);
    let pieces = (0..count).map(|index| {
        let (start, end) = (index * size, frame.payload.len().min((index + 1) * size));
        let first = index == 0;
        let piece = Frame {
            opcode: if first { frame.opcode } else { opcode::CONTINUATION },
            rsv: if first { frame.rsv } else { 0 },
            fin: frame.fin && index + 1 == count,
            payload: frame.payload[start..end].to_vec(),
            ..frame.clone()
        };
        let bytes = piece.bytes();
        Step::Frame(Outgoing { frame: piece, plain: if first { plain.clone() } else { Vec::new() }, bytes })
    });
    pieces.collect()
}
