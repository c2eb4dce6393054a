//! The compact serialisation of a signed token (RFC 7515 §7.1), taken apart.
//!
//! Owns the form of a token: parts, encoding, JSON, header parameters. Proves nothing: whatever
//! it reads is the sender's word until a signature is verified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use crate::decision::cause::InvalidToken;
use crate::strict_json::{self, JsonError};

/// The most levels that JSON in a token may nest; claims of real issuers need about five.
const MAX_DEPTH: usize = 32;

/// A well-formed token, not yet verified.
#[derive(Debug)]
pub(super) struct Compact<'t> {
    /// The bytes that are signed: header and payload as they were sent, with the dot.
    pub(super) signed: &'t [u8],
    /// The signature, still encoded; not empty.
    pub(super) signature: &'t str,
    /// The algorithm that `alg` names.
    pub(super) algorithm: Algorithm,
    /// The key that `kid` names.
    pub(super) kid: Option<String>,
    /// The claims; an object.
    pub(super) payload: Value,
}

impl<'t> Compact<'t> {
    /// Takes `token` apart.
    ///
    /// `jku`, `jwk`, `x5u`, `x5c` and the like are ignored, as RFC 7515 §4.1 allows: keys come
    /// from the policy alone, and sound issuers do put `jku` or `x5t` into every token.
    pub(super) fn parse(token: &'t [u8]) -> Result<Self, InvalidToken> {
        let mut parts = token.split(|&b| b == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidToken::Shape);
        };
        let signed = token.get(..header.len() + 1 + payload.len()).ok_or(InvalidToken::Shape)?;
        let (algorithm, kid) = read_header(&json(header, InvalidToken::Header)?)?;
        let payload = json(payload, InvalidToken::Payload)?;
        if URL_SAFE_NO_PAD.decode(signature).map_err(|_| InvalidToken::Encoding)?.is_empty() {
            return Err(InvalidToken::Signature);
        }
        let signature = std::str::from_utf8(signature).map_err(|_| InvalidToken::Encoding)?;
        Ok(Self { signed, signature, algorithm, kid, payload })
    }
}

/// Reads the header parameters that count.
fn read_header(header: &Value) -> Result<(Algorithm, Option<String>), InvalidToken> {
    if header.get("crit").is_some() || header.get("b64").is_some() {
        return Err(InvalidToken::Extension);
    }
    let algorithm = match header.get("alg") {
        // `none` is no algorithm of the library's, in whatever case.
        Some(Value::String(name)) => name.parse().map_err(|_| InvalidToken::Algorithm)?,
        Some(_) => return Err(InvalidToken::Header),
        None => return Err(InvalidToken::Algorithm),
    };
    match header.get("kid") {
        None => Ok((algorithm, None)),
        Some(Value::String(kid)) => Ok((algorithm, Some(kid.clone()))),
        Some(_) => Err(InvalidToken::Header),
    }
}

/// Reads the JSON object that `part` encodes; returns `malformed` when it encodes none.
fn json(part: &[u8], malformed: InvalidToken) -> Result<Value, InvalidToken> {
    let text = URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidToken::Encoding)?;
    match strict_json::parse(&text, MAX_DEPTH) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) | Err(JsonError::Malformed) => Err(malformed),
        Err(ambiguous) => Err(InvalidToken::Json(ambiguous)),
    }
}
