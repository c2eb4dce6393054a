//! What a reader of a stream sees, by tungstenite and by this crate's own plain reader.

use std::io::{self, Read, Write};

use postern_engine::Peer;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::wire::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, frames};

/// Something that a reader is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Of the frame, or of the message's first one.
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// How a stream ends for a reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a Close.
    Closed,
    Fails(Fault),
    /// More may come.
    Waits,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Utf8,
    /// Longer than tungstenite is told to take.
    Capacity,
    Protocol(String),
}

/// What tungstenite lets pass and Postern does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Laxness {
    /// A length in a longer form than it needs (RFC 6455 §5.2).
    LengthNotMinimal,
    /// A Close with a code that none may carry (§7.4); tungstenite tells of a code 1002 instead.
    CloseCode,
}

/// How long a frame may be for tungstenite: as long as any policy lets one be.
pub(crate) const MAX_FRAME: usize = 1 << 20;

/// What tungstenite sees of `bytes` that `sender` sent, as the endpoint on the other side.
pub(crate) fn tungstenite(sender: Peer, bytes: &[u8]) -> (Vec<Item>, End) {
    let role = match sender {
        Peer::Client => Role::Server,
        Peer::Upstream => Role::Client,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_frame_size(Some(MAX_FRAME))
        .max_message_size(None);
    let mut socket = WebSocket::from_raw_socket(Wire(bytes), role, Some(config));
    let mut items = Vec::new();
    loop {
        let (opcode, payload) = match socket.read() {
            Ok(Message::Text(text)) => (TEXT, text.as_bytes().to_vec()),
            Ok(Message::Binary(bytes)) => (BINARY, bytes.to_vec()),
            Ok(Message::Ping(bytes)) => (PING, bytes.to_vec()),
            Ok(Message::Pong(bytes)) => (PONG, bytes.to_vec()),
            Ok(Message::Close(close)) => {
                let body = close
                    .map(|close| [&u16::from(close.code).to_be_bytes(), close.reason.as_bytes()].concat());
                items.push(Item { opcode: CLOSE, payload: body.unwrap_or_default() });
                return (items, End::Closed);
            }
            Ok(Message::Frame(frame)) => panic!("nobody asked for frames: {frame}"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return (items, End::Waits),
            Err(Error::Utf8(_)) => return (items, End::Fails(Fault::Utf8)),
            Err(Error::Capacity(_)) => return (items, End::Fails(Fault::Capacity)),
            Err(Error::Protocol(error)) => return (items, End::Fails(Fault::Protocol(error.to_string()))),
            Err(error) => panic!("no fault of the stream: {error}"),
        };
        items.push(Item { opcode, payload });
    }
}

/// What the whole frames of `bytes` say, up to a Close, where all of them are allowed.
pub(crate) fn plainly(bytes: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut message: Option<Item> = None;
    for frame in frames(bytes).0 {
        let payload = frame.plain();
        match frame.header.opcode {
            CONTINUATION | TEXT | BINARY => {
                let opcode = frame.header.opcode;
                message.get_or_insert(Item { opcode, payload: Vec::new() }).payload.extend(payload);
                if frame.header.fin {
                    items.extend(message.take());
                }
            }
            opcode => items.push(Item { opcode, payload }),
        }
        if frame.header.opcode == CLOSE {
            break;
        }
    }
    items
}

/// Why tungstenite may let a frame pass that Postern refuses.
pub(crate) fn laxness(bytes: &[u8]) -> Option<Laxness> {
    let (frame, _) = frame(bytes)?;
    let least = match bytes.get(1)? & 0x7f {
        126 => 126,
        127 => 1 << 16,
        _ => 0,
    };
    let code = frame.plain().first_chunk().map(|code| u16::from_be_bytes(*code));
    if frame.header.payload_len < least {
        Some(Laxness::LengthNotMinimal)
    } else if frame.header.opcode == CLOSE && !code.is_none_or(may_be_sent) {
        Some(Laxness::CloseCode)
    } else {
        None
    }
}

/// RFC 6455 §7.4 and IANA's registry of codes.
fn may_be_sent(code: u16) -> bool {
    let never = [1004, 1005, 1006, 1015];
    (1000..=1015).contains(&code) && !never.contains(&code) || (3000..5000).contains(&code)
}

/// The frame that `bytes` begin with, with zeros for what is missing of it.
pub(crate) fn completed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while frame(&bytes).is_none() {
        bytes.push(0);
    }
    let Some((frame, rest)) = frame(&bytes) else { return bytes };
    let missing = frame.header.payload_len - frame.payload.len() as u64;
    let whole = bytes.len() - rest.len();
    bytes.truncate(whole);
    // A longer one is refused for its length.
    bytes.extend(std::iter::repeat_n(
        0,
        usize::try_from(missing).map_or(MAX_FRAME, |missing| missing.min(MAX_FRAME)),
    ));
    bytes
}

/// A connection on which these bytes come, and then nothing; what is written is lost.
struct Wire<'b>(&'b [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(buffer) }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
