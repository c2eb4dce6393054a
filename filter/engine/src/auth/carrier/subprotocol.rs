//! Tokens among the offered subprotocols, the only header that a browser's script can fill.

use postern_config::Carrier;

use super::{Extraction, put_back};
use crate::headers::Headers;

const SUBPROTOCOLS: &str = "sec-websocket-protocol";

/// Takes the items of every [`Carrier::Subprotocol`]; the other offers stay, in order. Prefixes
/// compare by case, as subprotocol names do (RFC 6455 §11.3.4).
pub(super) fn take<'c>(headers: Headers<'_>, carriers: &'c [Carrier], out: &mut Extraction<'c>) {
    let found_before = out.candidates.len();
    let mut rest = Vec::new();
    for item in headers.list(SUBPROTOCOLS) {
        let token = carriers.iter().find_map(|carrier| match carrier {
            Carrier::Subprotocol(prefix) => Some((carrier, item.strip_prefix(prefix.as_bytes())?)),
            _ => None,
        });
        match token {
            Some((carrier, token)) => out.find(carrier, token.to_vec()),
            None => rest.push(item),
        }
    }
    if out.candidates.len() > found_before {
        out.edits.push(put_back(SUBPROTOCOLS, &rest, b", "));
    }
}
