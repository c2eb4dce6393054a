//! Authentication: tokens, the demands on their claims, and what becomes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::provider::Secret;

/// The `auth` object of a policy.
#[derive(Clone, Debug)]
pub struct Auth {
    /// The names of providers, which exist; never empty.
    pub providers: Vec<String>,
    /// The places where a token may be; never empty.
    pub from: Vec<Carrier>,
    /// The time that a client may take to send its first message.
    pub first_message_timeout: Duration,
    /// The most bytes in both directions together before the connection is authenticated.
    pub max_unauthenticated_bytes: u64,
    /// The requirements, every one of which must hold.
    pub require: Vec<Requirement>,
    /// The headers in which claims go up: name (lower case, never one that frames the request) → claim.
    pub forward: BTreeMap<String, ClaimPath>,
    /// The JSON pointer of a refresh message.
    pub refresh: Option<JsonPointer>,
    /// Says whether a refresh is answered.
    pub refresh_reply: bool,
    /// The time before expiry at which the client is told.
    pub expiry_notice: Option<Duration>,
    /// The fate of a connection whose token ends.
    pub expiry: Expiry,
    /// The time after `exp` + skew for which a live connection may go on.
    pub expiry_grace: Duration,
    /// Says whether the token stays in the request to the upstream.
    pub keep_token: bool,
    /// Says whether a `jti` opens one connection only.
    pub single_use: bool,
    /// The longest time that a session may last.
    pub max_session: Option<Duration>,
    /// The longest time by which a connection ends sooner than that, at random. No more than `max_session` counts, which a tier or an
    /// override may have shorter.
    pub max_session_jitter: Duration,
    /// The polled revocation list.
    pub revocation: Option<Revocation>,
}

impl Auth {
    /// Returns the place of a token in the first message, if it may be there.
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
        /// The prefix of the item.
        prefix: String,
        /// The encoding of the token behind the prefix.
        encoding: Encoding,
    },
    /// The item of Sec-WebSocket-Protocol that directly follows the one of this name.
    SubprotocolPair(String),
}

/// A token in the first text message of a client, and what may happen before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstMessage {
    /// The place of the token in the JSON.
    pub pointer: JsonPointer,
    /// The text that the message has before the JSON; most have none.
    pub prefix: String,
    /// Says whether the service's messages reach the client before.
    pub greeting: bool,
}

/// The encoding of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Base64url without padding (RFC 4648 §5).
    Base64url,
    /// The token as it is.
    Plain,
}

/// A JSON pointer (RFC 6901), never empty; the text begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer(pub(crate) String);

/// The error of a text that is no JSON pointer, or the one to the whole document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON pointer: it begins with `/`, and `~` is written `~0`, `/` within a name `~1`")]
pub struct NotAPointer;

impl JsonPointer {
    /// Reads a pointer (RFC 6901 §3).
    pub fn new(text: &str) -> Result<Self, NotAPointer> {
        let escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if text.starts_with('/') && escaped { Ok(Self(text.to_owned())) } else { Err(NotAPointer) }
    }

    /// Returns the pointer as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the names on the way from the whole document to what is pointed at, unescaped (RFC 6901 §4);
    /// at least one.
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
    /// Returns the name or the pointer as written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Pointer(pointer) => pointer.as_str(),
        }
    }

    /// Returns what `payload` has there, null too.
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
    /// The claim that is looked at.
    pub claim: ClaimPath,
    /// The test that it must pass.
    pub test: Test,
}

/// A test of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The value is an array with this member, or a space-separated string with this word.
    Contains(serde_json::Value),
    /// The value equals one of these scalars; never empty.
    OneOf(Vec<serde_json::Value>),
}

/// The fate of a live connection when its token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// The connection is closed with 3000.
    Close,
    /// The connection goes on.
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
    /// The carrier of the token.
    pub from: CsrfCarrier,
    /// The time for which a token holds.
    pub lifetime: Duration,
    /// The cookie in which tokens are issued.
    pub issue: Option<String>,
}

/// A place where a CSRF token may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CsrfCarrier {
    /// The query parameter of this name.
    Query(String),
    /// The item of Sec-WebSocket-Protocol with this prefix.
    Subprotocol(String),
}
