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
    keys: Vec<VerificationKey>,
}

impl KeySet {
    /// Reads a set.
    pub(crate) fn read(document: &[u8]) -> Result<Self, &'static str> {
        let Ok(set) = strict_json::parse(document, MAX_DEPTH) else { return Err("no unambiguous JSON") };
        let Some(members) = set.get("keys").and_then(Value::as_array) else { return Err("no JWK set") };
        if members.len() > MAX_KEYS {
            return Err("too many keys");
        }
        let mut keys: Vec<VerificationKey> = Vec::new();
        // What a private key signs that everybody can read proves nothing.
        let public = members.iter().filter(|jwk| jwk.get("d").is_none());
        for key in public.filter_map(|jwk| VerificationKey::from_jwk(jwk).ok()) {
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
        if keys.is_empty() { Err("no key that can be used") } else { Ok(Self { keys }) }
    }

    /// The set at hand.
    pub(super) fn of(source: &Source, now: Duration) -> Result<Rc<Self>, TokenError> {
        source.content(now, Content::keys).ok_or_else(|| match source.patience(now) {
            Some(patience) => TokenError::AwaitsKeys(Missing::Keys, patience),
            None => TokenError::KeysUnavailable,
        })
    }

    /// The keys, in their order.
    pub(super) fn keys(&self) -> &[VerificationKey] {
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::minting::issuer_keys;

    fn read(set: &Value) -> Result<KeySet, &'static str> {
        KeySet::read(set.to_string().as_bytes())
    }

    #[test]
    fn a_key_that_is_not_understood_is_passed_over() {
        let mut set = issuer_keys();
        let keys = set["keys"].as_array_mut().unwrap();
        let count = keys.len();
        let mut private = keys[0].clone();
        private["d"] = json!("AQAB");
        private["kid"] = json!("published");
        let mut encrypts = keys[0].clone();
        encrypts["use"] = json!("enc");
        let odd = [
            json!(null),
            json!("text"),
            json!({}),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
            json!({"kty": "new"}),
            private,
            encrypts,
        ];
        for (i, key) in odd.into_iter().enumerate() {
            keys.insert(i % keys.len(), key);
        }
        let read = read(&set).unwrap();
        assert_eq!(read.keys().len(), count);
        assert!(read.keys().iter().all(|key| key.kid.as_deref() != Some("published")));
    }

    #[test]
    fn members_beside_the_keys_are_ignored() {
        let mut set = issuer_keys();
        set["issuer"] = json!({"name": [1, 2]});
        assert!(read(&set).is_ok());
    }

    #[test]
    fn of_keys_that_a_token_cannot_tell_apart_the_first_counts() {
        let keys = issuer_keys();
        let keys = keys["keys"].as_array().unwrap();
        let mut twins = vec![keys[0].clone(), keys[1].clone(), keys[0].clone()];
        for twin in &mut twins {
            twin["kid"] = json!("same");
        }
        // Keys of two kinds may share a name (RFC 7517 §4.5), since a token's algorithm picks one.
        assert_eq!(read(&json!({ "keys": twins })).unwrap().keys().len(), 2);
        for twin in &mut twins {
            twin.as_object_mut().unwrap().remove("kid");
        }
        assert_eq!(read(&json!({ "keys": twins })).unwrap().keys().len(), 3);
    }

    #[test]
    fn what_would_lock_everybody_out_is_no_set() {
        let key = issuer_keys()["keys"][0].clone();
        for (set, why) in [
            (json!([key]), "no JWK set"),
            (json!({"keys": {"a": key}}), "no JWK set"),
            (json!({}), "no JWK set"),
            (json!({"keys": []}), "no key that can be used"),
            (json!({"keys": [{"kty": "oct", "k": "AA"}]}), "no key that can be used"),
            (json!({"keys": vec![key; MAX_KEYS + 1]}), "too many keys"),
        ] {
            assert_eq!(read(&set).err(), Some(why));
        }
        for bytes in [&b""[..], b"{", b"\xff", b"{\"keys\":[],\"keys\":[]}"] {
            assert_eq!(KeySet::read(bytes).err(), Some("no unambiguous JSON"));
        }
    }
}
