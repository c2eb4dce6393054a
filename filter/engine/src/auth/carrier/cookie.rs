//! Tokens in cookies.

use postern_config::Carrier;

use super::{Extraction, put_back};
use crate::auth::bearer::without_scheme;
use crate::http::cookies;
use crate::http::headers::Headers;

const COOKIE: &str = "cookie";

/// Takes the cookies of every [`Carrier::Cookie`]. The others stay as they are, in order; several
/// Cookie fields become one, as RFC 9113 §8.2.3 joins them.
pub(super) fn take<'c>(headers: Headers<'_>, carriers: &'c [Carrier], out: &mut Extraction<'c>) {
    let found_before = out.candidates.len();
    let mut fields = Vec::new();
    for field in headers.all(COOKIE) {
        let mut kept = Vec::new();
        for pair in cookies::pairs(field) {
            let named =
                |carrier: &&Carrier| matches!(carrier, Carrier::Cookie(n) if n.as_bytes() == pair.name);
            match carriers.iter().find(named) {
                Some(carrier) => out.find(carrier, without_scheme(pair.value)),
                None => kept.push(pair.whole),
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
