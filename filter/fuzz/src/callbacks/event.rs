//! What happens to a connection, made of an input: what its peers say, and what else a host tells of.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use jsonwebtoken::{Algorithm, Header};
use postern_config::Compression;
use postern_engine::Peer;
use serde_json::{Value, json};

use super::host::{Fetch, Response};
use super::policy::{FIRST, Policy, REFRESH};
use crate::fixture::{NOW, key};
use crate::script::{LENGTHS, close_body, frame, mutate, no_text, raw, text};
use crate::wire::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};

/// One thing that happens.
#[derive(Debug)]
pub(crate) enum Event {
    /// A peer says something more. So many of the last bytes that it has said are still under way; the others come in
    /// pieces of this size.
    Says {
        peer: Peer,
        bytes: Vec<u8>,
        under_way: usize,
        piece: usize,
    },
    /// A peer answers a Ping of Postern's own: the first of those that it has not answered, or the last.
    Answers {
        peer: Peer,
        first: bool,
    },
    /// Time passes, and the timer may be late.
    Waits {
        time: Duration,
        late: bool,
    },
    /// A callback without a byte.
    Nothing(Peer),
    Trailers(Peer),
    /// The stream is over.
    Ends,
    /// All that is held has to be given back: now, or once the next callback has been performed.
    MemoryExceeded {
        in_callback: bool,
    },
    Fetches(Fetch),
    Responds(Response),
    SetBack(Duration),
    Drains(Duration),
}

/// More would only make a run slow.
const MAX_EVENTS: usize = 40;

/// RSV1, which marks a compressed message (RFC 7692 §6).
const COMPRESSED: u8 = 0x40;

thread_local! {
    /// Tokens of Alice's, which end one after the other, one of Bob's, and two that are none.
    static TOKENS: [String; 6] = [
        token(json!({"exp": NOW.as_secs() + 8})),
        token(json!({"exp": NOW.as_secs() + 20})),
        token(json!({"exp": NOW.as_secs() + 3600})),
        token(json!({"sub": "bob"})),
        token(json!({"exp": 1})),
        "no token".to_owned(),
    ];
}

/// One of the tokens.
pub(crate) fn token_of(choice: u8) -> String {
    TOKENS.with(|tokens| tokens[usize::from(choice) % tokens.len()].clone())
}

fn token(changes: Value) -> String {
    let mut claims =
        json!({"iss": "edge", "aud": "chat", "sub": "alice", "jti": "1", "exp": NOW.as_secs() + 60});
    for (name, value) in changes.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    let key = key(Algorithm::HS256).expect("a key that is here");
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("the key signs")
}

/// The events that an input stands for.
pub(crate) fn events(input: &mut Unstructured<'_>, policy: &Policy) -> Vec<Event> {
    let mut events = Vec::new();
    // Whether a message is open, of the client and of the upstream.
    let mut open = [false; 2];
    while events.len() < MAX_EVENTS && !input.is_empty() {
        match event(input, policy, &mut open) {
            Ok(event) => events.push(event),
            Err(_) => break,
        }
    }
    events
}

fn event(input: &mut Unstructured<'_>, policy: &Policy, open: &mut [bool; 2]) -> Result<Event> {
    let how = input.arbitrary::<u8>()?;
    let more = how >> 5;
    let client_or_upstream = |is_client| if is_client { Peer::Client } else { Peer::Upstream };
    Ok(match how & 31 {
        kind @ 0..=9 => {
            let peer = client_or_upstream(kind < 5);
            let bytes = said(input, policy, peer, &mut open[peer as usize], kind % 5)?;
            says(input, peer, bytes)?
        }
        10..=12 => {
            let bytes = with_token(input, policy, more)?;
            says(input, Peer::Client, bytes)?
        }
        kind @ (13 | 14) => says(input, client_or_upstream(kind == 13), Vec::new())?,
        kind @ 15..=18 => Event::Answers { peer: client_or_upstream(kind < 17), first: more & 1 == 0 },
        19..=22 => {
            let tenths = input.arbitrary::<u8>()?;
            let time = Duration::from_millis(u64::from(tenths) * if more & 1 == 0 { 25 } else { 3 });
            Event::Waits { time, late: more == 7 }
        }
        kind @ (23 | 24) => Event::Nothing(client_or_upstream(kind == 23)),
        kind @ (25 | 26) => Event::Trailers(client_or_upstream(kind == 25)),
        27 => Event::MemoryExceeded { in_callback: more & 1 == 0 },
        28 => Event::Fetches(match more {
            0..4 => Fetch::NamesNobody,
            4..6 => Fetch::Fails,
            _ => Fetch::NamesTheUser,
        }),
        29 => Event::Responds(match more {
            0..5 => Response::Agrees,
            5 => Response::Declines,
            6 => Response::Lies,
            _ => Response::Rerouted,
        }),
        30 if more & 1 == 0 => Event::SetBack(Duration::from_millis(u64::from(more) * 700)),
        30 => Event::Drains(Duration::from_millis(u64::from(more) * 700)),
        _ => Event::Ends,
    })
}

