//! A browser that opens its WebSockets on the HTTP/2 connection that it has (RFC 8441), and makes another one only when it is
//! told that this one takes no more of them (GOAWAY).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use postern_e2e::Frame;
use postern_e2e::client::http2::{connect_plain, handshake, open};
use postern_e2e::deadline::{PATIENCE, eventually, within};
use postern_e2e::frames::opcode;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::crowd::RETRY;

/// The path on which the service says nothing by itself.
const PATH: &str = "/ws/browser";

/// The time between two messages.
const PACE: Duration = Duration::from_millis(100);

/// The browser's own account.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// The codes of the Closes that it got.
    pub(crate) closes: Vec<Option<u16>>,
    /// The number of its connections of which it was told that they take no more WebSockets.
    pub(crate) farewells: usize,
    /// The number of handshakes that were refused on each of its connections.
    pub(crate) refused: Vec<usize>,
}

/// A browser that chats until it is told to stop.
pub(crate) struct Browser {
    story: JoinHandle<Story>,
    visits: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
}

impl Browser {
    pub(crate) fn start(at: SocketAddr) -> Self {
        let (stop, stopped) = watch::channel(false);
        let visits = Arc::new(AtomicUsize::default());
        let story = tokio::spawn(browse(at, Arc::clone(&visits), stopped));
        Self { story, visits, stop }
    }

    /// Waits until so many WebSockets have been opened.
    pub(crate) async fn has_visited(&self, times: usize) {
        let look = || (self.visits.load(Ordering::Relaxed) >= times).then_some(());
        eventually(2 * PATIENCE, "a browser to be let in", look).await;
    }

    pub(crate) async fn stop(self) -> Story {
        self.stop.send_replace(true);
        self.story.await.expect("a browser that goes on")
    }
}

async fn browse(at: SocketAddr, visits: Arc<AtomicUsize>, stopped: watch::Receiver<bool>) -> Story {
    let mut story = Story { refused: vec![0], ..Story::default() };
    let mut connection = connect_plain(at).await;
    while !*stopped.borrow() {
        connection = match reused(connection).await {
            Ok(connection) => connection,
            Err(error) => {
                assert!(error.is_go_away() && error.is_remote(), "{error}");
                story.farewells += 1;
                story.refused.push(0);
                connect_plain(at).await
            }
        };
        let case = format!("browser {}", story.closes.len());
        let (response, stream) = open(&mut connection, handshake(PATH, &case)).await;
        if response.status() == 200 {
            visits.fetch_add(1, Ordering::Relaxed);
            story.closes.extend(chat(stream, response.into_body(), &stopped).await);
        } else {
            assert_eq!(response.status(), 503);
            *story.refused.last_mut().expect("a connection") += 1;
            tokio::time::sleep(RETRY).await;
        }
    }
    story
}

/// Returns the connection if it takes another stream.
async fn reused(connection: SendRequest<Bytes>) -> Result<SendRequest<Bytes>, h2::Error> {
    within(PATIENCE, "an HTTP/2 connection", connection.ready()).await
}

/// Has messages come back until a Close does, and returns its code, or until the browser is to stop.
async fn chat(
    mut stream: SendStream<Bytes>,
    mut body: RecvStream,
    stopped: &watch::Receiver<bool>,
) -> Option<Option<u16>> {
    let mut unread = BytesMut::new();
    while !*stopped.borrow() {
        say(&mut stream, Frame::text("hello"));
        let frame = loop {
            let frame = next(&mut body, &mut unread).await;
            if frame.opcode != opcode::PING {
                break frame;
            }
            say(&mut stream, Frame::pong(frame.payload));
        };
        if frame.is_close() {
            say(&mut stream, Frame::closing(1001, ""));
            return Some(frame.code());
        }
        assert_eq!(frame, Frame::text("hello"));
        tokio::time::sleep(PACE).await;
    }
    None
}

fn say(stream: &mut SendStream<Bytes>, frame: Frame) {
    // The end of a stream is told by what comes, or comes no more.
    let _ = stream.send_data(frame.masked().bytes().into(), false);
}

/// Reads the next frame.
async fn next(body: &mut RecvStream, unread: &mut BytesMut) -> Frame {
    loop {
        if let Some((frame, length)) = Frame::parse(unread) {
            drop(unread.split_to(length));
            return frame;
        }
        let chunk = within(PATIENCE, "bytes of a WebSocket", body.data()).await.expect("a Close at the end");
        let chunk = chunk.expect("an open stream");
        body.flow_control().release_capacity(chunk.len()).expect("what has just been read");
        unread.extend_from_slice(&chunk);
    }
}
