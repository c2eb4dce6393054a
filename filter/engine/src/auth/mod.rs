//! Authentication by tokens: they are found, taken out of the request, verified, and their claims judged.
//!
//! Owns everything between the bytes of a request and verified [`claims::Claims`]. Never decides what a
//! refusal looks like, never fetches keys, and keeps nothing between two tokens but the fact that a signature
//! was verified, or was in vain. A table of the host's knows whether a `jti` was seen before, and a
//! revocation list whether a subject is revoked.

use serde_json::Value;

pub(crate) mod admit;
pub(crate) mod bearer;
pub mod carrier;
pub mod claims;
mod compact;
pub mod forgeries;
mod forward;
mod jwk;
pub(crate) mod key_set;
pub mod keys;
#[cfg(test)]
pub(crate) mod minting;
mod pss;
pub(crate) mod revocation;
pub mod secret;
pub mod single_use;
pub(crate) mod subject_key;
pub(crate) mod token_in_text;
mod verified;
pub mod verifier;

/// Returns the claims that a well-formed token has, whoever made it.
pub(crate) fn unverified_claims(token: &[u8]) -> Option<Value> {
    compact::Compact::parse(token).ok().map(|token| token.payload)
}