fn says(input: &mut Unstructured<'_>, peer: Peer, bytes: Vec<u8>) -> Result<Event> {
    let [under_way, piece] = input.arbitrary::<[u8; 2]>()?;
    let piece = (usize::from(piece) + 1).max(bytes.len() / 16);
    Ok(Event::Says { peer, bytes, under_way: usize::from(under_way).saturating_sub(64), piece })
}

/// A frame, or a message of several.
fn said(
    input: &mut Unstructured<'_>,
    policy: &Policy,
    peer: Peer,
    open: &mut bool,
    kind: u8,
) -> Result<Vec<u8>> {
    let how = input.arbitrary::<u8>()?;
    let (opcode, payload) = match kind {
        0 => match how >> 5 {
            0..3 => (PING, raw(input, 125)?),
            3..5 => (PONG, raw(input, 125)?),
            5 => (CLOSE, close_body(input)?),
            6 => (PONG, raw(input, 16)?),
            _ => return raw(input, 255),
        },
        1 => (TEXT, if how > 250 { no_text(input)? } else { text(input)? }),
        2 => (BINARY, raw(input, 255)?),
        3 => (BINARY, vec![how; LENGTHS[usize::from(how % 8)]]),
        _ => {
            let opcode = if how & 1 == 0 { TEXT } else { BINARY };
            let payload = if opcode == TEXT { text(input)? } else { raw(input, 255)? };
            let compressed = how & 2 != 0 && policy.compression != Compression::Strip;
            *open = false;
            return Ok(message(peer, opcode, &payload, compressed, how >> 2));
        }
    };
    let is_control = opcode >= CLOSE;
    let fin = is_control || how & 7 != 0;
    let opcode = if !is_control && *open { CONTINUATION } else { opcode };
    if !is_control {
        *open = !fin;
    }
    let mut bytes = frame(opcode, fin, mask(peer, how), &payload);
    if how & 0x18 == 0x18 {
        mutate(input, &mut bytes)?;
    }
    Ok(bytes)
}

/// A message with a token in it, which Postern takes out.
fn with_token(input: &mut Unstructured<'_>, policy: &Policy, place: u8) -> Result<Vec<u8>> {
    let [which, how] = input.arbitrary::<[u8; 2]>()?;
    let name = if place & 1 == 0 { FIRST } else { REFRESH };
    let text = json!({ name: token_of(which) }).to_string();
    let compressed = how & 1 != 0 && policy.compression != Compression::Strip;
    Ok(message(Peer::Client, TEXT, text.as_bytes(), compressed, how >> 1))
}

/// A message in up to three fragments, perhaps with Pings between them.
fn message(peer: Peer, opcode: u8, payload: &[u8], compressed: bool, how: u8) -> Vec<u8> {
    let payload = if compressed { stored(payload) } else { payload.to_vec() };
    let fragments = usize::from(how & 3).max(1);
    let len = payload.len().div_ceil(fragments).max(1);
    let mut parts: Vec<&[u8]> = payload.chunks(len).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let mut bytes = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let opcode = match i {
            0 => opcode | if compressed { COMPRESSED } else { 0 },
            _ => CONTINUATION,
        };
        if i > 0 && how & 4 != 0 {
            bytes.extend(frame(PING, true, mask(peer, how), b"between"));
        }
        bytes.extend(frame(opcode, i + 1 == parts.len(), mask(peer, how), part));
    }
    bytes
}

/// As it is sent compressed: in a stored block, and the beginning of the empty one that follows (RFC 7692 §7.2.1).
fn stored(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_le_bytes();
    [&[0], &len[..], &len.map(|byte| !byte), payload, &[0]].concat()
}

/// An answer to an own Ping with this payload.
pub(crate) fn pong(peer: Peer, payload: &[u8]) -> Vec<u8> {
    frame(PONG, true, mask(peer, 7), payload)
}

fn mask(peer: Peer, how: u8) -> Option<[u8; 4]> {
    (peer == Peer::Client).then_some([how, how.rotate_left(3), 9, 0])
}
