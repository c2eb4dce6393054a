//! HTTP/1.1 messages as they came over the wire (RFC 9112). Judges only whether they are HTTP at all.

use crate::wire::{End, Wire};

const MOST_HEADERS: usize = 128;

/// Header fields in the order received; values are bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Vec<u8>)>);

impl Headers {
    /// Returns every value of `name`, in any case, as text.
    pub fn all(&self, name: &str) -> Vec<String> {
        let of_name = self.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// Returns the first value of `name`, in any case, as text.
    pub fn get(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// Says whether the comma-separated list in `name` has the member `token`, in any case.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .iter()
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    fn collected(parsed: &[httparse::Header<'_>]) -> Self {
        Self(parsed.iter().map(|header| (header.name.to_owned(), header.value.to_vec())).collect())
    }
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The very bytes, up to and with the empty line.
    pub raw: Vec<u8>,
    /// The method, such as `GET`.
    pub method: String,
    /// The path and query as sent.
    pub target: String,
    /// The fields in the order received.
    pub headers: Headers,
}

impl RequestHead {
    /// Reads a head from the wire; the error is how that ended when no request came.
    pub async fn read(wire: &mut Wire) -> Result<Self, End> {
        let raw = wire.head().await?;
        let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut fields);
        parsed.parse(&raw).map_err(|_| End::NotHttp)?;
        let method = parsed.method.unwrap_or_default().to_owned();
        let target = parsed.path.unwrap_or_default().to_owned();
        let headers = Headers::collected(parsed.headers);
        Ok(Self { raw, method, target, headers })
    }

    /// Returns the path without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Says whether the request asks for a WebSocket.
    pub fn is_upgrade(&self) -> bool {
        self.headers.lists("upgrade", "websocket")
    }
}

/// A whole response; after a 101 without a body, and the wire stands at the first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The fields in the order received.
    pub headers: Headers,
    /// The body, decoded from chunks if it came in chunks.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads a response from the wire; the error is how that ended before the response was whole.
    pub async fn read(wire: &mut Wire) -> Result<Self, End> {
        let raw = wire.head().await?;
        let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Response::new(&mut fields);
        parsed.parse(&raw).map_err(|_| End::NotHttp)?;
        let status = parsed.code.unwrap_or_default();
        let headers = Headers::collected(parsed.headers);
        let bodiless = status < 200 || status == 204 || status == 304;
        let body = if bodiless { Vec::new() } else { read_body(wire, &headers, true).await? };
        Ok(Self { status, headers, body })
    }

    /// Returns the first value of `name`, in any case, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// Returns the `<id>` of a refusal's problem type `urn:postern:<id>`.
    pub fn reason(&self) -> Option<String> {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        problem.get("type")?.as_str()?.strip_prefix("urn:postern:").map(str::to_owned)
    }
}

/// Reads the body that goes with `headers` (RFC 9112 §6.3), and trailers as they are behind it; a body
/// without a length ends with the stream, if it may.
pub async fn read_body(wire: &mut Wire, headers: &Headers, until_end: bool) -> Result<Vec<u8>, End> {
    if headers.lists("transfer-encoding", "chunked") {
        return read_chunks(wire).await;
    }
    match headers.get("content-length") {
        Some(length) => wire.exactly(length.trim().parse().map_err(|_| End::NotHttp)?).await,
        None if until_end => Ok(wire.rest().await.0),
        None => Ok(Vec::new()),
    }
}

async fn read_chunks(wire: &mut Wire) -> Result<Vec<u8>, End> {
    let mut body = Vec::new();
    loop {
        let (line, length) = loop {
            match httparse::parse_chunk_size(wire.unread()).map_err(|_| End::NotHttp)? {
                httparse::Status::Complete(found) => break found,
                httparse::Status::Partial => wire.fill().await?,
            }
        };
        wire.take(line);
        if length == 0 {
            let mut trailers = wire.exactly(2).await?;
            if trailers != b"\r\n" {
                trailers.extend(wire.head().await?);
                body.extend(trailers);
            }
            return Ok(body);
        }
        let chunk =
            wire.exactly(usize::try_from(length).map_err(|_| End::NotHttp)?.saturating_add(2)).await?;
        body.extend_from_slice(&chunk[..chunk.len() - 2]);
    }
}
