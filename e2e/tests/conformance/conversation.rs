//! One case on one connection: the client's frames, and everything that the client hears.

use std::time::Duration;

use postern_e2e::frames::opcode;
use postern_e2e::http::Headers;
use postern_e2e::upstream::accept_of;
use postern_e2e::wire::End;
use postern_e2e::{Frame, RawClient, Request, Response, RunningScene};
use tokio::time::{Instant, sleep, timeout_at};

use crate::case::{Case, Delivery, Expect};
use crate::deflate::Inflater;
use crate::step::{Outgoing, RSV1, Step};

const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// The pause between two pieces, so that the server reads each by itself. Frames that come meanwhile are
/// taken in, so that none is lost when the server resets the connection.
const PAUSE: Duration = Duration::from_millis(1);

/// The time that a server that has closed may take to end the connection before nobody listens any more.
const AFTER_CLOSE: Duration = Duration::from_secs(5);

/// A whole message: its opcode and payload.
pub(crate) type Message = (u8, Vec<u8>);

/// The client's frames, sorted by the answers that a server owes for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) messages: Vec<Message>,
    pub(crate) pings: Vec<Vec<u8>>,
    partial: Option<Message>,
}

/// The outcome of the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) status: u16,
    /// The Sec-WebSocket-Extensions of the response, empty where there is none.
    pub(crate) agreed: String,
    /// The reason that Postern gives for its refusal.
    pub(crate) reason: Option<String>,
}

impl Opening {
    fn of(response: &Response) -> Self {
        let agreed = response.headers.all(EXTENSIONS).join(", ");
        Self { status: response.status, agreed, reason: response.reason() }
    }
}

impl Sent {
    fn add(&mut self, sent: &Outgoing) {
        let Outgoing { frame, plain, .. } = sent;
        match frame.opcode {
            opcode::PING => self.pings.push(frame.payload.clone()),
            opcode::TEXT | opcode::BINARY => self.partial = Some((frame.opcode, plain.clone())),
            opcode::CONTINUATION => {
                if let Some((_, partial)) = &mut self.partial {
                    partial.extend(plain);
                }
            }
            _ => return,
        }
        if frame.fin && frame.opcode < opcode::CLOSE {
            self.messages.extend(self.partial.take());
        }
    }
}

/// The frames that a client heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The messages, the compressed ones inflated.
    pub(crate) messages: Vec<Message>,
    /// Says of each message whether it was compressed.
    pub(crate) compressed: Vec<bool>,
    pub(crate) pongs: Vec<Vec<u8>>,
    pub(crate) close: Option<Frame>,
    /// The frames behind the Close.
    pub(crate) trailing: Vec<Frame>,
    pub(crate) end: Option<End>,
    /// Frames that no server may send.
    pub(crate) illegal: Vec<Frame>,
    /// The inflater, where compression was agreed on.
    inflater: Option<Inflater>,
    /// The message that has begun, as it is on the wire.
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    opcode: u8,
    compressed: bool,
    wire: Vec<u8>,
}

impl Heard {
    fn add(&mut self, frame: Frame) {
        let starts = matches!(frame.opcode, opcode::TEXT | opcode::BINARY);
        // RFC 6455 §5.2 and RFC 7692 §6: RSV1 may be set on the first frame of a message where compression
        // was agreed on, and no other bit.
        let compressed = frame.rsv == RSV1 && starts && self.inflater.is_some();
        // RFC 6455 §5.1: a server sets no mask.
        if frame.mask.is_some() || (frame.rsv != 0 && !compressed) {
            self.illegal.push(frame);
        } else if self.close.is_some() {
            self.trailing.push(frame);
        } else if frame.is_close() {
            self.close = Some(frame);
        } else if frame.opcode == opcode::PONG {
            self.pongs.push(frame.payload);
        } else {
            self.add_data(frame, starts, compressed);
        }
    }

    fn add_data(&mut self, frame: Frame, starts: bool, compressed: bool) {
        if starts {
            self.partial = Some(Partial { opcode: frame.opcode, compressed, wire: frame.payload.clone() });
        } else if let Some(partial) = &mut self.partial {
            partial.wire.extend(&frame.payload);
        }
        let Some(message) = self.partial.take_if(|_| frame.fin) else { return };
        let plain = match &mut self.inflater {
            Some(inflater) if message.compressed => inflater.message(&message.wire),
            _ => Some(message.wire),
        };
        match plain {
            Some(plain) => {
                self.messages.push((message.opcode, plain));
                self.compressed.push(message.compressed);
            }
            None => self.illegal.push(frame),
        }
    }

