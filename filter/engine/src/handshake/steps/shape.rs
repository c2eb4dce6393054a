//! The kind of a request, and the shape of a WebSocket handshake (RFC 6455 §4.2.1, RFC 8441 §4 for HTTP/2).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Turn;
use crate::decision::Violation;
use crate::decision::cause::{HandshakeFault, Shown};
use crate::handshake::Handshake;
use crate::handshake::waiting::Stop;
use crate::http::headers::{Headers, Single};
use crate::http::request::{Protocol, RequestHead};

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The request asks for another protocol than WebSocket.
    OtherUpgrade,
    /// Ordinary HTTP.
    Plain,
    /// The request asks for a WebSocket, well or badly.
    WebSocket,
}

/// The base64 of a key. The example in RFC 6455 §4.2.1 itself leaves bits over after the sixteenth byte.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

impl Kind {
    /// Decides by the Upgrade field and the method alone, so that a bad handshake counts as one.
    pub(crate) fn of(headers: Headers<'_>) -> Self {
        let connect = headers.single(":method") == Single::One(b"CONNECT");
        match (headers.has("upgrade"), connect) {
            (false, false) => Self::Plain,
            (true, _) if headers.list_has("upgrade", b"websocket") => Self::WebSocket,
            (true, _) | (false, true) => Self::OtherUpgrade,
        }
    }
}

/// Refuses an upgrade to another protocol.
pub(super) fn judge_protocol(handshake: &mut Handshake, _turn: &mut Turn<'_>) -> Result<(), Stop> {
    let headers = handshake.head.headers();
    match Kind::of(headers) {
        Kind::WebSocket => Ok(()),
        Kind::OtherUpgrade | Kind::Plain => {
            let protocol = Shown::of(headers.all("upgrade"));
            Err(Violation::from(HandshakeFault::OtherProtocol(protocol)).into())
        }
    }
}

/// Refuses a handshake whose shape is wrong, and keeps the key of one whose shape is right.
pub(super) fn judge_shape(handshake: &mut Handshake, _turn: &mut Turn<'_>) -> Result<(), Stop> {
    match judge(&handshake.head) {
        Ok(key) => {
            handshake.key = key.unwrap_or_else(|| fresh_key(handshake.head.entropy.key));
            Ok(())
        }
        Err(fault) => Err(Violation::from(fault).into()),
    }
}

/// Judges the shape of a WebSocket handshake, and returns the client's key, or `None` for an extended
/// CONNECT, which carries none.
fn judge(head: &RequestHead) -> Result<Option<Vec<u8>>, HandshakeFault> {
    let headers = head.headers();
    if headers.single(":method") != Single::One(b"GET") {
        return Err(HandshakeFault::Method);
    }
    if head.connection.protocol == Protocol::Http10 {
        return Err(HandshakeFault::Http10);
    }
    // A list would leave it to each server which of the protocols it takes.
    if headers.list("upgrade").nth(1).is_some() {
        return Err(HandshakeFault::ManyProtocols);
    }
    if !headers.list_has("connection", b"upgrade") {
        return Err(HandshakeFault::Connection);
    }
    if !head.has_host() {
        return Err(HandshakeFault::Host);
    }
    let has_body = match headers.single("content-length") {
        Single::Absent => false,
        Single::One(length) => length != b"0",
        Single::Many => true,
    };
    if has_body || headers.has("transfer-encoding") {
        return Err(HandshakeFault::Body);
    }
    match headers.single("sec-websocket-version") {
        Single::One(version) if version.trim_ascii() == b"13" => {}
        Single::One(version) => {
            return Err(HandshakeFault::OtherVersion(Shown::of([version].into_iter())));
        }
        Single::Absent | Single::Many => return Err(HandshakeFault::Version),
    }
    if head.connection.protocol == Protocol::Multiplexed {
        return Ok(None);
    }
    match headers.single("sec-websocket-key") {
        Single::One(key) if is_key(key.trim_ascii()) => Ok(Some(key.trim_ascii().to_vec())),
        Single::One(_) | Single::Absent | Single::Many => Err(HandshakeFault::Key),
    }
}

