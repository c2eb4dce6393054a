//! An entry of an HTTP Archive (HAR 1.2), as browsers save it.

use postern_engine::Protocol;
use postern_engine::http::headers::Headers;
use serde_json::Value;

use super::{NoRequest, Request, named_field, read_url};

/// Reads the request of an entry of a HAR: of the one at this place, counted from 0, or of the first WebSocket.
///
/// # Errors
/// Says what is no HAR, or has no such entry.
pub fn from_har(bytes: &[u8], entry: Option<usize>) -> Result<Request, NoRequest> {
    let no = |what: &str| NoRequest(what.to_owned());
    // Some browsers write a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let har: Value =
        serde_json::from_slice(bytes).map_err(|error| NoRequest(format!("the file is no JSON: {error}")))?;
    let entries = har.pointer("/log/entries").and_then(Value::as_array);
    let entries = entries.ok_or_else(|| no("the file is no HAR: it has no `log.entries`"))?;
    let (place, entry) = match entry {
        Some(place) => {
            let missing = || NoRequest(format!("the HAR has {} entries, counted from 0", entries.len()));
            (place, entries.get(place).ok_or_else(missing)?)
        }
        None => {
            let first = entries.iter().enumerate().find(|(_, entry)| is_websocket(entry));
            first.ok_or_else(|| no("the HAR has no WebSocket; name an entry by --entry"))?
        }
    };
    let mut request = read(entry)?;
    request.notes.insert(0, format!("it is entry {place} of {}", entries.len()));
    Ok(request)
}

fn is_websocket(entry: &Value) -> bool {
    let url = entry.pointer("/request/url").and_then(Value::as_str).unwrap_or_default();
    let header = |field: &Value| {
        let text = |name: &str| field.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_named = ["upgrade", ":protocol"].iter().any(|name| text("name").eq_ignore_ascii_case(name));
        is_named && text("value").eq_ignore_ascii_case("websocket")
    };
    let headers = entry.pointer("/request/headers").and_then(Value::as_array);
    url.starts_with("ws://")
        || url.starts_with("wss://")
        || entry.get("_resourceType").and_then(Value::as_str) == Some("websocket")
        || headers.is_some_and(|headers| headers.iter().any(header))
}

fn read(entry: &Value) -> Result<Request, NoRequest> {
    let text = |at: &str| entry.pointer(at).and_then(Value::as_str);
    let missing = |what: &str| NoRequest(format!("the entry has no `{what}`"));
    let url = text("/request/url").ok_or_else(|| missing("request.url"))?;
    let (url, is_secure) = read_url(url)?;
    let method = text("/request/method").unwrap_or("GET");
    let headers = entry.pointer("/request/headers").and_then(Value::as_array);
    let mut fields = Vec::new();
    for header in headers.ok_or_else(|| missing("request.headers"))? {
        let part = |name: &str| header.get(name).and_then(Value::as_str).unwrap_or_default();
        // Those of HTTP/2 say what the URL says.
        if !part("name").starts_with(':') {
            fields.push(named_field(part("name"), part("value").as_bytes())?);
        }
    }
    let version = text("/request/httpVersion").unwrap_or_default().to_ascii_lowercase();
    // An extended CONNECT comes to a filter as a GET with Upgrade.
    let method = if method == "CONNECT" { "GET" } else { method };
    let mut request = Request::new(method, &url, is_secure, fields);
    request.protocol = match version.as_str() {
        "http/1.0" => Protocol::Http10,
        "h2" | "h3" | "http/2" | "http/2.0" | "http/3" => Protocol::Multiplexed,
        _ => Protocol::Http11,
    };
    if is_websocket(entry) {
        request.complete();
    } else if !Headers::new(&request.fields).has("upgrade") {
        request.notes.push("the request asks for no upgrade, so it is ordinary HTTP".to_owned());
    }
    Ok(request)
}
