//! The carriers of tokens in a request, and the edits that take the tokens out.
//!
//! Owns the carriers of a handshake: header, query, cookie and subprotocol items. Judges no token: whatever
//! stands in a carrier's place is a candidate, even when it is empty or nonsense. Works on bytes throughout,
//! since nothing in a request need be text.

mod cookie;
mod header;
mod query;
pub(crate) mod subprotocol;

use postern_config::Carrier;

use crate::http::headers::{HeaderEdit, Headers};

pub use query::without_parameters;

/// Bytes that stand where a token may be.
#[derive(Clone, PartialEq, Eq)]
pub struct Candidate<'c> {
    /// The carrier that the bytes were found in.
    pub carrier: &'c Carrier,
    /// The token as it was meant: decoded, without scheme, prefix or quotes. May be empty.
    pub token: Vec<u8>,
}

/// Everything that the carriers of a request hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extraction<'c> {
    /// The candidates, in the order of the carriers, then of the request.
    pub candidates: Vec<Candidate<'c>>,
    /// The edits that take every candidate out, at most one per header. They hold for a request that is
    /// refused as well.
    pub edits: Vec<HeaderEdit>,
}

/// The presence of tokens in a request: none, one or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence<'c> {
    /// Two or more tokens, also when they are equal or in one carrier (`token_ambiguous`). Judging one of
    /// them would leave it open which one the upstream trusts.
    Ambiguous,
    /// No token (`token_missing`).
    Missing,
    /// One token.
    Token(Candidate<'c>),
}

/// Finds the candidates that `carriers` hold in a request, `:path` included. [`Carrier::FirstMessage`] is no
/// carrier of a request. With `keep_token` nothing is taken out.
///
/// A second extraction must look into what [`Headers::edited`] leaves: two extractions from the same fields
/// would edit a header twice.
pub fn extract<'c>(headers: Headers<'_>, carriers: &'c [Carrier], keep_token: bool) -> Extraction<'c> {
    let mut extraction = Extraction { candidates: Vec::new(), edits: Vec::new() };
    header::take(headers, carriers, &mut extraction);
    query::take(headers, carriers, &mut extraction);
    cookie::take(headers, carriers, &mut extraction);
    subprotocol::take(headers, carriers, &mut extraction);
    extraction.candidates.sort_by_key(|found| carriers.iter().position(|c| c == found.carrier));
    if keep_token {
        extraction.edits.clear();
    }
    extraction
}

impl<'c> Presence<'c> {
    /// Counts candidates.
    pub fn of(candidates: impl IntoIterator<Item = Candidate<'c>>) -> Self {
        let mut candidates = candidates.into_iter();
        match (candidates.next(), candidates.next()) {
            (None, _) => Self::Missing,
            (Some(only), None) => Self::Token(only),
            (Some(_), Some(_)) => Self::Ambiguous,
        }
    }
}

impl<'c> Extraction<'c> {
    fn find(&mut self, carrier: &'c Carrier, token: &[u8]) {
        self.candidates.push(Candidate { carrier, token: token.to_vec() });
    }
}

/// Returns the edit that leaves `rest` of the values of field `name`, or removes the field without any.
fn put_back(name: &str, rest: &[&[u8]], separator: &[u8]) -> HeaderEdit {
    if rest.is_empty() {
        HeaderEdit::Remove(name.to_owned())
    } else {
        HeaderEdit::Set(name.to_owned(), rest.join(separator))
    }
}

impl std::fmt::Debug for Candidate<'_> {
    /// Shows no token, since tokens appear in no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate").field("carrier", &self.carrier).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
