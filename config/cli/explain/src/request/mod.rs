//! Requests as people have them: a URL with header fields, a curl command line, an entry of a HAR, or a raw head.
//!
//! Each form becomes the fields as Envoy hands them to a filter: `Host` is `:authority`, names are in lower case.

mod curl;
mod har;
mod head;
mod words;

use std::fmt;

use postern_engine::Protocol;
use postern_engine::http::headers::{Field, Headers};
use url::Url;

pub use curl::from_curl;
pub use har::from_har;
pub use head::from_head;

/// A request.
#[derive(Clone)]
pub struct Request {
    /// Every field, pseudo-headers included, as a filter has them.
    pub fields: Vec<Field>,
    /// Says whether the client is connected to Envoy by TLS.
    pub is_secure: bool,
    /// The version of HTTP.
    pub protocol: Protocol,
    /// The additions to the text, a sentence each.
    pub notes: Vec<String>,
}

/// The reason why a text is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRequest(pub String);

impl fmt::Display for NoRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Request {
    /// Shows no value of a field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("fields", &Headers::new(&self.fields)).finish_non_exhaustive()
    }
}

/// The fields that a browser sends of itself for a WebSocket (RFC 6455 §4.1). The key is that of the RFC's example.
const OF_A_BROWSER: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Returns the request of a WebSocket that a client opens at `url` with these header fields, each `name: value`.
///
/// # Errors
/// Returns what is wrong with the URL or a field.
pub fn from_url(url: &str, headers: &[String]) -> Result<Request, NoRequest> {
    let (url, is_secure) = read_url(url)?;
    let fields = headers.iter().map(|header| field(header)).collect::<Result<Vec<_>, _>>()?;
    let mut request = Request::new("GET", &url, is_secure, fields);
    request.complete();
    Ok(request)
}

impl Request {
    /// Creates a request for a URL.
    fn new(method: &str, url: &Url, is_secure: bool, given: Vec<Field>) -> Self {
        let (hosts, given): (Vec<_>, Vec<_>) = given.into_iter().partition(|(name, _)| name == "host");
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let authority = format!("{}{port}", url.host_str().unwrap_or_default()).into_bytes();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut hosts = hosts.into_iter().map(|(_, value)| value);
        let field = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let mut fields = vec![
            field(":method", method.as_bytes()),
            field(":path", format!("{}{query}", url.path()).as_bytes()),
            field(":authority", &hosts.next().unwrap_or(authority)),
            field(":scheme", if is_secure { b"https" } else { b"http" }),
        ];
        // Envoy answers such a request itself; a filter that saw it would have both.
        fields.extend(hosts.map(|host| ("host".to_owned(), host)));
        fields.extend(given);
        Self { fields, is_secure, protocol: Protocol::Http11, notes: Vec::new() }
    }

    /// Adds what a browser sends of itself for a WebSocket, as far as it is missing.
    fn complete(&mut self) {
        let of_http1 = |name: &str| self.protocol != Protocol::Multiplexed || name != "sec-websocket-key";
        let headers = Headers::new(&self.fields);
        let missing = OF_A_BROWSER.iter().filter(|(name, _)| of_http1(name) && !headers.has(name));
        let added: Vec<(&str, &str)> = missing.copied().collect();
        if added.is_empty() {
            return;
        }
        let names: Vec<&str> = added.iter().map(|(name, _)| *name).collect();
        self.notes.push(format!("added, as a browser sends them: {}", names.join(", ")));
        self.fields.extend(added.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
    }

    /// Returns the value of a field as text; the first where there are more.
    pub(crate) fn text(&self, name: &str) -> String {
        let value = Headers::new(&self.fields).all(name).next().unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    }
}

/// Reads a URL, and says whether it is one of TLS.
fn read_url(text: &str) -> Result<(Url, bool), NoRequest> {
    let url = Url::parse(text)
        .map_err(|error| NoRequest(format!("`{}` is no URL: {error}", without_query(text))))?;
    let is_secure = match url.scheme() {
        "wss" | "https" => true,
        "ws" | "http" => false,
        other => {
            return Err(NoRequest(format!("`{other}` is no scheme of a WebSocket; write wss:// or ws://")));
        }
    };
    if url.host_str().is_none_or(str::is_empty) {
        return Err(NoRequest(format!("`{}` names no host", without_query(text))));
    }
    Ok((url, is_secure))
}

/// Returns a URL as far as it may be shown: its query may have a token.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// Reads a header field, `name: value`.
fn field(text: &str) -> Result<Field, NoRequest> {
    let Some((name, value)) = text.split_once(':') else {
        return Err(NoRequest("a header field has no colon; write `name: value`".to_owned()));
    };
    named_field(name, value.as_bytes())
}

/// Returns a field whose name is one (RFC 9110 §5.1), with its value without blanks around it.
fn named_field(name: &str, value: &[u8]) -> Result<Field, NoRequest> {
    let name = name.trim().to_ascii_lowercase();
    if !postern_engine::http::headers::is_token(name.as_bytes()) {
        return Err(NoRequest(format!("`{name}` is no name of a header field")));
    }
    Ok((name, value.trim_ascii().to_vec()))
}

#[cfg(test)]
mod tests;
