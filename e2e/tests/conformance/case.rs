//! The cases of `e2e/conformance/*.json`: what they say, and what it means on the wire. README.md there describes the
//! notation.

use std::fmt;

use postern_e2e::frames::opcode;
use postern_e2e::{Frame, LengthForm, Value};
use serde::Deserialize;
use serde_json::Map;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Policies by name, each laid over the generous one.
    #[serde(default)]
    pub(crate) policies: Map<String, Value>,
    cases: Vec<Group>,
}

/// Cases that differ in one value or in how they are cut.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    id: String,
    rfc: Vec<String>,
    title: String,
    policy: Option<String>,
    offer: Option<String>,
    each: Option<Value>,
    #[serde(default = "uncut")]
    fragments_of: Vec<usize>,
    #[serde(default = "uncut")]
    chop: Vec<usize>,
    #[serde(default)]
    split: Vec<usize>,
    send: Value,
    #[serde(default = "no_wishes")]
    expect: Value,
}

fn uncut() -> Vec<usize> {
    vec![0]
}

fn no_wishes() -> Value {
    Value::Object(Map::new())
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) id: String,
    title: String,
    rfc: Vec<String>,
    pub(crate) policy: Option<String>,
    /// Sec-WebSocket-Extensions of the handshake.
    pub(crate) offer: Option<String>,
    pub(crate) send: Vec<Step>,
    pub(crate) delivery: Delivery,
    pub(crate) expect: Expect,
}

/// How the bytes are cut into writes.
#[derive(Clone, Debug)]
pub(crate) enum Delivery {
    /// What is sent between two waits is one write.
    Whole,
    /// Pieces of this size.
    Pieces(usize),
    /// The first pieces have these sizes, and the last is the rest.
    Split(Vec<usize>),
}

/// One thing that the client does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends a frame, and these bytes for it.
    Frame(Frame, Vec<u8>),
    /// Sends bytes that are no frame of this notation.
    Raw(Vec<u8>),
    /// Waits until everything sent so far has been answered.
    Await,
}

/// What must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// Messages that come back.
    #[serde(default)]
    pub(crate) echo: Count,
    /// Pings that are answered.
    #[serde(default)]
    pub(crate) pong: Count,
    /// The codes of which one must be in the server's Close, 1005 being a Close without one. Without this the connection
    /// must live on, which is seen from a Close 1000 being answered with 1000.
    pub(crate) close: Option<Vec<u16>>,
    /// The connection may also end without a Close.
    #[serde(default)]
    pub(crate) drop: bool,
    /// Who closes, where it has to be Postern: then its reason is one of these ids.
    pub(crate) judge: Option<Judge>,
    #[serde(default)]
    pub(crate) reason: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Judge {
    Postern,
}

/// How many of what was sent.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(from = "Option<usize>")]
pub(crate) enum Count {
    #[default]
    All,
    First(usize),
}

impl From<Option<usize>> for Count {
    fn from(number: Option<usize>) -> Self {
        number.map_or(Self::All, Self::First)
    }
}

impl Count {
    /// The first so many of `all`.
    pub(crate) fn of<T>(self, all: &[T]) -> &[T] {
        match self {
            Self::All => all,
            Self::First(number) => &all[..number],
        }
    }
}

/// What a frame carries.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Payload {
    Text(String),
    Hex { hex: String },
    Repeat { repeat: Box<Payload>, times: usize },
    Joined(Vec<Payload>),
}

impl Payload {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Hex { hex } => unhex(hex),
            Self::Repeat { repeat, times } => repeat.bytes().repeat(*times),
            Self::Joined(parts) => parts.iter().flat_map(Self::bytes).collect(),
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    assert!(digits.len().is_multiple_of(2), "{hex:?} is half a byte short");
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("hex digits")).collect()
}

