//! The key `policies.*.auth.from`: the places where a token may be.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::auth::{Carrier, Encoding, FirstMessage};
use crate::grammar::{is_line, is_token};
use crate::header_name::{folded, is_same_to_a_gateway};
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::raw::claims::pointer;
use crate::raw::list::{List, distinct_some, string};
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::words::{listed, shown};

/// The carriers.
const NAMES: [&str; 6] = ["header", "subprotocol", "query", "cookie", "first_message", "subprotocol_pair"];

/// One carrier as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with one carrier, such as `header: authorization`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("oneOf" = schema::any_of(&NAMES), "allOf" = [schema::needs("encoding", "subprotocol")])))]
pub(super) struct RawCarrier {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::HeaderName>"))]
    header: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Token>"))]
    subprotocol: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Line>"))]
    query: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Token>"))]
    cookie: Option<String>,
    first_message: Option<RawFirstMessage>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Token>"))]
    subprotocol_pair: Option<String>,
    encoding: Option<Encoding>,
}

/// The value of `first_message` as written: a pointer alone, or an object.
#[derive(Default)]
struct RawFirstMessage {
    pointer: Option<String>,
    prefix: Option<String>,
    greeting: Option<bool>,
    /// Says whether the value is a pointer alone.
    is_short: bool,
}

/// The value of `first_message` as written, where it is an object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `pointer`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct FirstMessageObject {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Pointer>"))]
    pointer: Option<String>,
    prefix: Option<String>,
    greeting: Option<bool>,
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for RawFirstMessage {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FirstMessage".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let forms =
            [generator.subschema_for::<schema::Pointer>(), generator.subschema_for::<FirstMessageObject>()];
        schemars::json_schema!({"anyOf": forms})
    }
}

/// Reads the carriers of a policy: at least one, of which no two take the same bytes.
pub(super) fn read(
    written: Option<List<RawCarrier>>,
    at: &Path,
    report: &mut Report,
) -> Option<Vec<Carrier>> {
    let list =
        report.required(written, at, "write where a token may be, such as `[{header: authorization}]`")?;
    let carriers = distinct_some(list, at, report, RawCarrier::read)?;
    let items: Vec<_> =
        carriers.iter().enumerate().filter_map(|(i, carrier)| Some((i, Item::of(carrier)?))).collect();
    for (n, (i, item)) in items.iter().enumerate() {
        if let Some((first, _)) = items.iter().take(n).find(|(_, other)| item.may_be(other)) {
            let what = format!("takes the same items as {}", at.index(*first));
            report.push(
                ProblemKind::Ambiguous,
                &at.index(*i),
                what,
                "write prefixes of which none begins another",
            );
        }
    }
    let is_first_message = |carrier: &&Carrier| matches!(carrier, Carrier::FirstMessage(_));
    let mut firsts = carriers.iter().enumerate().filter(|(_, carrier)| is_first_message(carrier));
    if let (Some((first, _)), Some((i, _))) = (firsts.next(), firsts.next()) {
        let what = format!("looks into the same message as {}", at.index(first));
        report.push(ProblemKind::Contradiction, &at.index(i), what, "leave one of them out");
    }
    Some(carriers)
}

/// The items of Sec-WebSocket-Protocol that a carrier takes.
#[derive(Clone, Copy)]
enum Item<'c> {
    Named(&'c str),
    Prefixed(&'c str),
}

impl<'c> Item<'c> {
    fn of(carrier: &'c Carrier) -> Option<Self> {
        match carrier {
            Carrier::Subprotocol { prefix, .. } => Some(Self::Prefixed(prefix)),
            Carrier::SubprotocolPair(name) => Some(Self::Named(name)),
            Carrier::Cookie(_) | Carrier::FirstMessage(_) | Carrier::Header(_) | Carrier::Query(_) => None,
        }
    }

    /// Says whether one item may be both.
    fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Named(a), Self::Named(b)) => a == b,
            (Self::Named(name), Self::Prefixed(prefix)) | (Self::Prefixed(prefix), Self::Named(name)) => {
                name.starts_with(prefix)
            }
            (Self::Prefixed(a), Self::Prefixed(b)) => a.starts_with(b) || b.starts_with(a),
        }
    }
}

