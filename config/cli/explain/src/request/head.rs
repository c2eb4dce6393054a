//! A raw head of HTTP/1.

use postern_engine::Protocol;
use postern_engine::http::headers::Field;

use super::{NoRequest, Request, named_field};

/// The most fields of a head; Envoy takes a hundred unless it is told to take more.
const MOST_FIELDS: usize = 1024;

/// Reads the head of a request, as a client sends it (RFC 9112). `is_secure` says whether it comes by TLS.
///
/// # Errors
/// Says what Envoy would not read either.
pub fn from_head(bytes: &[u8], is_secure: bool) -> Result<Request, NoRequest> {
    let mut bytes = bytes.to_vec();
    // Who writes a head by hand forgets the empty line.
    if !bytes.ends_with(b"\n\n") && !bytes.ends_with(b"\r\n\r\n") {
        bytes.extend_from_slice(b"\r\n\r\n");
    }
    let mut headers = vec![httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut parsed = httparse::Request::new(&mut headers);
    let unread = |what: &dyn std::fmt::Display| NoRequest(format!("the head cannot be read: {what}"));
    let status = parsed.parse(&bytes).map_err(|error| unread(&error))?;
    if status.is_partial() {
        return Err(unread(&"it is not whole"));
    }
    let (Some(method), Some(path), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(unread(&"it has no request line"));
    };
    let named = parsed.headers.iter().map(|header| named_field(header.name, header.value));
    let given = named.collect::<Result<Vec<_>, _>>()?;
    let (hosts, given): (Vec<_>, Vec<_>) = given.into_iter().partition(|(name, _)| name == "host");
    let field = |name: &str, value: &str| -> Field { (name.to_owned(), value.as_bytes().to_vec()) };
    let mut fields = vec![field(":method", method), field(":path", path)];
    let authority = |(index, (_, value))| {
        let name = if index == 0 { ":authority" } else { "host" };
        (name.to_owned(), value)
    };
    fields.extend(hosts.into_iter().enumerate().map(authority));
    fields.push(field(":scheme", if is_secure { "https" } else { "http" }));
    fields.extend(given);
    let protocol = if version == 0 { Protocol::Http10 } else { Protocol::Http11 };
    Ok(Request { fields, is_secure, protocol, notes: Vec::new() })
}
