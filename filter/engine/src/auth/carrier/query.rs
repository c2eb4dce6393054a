//! Tokens in the query of `:path`.

use percent_encoding::percent_decode;
use postern_config::Carrier;

use super::Extraction;
use crate::headers::{HeaderEdit, Headers, Single};

const PATH: &str = ":path";

/// Takes the parameters of every [`Carrier::Query`]. A request has one path (RFC 9113 §8.3.1).
pub(super) fn take<'c>(headers: Headers<'_>, carriers: &'c [Carrier], out: &mut Extraction<'c>) {
    let Single::One(path) = headers.single(PATH) else { return };
    let carrier_of = |name: &[u8]| {
        carriers.iter().find(|carrier| matches!(carrier, Carrier::Query(n) if n.as_bytes() == name))
    };
    if let Some((found, rest)) = partition(path, carrier_of) {
        for (carrier, token) in found {
            out.find(carrier, token);
        }
        out.edits.push(HeaderEdit::Set(PATH.to_owned(), rest));
    }
}

/// `path` without the query parameters of these names, all other bytes as they were; `None` when
/// it has none of them. Names compare after decoding.
pub fn without_parameters(path: &[u8], names: &[&str]) -> Option<Vec<u8>> {
    let listed = |name: &[u8]| names.iter().find(|n| n.as_bytes() == name);
    partition(path, listed).map(|(_, rest)| rest)
}

/// A decoded value, with what claimed it.
type Claimed<T> = (T, Vec<u8>);

/// The parameters that `claim` wants by their decoded name, and the path without them; `None`
/// when it wants none.
fn partition<T>(path: &[u8], claim: impl Fn(&[u8]) -> Option<T>) -> Option<(Vec<Claimed<T>>, Vec<u8>)> {
    let (before, query) = split_once(path, b'?')?;
    let mut found = Vec::new();
    let mut kept = Vec::new();
    for parameters in query.split(|&b| b == b'&') {
        let mut kept_of_these = Vec::new();
        // Some servers still separate by semicolons as well (HTML 4.01, appendix B.2.2).
        for parameter in parameters.split(|&b| b == b';') {
            let (name, value) = split_once(parameter, b'=').unwrap_or((parameter, b""));
            match claim(&decode(name)) {
                Some(claimed) => found.push((claimed, decode(value))),
                None => kept_of_these.push(parameter),
            }
        }
        if !kept_of_these.is_empty() {
            kept.push(kept_of_these.join(&b';'));
        }
    }
    if found.is_empty() {
        return None;
    }
    let query = kept.join(&b'&');
    let rest = if query.is_empty() { before.to_vec() } else { [before, &query].join(&b'?') };
    Some((found, rest))
}

/// Decodes `application/x-www-form-urlencoded`, as browsers write it.
fn decode(encoded: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = encoded.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    percent_decode(&spaced).collect()
}

fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&b| b == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}
