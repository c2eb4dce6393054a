//! What the filter tells of a request: its fields, and the facts of its connection.

use std::net::IpAddr;

use crate::handshake::Kind;
use crate::headers::{Field, Headers, Single};

/// A request's fields and what Envoy knows of its connection. Its `Debug` shows no value of a field.
#[derive(Clone)]
pub struct RequestHead {
    /// Every field, pseudo-headers included.
    pub fields: Vec<Field>,
    /// The facts of the connection.
    pub connection: Connection,
    /// Fresh randomness for this stream.
    pub entropy: Entropy,
}

/// What Envoy knows of the downstream connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Whether it is TLS.
    pub tls: bool,
    /// Whether the client showed a certificate that Envoy verified.
    pub mutual_tls: bool,
    /// The version of HTTP.
    pub protocol: Protocol,
    /// `source.address` without its port; `None` when it is no IP address.
    pub client: Option<IpAddr>,
}

/// The version of HTTP that the client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0, which knows no upgrade.
    Http10,
    /// HTTP/1.1, or what the host did not tell.
    #[default]
    Http11,
    /// HTTP/2 or HTTP/3, where a WebSocket is an extended CONNECT (RFC 8441, RFC 9220).
    Multiplexed,
}

/// Random bytes; the engine makes none of its own.
#[derive(Clone, Copy)]
pub struct Entropy {
    /// For a Sec-WebSocket-Key.
    pub key: [u8; 16],
    /// For the masking key of a Close.
    pub mask: [u8; 4],
    /// For the payloads and masking keys of Postern's own Pings.
    pub ping: [u8; 16],
    /// For a UUID where there is no request id.
    pub instance: [u8; 16],
}

impl Entropy {
    /// No randomness, for a head that no session will judge.
    pub const NONE: Self = Self { key: [0; 16], mask: [0; 4], ping: [0; 16], instance: [0; 16] };
}

impl std::fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connection, .. } = self;
        f.debug_struct("RequestHead")
            .field("fields", &self.headers())
            .field("connection", connection)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(…)")
    }
}

/// Whether a request with these fields asks for an upgrade of any kind. Of one that does not, the
/// facts of the connection are never asked.
pub fn is_upgrade(fields: &[Field]) -> bool {
    Kind::of(Headers::new(fields)) != Kind::Plain
}

impl RequestHead {
    /// A view of the fields.
    pub fn headers(&self) -> Headers<'_> {
        Headers::new(&self.fields)
    }

    /// The host that the request names, without its port, where it is text.
    pub(crate) fn host(&self) -> Option<&str> {
        let authority = match self.headers().single(":authority") {
            Single::One(authority) => authority,
            Single::Absent | Single::Many => match self.headers().single("host") {
                Single::One(host) => host,
                Single::Absent | Single::Many => return None,
            },
        };
        let authority = std::str::from_utf8(authority).ok()?;
        let without_port = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        };
        (!without_port.is_empty()).then_some(without_port)
    }

    /// The path without its query.
    pub(crate) fn path(&self) -> &[u8] {
        let target = match self.headers().single(":path") {
            Single::One(path) => path,
            Single::Absent | Single::Many => b"",
        };
        target.split(|&b| b == b'?' || b == b'#').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &[u8])]) -> RequestHead {
        RequestHead {
            fields: fields.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect(),
            connection: Connection::default(),
            entropy: Entropy { key: [0; 16], mask: [0; 4], ping: [0; 16], instance: [0; 16] },
        }
    }

    #[test]
    fn the_host_has_no_port() {
        let cases: [(&[u8], Option<&str>); 7] = [
            (b"example.com", Some("example.com")),
            (b"example.com:8443", Some("example.com")),
            (b"example.com:", Some("example.com")),
            (b"[::1]:8443", Some("[::1]")),
            (b"[::1]", Some("[::1]")),
            (b":443", None),
            (b"\xff", None),
        ];
        for (authority, expected) in cases {
            assert_eq!(head(&[(":authority", authority)]).host(), expected, "{authority:?}");
        }
        assert_eq!(head(&[("host", b"a")]).host(), Some("a"));
        assert_eq!(head(&[]).host(), None);
    }

    #[test]
    fn the_path_has_no_query() {
        assert_eq!(head(&[(":path", b"/ws/\xff?a=/b")]).path(), b"/ws/\xff");
        assert_eq!(head(&[]).path(), b"");
    }
}