    fn is_over(&self) -> bool {
        self.close.is_some() || self.end.is_some()
    }

    fn answers(&self, sent: &Sent) -> bool {
        self.messages.len() >= sent.messages.len() && self.pongs.last() == sent.pings.last()
    }
}

/// The frames that were sent and heard on one connection.
#[derive(Debug)]
pub(crate) struct Conversation {
    client: RawClient,
    limit: Duration,
    pub(crate) opening: Opening,
    /// The fields of the response.
    pub(crate) fields: Headers,
    pub(crate) sent: Sent,
    pub(crate) heard: Heard,
}

impl Conversation {
    /// Plays a case, of which `expect` is to come, and gives up an answer that does not come within `limit`.
    /// An error is an answer to the handshake that no server may give.
    pub(crate) async fn of(
        case: &Case,
        expect: &Expect,
        scene: &RunningScene,
        limit: Duration,
    ) -> Result<Self, String> {
        let mut request = Request::upgrade(&format!("/ws/{}", case.policy.as_deref().unwrap_or("generous")));
        for offer in &case.offer {
            request = request.header(EXTENSIONS, offer);
        }
        if let Some(service) = &case.service {
            request = request.header("X-Compression", service.to_string());
        }
        let mut client = scene.connect().await;
        let response = client.ask(&request).await;
        let opening = Opening::of(&response);
        let is_open = response.status == 101;
        let accept = response.header("sec-websocket-accept");
        let (fields, sent) = (response.headers, Sent::default());
        let mut this = Self { client, limit, opening, fields, sent, heard: Heard::default() };
        if is_open {
            let key = String::from_utf8_lossy(request.value("sec-websocket-key").unwrap_or_default());
            if accept != Some(accept_of(&key)) {
                return Err("the accept key is not that of the request".to_owned());
            }
            this.heard.inflater = this.inflater(case)?;
            this.play(case, expect).await;
        }
        Ok(this)
    }

    /// Returns the id under which the access log knows the connection.
    pub(crate) fn id(&self) -> &str {
        self.client.case()
    }

    fn inflater(&self, case: &Case) -> Result<Option<Inflater>, String> {
        let agreed = &self.opening.agreed;
        if agreed.is_empty() {
            return Ok(None);
        }
        if case.offer.is_empty() {
            return Err(format!("{agreed:?} agrees to nothing that was offered"));
        }
        Inflater::agreed(agreed).map(Some)
    }

    async fn play(&mut self, case: &Case, expect: &Expect) {
        let mut waiting = Vec::new();
        for step in &case.send {
            match step {
                Step::Frame(sent) => {
                    self.sent.add(sent);
                    waiting.extend(&sent.bytes);
                }
                Step::Raw(bytes) => waiting.extend(bytes),
                Step::Await => {
                    self.deliver(&std::mem::take(&mut waiting), &case.delivery).await;
                    self.listen(Self::is_answered).await;
                }
            }
        }
        self.deliver(&waiting, &case.delivery).await;
        if expect.close.is_none() {
            self.listen(Self::is_answered).await;
            self.send(&Frame::closing(1000, "").masked().bytes()).await;
        }
        self.listen(|this| this.heard.is_over()).await;
        // RFC 6455 §5.5.1: an endpoint that receives a Close and has sent none answers it.
        if let Some(close) = self.heard.close.clone() {
            self.send(&close.masked().bytes()).await;
            self.limit = AFTER_CLOSE;
            self.listen(|this| this.heard.end.is_some()).await;
        }
    }

    fn is_answered(&self) -> bool {
        self.heard.is_over() || self.heard.answers(&self.sent)
    }

    /// Takes frames in until there are enough, or the limit has passed.
    async fn listen(&mut self, enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + self.limit;
        // On a busy machine both limits may have passed when somebody looks; an answer that is late is no panic.
        let far = 10 * self.limit;
        while !enough(self) && self.heard.end.is_none() {
            match timeout_at(deadline, self.client.frame_within(far)).await {
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
        if !self.client.receives_nothing_for(PAUSE).await {
            sleep(PAUSE).await;
        }
    }

    /// Sends bytes. An error is passed over: a connection that has ended takes nothing more, and the verdict
    /// goes by what was heard.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.client.try_send(bytes).await;
    }
}
