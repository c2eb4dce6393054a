//! The honest client: what it asks for, as whom, from where, and what it says. Every attack is a departure from it.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::request::Request;

/// The placeholder of a number in the honest message, by which its echo is told from others'.
const NONCE: &str = "{nonce}";

/// The name of the subprotocols in a handshake.
pub(crate) const SUBPROTOCOL: &str = "Sec-WebSocket-Protocol";

/// A place for a token in a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A field; in `authorization` behind `Bearer `.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// A subprotocol of this beginning.
    Subprotocol(String),
}

impl Place {
    /// Reads `header:NAME`, `header`, `query:NAME`, `cookie:NAME` or `subprotocol:PREFIX`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "header" => Ok(Self::Header("authorization".to_owned())),
            Some((_, "")) | None => {
                Err("write header, header:NAME, query:NAME, cookie:NAME or subprotocol:PREFIX".into())
            }
            Some(("header", name)) => Ok(Self::Header(name.to_ascii_lowercase())),
            Some(("query", name)) => Ok(Self::Query(name.to_owned())),
            Some(("cookie", name)) => Ok(Self::Cookie(name.to_owned())),
            Some(("subprotocol", prefix)) => Ok(Self::Subprotocol(prefix.to_owned())),
            Some((other, _)) => {
                Err(format!("there is no place `{other}`, but header, query, cookie and subprotocol"))
            }
        }
    }

    /// Puts a token there, beside any that is there already.
    pub(crate) fn put(&self, request: Request, token: &str) -> Request {
        match self {
            Self::Header(name) if name == "authorization" => request.field(name, &format!("Bearer {token}")),
            Self::Header(name) => request.field(name, token),
            Self::Query(name) => request.parameter(name, token),
            Self::Cookie(name) => request.listed("Cookie", "; ", &format!("{name}={token}")),
            Self::Subprotocol(prefix) => request.listed(SUBPROTOCOL, ", ", &format!("{prefix}{token}")),
        }
    }
}

/// The honest client of an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Honest {
    /// The host and port as they stand in Host.
    pub(crate) authority: String,
    /// The path and query.
    pub(crate) target: String,
    pub(crate) origin: Option<String>,
    pub(crate) token: Option<String>,
    /// A token of the same issuer whose `exp` has passed.
    pub(crate) expired_token: Option<String>,
    /// A token of the same issuer for somebody else.
    pub(crate) foreign_token: Option<String>,
    /// A token that expires soon.
    pub(crate) expiring_token: Option<String>,
    /// The places that the endpoint takes a token in. The honest client uses the first.
    pub(crate) places: Vec<Place>,
    pub(crate) subprotocols: Vec<String>,
    /// Other fields, such as a cookie.
    pub(crate) fields: Vec<(String, String)>,
    /// The words of the client, with a place for a number; `None` for a client that only listens.
    pub(crate) message: Option<String>,
}

impl Honest {
    /// Returns the honest handshake, with a key of its own.
    pub(crate) fn request(&self) -> Request {
        self.with_token(self.token.as_deref())
    }

    /// Returns the handshake with another token, or with none.
    pub(crate) fn with_token(&self, token: Option<&str>) -> Request {
        let request = self.from(self.origin.as_deref().as_slice(), &self.target);
        match (self.places.first(), token) {
            (Some(place), Some(token)) => place.put(request, token),
            _ => request,
        }
    }

    /// Returns the handshake from other origins.
    pub(crate) fn with_origins(&self, origins: &[&str]) -> Request {
        let request = self.from(origins, &self.target);
        match (self.places.first(), &self.token) {
            (Some(place), Some(token)) => place.put(request, token),
            _ => request,
        }
    }

    fn from(&self, origins: &[&str], target: &str) -> Request {
        let mut request = Request::upgrade(target, &self.authority, &fresh_key());
        for origin in origins {
            request = request.field("Origin", origin);
        }
        for (name, value) in &self.fields {
            request = request.field(name, value);
        }
        for subprotocol in &self.subprotocols {
            request = request.listed(SUBPROTOCOL, ", ", subprotocol);
        }
        request
    }

