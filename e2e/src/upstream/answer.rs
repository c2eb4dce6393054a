//! Answers to a handshake, right or wrong (RFC 6455 §4.2.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The GUID that a server appends to a Sec-WebSocket-Key (RFC 6455 §1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A scripted answer to a handshake.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// The text that stands for the right Sec-WebSocket-Accept in a header's value.
    const ACCEPT: &'static str = "{accept}";

    /// Makes a sound 101, which a test then spoils.
    pub fn switching() -> Self {
        let headers =
            [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", Self::ACCEPT)];
        Self {
            status: 101,
            headers: headers.map(|(name, value)| (name.into(), value.into())).into(),
            body: String::new(),
        }
    }

    /// Makes an answer that is no 101, with this body.
    pub fn status(status: u16, body: &str) -> Self {
        let headers = vec![("Content-Length".into(), body.len().to_string())];
        Self { status, headers, body: body.into() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Takes out all headers of a name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn bytes(&self, key: &str) -> Vec<u8> {
        let accept = accept_of(key);
        let mut text = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {}\r\n", value.replace(Self::ACCEPT, &accept)));
        }
        text.push_str("\r\n");
        text.push_str(&self.body);
        text.into_bytes()
    }
}

/// Returns the Sec-WebSocket-Accept that answers `key` (RFC 6455 §4.2.2).
pub fn accept_of(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}{GUID}")))
}
