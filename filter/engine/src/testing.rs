//! Requests, policies and frames to try rules on.

use postern_config::Config;
use serde_json::{Value, json};

use std::collections::BTreeMap;
use std::time::Duration;

use crate::auth::minting;
use crate::auth::single_use::{Spent, Ticket};
use crate::engine::Engine;
use crate::http::headers::Field;
use crate::http::request::{ConnectionFacts, Entropy, Protocol, RequestHead};
use crate::rate::live::{Acquired, Cap, LivePlace};
use crate::rate::slots::EntryKey;
use crate::rate::{BucketRequest, Charged, Outcome, Shared};

/// The secret of the provider `edge`.
pub(crate) const SECRET: &str = "a secret of the tests, thirty-two bytes or more";

/// Returns an engine whose policy `chat` is the smallest there is, with `changes` merged into it, and falls
/// to every request.
pub(crate) fn engine(changes: Value) -> Engine {
    let mut policy = json!({"origins": {"allow": ["https://app.example.com"]}, "auth": "none"});
    merge(&mut policy, changes);
    compile(json!({
        "providers": {"edge": {
            "issuer": "edge",
            "audiences": ["chat"],
            "algorithms": ["HS256"],
            "secret": {"inline": SECRET},
        }},
        "policies": {"chat": policy},
        "default_policy": "chat",
    }))
}

/// Returns the response that agrees to [`request`].
pub(crate) fn agreement() -> Vec<Field> {
    [
        (":status", "101"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
    .collect()
}

/// Returns an engine for a whole document.
pub(crate) fn compile(document: Value) -> Engine {
    Engine::compile(Config::from_value(document).unwrap(), &|_| None, [3; 16]).unwrap()
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(into.entry(name).or_insert(Value::Null), change);
            }
        }
        (into, change) => *into = change,
    }
}

/// Returns a token of the provider `edge`, signed with `secret`.
pub(crate) fn token(secret: &str, claims: &Value) -> Vec<u8> {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let header = r#"{"alg":"HS256","typ":"JWT"}"#;
    minting::sign(header, &claims.to_string(), &key, jsonwebtoken::Algorithm::HS256).into_bytes()
}

/// Returns a frame as its sender writes it: masked with `mask` if there is one.
pub(crate) fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mask_bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=0x7d => frame.push(mask_bit | u8::try_from(len).unwrap()),
        len @ 0x7e..=0xffff => {
            frame.push(mask_bit | 0x7e);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(mask_bit | 0x7f);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Returns a frame of the client.
pub(crate) fn from_client(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, Some([0x11, 0x22, 0x33, 0x44]))
}

/// Returns a frame of the upstream.
pub(crate) fn from_upstream(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(first, payload, None)
}

/// Returns a handshake with nothing wrong: the example of RFC 6455 §1.3 over TLS.
pub(crate) fn request() -> RequestHead {
    let fields: [(&str, &[u8]); 8] = [
        (":method", b"GET"),
        (":path", b"/chat"),
        (":authority", b"server.example.com"),
        ("upgrade", b"websocket"),
        ("connection", b"Upgrade"),
        ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", b"13"),
        ("origin", b"https://app.example.com"),
    ];
    RequestHead {
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
        connection: ConnectionFacts {
            tls: true,
            mutual_tls: false,
            protocol: Protocol::Http11,
            client: Some([198, 51, 100, 7].into()),
        },
        entropy: Entropy {
            key: [7; 16],
            mask: [1, 2, 3, 4],
            ping: [5; 16],
            instance: [9; 16],
            session: [0; 4],
        },
    }
}

/// Returns `head` with one field `name` of this value.
pub(crate) fn with(head: &RequestHead, name: &str, value: &[u8]) -> RequestHead {
    let mut head = without(head, name);
    head.fields.push((name.to_owned(), value.to_vec()));
    head
}

/// Returns `head` without its fields called `name`.
pub(crate) fn without(head: &RequestHead, name: &str) -> RequestHead {
    let mut head = head.clone();
    head.fields.retain(|(n, _)| n != name);
    head
}