impl RawCarrier {
    fn read(self, at: &Path, report: &mut Report) -> Option<Carrier> {
        let written = [
            self.header.is_some(),
            self.subprotocol.is_some(),
            self.query.is_some(),
            self.cookie.is_some(),
            self.first_message.is_some(),
            self.subprotocol_pair.is_some(),
        ];
        let count = written.iter().filter(|is_written| **is_written).count();
        if count == 0 && !report.is_broken_below(at) {
            report.push(
                ProblemKind::MissingKey,
                at,
                "names no carrier",
                format!("write one of {}", listed(&NAMES)),
            );
        }
        if count > 1 {
            report.push(
                ProblemKind::Contradiction,
                at,
                "names more than one carrier",
                "write each as an element of its own",
            );
        }
        if count != 1 {
            return None;
        }
        if self.encoding.is_some() && self.subprotocol.is_none() {
            let what = "is how a `subprotocol` item is written, which this is not";
            report.push(ProblemKind::Contradiction, &at.key("encoding"), what, "leave it out");
            return None;
        }
        let key = |name: &str| at.key(name);
        if let Some(name) = self.header {
            return header(name, &key("header"), report).map(Carrier::Header);
        }
        if let Some(prefix) = self.subprotocol {
            let remedy = "write the prefix of a subprotocol name, such as `bearer.`";
            let encoding = self.encoding.unwrap_or(Encoding::Plain);
            let prefix = string(prefix, is_token, remedy, &key("subprotocol"), report)?;
            return Some(Carrier::Subprotocol { prefix, encoding });
        }
        if let Some(name) = self.query {
            let remedy = "write the name of a query parameter";
            return string(name, is_line, remedy, &key("query"), report).map(Carrier::Query);
        }
        if let Some(name) = self.cookie {
            return cookie(name, &key("cookie"), report).map(Carrier::Cookie);
        }
        if let Some(name) = self.subprotocol_pair {
            let remedy = "write the name of the item before the token, such as `bearer`";
            let name = string(name, is_token, remedy, &key("subprotocol_pair"), report)?;
            return Some(Carrier::SubprotocolPair(name));
        }
        self.first_message?.read(&key("first_message"), report).map(Carrier::FirstMessage)
    }
}

impl RawFirstMessage {
    fn read(self, at: &Path, report: &mut Report) -> Option<FirstMessage> {
        let pointer_at = if self.is_short { at.clone() } else { at.key("pointer") };
        let remedy = "write a JSON pointer to the token in the message, such as `/token`";
        let text = report.required(self.pointer, &pointer_at, remedy)?;
        let (prefix, greeting) = (self.prefix.unwrap_or_default(), self.greeting.unwrap_or(false));
        Some(FirstMessage { pointer: pointer(text, &pointer_at, report)?, prefix, greeting })
    }
}

impl<'de> Deserialize<'de> for RawFirstMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PointerOrObject)
    }
}

struct PointerOrObject;

impl<'de> Visitor<'de> for PointerOrObject {
    type Value = RawFirstMessage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON pointer, or an object with `pointer`")
    }

    fn visit_str<E: Error>(self, pointer: &str) -> Result<RawFirstMessage, E> {
        Ok(RawFirstMessage {
            pointer: Some(pointer.to_owned()),
            is_short: true,
            ..RawFirstMessage::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<RawFirstMessage, A::Error> {
        let FirstMessageObject { pointer, prefix, greeting } =
            FirstMessageObject::deserialize(MapAccessDeserializer::new(object))?;
        Ok(RawFirstMessage { pointer, prefix, greeting, is_short: false })
    }
}

/// Reads the name of a cookie (RFC 6265 §4.1.1).
pub(super) fn cookie(name: String, at: &Path, report: &mut Report) -> Option<String> {
    string(name, is_token, "write the name of a cookie: letters, digits and `!#$%&'*+-.^_`|~`", at, report)
}

/// Says whether a header frames the request, is the connection's own, or has a meaning to Envoy or to
/// Postern: neither a token nor a claim may be there, in no spelling that a gateway takes for one of them.
pub(super) fn is_reserved(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "origin",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    const PREFIXES: &[&str] = &["sec-websocket-", "x-envoy-", "x-forwarded-"];
    let begins_with = |prefix: &str| folded(name).take(prefix.len()).eq(folded(prefix));
    NAMES.iter().any(|reserved| is_same_to_a_gateway(name, reserved))
        || PREFIXES.iter().any(|prefix| begins_with(prefix))
}

/// Reads the name of a header that carries a token.
fn header(name: String, at: &Path, report: &mut Report) -> Option<String> {
    let name = header_name(name, at, report)?;
    if is_reserved(&name) {
        let remedy = match name.as_str() {
            "cookie" => "write `cookie:` and the name of the cookie in place of `header:`",
            "sec-websocket-protocol" => "write `subprotocol:` and a prefix in place of `header:`",
            _ => "write another header, such as `authorization`",
        };
        report.push(ProblemKind::ImpossibleValue, at, format!("`{name}` cannot carry a token"), remedy);
        return None;
    }
    Some(name)
}

pub(super) fn header_name(name: String, at: &Path, report: &mut Report) -> Option<String> {
    if !is_token(&name) {
        report.push(
            ProblemKind::ImpossibleValue,
            at,
            format!("{} is no header name", shown(&name)),
            "write the name in lower case, such as `x-user-id`",
        );
        return None;
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        report.push(
            ProblemKind::ImpossibleValue,
            at,
            format!("{} has capitals", shown(&name)),
            format!("write {}", shown(&name.to_ascii_lowercase())),
        );
        return None;
    }
    Some(name)
}
