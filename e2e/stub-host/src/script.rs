//! What becomes of a stream: the steps of client and upstream, and what has to come of them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::connections::Delivery;
use crate::frames;
use crate::random::Random;
use crate::stream::{Field, Peer};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const ORIGIN: &str = "https://app.example.com";
/// A token that expires in 2100, signed by the key that the stub's service of keys has.
const TOKEN: &str = "Bearer eyJhbGciOiJFZERTQSIsImtpZCI6InN0dWIifQ.eyJpc3MiOiJzdHViIiwiYXVkIjoiY2hhdCIsInN1YiI6InNvbWVib2R5IiwianRpIjoib25lIiwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjQxMDI0NDQ4MDB9.4TEuQSBCwFeZ5s4vCs3T1Usfs529eU_bBOntxEYNYBGt-FTcKdnsKGmPtXDYfrsoYi6XUp58hwhPYmsEwyN0Bg";

/// The hooks of streams that can panic on demand.
pub(crate) const PANICKING: [&str; 9] = [
    "request_headers",
    "request_body",
    "request_trailers",
    "response_headers",
    "response_body",
    "response_trailers",
    "scheduled",
    "stream_complete",
    "destroy",
];

/// A step of a stream.
#[derive(Debug)]
pub(crate) enum Step {
    Request,
    /// The rest waits until the request has gone on or was answered.
    Admission,
    Response(Vec<Field>),
    Chunk(Peer, Vec<Vec<u8>>),
    /// The end of a message, with an empty chunk.
    End(Peer),
    Trailers(Peer),
    Nothing,
    Wait(Duration),
    /// The connection is closed, and its network filter destroyed, while the stream is still there.
    Disconnect,
    /// The client goes away.
    Leave,
}

/// What has to become of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Every byte passes.
    Passes,
    /// Every byte passes, and Pings of the module's go with them.
    PassesWithPings,
    /// Every byte passes, or the module answers or closes, as services of its say.
    MayPass,
    /// Nothing passes but what was sent, as far as it came.
    PassesInPart,
    /// The module answers with one of these.
    Refused(&'static [u32]),
    /// What this peer has sent last does not pass, and the client gets a Close or a cut.
    Ends(Peer),
    /// The hook panics.
    Panics(&'static str),
    /// The client's hook panics in a frame of the module's own, if one comes to it.
    PanicsInOwnFrame,
}

/// A stream to be.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) request: Vec<Field>,
    /// Says whether a filter that sends stands before the one that judges.
    pub(crate) has_sender: bool,
    /// The way that injected frames take, if the connection has the network filter.
    pub(crate) delivery: Option<Delivery>,
    pub(crate) steps: VecDeque<Step>,
    /// What has to pass, of each peer's.
    pub(crate) sent: [Vec<u8>; 2],
    /// What may not.
    pub(crate) broken: Vec<u8>,
    pub(crate) expected: Expected,
}

