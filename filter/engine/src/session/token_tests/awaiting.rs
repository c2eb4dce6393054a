//! Tokens in messages that name a key which has to be fetched first.

use crate::connection::Passage;
use crate::http::request::RequestHead;
use jsonwebtoken::Algorithm;

use super::*;
use crate::auth::minting::{ISSUER, issuer_keys, key, sign};
use crate::engine::{Engine, RouteFacts, Selection};
use crate::rate::Charged;
use crate::rate::Outcome;
use crate::remote::Kind;
use crate::session::fetch_tests::fetch;
use crate::testing::Tables;
use crate::testing::compile;

mod first_message;
mod refresh;

/// The time when the connection opens: the last fetch is long enough ago for another.
const OPENED: Duration = START;
const FETCHED: Duration = Duration::from_secs(1_800_000_000 - 60);

/// The time that a fetch may take.
const PATIENCE: Duration = Duration::from_secs(3);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The sources of one policy, and what the workers share of them.
struct Fetcher {
    engine: Engine,
    keys: Vec<u8>,
    list: Vec<u8>,
}

impl Fetcher {
    /// Creates a fetcher with all keys at hand but that of `ed`.
    fn new(auth_changes: Value, changes: Value) -> Self {
        let mut auth = auth(json!({"providers": ["main"]}));
        merge(&mut auth, auth_changes);
        let mut policy = json!({
            "origins": {"allow": ["https://app.example.com"]}, "auth": auth, "rates": [],
            "liveness": {"idle_timeout": "1h", "ping_interval": "none"},
        });
        merge(&mut policy, changes);
        let remote = json!({"cluster": "auth", "uri": "https://auth.example.com/keys", "timeout": "3s"});
        let engine = compile(json!({
            "providers": {"main": {
                "issuer": ISSUER, "audiences": ["chat"], "clock_skew": "0s", "jwks": {"remote": remote},
            }},
            "policies": {"chat": policy},
            "default_policy": "chat",
        }));
        let mut fetcher = Self { engine, keys: Vec::new(), list: Vec::new() };
        fetcher.fetched(Kind::Keys, Some(&old_keys()), FETCHED);
        fetcher
    }

    fn fetched(&mut self, kind: Kind, document: Option<&Value>, now: Duration) {
        let shared = match kind {
            Kind::Keys => &mut self.keys,
            _ => &mut self.list,
        };
        fetch(&self.engine, shared, kind, document, now);
    }
}

fn merge(into: &mut Value, changes: Value) {
    for (key, value) in changes.as_object().unwrap() {
        into[key] = value.clone();
    }
}

/// Returns the keys that are there at first.
fn old_keys() -> Value {
    let mut set = issuer_keys();
    set["keys"].as_array_mut().unwrap().retain(|key| key["kid"] != "ed");
    set
}

/// Returns a token that an old key has signed.
fn old(changes: Value) -> String {
    minted("p256", Algorithm::ES256, changes)
}

/// Returns a token that names the key `kid`, which is new.
fn new(kid: &str, changes: Value) -> String {
    minted(kid, Algorithm::EdDSA, changes)
}

fn minted(kid: &str, algorithm: Algorithm, changes: Value) -> String {
    let mut claims = claims(json!({"iss": ISSUER, "jti": "t1"}));
    merge(&mut claims, changes);
    let header = json!({"alg": algorithm, "kid": kid}).to_string();
    sign(&header, &claims.to_string(), &key(algorithm), algorithm)
}

/// A connection, and the host's part in it.
struct Host {
    session: Box<Session>,
    client: Vec<u8>,
    upstream: Vec<u8>,
    closed: Option<(Reason, bool)>,
    is_reset: bool,
    charge: Outcome,
    charges: usize,
    /// The bytes of the client's that the host holds.
    held: Vec<u8>,
    /// Says whether the host has paused the stream of those bytes: then only what is resumed goes on.
    paused: bool,
}

impl Host {
    /// Opens a client that was authenticated by its handshake.
    fn open(fetcher: &Fetcher, token_changes: Value) -> Self {
        let value = format!("Bearer {}", old(token_changes));
        Self::new(fetcher, &with(&request(), "authorization", value.as_bytes()))
    }

    fn new(fetcher: &Fetcher, head: &RequestHead) -> Self {
        Self::early(fetcher, head, b"")
    }

