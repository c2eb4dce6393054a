//! The answer to a handshake: its status, its fields, and why it is a refusal, if it says so (RFC 9457).

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha1::{Digest, Sha1};

use super::wire::Wire;

/// The GUID behind a Sec-WebSocket-Key (RFC 6455 §1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The most bytes of a head, or of a body that is read.
const LONGEST: usize = 64 << 10;

/// The most fields of a head.
const MOST_FIELDS: usize = 100;

/// The beginning of the types of Postern's own refusals.
const OURS: &str = "urn:postern:";

/// An answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// Reads an answer by `deadline`; `None` when there is none by then, or what came is none. A body is read if its
    /// length is known.
    pub(crate) fn read(wire: &mut Wire, deadline: Instant) -> Option<Self> {
        let (mut answer, length) = loop {
            match parse(wire.unread()) {
                Parsed::Head(answer, length) => break (answer, length),
                Parsed::Incomplete if wire.unread().len() < LONGEST => {}
                Parsed::Incomplete | Parsed::NoHead => return None,
            }
            if wire.end().is_some() || !wire.await_more(deadline) {
                return None;
            }
        };
        wire.take(length);
        if answer.status != 101 {
            let length = answer.field("content-length").and_then(|length| length.trim().parse().ok());
            let length = LONGEST.min(length.unwrap_or(0));
            while wire.unread().len() < length && wire.end().is_none() && wire.await_more(deadline) {}
            answer.body = wire.unread().get(..length).unwrap_or(wire.unread()).to_vec();
        }
        Some(answer)
    }

    /// Returns the first value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        fields.next().map(|(_, value)| value.as_str())
    }

    /// Returns the `type` of the problem document in the body; of Postern's own the reason's id alone.
    pub(crate) fn reason(&self) -> Option<String> {
        let problem: Value = serde_json::from_slice(&self.body).ok()?;
        let kind = problem.get("type")?.as_str()?;
        Some(kind.strip_prefix(OURS).unwrap_or(kind).to_owned())
    }

    /// Says whether the endpoint refuses whoever asks for now, whatever is asked for.
    pub(crate) fn is_for_now(&self) -> bool {
        matches!(self.status, 429 | 503)
    }

    /// Says whether this is a 101 that answers a handshake with `key` (RFC 6455 §4.1).
    pub(crate) fn accepts(&self, key: &str) -> bool {
        let accept = STANDARD.encode(Sha1::digest(format!("{key}{GUID}")));
        self.status == 101 && self.field("sec-websocket-accept").is_some_and(|value| value.trim() == accept)
    }

    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let Parsed::Head(mut answer, length) = parse(bytes) else { panic!("{}", bytes.escape_ascii()) };
        answer.body = bytes[length..].to_vec();
        answer
    }
}

/// Reads the beginning of received bytes.
enum Parsed {
    Head(Answer, usize),
    Incomplete,
    NoHead,
}

fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            let text = |field: &httparse::Header<'_>| {
                (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned())
            };
            let fields = response.headers.iter().map(text).collect();
            Parsed::Head(
                Answer { status: response.code.unwrap_or_default(), fields, body: Vec::new() },
                length,
            )
        }
        Ok(httparse::Status::Partial) => Parsed::Incomplete,
        Err(_) => Parsed::NoHead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_why_it_refuses() {
        let problem = |kind: &str| {
            let body = format!(r#"{{"type": "{kind}", "status": 403}}"#);
            Answer::of(format!("HTTP/1.1 403 Forbidden\r\ncontent-type: a\r\n\r\n{body}").as_bytes())
        };
        assert_eq!(problem("urn:postern:origin_denied").reason().as_deref(), Some("origin_denied"));
        assert_eq!(problem("https://a.example/no").reason().as_deref(), Some("https://a.example/no"));
        let plain = Answer::of(b"HTTP/1.1 429 Slow\r\nX: 1\r\n\r\nno");
        assert_eq!((plain.reason(), plain.status, plain.is_for_now()), (None, 429, true));
        assert_eq!((plain.field("x"), plain.field("y")), (Some("1"), None));
    }

    #[test]
    fn a_101_answers_its_key_alone() {
        let answer = Answer::of(
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
        assert!(answer.accepts("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(!answer.accepts("AQIDBAUGBwgJCgsMDQ4PEC=="));
    }
}
