//! The record of one request as the upstream saw it, by which a test moves the upstream's end of the connection too.

use std::future::Future;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use crate::deadline::{PATIENCE, within};
use crate::frames::{Frame, messages};
use crate::heartbeat;
use crate::http::RequestHead;
use crate::wire::BETWEEN_PIECES;
use crate::wire::End;

/// An act of the upstream on one connection, as a test demands it.
#[derive(Debug)]
pub(crate) enum Instruction {
    Send(Vec<u8>),
    /// Starts to read again (true), or stops reading (false).
    Read(bool),
    HangUp,
}

/// One request and every byte behind its head: its body or, if it was upgraded, the frames.
#[derive(Debug)]
pub struct Record {
    /// The head as the upstream received it.
    pub head: RequestHead,
    seen: Mutex<Seen>,
    changed: Notify,
    instructions: mpsc::UnboundedSender<Instruction>,
}

#[derive(Debug, Default)]
struct Seen {
    bytes: Vec<u8>,
    end: Option<End>,
}

impl Record {
    pub(crate) fn new(head: RequestHead) -> (Self, mpsc::UnboundedReceiver<Instruction>) {
        let (instructions, inbox) = mpsc::unbounded_channel();
        (Self { head, seen: Mutex::default(), changed: Notify::new(), instructions }, inbox)
    }

    pub(crate) fn add(&self, bytes: &[u8]) {
        self.seen().bytes.extend_from_slice(bytes);
        self.changed.notify_waiters();
    }

    pub(crate) fn end(&self, end: End) {
        self.seen().end = Some(end);
        self.changed.notify_waiters();
    }

    /// Returns the value of the request's header `name` at the upstream.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.headers.get(name)
    }

    /// Returns every byte so far, but for Postern's own Pings.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.seen().bytes.clone();
        heartbeat::take_out(&mut bytes);
        bytes
    }

    /// Returns every complete frame so far, but for Postern's own Pings.
    pub fn frames(&self) -> Vec<Frame> {
        Frame::parse_all(&self.bytes()).0
    }

    /// Returns Postern's own Pings so far.
    pub fn heartbeats(&self) -> Vec<Frame> {
        Frame::parse_all(&self.seen().bytes).0.into_iter().filter(Frame::is_heartbeat).collect()
    }

    /// Returns the payload of every complete data message so far.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        messages(&self.frames())
    }

    /// Waits until `n` complete frames are here, and returns all of them.
    pub async fn frames_when(&self, n: usize) -> Vec<Frame> {
        let enough = || Some(self.frames()).filter(|frames| frames.len() >= n);
        self.until(&format!("{n} frames at the upstream"), enough).await
    }

    /// Waits until `n` bytes are here, and returns all of them.
    pub async fn bytes_when(&self, n: usize) -> Vec<u8> {
        let may_be = || self.seen().bytes.len() >= n;
        let enough = || may_be().then(|| self.bytes()).filter(|bytes| bytes.len() >= n);
        self.until(&format!("{n} bytes at the upstream"), enough).await
    }

    /// Waits for a Close, checks that it is masked and that nothing follows, and returns it.
    pub async fn close(&self) -> Frame {
        let find = || self.frames().iter().position(Frame::is_close);
        let at = self.until("a Close at the upstream", find).await;
        let frames = self.frames();
        assert_eq!(at + 1, frames.len(), "frames follow the Close: {frames:?}");
        assert!(frames[at].mask.is_some(), "the Close to the upstream is not masked");
        frames[at].clone()
    }

    /// Waits until Envoy has ended the connection.
    pub async fn ended(&self) -> End {
        self.until("Envoy to end its connection to the upstream", || self.seen().end).await
    }

    /// Says whether the connection is open.
    pub fn is_open(&self) -> bool {
        self.seen().end.is_none()
    }

    /// Makes the upstream write `bytes` to Envoy, at once.
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        self.instructions
            .send(Instruction::Send(bytes.as_ref().to_vec()))
            .expect("a connection that the upstream still has");
    }

    /// Makes the upstream write each piece in a segment of its own.
    pub async fn send_pieces<P: AsRef<[u8]>>(&self, pieces: impl IntoIterator<Item = P>) {
        for piece in pieces {
            self.send(piece);
            sleep(BETWEEN_PIECES).await;
        }
    }

    /// Makes the upstream stop reading.
    pub fn stop_reading(&self) {
        self.instructions.send(Instruction::Read(false)).expect("a connection that the upstream still has");
    }

    /// Makes the upstream read again.
    pub fn read_on(&self) {
        self.instructions.send(Instruction::Read(true)).expect("a connection that the upstream still has");
    }

    /// Makes the upstream drop the connection without a Close.
    pub fn hang_up(&self) {
        self.instructions.send(Instruction::HangUp).expect("a connection that the upstream still has");
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("a lock that no panic has poisoned")
    }

    fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> impl Future<Output = T> {
        let what = what.to_owned();
        async move {
            within(PATIENCE, &what, async {
                loop {
                    let changed = self.changed.notified();
                    tokio::pin!(changed);
                    changed.as_mut().enable();
                    if let Some(found) = look() {
                        return found;
                    }
                    changed.await;
                }
            })
            .await
        }
    }
}
