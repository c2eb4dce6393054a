//! Tokens as an issuer mints them, the key sets that go with them, and tokens as an attacker makes them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SignatureAlgorithm};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::rand_core::OsRng;
use serde_json::{Value, json};

/// The value of POSTERN_EDGE_SECRET in every scene, so that tokens for the shipped policy can be minted.
pub const EDGE_SECRET: &str = "a secret of the tests and of nobody else, 32 bytes and more";

/// PKCS #8 before the 32 bytes of an Ed25519 seed (RFC 8410 §7).
const ED25519_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// One key of an issuer.
#[derive(Clone)]
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    kid: Option<String>,
    public_pem: Option<String>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Returns HS256 with a shared secret, without `kid`.
    pub fn hs256(secret: &str) -> Self {
        let key = EncodingKey::from_secret(secret.as_bytes());
        Self { algorithm: Algorithm::HS256, key, kid: None, public_pem: None }
    }

    /// Returns the signer of the issuer `edge` of the shipped policy.
    pub fn edge() -> Self {
        Self::hs256(EDGE_SECRET)
    }

    /// Returns RS256 with a fresh 2048-bit key.
    pub fn rs256(kid: &str) -> Self {
        Self::rs256_of(2048, kid)
    }

    /// Returns RS256 with a fresh key of `bits` bits.
    pub fn rs256_of(bits: usize, kid: &str) -> Self {
        let key = RsaPrivateKey::new(&mut OsRng, bits).expect("an RSA key");
        let public = key.to_public_key().to_public_key_pem(LineEnding::LF).expect("an RSA public key as PEM");
        let der = key.to_pkcs1_der().expect("an RSA key as DER");
        let key = EncodingKey::from_rsa_der(der.as_bytes());
        Self { algorithm: Algorithm::RS256, key, kid: Some(kid.to_owned()), public_pem: Some(public) }
    }

    /// Returns ES256 with a fresh key.
    pub fn es256(kid: &str) -> Self {
        Self::elliptic(Algorithm::ES256, &PKCS_ECDSA_P256_SHA256, kid)
    }

    /// Returns ES384 with a fresh key.
    pub fn es384(kid: &str) -> Self {
        Self::elliptic(Algorithm::ES384, &PKCS_ECDSA_P384_SHA384, kid)
    }

    fn elliptic(algorithm: Algorithm, kind: &'static SignatureAlgorithm, kid: &str) -> Self {
        let pair = KeyPair::generate_for(kind).expect("a key on the curve");
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self { algorithm, key, kid: Some(kid.to_owned()), public_pem: Some(pair.public_key_pem()) }
    }

    /// Returns EdDSA with a fresh Ed25519 key.
    pub fn eddsa(kid: &str) -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("randomness");
        let key = EncodingKey::from_ed_der(&[&ED25519_PREFIX[..], &seed[..]].concat());
        Self { algorithm: Algorithm::EdDSA, key, kid: Some(kid.to_owned()), public_pem: None }
    }

    /// Puts the key under another algorithm of its family, such as PS256 for an RSA key.
    #[must_use]
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Takes the key's name away.
    #[must_use]
    pub fn without_kid(mut self) -> Self {
        self.kid = None;
        self
    }

    /// Mints the token with exactly these claims.
    pub fn mint(&self, claims: &Value) -> String {
        let header = Header { kid: self.kid.clone(), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("a token of sound claims")
    }

    /// Signs a token whose payload is this very text, which need be no object and may have a member twice.
    pub fn sign_text(&self, payload: &str) -> String {
        let header = Header { kid: self.kid.clone(), ..Header::new(self.algorithm) };
        self.sign_parts(&serde_json::to_string(&header).expect("a header as JSON"), payload)
    }

    /// Signs a token of this very header and this very payload, whatever they are.
    pub fn sign_parts(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm);
        format!("{signed}.{}", signature.expect("a signature by a sound key"))
    }

    /// Returns the public key as a JWK (RFC 7517 §4), with `kid`, `alg` and `use`.
    pub fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a JWK of a sound key");
        jwk.common.key_id.clone_from(&self.kid);
        jwk.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Signature);
        serde_json::to_value(jwk).expect("a JWK as JSON")
    }

    /// Returns the public key as text, which an attacker knows as well.
    pub fn public_pem(&self) -> &str {
        self.public_pem.as_deref().expect("an RSA or EC key")
    }
}

