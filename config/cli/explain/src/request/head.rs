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
    let mut bytes = unfolded(bytes);
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
    let (mut hosts, given): (Vec<_>, Vec<_>) = given.into_iter().partition(|(name, _)| name == "host");
    let field = |name: &str, value: &str| -> Field { (name.to_owned(), value.as_bytes().to_vec()) };
    let whole = of_a_url(path);
    if let Some((authority, _)) = whole {
        hosts = vec![field("host", authority)];
    }
    let path = whole.map_or(path, |(_, path)| path);
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

/// Returns a head with each field on one line: Envoy still reads those that go on in a next one (RFC 9112 §5.2).
fn unfolded(bytes: &[u8]) -> Vec<u8> {
    let mut head: Vec<u8> = Vec::with_capacity(bytes.len());
    let begin = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    for line in bytes.get(begin..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
        if matches!(line, b"\n" | b"\r\n") {
            head.extend_from_slice(line);
            break;
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            head.pop_if(|byte| *byte == b'\n');
            head.pop_if(|byte| *byte == b'\r');
        }
        head.extend_from_slice(line);
    }
    head
}

/// Returns the authority and the path of a request target that is a whole URL (RFC 9112 §3.2.2). Envoy takes the authority from
/// it, without a user, and no heed of `Host`.
fn of_a_url(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = if path.is_empty() { "/" } else { path };
    (!authority.is_empty()).then_some((authority, path))
}
