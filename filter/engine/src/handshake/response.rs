//! The check that the upstream's 101 answers this very handshake (RFC 6455 §4.1, second part).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::PROTOCOL;
use super::extensions::{self, Agreement, Parameters};
use super::steps::subprotocols::is_tunnel;
use crate::decision::cause::ResponseFault;
use crate::http::headers::{HeaderEdit, Headers, Single};

/// The demands on a 101. Its `Debug` shows no subprotocol: it may be a token.
#[derive(Clone)]
pub(crate) struct Expected {
    /// The Sec-WebSocket-Key that went up; empty where that is not known.
    pub(crate) key: Vec<u8>,
    /// The subprotocols that went up.
    pub(crate) subprotocols: Vec<Vec<u8>>,
    /// The offer to choose if the upstream chooses none, since all that the client offers is secret.
    pub(crate) echo: Option<Vec<u8>>,
    /// The offers of permessage-deflate that went up.
    pub(crate) extensions: Vec<Parameters>,
    /// Says whether each message of the client must be understood without the ones before it.
    pub(crate) client_messages_alone: bool,
}

/// The globally unique identifier of RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

impl Expected {
    /// Returns the memory that is taken for the demands, in bytes.
    pub(crate) fn held(&self) -> u64 {
        let subprotocols: usize =
            self.subprotocols.iter().map(|offer| size_of::<Vec<u8>>() + offer.capacity()).sum();
        let extensions = self.extensions.capacity() * size_of::<Parameters>();
        let echo = self.echo.as_ref().map_or(0, Vec::capacity);
        (self.key.capacity() + subprotocols + extensions + echo) as u64
    }

    /// Returns the most memory that inflaters may come to keep by the answer between messages, in bytes.
    pub(crate) fn held_at_rest(&self) -> u64 {
        extensions::most_at_rest(&self.extensions, self.client_messages_alone)
    }

    /// Returns the agreement of `headers`, if they are those of a 101 for the request.
    pub(crate) fn agreement(&self, headers: Headers<'_>) -> Result<Agreement, ResponseFault> {
        self.judge(headers)?;
        let agreement = extensions::agree(&self.extensions, self.client_messages_alone, headers);
        agreement.ok_or(ResponseFault::Extensions)
    }

    /// Says whether the upstream chooses a subprotocol under which another protocol is known to be carried. One that went up
    /// the policy allows by its name.
    pub(crate) fn chooses_tunnel(&self, headers: Headers<'_>) -> bool {
        matches!(headers.single(PROTOCOL), Single::One(name) if is_tunnel(name.trim_ascii()))
    }

    /// Returns the edit that makes the 101 one that every client takes.
    pub(crate) fn choice(&self, headers: Headers<'_>) -> Option<HeaderEdit> {
        let echo = self.echo.as_ref().filter(|_| !headers.has(PROTOCOL))?;
        Some(HeaderEdit::Set(PROTOCOL.to_owned(), echo.clone()))
    }

    /// Judges all of the 101 but the extensions.
    fn judge(&self, headers: Headers<'_>) -> Result<(), ResponseFault> {
        let mut upgrade = headers.list("upgrade");
        let to_websocket = upgrade.next().is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"));
        if !to_websocket || upgrade.next().is_some() {
            return Err(ResponseFault::Protocol);
        }
        if !headers.list_has("connection", b"upgrade") {
            return Err(ResponseFault::Connection);
        }
        match headers.single("sec-websocket-accept") {
            _ if self.key.is_empty() => {}
            Single::One(accept) if accept.trim_ascii() == self.accept().as_bytes() => {}
            Single::One(_) | Single::Absent | Single::Many => return Err(ResponseFault::Accept),
        }
        let is_offered = match headers.single(PROTOCOL) {
            Single::Absent => true,
            Single::One(name) => self.subprotocols.iter().any(|offer| offer == name.trim_ascii()),
            Single::Many => false,
        };
        if is_offered { Ok(()) } else { Err(ResponseFault::Subprotocol) }
    }

    pub(crate) fn accept(&self) -> String {
        STANDARD.encode(Sha1::new().chain_update(&self.key).chain_update(GUID).finalize())
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expected").field("extensions", &self.extensions).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::Field;

    fn response(changes: &[(&str, Option<&str>)]) -> Vec<Field> {
        let mut fields = vec![
            ("upgrade".to_owned(), b"websocket".to_vec()),
            ("connection".to_owned(), b"Upgrade".to_vec()),
            ("sec-websocket-accept".to_owned(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_vec()),
        ];
        for (name, value) in changes {
            fields.retain(|(n, _)| n != name);
            fields.extend(value.map(|value| ((*name).to_owned(), value.as_bytes().to_vec())));
        }
        fields
    }

    #[test]
    fn a_101_fits_its_request_in_every_field() {
        let expected = Expected {
            key: b"dGhlIHNhbXBsZSBub25jZQ==".to_vec(),
            subprotocols: vec![b"chat.v2".to_vec(), b"chat.v1".to_vec()],
            echo: None,
            extensions: Vec::new(),
            client_messages_alone: false,
        };
        let cases: [(&str, &[(&str, Option<&str>)], bool); 13] = [
            ("the RFC's example", &[], true),
            ("an offered subprotocol", &[("sec-websocket-protocol", Some("chat.v1"))], true),
            ("any case", &[("upgrade", Some("WebSocket")), ("connection", Some("upgrade"))], true),
            (
                "accept of another key",
                &[("sec-websocket-accept", Some("AAAPLMBiTxaQ9kYGzzhZRbK+xOo="))],
                false,
            ),
            (
                "accept in another case",
                &[("sec-websocket-accept", Some("S3PPLMBITXAQ9KYGZZHZRBK+XOO="))],
                false,
            ),
            ("no accept", &[("sec-websocket-accept", None)], false),
            ("no upgrade", &[("upgrade", None)], false),
            ("upgrade to something else", &[("upgrade", Some("h2c"))], false),
            ("upgrade to two things", &[("upgrade", Some("websocket, h2c"))], false),
            ("no connection", &[("connection", Some("keep-alive"))], false),
            ("subprotocol not offered", &[("sec-websocket-protocol", Some("soap"))], false),
            ("two subprotocols", &[("sec-websocket-protocol", Some("chat.v2, chat.v1"))], false),
            ("extension not offered", &[("sec-websocket-extensions", Some("permessage-deflate"))], false),
        ];
        for (name, changes, fits) in cases {
            let agreement = expected.agreement(Headers::new(&response(changes)));
            assert_eq!(agreement.ok(), fits.then(Agreement::default), "{name}");
        }
        let mut twice = response(&[]);
        twice.extend_from_slice(&response(&[]));
        assert_eq!(expected.agreement(Headers::new(&twice)), Err(ResponseFault::Protocol), "two of each");
    }
}