fn is_key(key: &[u8]) -> bool {
    // Sixteen bytes are twenty-four characters; nothing longer is decoded.
    key.len() == 24 && KEY_BASE64.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// Returns a key for the upstream, if the client sent none.
fn fresh_key(random: [u8; 16]) -> Vec<u8> {
    KEY_BASE64.encode(random).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{request, with, without};

    #[test]
    fn the_kind_shows_in_upgrade_and_method_alone() {
        let base = request();
        let cases = [
            ("a handshake", base.clone(), Kind::WebSocket),
            ("any case", with(&base, "upgrade", b"WebSocket"), Kind::WebSocket),
            ("no Connection", without(&base, "connection"), Kind::WebSocket),
            ("no Upgrade", without(&base, "upgrade"), Kind::Plain),
            ("h2c", with(&base, "upgrade", b"h2c"), Kind::OtherUpgrade),
            ("two protocols", with(&base, "upgrade", b"h2c, websocket"), Kind::WebSocket),
            ("empty", with(&base, "upgrade", b""), Kind::OtherUpgrade),
            ("not text", with(&base, "upgrade", b"\xffwebsocket"), Kind::OtherUpgrade),
            ("CONNECT", with(&without(&base, "upgrade"), ":method", b"CONNECT"), Kind::OtherUpgrade),
        ];
        for (name, head, kind) in cases {
            assert_eq!(Kind::of(head.headers()), kind, "{name}");
        }
    }

    #[test]
    fn section_4_2_1_is_judged_line_by_line() {
        let base = request();
        let ok = Ok(Some(b"dGhlIHNhbXBsZSBub25jZQ==".to_vec()));
        let twice_of = |head: &RequestHead, name: &str, value: &[u8]| {
            let mut head = head.clone();
            head.fields.push((name.to_owned(), value.to_vec()));
            head
        };
        let twice = |name: &str, value: &[u8]| twice_of(&base, name, value);
        let http10 = {
            let mut head = base.clone();
            head.connection.protocol = Protocol::Http10;
            head
        };
        let version = |shown: &[u8]| Err(HandshakeFault::OtherVersion(Shown::of([shown].into_iter())));
        let cases = [
            ("whole", base.clone(), ok.clone()),
            ("Connection is a list", with(&base, "connection", b"keep-alive, Upgrade"), ok.clone()),
            (
                "blanks around the key",
                with(&base, "sec-websocket-key", b" dGhlIHNhbXBsZSBub25jZQ== "),
                ok.clone(),
            ),
            (
                "key of the RFC's example with bits left over",
                with(&base, "sec-websocket-key", b"AQIDBAUGBwgJCgsMDQ4PEC=="),
                Ok(Some(b"AQIDBAUGBwgJCgsMDQ4PEC==".to_vec())),
            ),
            (
                "one protocol of a list",
                with(&base, "upgrade", b"websocket, h2c"),
                Err(HandshakeFault::ManyProtocols),
            ),
            ("POST", with(&base, ":method", b"POST"), Err(HandshakeFault::Method)),
            ("lower-case method", with(&base, ":method", b"get"), Err(HandshakeFault::Method)),
            ("HTTP/1.0", http10, Err(HandshakeFault::Http10)),
            ("no host", without(&base, ":authority"), Err(HandshakeFault::Host)),
            ("no Connection", without(&base, "connection"), Err(HandshakeFault::Connection)),
            (
                "Connection without upgrade",
                with(&base, "connection", b"keep-alive"),
                Err(HandshakeFault::Connection),
            ),
            ("no bytes", with(&base, "content-length", b"0"), ok.clone()),
            (
                "no bytes, twice",
                twice_of(&with(&base, "content-length", b"0"), "content-length", b"0"),
                Err(HandshakeFault::Body),
            ),
            ("one byte", with(&base, "content-length", b"1"), Err(HandshakeFault::Body)),
            ("no bytes, in another way", with(&base, "content-length", b"00"), Err(HandshakeFault::Body)),
            ("a length that is none", with(&base, "content-length", b""), Err(HandshakeFault::Body)),
            ("Transfer-Encoding", with(&base, "transfer-encoding", b"chunked"), Err(HandshakeFault::Body)),
            ("no version", without(&base, "sec-websocket-version"), Err(HandshakeFault::Version)),
            ("two versions", twice("sec-websocket-version", b"13"), Err(HandshakeFault::Version)),
            ("version 8", with(&base, "sec-websocket-version", b"8"), version(b"8")),
            ("version list", with(&base, "sec-websocket-version", b"13, 8"), version(b"13, 8")),
            ("version not text", with(&base, "sec-websocket-version", b"\xff"), version(b"\xff")),
            ("no key", without(&base, "sec-websocket-key"), Err(HandshakeFault::Key)),
            ("two keys", twice("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="), Err(HandshakeFault::Key)),
            ("15 bytes", with(&base, "sec-websocket-key", b"dGhlIHNhbXBsZSBub25j"), Err(HandshakeFault::Key)),
            (
                "18 bytes",
                with(&base, "sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZWVl"),
                Err(HandshakeFault::Key),
            ),
            (
                "no padding",
                with(&base, "sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ"),
                Err(HandshakeFault::Key),
            ),
            (
                "URL alphabet",
                with(&base, "sec-websocket-key", b"____IHNhbXBsZSBub25jZQ=="),
                Err(HandshakeFault::Key),
            ),
            (
                "key not text",
                with(&base, "sec-websocket-key", b"\xff\xffhlIHNhbXBsZSBub25jZQ=="),
                Err(HandshakeFault::Key),
            ),
        ];
        for (name, head, expected) in cases {
            assert_eq!(judge(&head), expected, "{name}");
        }
    }

    #[test]
    fn an_extended_connect_has_no_key() {
        let mut head = without(&request(), "sec-websocket-key");
        head.connection.protocol = Protocol::Multiplexed;
        assert_eq!(judge(&head), Ok(None));
        assert!(is_key(&fresh_key([0xfb; 16])));
    }
}
