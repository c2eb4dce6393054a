//! A client that speaks bytes: it writes what a test gives it, cut where the test cuts it, and shows what
//! came back, but for Postern's own Pings. Checks nothing and answers nothing by itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::client::request::Request;
use crate::deadline::{PATIENCE, within};
use crate::environment;
use crate::frames::Frame;
use crate::http::Response;
use crate::wire::{BETWEEN_PIECES, End, Wire};

/// One connection.
#[derive(Debug)]
pub struct RawClient {
    wire: Wire,
    case: String,
}

impl RawClient {
    /// Connects to `to`, from the address `from` (such as 127.0.0.2, to be somebody else, as
    /// [`Environment::address_of`](environment::Environment::address_of) says) and with TLS for `localhost`
    /// if given.
    pub async fn connect(
        to: SocketAddr,
        from: Option<IpAddr>,
        tls: Option<Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        let tcp = environment::current().connect(to, from).await?;
        let mut wire = match tls {
            None => Wire::new(tcp),
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                Wire::new(TlsConnector::from(config).connect(name, tcp).await?)
            }
        };
        wire.shows_heartbeats = false;
        Ok(Self { wire, case: String::new() })
    }

    /// Shows Postern's own Pings too from here on.
    pub fn show_heartbeats(&mut self) {
        self.wire.shows_heartbeats = true;
    }

    /// Returns the id under which the upstream and the access log know the last request.
    pub fn case(&self) -> &str {
        &self.case
    }

    /// Writes `bytes` at once.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("an open connection");
    }

    /// Writes `bytes` at once, on a connection that may be gone.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within(PATIENCE, "the connection to take what is written", self.wire.write(bytes.as_ref())).await
    }

    /// Writes each piece in a segment (with TLS, a record) of its own.
    pub async fn send_pieces<P: AsRef<[u8]>>(&mut self, pieces: impl IntoIterator<Item = P>) {
        for piece in pieces {
            self.send(piece).await;
            tokio::time::sleep(BETWEEN_PIECES).await;
        }
    }

    /// Writes `bytes` in pieces of `size`; 1 is the hardest.
    pub async fn send_in_pieces_of(&mut self, size: usize, bytes: impl AsRef<[u8]>) {
        self.send_pieces(bytes.as_ref().chunks(size)).await;
    }

    /// Writes a request and reads the whole response.
    pub async fn ask(&mut self, request: &Request) -> Response {
        request.case().clone_into(&mut self.case);
        self.send(request.bytes()).await;
        self.response().await
    }

    /// Reads a whole response.
    pub async fn response(&mut self) -> Response {
        self.try_response().await.expect("a response before the connection ends")
    }

    /// Reads a whole response; the error is how the connection ended instead.
    pub async fn try_response(&mut self) -> Result<Response, End> {
        self.response_within(PATIENCE).await
    }

    /// Reads a whole response that may take up to `limit`; the error is how the connection ended instead.
    pub async fn response_within(&mut self, limit: Duration) -> Result<Response, End> {
        within(limit, "a response", Response::read(&mut self.wire)).await
    }

    /// Reads the next frame; the error is how the connection ended instead.
    pub async fn frame(&mut self) -> Result<Frame, End> {
        self.frame_within(PATIENCE).await
    }

    /// Reads the next frame, which may take up to `limit`; the error is how the connection ended instead.
    pub async fn frame_within(&mut self, limit: Duration) -> Result<Frame, End> {
        within(limit, "a frame", async {
            loop {
                if let Some((frame, length)) = Frame::parse(self.wire.unread()) {
                    self.wire.take(length);
                    return Ok(frame);
                }
                self.wire.fill().await?;
            }
        })
        .await
    }

    /// Reads the next `n` bytes as they come; the error is how the connection ended instead.
    pub async fn bytes(&mut self, n: usize) -> Result<Vec<u8>, End> {
        within(PATIENCE, "bytes", self.wire.exactly(n)).await
    }

    /// Says whether `quiet` passes without a byte from Envoy and with the connection open.
    pub async fn receives_nothing_for(&mut self, quiet: Duration) -> bool {
        self.wire.unread().is_empty() && tokio::time::timeout(quiet, self.wire.fill()).await.is_err()
    }

    /// Skips frames up to a Close and returns it; panics when the connection ends without one.
    pub async fn close(&mut self) -> Frame {
        let (frames, end) = self.frames_to_close().await;
        match frames.last() {
            Some(frame) if frame.is_close() => frame.clone(),
            _ => panic!("the connection ended ({end:?}) without a Close, after {frames:?}"),
        }
    }

    /// Reads every frame up to and with a Close, or to the end of the connection, and returns which end that
    /// was.
    pub async fn frames_to_close(&mut self) -> (Vec<Frame>, Option<End>) {
        let mut frames = Vec::new();
        loop {
            match self.frame().await {
                Ok(frame) => {
                    let last = frame.is_close();
                    frames.push(frame);
                    if last {
                        return (frames, None);
                    }
                }
                Err(end) => return (frames, Some(end)),
            }
        }
    }

    /// Reads every byte from here to the end of the connection, and returns how it ended.
    pub async fn rest(&mut self) -> (Vec<u8>, End) {
        within(PATIENCE, "the end of the connection", self.wire.rest()).await
    }

    /// Returns the stream itself, on which Postern's own Pings show.
    pub fn into_wire(mut self) -> Wire {
        self.wire.shows_heartbeats = true;
        self.wire
    }

    /// Ends the direction from the client.
    pub async fn shutdown(&mut self) {
        self.wire.shutdown().await.expect("an open connection");
    }
}
