//! Tokens in the query of `:path`, and in the place where an Envoy in front has kept that.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use postern_config::Carrier;

use super::Extraction;
use crate::auth::bearer::without_scheme;
use crate::http::headers::{HeaderEdit, Headers, Single};

const PATH: &str = ":path";

/// The header in which Envoy keeps the path of a request that it rewrites: one in front may have done so.
const KEPT_PATH: &str = "x-envoy-original-path";

/// Takes the parameters of every [`Carrier::Query`]. A request has one path (RFC 9113 §8.3.1). An earlier
/// path that was kept loses them as well, but brings no token.
pub(super) fn take<'c>(headers: Headers<'_>, carriers: &'c [Carrier], out: &mut Extraction<'c>) {
    let carrier_of = |name: &[u8]| {
        carriers.iter().find(|carrier| matches!(carrier, Carrier::Query(n) if n.as_bytes() == name))
    };
    if let Single::One(path) = headers.single(PATH)
        && let Some((found, rest)) = partition(path, carrier_of)
    {
        for (carrier, token) in found {
            out.find(carrier, without_scheme(&token));
        }
        out.edits.push(HeaderEdit::Set(PATH.to_owned(), rest));
    }
    out.edits.extend(clean(headers, KEPT_PATH, carrier_of));
}

/// Returns the edits that take the query parameters of these names out of every path that a request has; all
/// other bytes stay as they were. Names compare after decoding.
pub fn without_parameters(headers: Headers<'_>, names: &[&str]) -> Vec<HeaderEdit> {
    let listed = |name: &[u8]| names.iter().find(|n| n.as_bytes() == name);
    [PATH, KEPT_PATH].into_iter().filter_map(|field| clean(headers, field, listed)).collect()
}

/// Returns the edit that takes the parameters that `claim` wants out of the path in `field`, if it has any.
fn clean<T>(headers: Headers<'_>, field: &str, claim: impl Fn(&[u8]) -> Option<T>) -> Option<HeaderEdit> {
    let (_, rest) = headers.all(field).find_map(|path| partition(path, &claim))?;
    // The edit replaces all fields of the name, if somebody sent more than one.
    Some(HeaderEdit::Set(field.to_owned(), rest))
}

/// A decoded value, with what claimed it.
type Claimed<T> = (T, Vec<u8>);

/// Returns the parameters that `claim` wants by their decoded name, and the path without them; `None` when it
/// wants none.
fn partition<T>(path: &[u8], claim: impl Fn(&[u8]) -> Option<T>) -> Option<(Vec<Claimed<T>>, Vec<u8>)> {
    let (before, query) = split_once(path, b'?')?;
    let name_and_value = |parameter| split_once(parameter, b'=').unwrap_or((parameter, b""));
    let claim = |parameter| claim(&decode(name_and_value(parameter).0));
    // Most queries have none, and there may be a parameter for every byte.
    if !query.split(|&b| b == b'&' || b == b';').any(|parameter| claim(parameter).is_some()) {
        return None;
    }
    let mut found = Vec::new();
    let mut rest = Vec::with_capacity(path.len());
    rest.extend_from_slice(before);
    let mut next = b'?';
    for parameters in query.split(|&b| b == b'&') {
        // Some servers still separate by semicolons as well (HTML 4.01, appendix B.2.2).
        for parameter in parameters.split(|&b| b == b';') {
            if let Some(claimed) = claim(parameter) {
                found.push((claimed, decode(name_and_value(parameter).1).into_owned()));
            } else {
                rest.push(next);
                rest.extend_from_slice(parameter);
                next = b';';
            }
        }
        if rest.len() > before.len() {
            next = b'&';
        }
    }
    if rest.len() == before.len() + 1 {
        rest.truncate(before.len());
    }
    Some((found, rest))
}

/// Decodes `application/x-www-form-urlencoded`, as browsers write it.
fn decode(encoded: &[u8]) -> Cow<'_, [u8]> {
    if !encoded.contains(&b'+') {
        return percent_decode(encoded).into();
    }
    let spaced: Vec<u8> = encoded.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&b| b == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}