    /// Returns what the client says this time.
    pub(crate) fn say(&self) -> Option<Vec<u8>> {
        Some(self.message.as_ref()?.replace(NONCE, &next_number().to_string()).into_bytes())
    }

    /// Writes what the endpoint said, so that it can be shown: cut short, without anything that a terminal would act on,
    /// and not at all where it has part of a token.
    pub(crate) fn shown(&self, said: &str) -> String {
        const LONGEST: usize = 60;
        const PART: usize = 8;
        let tokens = [&self.token, &self.expired_token, &self.foreign_token, &self.expiring_token];
        let parts = tokens.into_iter().flatten().flat_map(|token| token.split('.'));
        for part in parts.filter(|part| part.len() >= PART) {
            let windows = part.as_bytes().windows(PART);
            if windows.into_iter().any(|window| said.as_bytes().windows(PART).any(|other| other == window)) {
                return "(a part of the token)".to_owned();
            }
        }
        let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
        said.chars().take(LONGEST).map(plain).collect()
    }
}

/// Returns a key for a handshake. Nobody has to be unable to guess it here.
fn fresh_key() -> String {
    let mut key = [0; 16];
    if getrandom::fill(&mut key).is_err() {
        key = u128::from(next_number()).to_be_bytes();
    }
    STANDARD.encode(key)
}

/// Returns a number that this process has not used yet.
pub(crate) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u64::from(std::process::id()) << 32 | NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a client with all that can be given.
    pub(crate) fn honest() -> Honest {
        Honest {
            authority: "chat.example.com".to_owned(),
            target: "/ws?room=1".to_owned(),
            origin: Some("https://app.example.com".to_owned()),
            token: Some(
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.c2lnbmF0dXJlISE".to_owned(),
            ),
            expired_token: Some("expired.token.of-alice".to_owned()),
            foreign_token: Some("foreign.token.of-alice".to_owned()),
            expiring_token: Some("expiring.token.of-alice".to_owned()),
            places: vec![Place::Header("authorization".to_owned()), Place::Cookie("ws_token".to_owned())],
            subprotocols: vec!["chat.v2".to_owned()],
            fields: vec![("Cookie".to_owned(), "sid=1".to_owned())],
            message: Some(r#"{"n":"{nonce}"}"#.to_owned()),
        }
    }

    #[test]
    fn a_token_stands_in_each_place_as_the_policy_reads_it() {
        let request = || Request::upgrade("/ws", "a", "k").listed(SUBPROTOCOL, ", ", "chat");
        for (place, field, value) in [
            ("header", "authorization", "Bearer t"),
            ("header:X-Token", "x-token", "t"),
            ("cookie:ws_token", "cookie", "ws_token=t"),
            ("subprotocol:bearer.", SUBPROTOCOL, "chat, bearer.t"),
        ] {
            let written = Place::parse(place).unwrap().put(request(), "t");
            assert_eq!(written.value(field), Some(value), "{place}");
        }
        let written = Place::parse("query:access_token").unwrap().put(request(), "t").bytes();
        assert!(written.starts_with(b"GET /ws?access_token=t HTTP/1.1\r\n"));
        for wrong in ["", "query", "query:", "body:x"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_part_of_a_token_is_ever_shown_and_nothing_that_moves_a_terminal() {
        let honest = honest();
        let token = honest.token.clone().unwrap();
        for said in [token.as_str(), "no: eyJzdWIiOiJhbGlj", "x c2lnbmF0 x", "token.of-alice", "expiring"] {
            assert_eq!(honest.shown(said), "(a part of the token)", "{said}");
        }
        assert_eq!(honest.shown("token_invalid"), "token_invalid");
        assert_eq!(honest.shown("\u{1b}[2J\n"), "?[2J?");
        assert_eq!(honest.shown(&"x".repeat(100)).len(), 60);
    }

    #[test]
    fn each_message_has_a_number_of_its_own() {
        let honest = honest();
        assert_ne!(honest.say(), honest.say());
        assert!(String::from_utf8(honest.say().unwrap()).unwrap().starts_with(r#"{"n":""#));
        assert_eq!(Honest { message: None, ..honest }.say(), None);
    }
}
