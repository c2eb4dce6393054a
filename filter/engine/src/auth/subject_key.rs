//! The hashes by which logs name users: who has a log can follow a user, and learns nobody's name from it.
//!
//! A plain hash of a name is found by whoever hashes a list of names. So there is a key, and the hash is
//! HMAC-SHA256 (RFC 2104), of which 64 bits are enough to tell users apart.

use std::fmt;
use std::num::NonZeroU64;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::claims::Claims;

/// The key of the hashes. Its `Debug` shows nothing.
#[derive(Clone)]
pub(crate) struct SubjectKey(Hmac<Sha256>);

/// The hash that stands for a user. Its `Display` is 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectHash(NonZeroU64);

impl SubjectKey {
    /// Creates the key of `secret`; returns `None` if it cannot be one, which no length of it brings about.
    pub(crate) fn new(secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    /// Creates the key that all workers of an Envoy have who agree on `seed`.
    pub(crate) fn of_seed(seed: &[u8]) -> Option<Self> {
        // The seed has another use too.
        Self::new(&[b"subjects in logs", seed].concat())
    }

    /// Returns the hash of the user that these claims name, if they name one: over the issuer, a NUL and the
    /// subject. Where a token has no issuer its provider stands in.
    pub(crate) fn hash(&self, claims: &Claims) -> Option<SubjectHash> {
        let issuer = claims.issuer().unwrap_or_else(|| claims.provider());
        claims.subject().map(|subject| self.of(issuer, subject))
    }

    fn of(&self, issuer: &str, subject: &str) -> SubjectHash {
        let hash = self.0.clone().chain_update(issuer).chain_update([0]).chain_update(subject);
        let bytes = hash.finalize().into_bytes();
        let first = bytes.first_chunk().copied().unwrap_or_default();
        SubjectHash(NonZeroU64::new(u64::from_be_bytes(first)).unwrap_or(NonZeroU64::MIN))
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(…)")
    }
}

impl fmt::Display for SubjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> SubjectKey {
        SubjectKey::new(secret.as_bytes()).unwrap()
    }

    #[test]
    fn anybody_with_the_key_finds_the_hash_of_a_user() {
        // printf 'https://login.example.com/\0alice' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let hash = key("0123456789abcdef0123456789abcdef").of("https://login.example.com/", "alice");
        assert_eq!(hash.to_string(), "8eed6a2b3b950b27");
    }

    #[test]
    fn another_user_issuer_or_key_makes_another_hash() {
        let hash = |secret, issuer, subject| key(secret).of(issuer, subject);
        let alice = hash("one", "edge", "alice");
        assert_eq!(alice, hash("one", "edge", "alice"));
        for other in [hash("one", "edge", "bob"), hash("one", "main", "alice"), hash("two", "edge", "alice")]
        {
            assert_ne!(other, alice);
        }
        assert_ne!(hash("one", "ab", "c"), hash("one", "a", "bc"));
        let of_seed = |seed| SubjectKey::of_seed(&[seed; 16]).unwrap().of("edge", "alice");
        assert_eq!(of_seed(1), of_seed(1));
        assert_ne!(of_seed(1), of_seed(2));
    }
}
