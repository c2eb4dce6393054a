//! One case on one connection: what the client sends, and everything it hears.

use std::time::Duration;

use postern_e2e::frames::opcode;
use postern_e2e::wire::End;
use postern_e2e::{Frame, RawClient, Request, RunningScene};
use tokio::time::{Instant, sleep, timeout_at};

use crate::case::{Case, Delivery, Step};

/// Between two pieces, so that each is read by itself; what comes meanwhile is taken in, so that a connection that the
/// server resets loses none of it.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a server that has closed may take to end the connection before nobody listens any more.
const AFTER_CLOSE: Duration = Duration::from_secs(5);

/// A whole message: its opcode and payload.
pub(crate) type Message = (u8, Vec<u8>);

/// What a client sent, by what a server owes for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) messages: Vec<Message>,
    pub(crate) pings: Vec<Vec<u8>>,
    partial: Option<Message>,
}

impl Sent {
    fn add(&mut self, frame: &Frame) {
        let payload = &frame.payload;
        match frame.opcode {
            opcode::PING => self.pings.push(payload.clone()),
            opcode::TEXT | opcode::BINARY => self.partial = Some((frame.opcode, payload.clone())),
            opcode::CONTINUATION => {
                if let Some((_, partial)) = &mut self.partial {
                    partial.extend(payload);
                }
            }
            _ => return,
        }
        if frame.fin && frame.opcode < opcode::CLOSE {
            self.messages.extend(self.partial.take());
        }
    }
}

/// What a client heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) messages: Vec<Message>,
    pub(crate) pongs: Vec<Vec<u8>>,
    pub(crate) close: Option<Frame>,
    /// Behind the Close.
    pub(crate) trailing: Vec<Frame>,
    pub(crate) end: Option<End>,
    /// Frames that no server may send.
    pub(crate) illegal: Vec<Frame>,
    partial: Sent,
}

impl Heard {
    fn add(&mut self, frame: Frame) {
        // RFC 6455 §5.1 and §5.2; nothing was negotiated.
        if frame.mask.is_some() || frame.rsv != 0 {
            self.illegal.push(frame);
        } else if self.close.is_some() {
            self.trailing.push(frame);
        } else if frame.is_close() {
            self.close = Some(frame);
        } else if frame.opcode == opcode::PONG {
            self.pongs.push(frame.payload);
        } else {
            self.partial.add(&frame);
            self.messages = self.partial.messages.clone();
        }
    }

    fn is_over(&self) -> bool {
        self.close.is_some() || self.end.is_some()
    }

    fn answers(&self, sent: &Sent) -> bool {
        self.messages.len() >= sent.messages.len() && self.pongs.last() == sent.pings.last()
    }
}

/// What was sent and heard on one connection.
#[derive(Debug)]
pub(crate) struct Conversation {
    client: RawClient,
    limit: Duration,
    pub(crate) sent: Sent,
    pub(crate) heard: Heard,
}

impl Conversation {
    /// Plays a case, and gives up an answer that does not come within `limit`.
    pub(crate) async fn of(case: &Case, scene: &RunningScene, limit: Duration) -> Self {
        let mut request = Request::upgrade(&format!("/ws/{}", case.policy.as_deref().unwrap_or("generous")));
        if let Some(offer) = &case.offer {
            request = request.header("Sec-WebSocket-Extensions", offer);
        }
        let client = scene.open_with(&request).await;
        let mut this = Self { client, limit, sent: Sent::default(), heard: Heard::default() };
        this.play(case).await;
        this
    }

    async fn play(&mut self, case: &Case) {
        let mut waiting = Vec::new();
        for step in &case.send {
            match step {
                Step::Frame(frame, bytes) => {
                    self.sent.add(frame);
                    waiting.extend(bytes);
                }
                Step::Raw(bytes) => waiting.extend(bytes),
                Step::Await => {
                    self.deliver(&std::mem::take(&mut waiting), &case.delivery).await;
                    self.listen(Self::is_answered).await;
                }
            }
        }
        self.deliver(&waiting, &case.delivery).await;
        if case.expect.close.is_none() {
            self.listen(Self::is_answered).await;
            self.send(&Frame::closing(1000, "").masked().bytes()).await;
        }
        self.listen(|this| this.heard.is_over()).await;
        // RFC 6455 §5.5.1: who receives a Close and has sent none answers it.
        if let Some(close) = self.heard.close.clone() {
            self.send(&close.masked().bytes()).await;
            self.limit = AFTER_CLOSE;
            self.listen(|this| this.heard.end.is_some()).await;
        }
    }

    fn is_answered(&self) -> bool {
        self.heard.is_over() || self.heard.answers(&self.sent)
    }

    /// Takes frames in until it is enough, or too late.
    async fn listen(&mut self, enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + self.limit;
        while !enough(self) && self.heard.end.is_none() {
            match timeout_at(deadline, self.client.frame()).await {
                Ok(Ok(frame)) => self.heard.add(frame),
                Ok(Err(end)) => self.heard.end = Some(end),
                Err(_) => return,
            }
        }
    }

    async fn deliver(&mut self, bytes: &[u8], delivery: &Delivery) {
        match delivery {
            Delivery::Whole => self.send(bytes).await,
            Delivery::Pieces(size) => {
                for piece in bytes.chunks(*size) {
                    self.send_by_itself(piece).await;
                }
            }
            Delivery::Split(sizes) => {
                let mut rest = bytes;
                for &size in sizes {
                    let (piece, behind) = rest.split_at(size.min(rest.len()));
                    self.send_by_itself(piece).await;
                    rest = behind;
                }
                self.send(rest).await;
            }
        }
    }

    async fn send_by_itself(&mut self, piece: &[u8]) {
        self.send(piece).await;
        if !self.client.hears_nothing_for(PAUSE).await {
            sleep(PAUSE).await;
        }
    }

    /// A connection that has ended takes nothing more; what that means is judged by what was heard.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.client.try_send(bytes).await;
    }
}
