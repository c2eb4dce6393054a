//! A token as it stands in a request.
//!
//! Input: the token. Nobody here can sign, so none passes but those whose signed part was signed
//! when the seeds were made.

use postern_engine::auth::verifier::verify;

use crate::fixture::{NOW, with_keys};

/// The signed parts of the genuine tokens among the seeds: HS256 and EdDSA.
const GENUINE: [&str; 2] =
    [include_str!("../corpus/token/genuine_hs256"), include_str!("../corpus/token/genuine_eddsa")];

/// Runs one input.
pub fn run(input: &[u8]) {
    let names = ["main".to_owned(), "edge".to_owned()];
    let verified = with_keys(|keys| verify(input, &keys.providers(&names), NOW).is_ok());
    if verified {
        let signed = |token: &[u8]| token.iter().rposition(|&b| b == b'.').map(|dot| token[..dot].to_vec());
        assert!(GENUINE.iter().any(|seed| signed(seed.as_bytes()) == signed(input)), "a forgery passes");
    }
}
