//! Tokens inside the connection.

use crate::http::headers::Field;
use crate::http::request::RequestHead;
use serde_json::{Value, json};

use super::tests::{START, Trial};
use super::*;
use crate::testing::{SECRET, agreement, from_client, from_upstream, request, with};
use crate::websocket::FrameHeader;

mod awaiting;
mod first_message;
mod greeting;
mod kept_message;
mod memory;
mod mute;
mod refresh;
mod tiers;

const SECOND: Duration = Duration::from_secs(1);
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// The frames that a peer has seen: the first byte and the payload of each.
type Frames = Vec<(u8, Vec<u8>)>;

/// A connection, and every byte that each direction has seen.
struct Line {
    trial: Trial,
    client: Vec<u8>,
    upstream: Vec<u8>,
    closed: Option<(Reason, bool)>,
}

fn auth(changes: Value) -> Value {
    let mut auth = json!({
        "providers": ["edge"], "from": [{"header": "authorization"}, {"first_message": "/token"}],
        "max_unauthenticated_bytes": 2000, "require": [{"claim": "scope", "contains": "chat"}],
        "refresh": "/auth/token", "expiry_grace": "0s",
    });
    for (key, value) in changes.as_object().unwrap() {
        auth[key] = value.clone();
    }
    auth
}

fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "edge", "aud": "chat", "sub": "alice", "scope": "chat", "exp": START.as_secs() + 300,
    });
    for (key, value) in changes.as_object().unwrap() {
        claims[key] = value.clone();
    }
    claims
}

fn token(changes: Value) -> String {
    String::from_utf8(crate::testing::token(SECRET, &claims(changes))).unwrap()
}

fn first_message(token: &str) -> Vec<u8> {
    json!({ "token": token }).to_string().into_bytes()
}

fn refresh_message(token: &str) -> Vec<u8> {
    json!({"auth": {"token": token}, "id": 7}).to_string().into_bytes()
}

fn accepted(seconds: u64) -> (u8, Vec<u8>) {
    (TEXT, format!(r#"{{"postern":"token_accepted","expires_in":{seconds}}}"#).into_bytes())
}

fn expiring(seconds: u64) -> (u8, Vec<u8>) {
    (TEXT, format!(r#"{{"postern":"token_expiring","expires_in":{seconds}}}"#).into_bytes())
}

fn closing(reason: Reason) -> (u8, Vec<u8>) {
    let consequence = reason.consequence();
    (CLOSE, [&consequence.close.to_be_bytes(), consequence.id.as_bytes()].concat())
}

/// Returns all whole frames of `bytes` but Postern's own Pings; nothing else is left.
fn frames(mut bytes: &[u8]) -> Frames {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let header = FrameHeader::parse(bytes).unwrap().expect("a whole header");
        let end = header.len + usize::try_from(header.payload_len).unwrap();
        let mask = header.mask.unwrap_or_default();
        let payload = bytes[header.len..end].iter().zip(mask.iter().cycle());
        let payload: Vec<u8> = payload.map(|(byte, key)| byte ^ key).collect();
        if !(bytes[0] == PING && payload.starts_with(b"postern:")) {
            frames.push((bytes[0], payload));
        }
        bytes = &bytes[end..];
    }
    frames
}

impl Line {
    /// Opens a line with both streams parked, and nobody authenticated.
    fn waiting(auth_changes: Value, changes: Value) -> Self {
        Self::new(auth_changes, changes, request(), &[])
    }

    /// Opens a line with both streams parked, authenticated by a token in the handshake.
    fn open(token_changes: Value, auth_changes: Value, changes: Value) -> Self {
        let value = format!("Bearer {}", token(token_changes));
        Self::new(auth_changes, changes, with(&request(), "authorization", value.as_bytes()), &[])
    }

    fn new(auth_changes: Value, mut changes: Value, head: RequestHead, more: &[Field]) -> Self {
        changes["auth"] = auth(auth_changes);
        let mut trial = Trial::new(changes, head);
        assert!(matches!(trial.outputs.last(), Some(Output::Admit(_))), "{:?}", trial.outputs);
        assert!(trial.parks(Peer::Client, b""));
        trial.input(Input::Response([agreement(), more.to_vec()].concat()), START);
        assert!(trial.session.was_opened(), "{:?}", trial.outputs);
        assert!(trial.parks(Peer::Upstream, b""));
        trial.outputs.clear();
        Self { trial, client: Vec::new(), upstream: Vec::new(), closed: None }
    }

    /// Sends `bytes` of `peer` at `now`.
    fn at(&mut self, now: Duration, peer: Peer, bytes: &[u8]) {
        let passed = self.trial.bytes(peer, bytes, now);
        match peer {
            Peer::Client => self.upstream.extend(passed),
            Peer::Upstream => self.client.extend(passed),
        }
        self.collect();
    }

    fn client(&mut self, bytes: &[u8]) {
        self.at(START, Peer::Client, bytes);
    }

    fn upstream(&mut self, bytes: &[u8]) {
        self.at(START, Peer::Upstream, bytes);
    }

    fn in_pieces(&mut self, peer: Peer, size: usize, bytes: &[u8]) {
        bytes.chunks(size).for_each(|piece| self.at(START, peer, piece));
    }

    fn time(&mut self, now: Duration) {
        self.trial.session.note_time(now);
        self.trial.input(Input::Timer, now);
        self.collect();
    }

    fn collect(&mut self) {
        for output in self.trial.outputs.drain(..) {
            match output {
                Output::Deliver(bytes) => self.client.extend(bytes.to_vec(0)),
                Output::Send(Peer::Client, bytes) => self.client.extend(bytes),
                Output::Send(Peer::Upstream, bytes) => self.upstream.extend(bytes),
                Output::Tell(Event::Closed { violation, .. }) => {
                    self.closed = Some((violation.reason, violation.cause.is_some()));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn seen(&self) -> (Frames, Frames) {
        (frames(&self.client), frames(&self.upstream))
    }

    /// Returns what the client has seen, and asserts that the upstream has seen nothing.
    fn assert_nothing_went_up(&self, what: &str) -> Frames {
        let (client, upstream) = self.seen();
        assert_eq!(upstream, [], "{what}");
        client
    }

    /// Asserts that both peers were told of the end by `reason`, and have seen nothing else.
    fn assert_ended(mut self, reason: Reason, what: &str) {
        self.client(&from_client(CLOSE, b""));
        assert_eq!(self.closed.map(|(reason, _)| reason), Some(reason), "{what}");
        assert_eq!(self.seen(), (vec![closing(reason)], vec![closing(reason)]), "{what}");
    }
}

fn greeting() -> Vec<u8> {
    [
        from_upstream(TEXT, b"welcome"),
        from_upstream(0x01, b"in "),
        from_upstream(PING, b"server"),
        from_upstream(0x80, b"pieces"),
        from_upstream(BINARY, &[7; 200]),
    ]
    .concat()
}
