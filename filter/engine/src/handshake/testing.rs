//! Requests to try rules on.

use crate::request::{Connection, Entropy, Protocol, RequestHead};

/// A handshake with nothing wrong: the example of RFC 6455 §1.3 over TLS.
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
        connection: Connection {
            tls: true,
            mutual_tls: false,
            protocol: Protocol::Http11,
            client: Some([198, 51, 100, 7].into()),
        },
        entropy: Entropy { key: [7; 16], mask: [1, 2, 3, 4], instance: [9; 16] },
    }
}

/// `head` with one field `name` of this value.
pub(crate) fn with(head: &RequestHead, name: &str, value: &[u8]) -> RequestHead {
    let mut head = without(head, name);
    head.fields.push((name.to_owned(), value.to_vec()));
    head
}

/// `head` without its fields called `name`.
pub(crate) fn without(head: &RequestHead, name: &str) -> RequestHead {
    let mut head = head.clone();
    head.fields.retain(|(n, _)| n != name);
    head
}
