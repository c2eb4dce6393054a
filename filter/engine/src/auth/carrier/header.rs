//! Tokens in header fields.

use std::collections::BTreeSet;

use postern_config::Carrier;
use postern_config::header_name::is_same_to_a_gateway;

use super::{Extraction, put_back};
use crate::http::headers::{HeaderEdit, Headers};

const AUTHORIZATION: &str = "authorization";

/// Takes the tokens of every [`Carrier::Header`].
///
/// In `Authorization` only the scheme Bearer (RFC 6750 §2.1) is a token and the rest stays; any
/// other header is the token's own, with or without that scheme, and goes whole.
pub(super) fn take<'c>(headers: Headers<'_>, carriers: &'c [Carrier], out: &mut Extraction<'c>) {
    for (i, carrier) in carriers.iter().enumerate() {
        let Carrier::Header(name) = carrier else { continue };
        if carriers.iter().take(i).any(|earlier| earlier == carrier) {
            continue;
        }
        let found_before = out.candidates.len();
        let mut rest = Vec::new();
        // A gateway to a service would take any of these spellings for the token's header.
        let spellings: BTreeSet<String> = headers
            .fields()
            .map(|(other, _)| other)
            .filter(|other| is_same_to_a_gateway(other, name))
            .map(str::to_ascii_lowercase)
            .collect();
        let values = spellings.iter().flat_map(|spelling| headers.all(spelling));
        for value in values.map(<[u8]>::trim_ascii) {
            if !name.eq_ignore_ascii_case(AUTHORIZATION) {
                out.find(carrier, bearer(value).unwrap_or(value));
                continue;
            }
            for credentials in split_credentials(value) {
                match bearer(credentials) {
                    Some(token) => out.find(carrier, token),
                    None => rest.push(credentials.trim_ascii()),
                }
            }
        }
        if out.candidates.len() > found_before {
            let others = spellings.into_iter().filter(|spelling| !spelling.eq_ignore_ascii_case(name));
            out.edits.extend(others.map(HeaderEdit::Remove));
            out.edits.push(put_back(name, &rest, b", "));
        }
    }
}

/// Returns the token after the scheme Bearer, in any case. `value` has no blanks behind it: to cut them off
/// here would cost their number at every comma. Nothing after the scheme is an empty token.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.trim_ascii_start().split_at_checked(b"bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    match rest.first() {
        None => Some(rest),
        Some(b' ') => Some(rest.trim_ascii_start()),
        // A tab is no blank that RFC 9110 §11.4 allows, but lenient readers take it for one: still a
        // candidate, which no verifier accepts.
        Some(b'\t') => Some(rest),
        Some(_) => None,
    }
}

/// Cuts before every comma that Bearer follows. Envoy joins several Authorization fields into
/// one by commas, and a token must not hide behind another scheme's credentials.
fn split_credentials(value: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut piece_start = 0;
    for (comma, _) in value.iter().enumerate().filter(|&(_, &b)| b == b',') {
        if value.get(comma + 1..).and_then(bearer).is_some() {
            pieces.extend(value.get(piece_start..comma));
            piece_start = comma + 1;
        }
    }
    pieces.extend(value.get(piece_start..));
    pieces
}
