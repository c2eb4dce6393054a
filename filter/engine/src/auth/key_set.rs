//! A JWK set (RFC 7517 §5) that was fetched.
//!
//! The set is read as the RFC wants it: a key that is not understood, or not for verifying, is passed over. A
//! set of which no key is left counts as none, since whoever publishes it would lock everybody out.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::jwk::{Unusable, VerificationKey};
use crate::decision::cause::{Missing, TokenError};
use crate::remote::{Content, DocumentFault, Source};
use crate::strict_json;

/// The most levels that a set may nest.
const MAX_DEPTH: usize = 16;

/// The most keys of a set. To read a key costs far more than its bytes.
const MAX_KEYS: usize = 256;

/// The most causes that are told why keys cannot be used.
const MOST_CAUSES: usize = 3;

/// Keys that can be used; at least one.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<VerificationKey>,
}

impl KeySet {
    /// Reads a set.
    pub(crate) fn read(document: &[u8]) -> Result<Self, DocumentFault> {
        const REMEDY: &str = "have `uri` name a JWK set (RFC 7517)";
        let mut set = strict_json::parse(document, MAX_DEPTH)
            .map_err(|error| DocumentFault::new(format!("no unambiguous JSON: {error}"), REMEDY))?;
        let members = match set.get_mut("keys").map(Value::take) {
            Some(Value::Array(members)) => members,
            _ if set.get("jwks_uri").is_some() => {
                let remedy = "write the address that they have as `jwks_uri`";
                return Err(DocumentFault::new("no JWK set, but the issuer's metadata", remedy));
            }
            _ => return Err(DocumentFault::new("no JWK set: it has no list `keys`", REMEDY)),
        };
        if members.len() > MAX_KEYS {
            let remedy = format!("have the issuer publish {MAX_KEYS} at most");
            return Err(DocumentFault::new(format!("too many keys: {}", members.len()), remedy));
        }
        let mut keys: Vec<VerificationKey> = Vec::new();
        let mut idle: Vec<(usize, Unusable)> = Vec::new();
        for (i, jwk) in members.into_iter().enumerate() {
            let key = match read_key(jwk) {
                Ok(key) => key,
                Err(unusable) => {
                    idle.push((i, unusable));
                    continue;
                }
            };
            // The first of two keys that a token cannot tell apart counts.
            let is_named_alike = |other: &VerificationKey| {
                key.kid.is_some()
                    && other.kid == key.kid
                    && other.algorithms.iter().any(|algorithm| key.algorithms.contains(algorithm))
            };
            if !keys.iter().any(is_named_alike) {
                keys.push(key);
            }
        }
        if keys.is_empty() { Err(no_key(&idle)) } else { Ok(Self { keys }) }
    }

    /// Returns the set at hand.
    pub(super) fn of(source: &Source, now: Duration) -> Result<Rc<Self>, TokenError> {
        source.content(now, Content::keys).ok_or_else(|| match source.patience(now) {
            Some(patience) => TokenError::AwaitsKeys(Missing::Keys, patience),
            None => TokenError::KeysUnavailable,
        })
    }

    /// Returns the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns the keys, in their order.
    pub(super) fn keys(&self) -> &[VerificationKey] {
        &self.keys
    }
}

/// Reads a key of a set. A member that is null counts as absent: some programs write those they have no value
/// for.
fn read_key(mut jwk: Value) -> Result<VerificationKey, Unusable> {
    if let Value::Object(members) = &mut jwk {
        members.retain(|_, member| !member.is_null());
    }
    if jwk.get("d").is_some() {
        // A signature by a key that everybody has proves nothing.
        let remedy = "publish its public half only, and replace it";
        return Err(Unusable::new("it is a private key that everybody can read", remedy));
    }
    VerificationKey::from_jwk(&jwk)
}

