//! Who speaks: tokens are found, taken out of the request, verified, and asked what they say.
//!
//! Owns everything between the bytes of a request and verified [`claims::Claims`]. Never decides
//! what a refusal looks like, never fetches keys, and keeps nothing between two tokens: whether a
//! `jti` was seen before or a subject is revoked is asked elsewhere.

pub(crate) mod admit;
pub mod carrier;
pub mod claims;
mod compact;
pub mod error;
mod forward;
mod jwk;
pub mod keys;
pub(crate) mod message;
#[cfg(test)]
pub(crate) mod minting;
pub mod secret;
pub mod verifier;