/// A step as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
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
    fn step(self) -> Step {
        if let Some(hex) = &self.raw {
            return Step::Raw(unhex(hex));
        }
        if let Some(Answers::Answers) = self.waits {
            return Step::Await;
        }
        let mut frame = self.frame();
        frame.fin = self.fin.unwrap_or(true);
        frame.rsv = self.rsv.unwrap_or_default();
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
        Step::Frame(frame, bytes)
    }

    fn frame(&self) -> Frame {
        let kinds = [
            (opcode::TEXT, &self.text),
            (opcode::BINARY, &self.binary),
            (opcode::CONTINUATION, &self.more),
            (opcode::PING, &self.ping),
            (opcode::PONG, &self.pong),
        ];
        for (code, payload) in kinds {
            if let Some(payload) = payload {
                return Frame::new(code, payload.bytes());
            }
        }
        let reason = self.reason.as_ref().map(Payload::bytes).unwrap_or_default();
        match (&self.close, self.opcode) {
            (Some(CloseBody::Code(code)), _) => {
                Frame::new(opcode::CLOSE, [code.to_be_bytes().to_vec(), reason].concat())
            }
            (Some(CloseBody::Whole(body)), _) => Frame::new(opcode::CLOSE, body.bytes()),
            (None, Some(code)) => {
                Frame::new(code, self.payload.as_ref().map(Payload::bytes).unwrap_or_default())
            }
            (None, None) => panic!("a step without a frame: {self:?}"),
        }
    }
}

impl File {
    /// The file's cases, every one by itself.
    pub(crate) fn cases(&self) -> Vec<Case> {
        self.cases.iter().flat_map(Group::cases).collect()
    }
}

impl Group {
    fn cases(&self) -> Vec<Case> {
        assert!(!self.rfc.is_empty(), "{} names no RFC", self.id);
        let mut cases = Vec::new();
        for (name, value) in self.values() {
            for &fragment in &self.fragments_of {
                for &chop in &self.chop {
                    let mut id = self.id.clone();
                    for part in [name.clone(), suffix("fragments of", fragment), suffix("chop", chop)] {
                        if !part.is_empty() {
                            id = format!("{id}/{part}");
                        }
                    }
                    cases.push(self.case(id, &value, fragment, chop));
                }
            }
        }
        cases
    }

    /// The values of `each`, and what they are called.
    fn values(&self) -> Vec<(String, Value)> {
        match &self.each {
            None => vec![(String::new(), Value::Null)],
            Some(Value::Array(values)) => {
                values.iter().map(|value| (name_of(value), value.clone())).collect()
            }
            Some(Value::Object(values)) => {
                values.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
            }
            Some(other) => panic!("{}: each is {other}", self.id),
        }
    }

    fn case(&self, id: String, value: &Value, fragment: usize, chop: usize) -> Case {
        let read = |what: &Value| with_value(what, value);
        let written: Vec<Written> =
            serde_json::from_value(read(&self.send)).unwrap_or_else(|error| panic!("{id}: send: {error}"));
        let steps = written.into_iter().map(Written::step);
        let send = match fragment {
            0 => steps.collect(),
            size => steps.flat_map(|step| fragmented(step, size)).collect(),
        };
        let expect: Expect = serde_json::from_value(read(&self.expect))
            .unwrap_or_else(|error| panic!("{id}: expect: {error}"));
        assert_eq!(expect.judge.is_some(), !expect.reason.is_empty(), "{id}: a judge has a reason");
        let delivery = match chop {
            0 if self.split.is_empty() => Delivery::Whole,
            0 => Delivery::Split(self.split.clone()),
            size => Delivery::Pieces(size),
        };
        Case {
            id,
            title: self.title.clone(),
            rfc: self.rfc.clone(),
            policy: self.policy.clone(),
            offer: self.offer.clone(),
            send,
            delivery,
            expect,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}; RFC {})", self.id, self.title, self.rfc.join(", "))
    }
}

fn name_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn suffix(what: &str, size: usize) -> String {
    if size == 0 { String::new() } else { format!("{what} {size}") }
}

/// `what` with the value of the case in the place of every "$".
fn with_value(what: &Value, value: &Value) -> Value {
    match what {
        Value::String(text) if text == "$" => value.clone(),
        Value::Array(items) => items.iter().map(|item| with_value(item, value)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), with_value(member, value))).collect()
        }
        other => other.clone(),
    }
}

/// A data frame as fragments with `size` bytes of payload each.
fn fragmented(step: Step, size: usize) -> Vec<Step> {
    let frame = match step {
        Step::Frame(frame, _) if matches!(frame.opcode, opcode::TEXT | opcode::BINARY) => frame,
        other => return vec![other],
    };
    let count = frame.payload.len().div_ceil(size).max(1);
    let pieces = (0..count).map(|index| {
        let (start, end) = (index * size, frame.payload.len().min((index + 1) * size));
        let piece = Frame {
            opcode: if index == 0 { frame.opcode } else { opcode::CONTINUATION },
            fin: frame.fin && index + 1 == count,
            payload: frame.payload[start..end].to_vec(),
            ..frame.clone()
        };
        let bytes = piece.bytes();
        Step::Frame(piece, bytes)
    });
    pieces.collect()
}
