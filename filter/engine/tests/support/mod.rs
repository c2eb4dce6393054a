//! Open connections, and frames to send on them, by the engine's public interface alone.

use std::net::IpAddr;

use postern_config::Config;
use postern_engine::auth::single_use::{Spent, Ticket};
use postern_engine::http::headers::Field;
use postern_engine::rate::{BucketRequest, Outcome, Shared};
use postern_engine::{
    ConnectionFacts, Engine, Entropy, Input, Output, Protocol, RequestHead, RouteFacts, Selection, Session,
};
use serde_json::{Value, json};

use std::time::Duration;

/// Tables that all workers share, which nobody has to ask.
pub(crate) struct Tables;

impl Shared for Tables {
    fn charge(&mut self, request: &BucketRequest, _now: Duration) -> Outcome {
        panic!("not to be asked: {request:?}")
    }

    fn spend(&mut self, ticket: &Ticket, _now: Duration) -> Spent {
        panic!("not to be spent: {ticket:?}")
    }
}

/// When connections open, since the Unix epoch.
pub(crate) const START: Duration = Duration::from_secs(1_800_000_000);

/// The key that masks Postern's own frames to the upstream.
pub(crate) const MASK: [u8; 4] = [1, 2, 3, 4];

/// The secret of the provider `edge`.
pub(crate) const SECRET: &str = "a secret of the tests, thirty-two bytes or more";

/// An engine whose only policy falls to every request.
pub(crate) fn engine(policy: &Value) -> Engine {
    Engine::compile(config(policy), &|_| None, [3; 16]).unwrap()
}

/// What a connection under that policy holds at worst, in bytes.
#[allow(dead_code, reason = "not every test asks")]
pub(crate) fn most_held(policy: &Value) -> u64 {
    config(policy).policies.values().map(postern_engine::most_held).sum()
}

fn config(policy: &Value) -> Config {
    let mut policy = policy.clone();
    // No model knows what an opening may still become, which is held meanwhile.
    if let Some(policy) = policy.as_object_mut()
        && let Some(messages) = policy.entry("messages").or_insert_with(|| json!({})).as_object_mut()
    {
        messages.entry("tunnels").or_insert_with(|| json!("pass"));
    }
    let document = json!({
        "providers": {"edge": {
            "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "clock_skew": "30s",
            "secret": {"inline": SECRET},
        }},
        "policies": {"chat": policy},
        "default_policy": "chat",
    });
    Config::from_value(document).unwrap_or_else(|problems| panic!("{policy}: {problems}"))
}

/// The field that extensions are offered and agreed on in.
#[allow(dead_code, reason = "not every test agrees on one")]
pub(crate) const EXTENSIONS: &str = "sec-websocket-extensions";

/// A session from `client` whose sound handshake, with `more` fields in it, has gone up.
pub(crate) fn admitted(engine: &Engine, client: IpAddr, more: &[(&str, &str)]) -> Session {
    let sound = [
        (":method", "GET"),
        (":path", "/chat"),
        (":authority", "server.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("origin", "https://app.example.com"),
    ];
    let head = RequestHead {
        fields: fields(&[&sound, more].concat()),
        connection: ConnectionFacts {
            tls: true,
            mutual_tls: false,
            protocol: Protocol::Http11,
            client: Some(client),
        },
        entropy: Entropy { key: [7; 16], mask: MASK, ping: [5; 16], instance: [9; 16], session: [0; 4] },
    };
    let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else {
        panic!("the policy judges every request");
    };
    session.handle(Input::Request(head), &mut Tables, START);
    let output = session.poll_output();
    assert!(matches!(output, Some(Output::Admit(_))), "{output:?}");
    *session
}

/// The upstream's agreement to the handshake, with `more` fields in it.
pub(crate) fn agreement(more: &[(&str, &str)]) -> Vec<Field> {
    let sound = [
        (":status", "101"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ];
    fields(&[&sound, more].concat())
}

fn fields(fields: &[(&str, &str)]) -> Vec<Field> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

/// A frame as its sender writes it: masked with `mask` if there is one.
pub(crate) fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64, mask);
    let mask = mask.unwrap_or_default();
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The header of a frame with so long a payload.
pub(crate) fn header(first: u8, payload_len: u64, mask: Option<[u8; 4]>) -> Vec<u8> {
    let mask_bit = if mask.is_some() { 0x80 } else { 0 };
    let mut header = vec![first];
    match (u8::try_from(payload_len), u16::try_from(payload_len)) {
        (Ok(len @ ..126), _) => header.push(mask_bit | len),
        (_, Ok(len)) => {
            header.push(mask_bit | 126);
            header.extend(len.to_be_bytes());
        }
        _ => {
            header.push(mask_bit | 127);
            header.extend(payload_len.to_be_bytes());
        }
    }
    header.extend(mask.iter().flatten());
    header
}
