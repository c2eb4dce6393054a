//! One byte stream, plain or TLS, with what has been read from it but not yet used.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::heartbeat;

/// The room for one read, in bytes. A larger piece saves passes over bytes that come in many small ones.
const PIECE: usize = 16 * 1024;

/// The pause between two pieces of a write, so that Envoy reads each by itself.
pub(crate) const BETWEEN_PIECES: Duration = Duration::from_millis(1);

/// A stream of bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// The end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An end in order, with a FIN (and with TLS, a close_notify).
    Eof,
    /// A cut: a TCP reset, or a TLS stream without close_notify.
    Cut,
    /// No end yet, but bytes that are no HTTP, so that nothing behind them can be read either.
    NotHttp,
}

/// A stream and its unread bytes.
pub struct Wire {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
    /// Says whether Postern's own Pings are shown like any other frame.
    pub(crate) shows_heartbeats: bool,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("unread", &self.unread.len()).finish_non_exhaustive()
    }
}

impl Wire {
    /// Wraps a stream of which nothing has been read.
    pub fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), unread: Vec::new(), shows_heartbeats: true }
    }

    /// Returns the bytes that have been read and not taken.
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Takes the first `n` unread bytes.
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        self.unread.drain(..n).collect()
    }

    /// Reads some more; an error says how the stream ended. A call that is cancelled loses nothing.
    pub async fn fill(&mut self) -> Result<(), End> {
        let before = self.unread.len();
        self.unread.reserve(PIECE);
        match self.stream.read_buf(&mut self.unread).await {
            Ok(0) => Err(End::Eof),
            Ok(_) => {
                if !self.shows_heartbeats {
                    heartbeat::take_out_behind(&mut self.unread, before);
                }
                Ok(())
            }
            Err(_) => Err(End::Cut),
        }
    }

    /// Takes everything up to the first empty line, and that line.
    pub async fn head(&mut self) -> Result<Vec<u8>, End> {
        loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(self.take(at + 4));
            }
            self.fill().await?;
        }
    }

    /// Takes exactly `n` bytes.
    pub async fn exactly(&mut self, n: usize) -> Result<Vec<u8>, End> {
        while self.unread.len() < n {
            self.fill().await?;
        }
        Ok(self.take(n))
    }

    /// Takes everything until the stream ends.
    pub async fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.fill().await {
                return (std::mem::take(&mut self.unread), end);
            }
        }
    }

    /// Writes `bytes` and flushes, so that they leave at once.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Ends the sending direction of the stream.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Returns the bare stream, and the bytes that have been read from it and not taken.
    pub fn into_parts(self) -> (Box<dyn Stream>, Vec<u8>) {
        (self.stream, self.unread)
    }
}