fn field(name: &str, value: &str) -> Field {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn request(path: &str) -> Vec<Field> {
    vec![
        field(":method", "GET"),
        field(":authority", "chat.example.com"),
        field(":path", path),
        field(":scheme", "https"),
    ]
}

fn upgrade(path: &str, origin: &str) -> Vec<Field> {
    let mut request = request(path);
    request.extend([
        field("upgrade", "websocket"),
        field("connection", "Upgrade"),
        field("sec-websocket-version", "13"),
        field("sec-websocket-key", KEY),
        field("origin", origin),
    ]);
    request
}

fn switching() -> Step {
    Step::Response(vec![
        field(":status", "101"),
        field("upgrade", "websocket"),
        field("connection", "Upgrade"),
        field("sec-websocket-accept", ACCEPT),
    ])
}

impl Script {
    /// Chooses what becomes of a stream.
    pub(crate) fn choose(random: &mut Random, panics: bool) -> Self {
        Self::play(random, panics).on_connection(random)
    }

    fn play(random: &mut Random, panics: bool) -> Self {
        if panics && random.one_in(20) {
            let hook = *random.choose(&PANICKING);
            return Self::panicking(random, hook);
        }
        match random.below(1000) {
            0..=4 => Self::without_sender(),
            5..=34 => Self::of_foreign_origin(),
            35..=64 => Self::plain_http(random),
            65..=69 => Self::with_error_while_answers_are_kept(random),
            70..=99 => Self::with_error(random, Peer::Client),
            100..=134 => Self::with_error(random, Peer::Upstream),
            135..=149 => Self::refused_upstream(random),
            150..=164 => Self::long(random),
            165..=184 => Self::guarded(random),
            185..=204 => Self::shared(random),
            205..=234 => Self::cut_short(random),
            _ => Self::chat("/plain", random, Expected::Passes),
        }
    }

    fn new(request: Vec<Field>, expected: Expected) -> Self {
        let steps = VecDeque::from([Step::Request]);
        let sent = Default::default();
        Self { request, has_sender: true, delivery: None, steps, sent, broken: Vec::new(), expected }
    }

    /// Chooses what the stream's connection is like: most have the network filter, and some are closed before the stream.
    fn on_connection(mut self, random: &mut Random) -> Self {
        if self.delivery.is_some() {
            return self;
        }
        self.delivery = match random.below(16) {
            0..=3 => None,
            4 => Some(Delivery::Kept),
            5 => Some(Delivery::Ends),
            6..=8 => Some(Delivery::InPieces),
            _ => Some(Delivery::AtOnce),
        };
        if !self.has_sender {
            self.delivery = None;
        } else if matches!(self.delivery, Some(Delivery::AtOnce | Delivery::InPieces)) {
            self.has_sender = !random.one_in(4);
        }
        if random.one_in(8) {
            self.steps.insert(self.steps.len() - 1, Step::Disconnect);
        }
        self
    }

    /// A stream to whose client nothing could send.
    fn without_sender() -> Self {
        let refused = Expected::Refused(&[500]);
        Self { has_sender: false, ..Self::new(upgrade("/plain", ORIGIN), refused) }.leaving()
    }

    fn of_foreign_origin() -> Self {
        Self::new(upgrade("/plain", "https://evil.example.com"), Expected::Refused(&[403])).leaving()
    }

    fn refused_upstream(random: &mut Random) -> Self {
        let mut script = Self::new(upgrade("/plain", ORIGIN), Expected::Passes);
        script.steps.push_back(Step::Response(vec![field(":status", "404")]));
        script.sent[1] = b"there is no such thing".to_vec();
        let body = random.split(&script.sent[1]);
        script.steps.extend([Step::Chunk(Peer::Upstream, body), Step::End(Peer::Upstream)]);
        script.leaving()
    }

    fn plain_http(random: &mut Random) -> Self {
        let mut script = Self::new(request("/plain/page"), Expected::Passes);
        script.sent = [b"a=1&b=2".repeat(1 + random.below(9)), vec![b'x'; 1 + random.below(3000)]];
        for piece in random.split(&script.sent[0].clone()) {
            let slices = random.split(&piece);
            script.steps.push_back(Step::Chunk(Peer::Client, slices));
        }
        script.steps.push_back(Step::Trailers(Peer::Client));
        script.steps.push_back(Step::Response(vec![field(":status", "200")]));
        for piece in random.split(&script.sent[1].clone()) {
            let slices = random.split(&piece);
            script.steps.push_back(Step::Chunk(Peer::Upstream, slices));
        }
        script.steps.push_back(Step::Trailers(Peer::Upstream));
        script.leaving()
    }

    fn leaving(mut self) -> Self {
        self.steps.push_back(Step::Leave);
        self
    }

    /// A handshake and its answer, with the empty chunks that HTTP/1.1 brings behind it.
    fn opened(path: &str, random: &mut Random, expected: Expected) -> Self {
        let mut script = Self::new(upgrade(path, ORIGIN), expected);
        script.steps.push_back(Step::Admission);
        if random.one_in(20) {
            // What is too much before the handshake ends is refused.
            let early = frames::short_message(random, Peer::Client);
            script.send(random, Peer::Client, &early);
            script.sent[0].extend(early);
        }
        script.steps.push_back(switching());
        script.steps.push_back(Step::Chunk(Peer::Client, Vec::new()));
        script.steps.push_back(Step::Chunk(Peer::Upstream, Vec::new()));
        script
    }

    /// Has a peer send a message in chunks.
    fn say(&mut self, random: &mut Random, from: Peer) {
        let message = frames::message(random, from);
        self.send(random, from, &message);
        self.sent[from as usize].extend(message);
    }

    fn send(&mut self, random: &mut Random, from: Peer, bytes: &[u8]) {
        for piece in random.split(bytes) {
            let slices = random.split(&piece);
            self.steps.push_back(Step::Chunk(from, slices));
        }
    }

    fn chat(path: &str, random: &mut Random, expected: Expected) -> Self {
        let mut script = Self::opened(path, random, expected);
        let messages = if random.one_in(10) { 1 + random.below(12) } else { 2 };
        for turn in 0..messages {
            let from = if turn % 2 == 0 { Peer::Client } else { Peer::Upstream };
            script.say(random, from);
            if random.one_in(10) {
                script.steps.push_back(Step::Nothing);
            }
        }
        match random.below(4) {
            0 => script.close(random, Peer::Client),
            1 => script.close(random, Peer::Upstream),
            2 => script.steps.push_back(Step::End(Peer::Upstream)),
            _ => {}
        }
        script.leaving()
    }

    /// A stream whose client goes away at any time.
    fn cut_short(random: &mut Random) -> Self {
        let mut script = Self::chat("/plain", random, Expected::PassesInPart);
        script.steps.truncate(1 + random.below(script.steps.len()));
        script.leaving()
    }

    fn close(&mut self, random: &mut Random, first: Peer) {
        let second = if first == Peer::Client { Peer::Upstream } else { Peer::Client };
        for peer in [first, second] {
            let close = frames::close(random, peer);
            self.send(random, peer, &close);
            self.sent[peer as usize].extend(close);
        }
    }

    fn with_error(random: &mut Random, from: Peer) -> Self {
        let mut script = Self::opened("/plain", random, Expected::Ends(from));
        script.say(random, Peer::Client);
        script.say(random, Peer::Upstream);
        script.broken = frames::broken(random, from);
        let broken = script.broken.clone();
        script.send(random, from, &broken);
        script.steps.extend([Step::Nothing, Step::Nothing]);
        script.leaving()
    }

    /// A stream with an error of the client's, for which nothing can be said to it: a filter keeps what the upstream has said, or
    /// all of the response, of which there are only fields then.
    fn with_error_while_answers_are_kept(random: &mut Random) -> Self {
        let delivery = *random.choose(&[Delivery::AnswersKept, Delivery::ResponseKept]);
        let mut script = match delivery {
            Delivery::ResponseKept => Self::opened("/plain", random, Expected::Ends(Peer::Client)),
            _ => Self::with_error(random, Peer::Client),
        };
        if script.broken.is_empty() {
            script.broken = frames::broken(random, Peer::Client);
            let broken = script.broken.clone();
            script.send(random, Peer::Client, &broken);
            script = script.leaving();
        }
        Self { has_sender: false, delivery: Some(delivery), ..script }
    }

    /// A stream that is idle for so long that the module asks both sides whether they are there.
    fn long(random: &mut Random) -> Self {
        if !random.one_in(20) {
            return Self::chat("/alive", random, Expected::PassesWithPings);
        }
        let mut script = Self::opened("/alive", random, Expected::PassesWithPings);
        for _ in 0..3 {
            script.steps.push_back(Step::Wait(Duration::from_millis(400 + random.next() % 400)));
            script.say(random, Peer::Client);
            script.say(random, Peer::Upstream);
        }
        script.leaving()
    }

    fn guarded(random: &mut Random) -> Self {
        let mut script = Self::chat("/guarded", random, Expected::MayPass);
        match random.below(5) {
            0 => script.expected = Expected::Refused(&[401]),
            1 => {
                script.request.push(field("authorization", &TOKEN.replace("stub", "stab")[..60]));
                script.expected = Expected::Refused(&[401, 429]);
            }
            _ => script.request.push(field("authorization", TOKEN)),
        }
        script
    }

    fn shared(random: &mut Random) -> Self {
        Self::chat("/shared", random, Expected::MayPass)
    }

    /// A stream with an error of the upstream's, whose hook panics in the Close that the module injects, if it does.
    fn panicking_in_own_frame(random: &mut Random) -> Self {
        let mut script = Self::with_error(random, Peer::Upstream);
        let chunks = script.steps.iter().filter(|step| matches!(step, Step::Chunk(Peer::Client, _))).count();
        script.request.push(field("x-postern-panic", &format!("request_body {}", chunks + 1)));
        script.expected = Expected::PanicsInOwnFrame;
        script
    }

    fn panicking(random: &mut Random, hook: &'static str) -> Self {
        let mut script = match hook {
            "request_trailers" | "response_trailers" => Self::plain_http(random),
            "request_body" if random.one_in(8) => return Self::panicking_in_own_frame(random),
            // Only a frame of the module's for the upstream, or a tick, makes an event.
            "scheduled" => {
                let from = *random.choose(&[Peer::Client, Peer::Upstream]);
                Self::with_error(random, from)
            }
            _ => Self::chat("/plain", random, Expected::Passes),
        };
        script.request.push(field("x-postern-panic", hook));
        script.expected = Expected::Panics(hook);
        script
    }
}
