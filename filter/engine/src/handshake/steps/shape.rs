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

    const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn a_handshake_by_section_4_2_1_has_its_key() {
        let base = request();
        for (name, head, key) in [
            ("whole", base.clone(), KEY),
            ("Connection is a list", with(&base, "connection", b"keep-alive, Upgrade"), KEY),
            ("no bytes", with(&base, "content-length", b"0"), KEY),
            ("blanks around it", with(&base, "sec-websocket-key", &[b" ", KEY, b" "].concat()), KEY),
            (
                "the RFC's example, with bits left over",
                with(&base, "sec-websocket-key", b"AQIDBAUGBwgJCgsMDQ4PEC=="),
                b"AQIDBAUGBwgJCgsMDQ4PEC==",
            ),
        ] {
            assert_eq!(judge(&head), Ok(Some(key.to_vec())), "{name}");
        }
    }

    /// A field that is left out, or has another value, and what is wrong then.
    const FAULTS: [(&str, Option<&[u8]>, HandshakeFault); 17] = [
        (":method", Some(b"POST"), HandshakeFault::Method),
        (":method", Some(b"get"), HandshakeFault::Method),
        (":authority", None, HandshakeFault::Host),
        ("upgrade", Some(b"websocket, h2c"), HandshakeFault::ManyProtocols),
        ("connection", None, HandshakeFault::Connection),
        ("connection", Some(b"keep-alive"), HandshakeFault::Connection),
        ("content-length", Some(b"1"), HandshakeFault::Body),
        ("content-length", Some(b"00"), HandshakeFault::Body),
        ("content-length", Some(b""), HandshakeFault::Body),
        ("transfer-encoding", Some(b"chunked"), HandshakeFault::Body),
        ("sec-websocket-version", None, HandshakeFault::Version),
        ("sec-websocket-key", None, HandshakeFault::Key),
        // It has 15 bytes, and then 18.
        ("sec-websocket-key", Some(b"dGhlIHNhbXBsZSBub25j"), HandshakeFault::Key),
        ("sec-websocket-key", Some(b"dGhlIHNhbXBsZSBub25jZWVl"), HandshakeFault::Key),
        // It has no padding.
        ("sec-websocket-key", Some(b"dGhlIHNhbXBsZSBub25jZQ"), HandshakeFault::Key),
        // It has the alphabet of URLs.
        ("sec-websocket-key", Some(b"____IHNhbXBsZSBub25jZQ=="), HandshakeFault::Key),
        ("sec-websocket-key", Some(b"\xff\xffhlIHNhbXBsZSBub25jZQ=="), HandshakeFault::Key),
    ];

    #[test]
    fn a_field_that_is_missing_or_wrong_by_section_4_2_1_is_the_fault() {
        for (field, value, fault) in FAULTS {
            let head = match value {
                Some(value) => with(&request(), field, value),
                None => without(&request(), field),
            };
            let value = value.map(<[u8]>::escape_ascii).map(|value| value.to_string());
            assert_eq!(judge(&head), Err(fault), "{field}: {value:?}");
        }
    }

    #[test]
    fn a_field_that_may_occur_once_is_the_fault_where_it_occurs_twice() {
        for (field, value, fault) in [
            ("content-length", &b"0"[..], HandshakeFault::Body),
            ("sec-websocket-version", b"13", HandshakeFault::Version),
            ("sec-websocket-key", KEY, HandshakeFault::Key),
        ] {
            let mut head = with(&request(), field, value);
            head.fields.push((field.to_owned(), value.to_vec()));
            assert_eq!(judge(&head), Err(fault), "{field}");
        }
    }

    #[test]
    fn another_version_is_shown() {
        for version in [&b"8"[..], b"13, 8", b"\xff"] {
            let head = with(&request(), "sec-websocket-version", version);
            let shown = Shown::of([version].into_iter());
            assert_eq!(judge(&head), Err(HandshakeFault::OtherVersion(shown)), "{}", version.escape_ascii());
        }
    }

    #[test]
    fn http_1_0_has_no_upgrade() {
        let mut head = request();
        head.connection.protocol = Protocol::Http10;
        assert_eq!(judge(&head), Err(HandshakeFault::Http10));
    }

    #[test]
    fn an_extended_connect_has_no_key() {
        let mut head = without(&request(), "sec-websocket-key");
        head.connection.protocol = Protocol::Multiplexed;
        assert_eq!(judge(&head), Ok(None));
        assert!(is_key(&fresh_key([0xfb; 16])));
    }
}
