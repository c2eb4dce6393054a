//! Bytes to and from the endpoint, over TCP or TLS. Never waits longer than it is told to, and knows nothing of what the
//! bytes mean.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::world;

/// The time between two looks at a connection on which nothing moves.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// The most bytes that are kept unread. What is behind them stays in the network.
const MOST_UNREAD: usize = 16 << 20;

/// The way in which a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The endpoint ended its direction.
    Finished,
    /// The endpoint reset the connection, or cut it within TLS.
    Cut,
}

impl End {
    /// Says what was seen.
    pub(crate) fn seen(self) -> &'static str {
        match self {
            Self::Finished => "the connection was ended without a Close",
            Self::Cut => "the connection was cut",
        }
    }
}

/// How to speak TLS, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// What is not written yet, without TLS.
    outgoing: Vec<u8>,
    unread: Vec<u8>,
    end: Option<End>,
}

impl Wire {
    /// Connects by `deadline`, TLS included.
    pub(crate) fn connect(address: SocketAddr, tls: Option<&Tls>, deadline: Instant) -> io::Result<Self> {
        let left = deadline.saturating_duration_since(world::instant());
        let tcp = TcpStream::connect_timeout(&address, left.max(BETWEEN_LOOKS))?;
        tcp.set_nonblocking(true)?;
        tcp.set_nodelay(true)?;
        let mut wire = Self { tcp, tls: None, outgoing: Vec::new(), unread: Vec::new(), end: None };
        if let Some(Tls { config, name }) = tls {
            let mut connection =
                ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
            connection.set_buffer_limit(None);
            wire.tls = Some(Box::new(connection));
            wire.shake_hands(deadline)?;
        }
        Ok(wire)
    }

    fn shake_hands(&mut self, deadline: Instant) -> io::Result<()> {
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            let moved = self.exchange()?;
            if let Some(end) = self.end {
                let complaint = format!("the connection ended within the handshake of TLS ({end:?})");
                return Err(io::Error::new(ErrorKind::UnexpectedEof, complaint));
            }
            if !moved && !rest(deadline) {
                return Err(io::Error::new(ErrorKind::TimedOut, "no handshake of TLS in time"));
            }
        }
        Ok(())
    }

    /// Takes `bytes` to be written. They go out as the connection is looked at.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let written = match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes),
            None => self.outgoing.write_all(bytes),
        };
        if written.is_err() {
            self.end = Some(End::Cut);
        }
    }

    /// Returns what was received and not taken yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Takes the first `count` bytes out of what was received.
    pub(crate) fn take(&mut self, count: usize) {
        self.unread.drain(..count.min(self.unread.len()));
    }

    /// Returns how the connection ended, once it has. What was received before can still be taken.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// Writes and reads until more was received, the connection has ended, or `deadline` has passed; says whether it has
    /// not.
    pub(crate) fn await_more(&mut self, deadline: Instant) -> bool {
        let before = self.unread.len();
        while self.end.is_none() && self.unread.len() == before {
            let moved = self.look();
            if self.unread.len() == before && self.end.is_none() {
                let in_time = if moved { world::instant() < deadline } else { rest(deadline) };
                if !in_time {
                    return false;
                }
            }
        }
        true
    }

    /// Writes and reads what can be without waiting, and says whether anything moved.
    pub(crate) fn look(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        match self.exchange() {
            Ok(moved) => moved,
            Err(_) => {
                self.end = Some(End::Cut);
                true
            }
        }
    }

    fn exchange(&mut self) -> io::Result<bool> {
        let wrote = self.write()?;
        let read = self.unread.len() < MOST_UNREAD && self.read()?;
        Ok(wrote || read)
    }

    /// Writes what can be. A peer that reads no more may have left an answer, so that it is not the end yet.
    fn write(&mut self) -> io::Result<bool> {
        let written = match &mut self.tls {
            Some(tls) if tls.wants_write() => tls.write_tls(&mut self.tcp),
            None if !self.outgoing.is_empty() => self.tcp.write(&self.outgoing),
            _ => return Ok(false),
        };
        match written {
            Ok(count) => {
                if self.tls.is_none() {
                    self.outgoing.drain(..count);
                }
                Ok(count > 0)
            }
            Err(error) if is_passing(&error) => Ok(false),
            Err(_) => {
                self.outgoing.clear();
                self.read()?;
                self.end.get_or_insert(End::Cut);
                Ok(true)
            }
        }
    }

    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        let Some(tls) = &mut self.tls else {
            return match self.tcp.read(&mut buffer) {
                Ok(count) => Ok(self.received(buffer.get(..count).unwrap_or_default())),
                Err(error) if is_passing(&error) => Ok(false),
                Err(error) => Err(error),
            };
        };
        let has_ended = match tls.read_tls(&mut self.tcp) {
            Ok(count) => count == 0,
            Err(error) if is_passing(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        tls.process_new_packets().map_err(io::Error::other)?;
        loop {
            match tls.reader().read(&mut buffer) {
                Ok(0) => {
                    self.end = Some(End::Finished);
                    return Ok(true);
                }
                Ok(count) => self.unread.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if has_ended {
            self.end = Some(End::Finished);
        }
        Ok(true)
    }

    fn received(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            self.end = Some(End::Finished);
        }
        self.unread.extend_from_slice(bytes);
        true
    }
}

/// Waits for a moment, unless `deadline` has passed; says whether it has not.
fn rest(deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(world::instant());
    if left.is_zero() {
        return false;
    }
    std::thread::sleep(left.min(BETWEEN_LOOKS));
    true
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
