//! A JWK set (RFC 7517 §5) that was fetched.
//!
//! Read as the RFC wants it: a key that is not understood, or not for verifying, is passed over. A
//! set without one key that is left is none, since whoever publishes it would lock everybody out.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::error::{Missing, TokenError};
use super::jwk::VerificationKey;
use crate::source::{Content, Source};
use crate::strict_json;

/// How deep a set may nest.
const MAX_DEPTH: usize = 16;

/// The most keys of a set. To read one costs far more than its bytes.
const MAX_KEYS: usize = 256;

/// Keys that can be used; at least one.
#[derive(Debug)]
pub(crate) struct KeySet {
    generation: u64,
    keys: Vec<VerificationKey>,
}

impl KeySet {
    /// Reads the set that is the `generation`-th of its source.
    pub(crate) fn read(generation: u64, document: &[u8]) -> Result<Self, &'static str> {
        let Ok(set) = strict_json::parse(document, MAX_DEPTH) else { return Err("no unambiguous JSON") };
        let Some(members) = set.get("keys").and_then(Value::as_array) else { return Err("no JWK set") };
        if members.len() > MAX_KEYS {
            return Err("too many keys");
        }
        let mut keys: Vec<VerificationKey> = Vec::new();
        for key in members.iter().filter_map(|jwk| VerificationKey::from_jwk(jwk).ok()) {
            // Of two keys that a token cannot tell apart the first counts.
            let is_named_alike = |other: &VerificationKey| {
                key.kid.is_some()
                    && other.kid == key.kid
                    && other.algorithms.iter().any(|algorithm| key.algorithms.contains(algorithm))
            };
            if !keys.iter().any(is_named_alike) {
                keys.push(key);
            }
        }
        if keys.is_empty() { Err("no key that can be used") } else { Ok(Self { generation, keys }) }
    }

    /// The set at hand.
    pub(super) fn of(source: &Source, now: Duration) -> Result<Rc<Self>, TokenError> {
        source.content(now, Content::keys).ok_or_else(|| match source.patience(now) {
            Some(patience) => TokenError::AwaitsKeys(Missing::Keys, patience),
            None => TokenError::KeysUnavailable,
        })
    }

    /// What tells this set from those before it.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The keys, in their order.
    pub(super) fn keys(&self) -> &[VerificationKey] {
        &self.keys
    }
}
