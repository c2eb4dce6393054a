//! A request as the filter tells of it: its fields, and the facts of its connection.

use std::net::IpAddr;

use postern_config::{HostFault, NormalisedHost};

use crate::decision::cause::Shown;
use crate::handshake::Kind;
use crate::http::headers::{Field, Headers, Single};

/// The fields of a request, and what Envoy knows of its connection. Its `Debug` shows no value of a field.
#[derive(Clone)]
pub struct RequestHead {
    /// Every field, pseudo-headers included.
    pub fields: Vec<Field>,
    /// The facts of the connection.
    pub connection: ConnectionFacts,
    /// Fresh randomness for this stream.
    pub entropy: Entropy,
}

/// The facts that Envoy knows of the downstream connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// Says whether the connection is TLS.
    pub tls: bool,
    /// Says whether the client showed a certificate that Envoy verified.
    pub mutual_tls: bool,
    /// The version of HTTP.
    pub protocol: Protocol,
    /// The `source.address` without its port; `None` when it is no IP address.
    pub client: Option<IpAddr>,
}

/// The version of HTTP that the client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0, which knows no upgrade.
    Http10,
    /// HTTP/1.1, or a version that the host did not tell.
    #[default]
    Http11,
    /// HTTP/2 or HTTP/3, where a WebSocket is an extended CONNECT (RFC 8441, RFC 9220).
    Multiplexed,
}

/// Random bytes; the engine makes none of its own.
#[derive(Clone, Copy)]
pub struct Entropy {
    /// Bytes for a Sec-WebSocket-Key.
    pub key: [u8; 16],
    /// Bytes for the masking key of a Close.
    pub mask: [u8; 4],
    /// Bytes for the payloads and masking keys of Postern's own Pings.
    pub ping: [u8; 16],
    /// Bytes for a UUID, if there is no request id.
    pub instance: [u8; 16],
    /// Bytes for the time by which the connection ends before the longest that it may last.
    pub session: [u8; 4],
}

impl Entropy {
    /// No randomness, for a head that no session will judge.
    pub const NONE: Self =
        Self { key: [0; 16], mask: [0; 4], ping: [0; 16], instance: [0; 16], session: [0; 4] };
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

/// Says whether a request with these fields asks for an upgrade of any kind. If not, the facts of its
/// connection are never asked for.
pub fn is_upgrade(fields: &[Field]) -> bool {
    Kind::of(Headers::new(fields)) != Kind::Plain
}

impl RequestHead {
    /// Returns a view of the fields.
    pub fn headers(&self) -> Headers<'_> {
        Headers::new(&self.fields)
    }

    /// Returns the host that the request names, if it names one.
    ///
    /// # Errors
    /// Returns [`HostFault`] if what it names is no host: router, policy and service could each take it for
    /// another one.
    pub(crate) fn host(&self) -> Result<Option<NormalisedHost>, HostFault> {
        let headers = self.headers();
        let mut named = headers.all(":authority").chain(headers.all("host"));
        match (named.next(), named.next()) {
            (None, _) => Ok(None),
            (Some(authority), None) => NormalisedHost::parse(authority).map(Some),
            (Some(_), Some(_)) => Err(HostFault::Many),
        }
    }

    /// Says whether the request names a host, which an upgrade must.
    pub(crate) fn has_host(&self) -> bool {
        matches!(self.host(), Ok(Some(_)))
    }

    /// Returns what a line of the log may have of Origin, if there is any.
    pub fn shown_origin(&self) -> Option<Shown> {
        let headers = self.headers();
        headers.has("origin").then(|| Shown::of(headers.all("origin")))
    }

    /// Returns the path without its query.
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
            connection: ConnectionFacts::default(),
            entropy: Entropy {
                key: [0; 16],
                mask: [0; 4],
                ping: [0; 16],
                instance: [0; 16],
                session: [0; 4],
            },
        }
    }

    #[test]
    fn one_field_names_the_host() {
        let named = |fields: &[(&str, &[u8])]| {
            head(fields).host().map(|host| host.map(|host| host.as_str().to_owned()))
        };
        let a = Ok(Some("a".to_owned()));
        assert_eq!(named(&[(":authority", b"A:8443")]), a);
        assert_eq!(named(&[("Host", b"a")]), a);
        assert_eq!(named(&[]), Ok(None));
        assert_eq!(named(&[(":authority", b"user@a")]), Err(HostFault::Name));
        for two in [":authority", "host", "Host"] {
            let fields: [(&str, &[u8]); 2] = [(two, b"a"), ("host", b"a")];
            assert_eq!(named(&fields), Err(HostFault::Many), "{two}");
        }
        assert!(head(&[("host", b"a")]).has_host());
        assert!(!head(&[]).has_host() && !head(&[("host", b"a..")]).has_host());
    }

    #[test]
    fn the_path_has_no_query() {
        assert_eq!(head(&[(":path", b"/ws/\xff?a=/b")]).path(), b"/ws/\xff");
        assert_eq!(head(&[]).path(), b"");
    }
}
