//! The line of an HTTP request (RFC 9112 §3), and the preface of HTTP/2 (RFC 9113 §3.4).
//!
//! A line whose version does not begin within the bytes that are looked at is not recognised: "GET /…" alone is said by many.

use super::prefix::{Miss, Parse, Prefix};

/// The methods of RFC 9110 §9 and RFC 5789, and the first of WebDAV.
const METHODS: [&[u8]; 11] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PROPFIND ",
    b"PRI * HTTP/2.0\r\n",
];

/// The version and the end of the line's first half.
const VERSION: usize = b"HTTP/1.1\r".len();

/// A method, a target in a form that goes with it, and `HTTP/1.0` or `HTTP/1.1` at the end of the line.
///
/// STOMP's `CONNECT` ends its line, NATS' has JSON behind it, and what SIP and RTSP ask for has other versions.
pub(super) fn request(prefix: &mut Prefix<'_>) -> Parse<()> {
    match prefix.one_of(&METHODS)? {
        b"PRI * HTTP/2.0\r\n" => return Ok(()),
        b"CONNECT " => authority(prefix)?,
        method => target(prefix, method)?,
    }
    prefix.literal(b"HTTP/1.")?;
    prefix.byte(|minor| minor == b'0' || minor == b'1')?;
    prefix.byte(|end| end == b'\r' || end == b'\n').map(drop)
}

/// A path, a URI of HTTP, or `*` (RFC 9112 §3.2.1, §3.2.2, §3.2.4), and a blank.
fn target(prefix: &mut Prefix<'_>, method: &[u8]) -> Parse<()> {
    let is_options = method == b"OPTIONS ";
    match prefix.byte(|byte| byte == b'/' || byte == b'h' || (byte == b'*' && is_options))? {
        b'*' => return prefix.literal(b" "),
        b'h' => {
            prefix.literal(b"ttp")?;
            prefix.one_of(&[b"://", b"s://"])?;
        }
        _ => {}
    }
    prefix.until(b' ', |byte| byte.is_ascii_graphic(), VERSION).map(drop)
}

/// A host and a port (RFC 9112 §3.2.3), and a blank.
fn authority(prefix: &mut Prefix<'_>) -> Parse<()> {
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let authority = prefix.until(b' ', is_host, VERSION)?;
    let mut parts = authority.rsplitn(2, |byte| *byte == b':');
    let has_port = parts.next().is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit));
    let has_host = parts.next().is_some_and(|host| !host.is_empty());
    if has_port && has_host { Ok(()) } else { Err(Miss::Differs) }
}
