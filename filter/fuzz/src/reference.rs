//! What a reader of a stream sees, by tungstenite and by this crate's own plain reader.

use std::io::{self, Read, Write};

use postern_engine::Peer;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::wire::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frames};

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