/// The tables that all workers share, with answers of a test's own; they remember what they were asked.
pub(crate) struct Tables {
    /// The answer of a bucket, by the number of those that were asked before.
    pub(crate) charge: Box<dyn FnMut(usize, &BucketRequest) -> Outcome>,
    /// The answer of the table of spent tokens.
    pub(crate) spent: Spent,
    /// The requests to buckets.
    pub(crate) charged: Vec<BucketRequest>,
    /// The answer of a bucket that is looked at.
    pub(crate) look: Box<dyn FnMut(&BucketRequest) -> Outcome>,
    /// The buckets that were looked at.
    pub(crate) looked: Vec<BucketRequest>,
    /// The live connections by their key.
    pub(crate) live: BTreeMap<EntryKey, u64>,
    /// The number of those of a key that has not been asked for before.
    pub(crate) live_by_default: u64,
    /// The number of places that were given, and the time of the last.
    pub(crate) admitted: u64,
    /// The requests to the table of spent tokens, each with the number of buckets that were asked before.
    pub(crate) tickets: Vec<(Ticket, usize)>,
}

impl Tables {
    /// Creates tables of which every bucket gives this answer.
    pub(crate) fn all(outcome: Outcome) -> Self {
        Self { charge: Box::new(move |_, _| outcome), ..Self::default() }
    }

    /// Creates tables whose buckets give these answers in turn, and have tokens after that.
    pub(crate) fn in_turn(outcomes: Vec<Outcome>) -> Self {
        let taken = Outcome::Charged(Charged::Taken);
        let charge = move |asked: usize, _: &BucketRequest| outcomes.get(asked).copied().unwrap_or(taken);
        Self { charge: Box::new(charge), ..Self::default() }
    }
}

impl Default for Tables {
    /// Creates tables with tokens at any time, in which every token is spent for the first time.
    fn default() -> Self {
        let charge = Box::new(|_: usize, _: &BucketRequest| Outcome::Charged(Charged::Taken));
        let look = Box::new(|_: &BucketRequest| Outcome::Charged(Charged::Taken));
        Self {
            charge,
            spent: Spent::First,
            charged: Vec::new(),
            look,
            looked: Vec::new(),
            live: BTreeMap::new(),
            live_by_default: 0,
            admitted: 0,
            tickets: Vec::new(),
        }
    }
}

impl Shared for Tables {
    fn charge(&mut self, request: &BucketRequest, _now: Duration) -> Outcome {
        self.charged.push(*request);
        (self.charge)(self.charged.len() - 1, request)
    }

    fn charge_frame(&mut self, request: &BucketRequest, now: Duration) -> Outcome {
        self.charge(request, now)
    }

    fn look(&mut self, request: &BucketRequest, _now: Duration) -> Outcome {
        self.looked.push(*request);
        (self.look)(request)
    }

    fn look_at_ticket(&mut self, _ticket: &Ticket, _now: Duration) -> Spent {
        self.spent
    }

    fn spend(&mut self, ticket: &Ticket, _now: Duration) -> Spent {
        self.tickets.push((*ticket, self.charged.len()));
        self.spent
    }

    fn has_room(&mut self, cap: &Cap) -> Result<(), Acquired> {
        match *self.live.get(&cap.key).unwrap_or(&self.live_by_default) {
            count if count >= cap.limit && !cap.replaces => Err(Acquired::Full(count)),
            _ => Ok(()),
        }
    }

    fn acquire(&mut self, cap: &Cap, _now: Duration) -> Acquired {
        let count = self.live.entry(cap.key).or_insert(self.live_by_default);
        if *count >= cap.limit && !cap.replaces {
            return Acquired::Full(*count);
        }
        *count += 1;
        self.admitted += 1;
        Acquired::Counted(LivePlace { key: cap.key, admitted: Duration::from_secs(self.admitted) })
    }

    fn release(&mut self, place: LivePlace) {
        *self.live.get_mut(&place.key).unwrap() -= 1;
    }
}