    /// Opens a client that sends these bytes ahead of the 101.
    fn early(fetcher: &Fetcher, head: &RequestHead, bytes: &[u8]) -> Self {
        let Selection::Judge(session) = fetcher.engine.select(head, &RouteFacts::default()) else {
            panic!("judged")
        };
        let mut host = Self {
            session,
            client: Vec::new(),
            upstream: Vec::new(),
            closed: None,
            is_reset: false,
            charge: Outcome::Charged(Charged::Taken),
            charges: 0,
            held: Vec::new(),
            paused: false,
        };
        host.session.handle(Input::Request(head.clone()), &mut Tables::default(), OPENED);
        host.perform(OPENED);
        assert!(host.session.judge(Peer::Client, &mut &bytes[..], &mut Tables::default(), OPENED).is_ok());
        (host.held, host.paused) = (bytes.to_vec(), true);
        host.perform(OPENED);
        host.session.handle(Input::Response(agreement()), &mut Tables::default(), OPENED);
        host.perform(OPENED);
        assert!(host.session.was_opened());
        host.upstream_sends(OPENED, b"");
        host
    }

    fn client_sends(&mut self, now: Duration, bytes: &[u8]) {
        let chunk = [std::mem::take(&mut self.held), bytes.to_vec()].concat();
        let passage = self.judge(Peer::Client, &chunk, now);
        let pauses = passage.park || passage.hold;
        self.pass(&passage, &chunk);
        self.paused = pauses;
        self.perform(now);
    }

    fn pass(&mut self, passage: &Passage, chunk: &[u8]) {
        let bytes = passage.bytes(chunk);
        if passage.hold {
            assert!(!passage.resume && !passage.park);
            self.held = bytes;
        } else {
            assert!(bytes.is_empty() || passage.resume == self.paused, "it stays with the host: {passage:?}");
            self.upstream.extend(bytes);
        }
    }

    fn upstream_sends(&mut self, now: Duration, bytes: &[u8]) {
        let passage = self.judge(Peer::Upstream, bytes, now);
        self.client.extend(passage.bytes(bytes));
        self.perform(now);
    }

    fn judge(&mut self, peer: Peer, bytes: &[u8], now: Duration) -> Passage {
        if self.session.pass_unread(peer, bytes.len()) {
            return Passage::whole(bytes.len());
        }
        if self.session.pass_plain(peer, &mut &bytes[..]).unwrap() {
            return Passage { resume: true, park: true, ..Passage::whole(bytes.len()) };
        }
        let mut tables = Tables::all(self.charge);
        let passage = self.session.judge(peer, &mut &bytes[..], &mut tables, now).unwrap();
        self.charges += tables.charged.len();
        passage
    }

    fn input(&mut self, now: Duration, input: Input) {
        self.session.handle(input, &mut Tables::default(), now);
        self.perform(now);
    }

    /// Brings the timer, if it is due; a host ticks when a deadline has passed.
    fn time(&mut self, now: Duration) {
        self.input(now, Input::Timer);
    }

    fn perform(&mut self, now: Duration) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Deliver(bytes) => self.client.extend(bytes.to_vec(0)),
                Output::Send(Peer::Client, bytes) => self.client.extend(bytes),
                Output::Send(Peer::Upstream, bytes) => self.upstream.extend(bytes),
                Output::Tell(Event::Closed { violation, .. }) => {
                    assert!(self.closed.is_none(), "told twice");
                    self.closed = Some((violation.reason, violation.cause.is_some()));
                }
                Output::Reset => self.is_reset = true,
                Output::ReleaseRequest(len) => {
                    assert!(self.paused && len == self.held.len());
                    let chunk = std::mem::take(&mut self.held);
                    let passage = self.judge(Peer::Client, &chunk, now);
                    self.pass(&passage, &chunk);
                }
                Output::HoldRequest => assert!(!self.session.was_opened()),
                Output::Admit(_) | Output::AdmitResponse(_) | Output::Tell(Event::Opened) => {}
                output => panic!("{output:?}"),
            }
        }
    }

    fn seen(&self) -> (Frames, Frames) {
        (frames(&self.client), frames(&self.upstream))
    }

    /// Asserts that nothing was refused, and that nobody waits.
    fn assert_goes_on(&self) {
        assert_eq!((self.closed, self.session.is_waiting()), (None, false));
    }

    /// Asserts that both peers were told of the end by `reason`, and have seen nothing else of it.
    fn assert_ended(&mut self, now: Duration, reason: Reason, detailed: bool) {
        assert_eq!(self.closed, Some((reason, detailed)));
        assert!(!self.session.is_waiting());
        self.client_sends(now, &from_client(CLOSE, b""));
        self.upstream_sends(now, &from_upstream(CLOSE, b""));
        let (client, upstream) = self.seen();
        assert_eq!((client.last(), upstream.last()), (Some(&closing(reason)), Some(&closing(reason))));
    }
}