/// Returns the fault of a set none of whose keys can be used: every cause of the `idle` keys once, with the
/// first key that has it.
fn no_key(idle: &[(usize, Unusable)]) -> DocumentFault {
    const REMEDY: &str = "have the issuer publish public keys for signatures";
    if idle.is_empty() {
        return DocumentFault::new("no key that can be used: `keys` is empty", REMEDY);
    }
    let mut told: Vec<&str> = Vec::new();
    let mut causes = String::new();
    for (i, Unusable { what, remedy }) in idle {
        if told.len() < MOST_CAUSES && !told.contains(&what.as_str()) {
            told.push(what);
            let comma = if causes.is_empty() { "" } else { ", " };
            causes.push_str(&format!("{comma}keys[{i}] ({what}; {remedy})"));
        }
    }
    DocumentFault::new(format!("no key that can be used: {causes}"), REMEDY)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::minting::issuer_keys;

    fn read(set: &Value) -> Result<KeySet, DocumentFault> {
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
    fn members_of_a_key_that_are_null_are_absent() {
        let mut set = issuer_keys();
        let keys = set["keys"].as_array_mut().unwrap();
        for key in &mut *keys {
            for name in ["use", "key_ops", "alg", "d", "x5c", "x5t#S256"] {
                key[name] = json!(null);
            }
        }
        keys[0]["kid"] = json!(null);
        let count = keys.len();
        let read = read(&set).unwrap();
        assert_eq!(read.keys().len(), count);
        assert_eq!(read.keys()[0].kid, None);
        set["keys"].as_array_mut().unwrap().truncate(1);
        set["keys"][0]["n"] = json!(null);
        assert_eq!(
            KeySet::read(set.to_string().as_bytes()).unwrap_err().to_string(),
            "no key that can be used: keys[0] (n is missing or not a string; copy the key again from its issuer); \
             have the issuer publish public keys for signatures"
        );
    }

    #[test]
    fn what_would_lock_everybody_out_is_no_set_and_the_log_says_why_and_what_to_do() {
        let key = issuer_keys()["keys"][0].clone();
        let changed = |name: &str, value: Value| {
            let mut key = key.clone();
            key[name] = value;
            key
        };
        let none = "no JWK set: it has no list `keys`; have `uri` name a JWK set (RFC 7517)";
        for (set, why) in [
            (json!([key]), none),
            (json!({"keys": {"a": key}}), none),
            (json!({}), none),
            (
                json!({"issuer": "https://hidden.example.com/", "jwks_uri": "https://hidden.example.com/keys"}),
                "no JWK set, but the issuer's metadata; write the address that they have as `jwks_uri`",
            ),
            (
                json!({"keys": []}),
                "no key that can be used: `keys` is empty; have the issuer publish public keys for signatures",
            ),
            (
                json!({"keys": [{"kty": "oct", "k": "aGlkZGVu"}]}),
                "no key that can be used: keys[0] (kty is not that of a public key; use RSA, EC or OKP); \
                 have the issuer publish public keys for signatures",
            ),
            (
                json!({"keys": [changed("d", json!("hidden"))]}),
                "no key that can be used: keys[0] (it is a private key that everybody can read; publish its public half only, \
                 and replace it); have the issuer publish public keys for signatures",
            ),
            (
                json!({"keys": [changed("use", json!("enc")), changed("use", json!("enc")), {"kty": "hidden"}, changed("alg", json!("hidden"))]}),
                "no key that can be used: keys[0] (use is not 'sig'; leave out keys for encryption), \
                 keys[2] (kty is not that of a public key; use RSA, EC or OKP), \
                 keys[3] (alg does not name a signature algorithm that fits this key; correct alg, or leave it out); \
                 have the issuer publish public keys for signatures",
            ),
            (
                json!({"keys": vec![json!({"kty": "hidden"}); 9]}),
                "no key that can be used: keys[0] (kty is not that of a public key; use RSA, EC or OKP); \
                 have the issuer publish public keys for signatures",
            ),
            (
                json!({"keys": vec![key.clone(); MAX_KEYS + 1]}),
                "too many keys: 257; have the issuer publish 256 at most",
            ),
        ] {
            let told = read(&set).unwrap_err().to_string();
            assert_eq!(told, why);
        }
        for (bytes, why) in [
            (&b""[..], "not JSON"),
            (b"<html>hidden</html>", "not JSON"),
            (b"\xff", "not JSON"),
            (b"{\"keys\":[],\"keys\":[]}", "a member occurs twice"),
        ] {
            let expected = format!("no unambiguous JSON: {why}; have `uri` name a JWK set (RFC 7517)");
            assert_eq!(KeySet::read(bytes).unwrap_err().to_string(), expected);
        }
    }
}
