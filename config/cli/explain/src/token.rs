//! The place of a token in a request: the carrier that has one already, or else the first of the policy.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use postern_config::{Auth, Carrier, Encoding};
use postern_engine::auth::carrier::extract;
use postern_engine::http::headers::{Headers, Single};

use crate::Token;
use crate::request::Request;

const PROTOCOL: &str = "sec-websocket-protocol";

/// Puts `token` into the request; returns it if it comes in the first message instead.
pub(crate) fn place(request: &mut Request, auth: Option<&Auth>, token: &Token) -> Option<Token> {
    let Some(auth) = auth else {
        request.notes.push("the token is not used: nothing asks for one here".to_owned());
        return None;
    };
    let found = extract(Headers::new(&request.fields), &auth.from, false);
    let carrier = found.candidates.first().map(|candidate| candidate.carrier).or(auth.from.first())?;
    if !found.candidates.is_empty() {
        request.fields = Headers::new(&request.fields).edited(&found.edits);
        request.notes.push("the token takes the place of the one in the request".to_owned());
    }
    request.notes.push(format!("the token goes into {}", named(carrier)));
    let Token(text) = token;
    match carrier {
        Carrier::FirstMessage(_) => return Some(token.clone()),
        Carrier::Header(name) if name == "authorization" => {
            join(request, name, ", ", &format!("Bearer {text}"));
        }
        Carrier::Header(name) => join(request, name, ", ", text),
        Carrier::Cookie(name) => join(request, "cookie", "; ", &format!("{name}={text}")),
        Carrier::Query(name) => {
            let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
            let has_query = matches!(Headers::new(&request.fields).single(":path"),
                Single::One(path) if path.contains(&b'?'));
            join(request, ":path", if has_query { "&" } else { "?" }, &format!("{name}={text}"));
        }
        Carrier::Subprotocol { prefix, encoding } => {
            let encoded = match encoding {
                Encoding::Base64url => URL_SAFE_NO_PAD.encode(text),
                Encoding::Plain => text.clone(),
            };
            join(request, PROTOCOL, ", ", &format!("{prefix}{encoded}"));
        }
        Carrier::SubprotocolPair(name) => join(request, PROTOCOL, ", ", &format!("{name}, {text}")),
    }
    None
}

/// Returns the words for a carrier.
pub(crate) fn named(carrier: &Carrier) -> String {
    match carrier {
        Carrier::Cookie(name) => format!("the cookie `{name}`"),
        Carrier::FirstMessage(place) => format!("the first message, at `{}`", place.pointer.as_str()),
        Carrier::Header(name) => format!("the header `{name}`"),
        Carrier::Query(name) => format!("the query parameter `{name}`"),
        Carrier::Subprotocol { prefix, .. } => format!("the subprotocol `{prefix}…`"),
        Carrier::SubprotocolPair(name) => format!("the subprotocol behind `{name}`"),
    }
}

/// Adds `more` to the value of a field, behind what it has.
fn join(request: &mut Request, name: &str, separator: &str, more: &str) {
    match request.fields.iter_mut().find(|(field, _)| field == name) {
        Some((_, value)) => {
            if !value.is_empty() {
                value.extend_from_slice(separator.as_bytes());
            }
            value.extend_from_slice(more.as_bytes());
        }
        None => request.fields.push((name.to_owned(), more.as_bytes().to_vec())),
    }
}
