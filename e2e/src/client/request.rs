//! A request head written by hand, header by header and byte by byte.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The header that names the request, so that the test finds what the upstream and the access log have of it.
pub const CASE: &str = "x-case";

static CASES: AtomicU64 = AtomicU64::new(1);

/// A request as it will be written.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: Vec<u8>,
    version: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    case: String,
}

impl Request {
    /// Returns an ordinary GET.
    pub fn get(target: &str) -> Self {
        let case = format!("case-{}-{}", std::process::id(), CASES.fetch_add(1, Ordering::Relaxed));
        let headers = vec![("Host".into(), b"localhost".to_vec()), (CASE.into(), case.clone().into_bytes())];
        Self {
            method: "GET".into(),
            target: target.into(),
            version: "HTTP/1.1".into(),
            headers,
            body: Vec::new(),
            case,
        }
    }

    /// Returns a sound WebSocket handshake (RFC 6455 §4.1) with a fresh key and no Origin.
    pub fn upgrade(target: &str) -> Self {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).expect("randomness");
        Self::get(target)
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Key", STANDARD.encode(nonce))
            .header("Sec-WebSocket-Version", "13")
    }

    /// Adds a header, behind any other of its name.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Puts a header in the place of all of its name.
    #[must_use]
    pub fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).header(name, value)
    }

    /// Takes all headers of a name out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// Sets another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Sets another target, which need not be text.
    #[must_use]
    pub fn target(mut self, target: impl AsRef<[u8]>) -> Self {
        self.target = target.as_ref().to_vec();
        self
    }

    /// Sets another protocol version, such as `HTTP/1.0`.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Puts bytes behind the head; the length header is the test's own business.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Returns the id under which the upstream and the access log know this request.
    pub fn case(&self) -> &str {
        &self.case
    }

    /// Returns the first value of `name`.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let mut of_name = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        of_name.next().map(|(_, value)| value.as_slice())
    }

    /// Returns the bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes =
            [self.method.as_bytes(), b" ", &self.target, b" ", self.version.as_bytes(), b"\r\n"].concat();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}