/// Returns a JWK set (RFC 7517 §5) of these keys.
pub fn jwks(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()})
}

/// Returns the seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// Returns the claims that the shipped policy `chat` asks of a token, good for five minutes.
pub fn edge_claims(subject: &str) -> Value {
    json!({"iss": "edge", "aud": "chat", "sub": subject, "scope": "chat", "iat": now(), "exp": now() + 300})
}

/// Tokens as an attacker makes them from a good one.
pub mod tampered {
    use super::{EncodingKey, Engine, Header, URL_SAFE_NO_PAD, Value};

    /// Changes one bit of the signature.
    pub fn signature(token: &str) -> String {
        let [header, payload, signature] = parts(token);
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("a signature");
        bytes[0] ^= 1;
        format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Takes the signature out.
    pub fn unsigned(token: &str) -> String {
        let [header, payload, _] = parts(token);
        format!("{header}.{payload}.")
    }

    /// Puts other claims under the old signature.
    pub fn claims(token: &str, claims: &Value) -> String {
        let [header, _, signature] = parts(token);
        format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    /// Puts another signature of these bytes in.
    pub fn resigned(token: &str, signature: impl AsRef<[u8]>) -> String {
        let [header, payload, _] = parts(token);
        format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns the bytes of the signature.
    pub fn signature_of(token: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(parts(token)[2]).expect("a signature")
    }

    /// Puts another header, as text that need not be JSON, under the old signature.
    pub fn header(token: &str, header: &str) -> String {
        let [_, payload, signature] = parts(token);
        format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(header))
    }

    /// Sets `alg: none` and takes the signature out (RFC 8725 §2.1).
    pub fn algorithm_none(token: &str) -> String {
        unsigned(&header(token, r#"{"alg":"none","typ":"JWT"}"#))
    }

    /// Signs by HS256 with the issuer's public key as the secret (RFC 8725 §2.1).
    pub fn public_key_as_secret(signer: &super::Signer, claims: &Value) -> String {
        let header = Header { kid: signer.kid.clone(), ..Header::default() };
        let key = EncodingKey::from_secret(signer.public_pem().as_bytes());
        jsonwebtoken::encode(&header, claims, &key).expect("a token of sound claims")
    }

    /// Returns header, payload and signature, encoded as they are.
    pub fn parts(token: &str) -> [&str; 3] {
        let parts: Vec<&str> = token.split('.').collect();
        parts.try_into().expect("a token of three parts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};

    fn verifies(signer: &Signer, token: &str) -> bool {
        let jwk = serde_json::from_value(signer.jwk()).expect("a JWK");
        let key = DecodingKey::from_jwk(&jwk).expect("a key of the JWK");
        let mut validation = Validation::new(signer.algorithm);
        validation.set_audience(&["chat"]);
        jsonwebtoken::decode::<Value>(token, &key, &validation).is_ok()
    }

    #[test]
    fn every_algorithm_verifies_with_its_own_jwk_and_not_when_tampered_with() {
        let signers =
            [Signer::edge(), Signer::rs256("r"), Signer::es256("e"), Signer::es384("f"), Signer::eddsa("d")];
        for signer in &signers {
            let token = signer.mint(&edge_claims("alice"));
            assert!(verifies(signer, &token), "{signer:?}");
            assert!(!verifies(signer, &tampered::signature(&token)), "{signer:?}");
            assert!(!verifies(signer, &tampered::unsigned(&token)), "{signer:?}");
            assert!(!verifies(signer, &tampered::claims(&token, &edge_claims("mallory"))), "{signer:?}");
        }
        assert_eq!(jwks(&[&signers[1], &signers[2]])["keys"][1]["kid"], "e");
    }
}
