//! Who may speak: tokens, what they must say, and what becomes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::provider::Secret;

/// The `auth` object of a policy.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Names of providers that exist; never empty.
    pub providers: Vec<String>,
    /// Where a token may be; never empty.
    pub from: Vec<Carrier>,
    /// How long a client may take to send its first message.
    pub first_message_timeout: Duration,
    /// Bytes in both directions together before the connection is authenticated.
    pub max_unauthenticated_bytes: u64,
    /// Every one must hold.
    pub require: Vec<Requirement>,
    /// Header name (lower case, never one that frames the request) → claim.
    pub forward: BTreeMap<String, ClaimPath>,
    /// JSON pointer of a refresh message.
    pub refresh: Option<JsonPointer>,
    /// Whether a refresh is answered.
    pub refresh_reply: bool,
    /// How long before expiry the client is told.
    pub expiry_notice: Option<Duration>,
    /// What happens when the token ends.
    pub expiry: Expiry,
    /// How long after `exp` + skew a live connection may go on.
    pub expiry_grace: Duration,
    /// Whether the token stays in the request to the upstream.
    pub keep_token: bool,
    /// Whether a `jti` opens one connection only.
    pub single_use: bool,
    /// The longest a session may last.
    pub max_session: Option<Duration>,
    /// The polled revocation list.
    pub revocation: Option<Revocation>,
}

impl Auth {
    /// Where a token is in the first message, if it may be there.
    pub fn first_message(&self) -> Option<&FirstMessage> {
        self.from.iter().find_map(|carrier| match carrier {
            Carrier::FirstMessage(place) => Some(place),
            _ => None,
        })
    }
}

/// A place where a token may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The cookie of this name.
    Cookie(String),
    /// A place in the first text message.
    FirstMessage(FirstMessage),
    /// The header of this name, in lower case.
    Header(String),
    /// The query parameter of this name.
    Query(String),
    /// The item of Sec-WebSocket-Protocol with this prefix.
    Subprotocol {
        /// What the item begins with.
        prefix: String,
        /// How the token is written behind it.
        encoding: Encoding,
    },
    /// The item of Sec-WebSocket-Protocol that directly follows the one of this name.
    SubprotocolPair(String),
}

/// A token in the first text message of a client, and what may happen before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstMessage {
    /// Where it is in the JSON.
    pub pointer: JsonPointer,
    /// What the message has before the JSON; most have nothing.
    pub prefix: String,
    /// Whether the service's messages reach the client before.
    pub greeting: bool,
}

/// How a token is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// In base64url without padding (RFC 4648 §5).
    Base64url,
    /// As it is.
    Plain,
}

/// A JSON pointer (RFC 6901), never empty; the text begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer(pub(crate) String);

/// The text is no JSON pointer, or the one to the whole document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON pointer: it begins with `/`, and `~` is written `~0`, `/` within a name `~1`")]
pub struct NotAPointer;

impl JsonPointer {
    /// Reads a pointer (RFC 6901 §3).
    pub fn new(text: &str) -> Result<Self, NotAPointer> {
        let escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if text.starts_with('/') && escaped { Ok(Self(text.to_owned())) } else { Err(NotAPointer) }
    }

    /// The pointer as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names on the way from the whole document to what is pointed at, unescaped (§4); at least
    /// one.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~"))
    }
}

/// A claim: a member of the payload by name, or a JSON pointer into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimPath {
    /// A top-level member.
    Name(String),
    /// A pointer.
    Pointer(JsonPointer),
}

impl ClaimPath {
    /// The name or the pointer as written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Pointer(pointer) => pointer.as_str(),
        }
    }

    /// What `payload` has there, null too.
    pub fn find<'p>(&self, payload: &'p serde_json::Value) -> Option<&'p serde_json::Value> {
        match self {
            Self::Name(name) => payload.get(name),
            Self::Pointer(pointer) => payload.pointer(pointer.as_str()),
        }
    }
}

/// One line of `require`.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// What is looked at.
    pub claim: ClaimPath,
    /// What must hold for it.
    pub test: Test,
}

/// What a claim must satisfy.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The value is an array with this member, or a space-separated string with this word.
    Contains(serde_json::Value),
    /// The value equals one of these scalars; never empty.
    OneOf(Vec<serde_json::Value>),
}

/// What happens to a live connection when its token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// It is closed with 3000.
    Close,
    /// Nothing.
    Ignore,
}

/// A polled revocation list.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// The Envoy cluster to ask.
    pub cluster: String,
    /// The path to ask for.
    pub path: String,
    /// Time between polls.
    pub interval: Duration,
}

/// Session-bound tokens against cross-site request forgery.
#[derive(Clone, Debug)]
pub struct Csrf {
    /// The key of the HMAC.
    pub secret: Secret,
    /// The cookie that the token is bound to.
    pub session_cookie: String,
    /// Where the token is.
    pub from: CsrfCarrier,
    /// How long a token holds.
    pub lifetime: Duration,
    /// The cookie in which tokens are issued.
    pub issue: Option<String>,
}

/// Where a CSRF token may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CsrfCarrier {
    /// The query parameter of this name.
    Query(String),
    /// The item of Sec-WebSocket-Protocol with this prefix.
    Subprotocol(String),
}
