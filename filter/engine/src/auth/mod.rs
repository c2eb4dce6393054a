//! Who speaks: tokens are found, taken out of the request, verified, and asked what they say.
//!
//! Owns everything between the bytes of a request and verified [`claims::Claims`]. Never decides
//! what a refusal looks like, never fetches keys, and keeps nothing between two tokens but that a
//! signature was verified: whether a `jti` was seen before or a subject is revoked is asked elsewhere.

pub mod carrier;
pub mod claims;
mod compact;
pub mod error;
mod forward;
mod jwk;
pub mod keys;
#[cfg(test)]
pub(crate) mod minting;
pub mod secret;
mod verified;
pub mod verifier;
