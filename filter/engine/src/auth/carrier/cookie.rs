//! Tokens in cookies.

use postern_config::Carrier;

use super::{Extraction, put_back};
use crate::headers::Headers;

const COOKIE: &str = "cookie";

/// Takes the cookies of every [`Carrier::Cookie`]. The others stay as they are, in order; several
/// Cookie fields become one, as RFC 9113 §8.2.3 joins them.
pub(super) fn take<'c>(headers: Headers<'_>, carriers: &'c [Carrier], out: &mut Extraction<'c>) {
    let found_before = out.candidates.len();
    let mut fields = Vec::new();
    for field in headers.all(COOKIE) {
        let mut kept = Vec::new();
        for pair in field.split(|&b| b == b';') {
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let name = halves.next().unwrap_or_default().trim_ascii();
            let named = |carrier: &&Carrier| matches!(carrier, Carrier::Cookie(n) if n.as_bytes() == name);
            match carriers.iter().find(named) {
                Some(carrier) => out.find(carrier, unquote(halves.next().unwrap_or_default()).to_vec()),
                None => kept.push(pair),
            }
        }
        fields.push(kept.join(&b';'));
    }
    if out.candidates.len() > found_before {
        let rest: Vec<&[u8]> =
            fields.iter().map(|f| f.trim_ascii_start()).filter(|f| !f.is_empty()).collect();
        out.edits.push(put_back(COOKIE, &rest, b"; "));
    }
}

/// A cookie's value may stand in double quotes (RFC 6265 §4.1.1), which are none of it.
fn unquote(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}
