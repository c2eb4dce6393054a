//! One JSON Web Key (RFC 7517), read as a key that verifies signatures.
//!
//! Owns which keys are usable at all and for which algorithms. Takes public keys only: shared
//! secrets never come from a set. That a policy holds no private key is settled where it is read.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::rust_crypto;
use jsonwebtoken::{Algorithm, DecodingKey};
use pkcs1::RsaPublicKey;
use pkcs1::der::Encode as _;
use pkcs1::der::asn1::UintRef;
use serde_json::{Map, Value};

use super::pss::RsaNumbers;

/// The sizes of a modulus, in bits: RFC 7518 §3.3 asks for the lower, and the library stops at the upper.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// The largest public exponent that the library accepts.
const MAX_RSA_EXPONENT: u64 = (1 << 33) - 1;

/// A key and the algorithms that it may verify.
#[derive(Clone, Debug)]
pub(super) struct VerificationKey {
    /// The key's name, when it has one.
    pub(super) kid: Option<String>,
    /// The algorithms that a token signed with the key may have as `alg`; never empty.
    pub(super) algorithms: Vec<Algorithm>,
    /// The key itself: the secret, an RSAPublicKey (RFC 8017 §A.1.1), an uncompressed point
    /// (SEC 1 §2.3.3), or 32 bytes (RFC 8032 §5.1.2). Whoever verifies takes it as it is.
    pub(super) key: Rc<DecodingKey>,
    /// The numbers of an RSA key.
    rsa: Option<Rc<RsaNumbers>>,
}

/// The algorithms that a key may verify, and the key.
type Material = (Vec<Algorithm>, DecodingKey, Option<RsaNumbers>);

/// The reason why a key cannot be used, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    pub(super) what: String,
    pub(super) remedy: String,
}

impl Unusable {
    pub(super) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl VerificationKey {
    /// Creates a key of a shared secret, which has no name.
    pub(super) fn from_secret(secret: &[u8], algorithms: Vec<Algorithm>) -> Self {
        Self { kid: None, algorithms, key: Rc::new(DecodingKey::from_secret(secret)), rsa: None }
    }

    /// Reads a key of a set.
    pub(super) fn from_jwk(jwk: &Value) -> Result<Self, Unusable> {
        let Some(members) = jwk.as_object() else {
            return Err(Unusable::new("the key is not an object", "write a JSON Web Key (RFC 7517)"));
        };
        check_use(members)?;
        let (mut algorithms, key, rsa) = match text(members, "kty")? {
            "RSA" => rsa(members)?,
            "EC" => elliptic(members)?,
            "OKP" => edwards(members)?,
            // "oct" is among them: a shared secret would let whoever can read it sign.
            _ => return Err(Unusable::new("kty is not that of a public key", "use RSA, EC or OKP")),
        };
        if members.contains_key("alg") {
            let bound = text(members, "alg")?;
            algorithms.retain(|algorithm| bound.parse() == Ok(*algorithm));
            if algorithms.is_empty() {
                return Err(Unusable::new(
                    "alg does not name a signature algorithm that fits this key",
                    "correct alg, or leave it out",
                ));
            }
        }
        let kid = if members.contains_key("kid") { Some(text(members, "kid")?.to_owned()) } else { None };
        Ok(Self { kid, algorithms, key: Rc::new(key), rsa: rsa.map(Rc::new) })
    }

    /// Says whether `signature` (base64url) is this key's over `message`.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        use Algorithm::{PS256, PS384, PS512};
        self.algorithms.contains(&algorithm)
            && match (algorithm, &self.rsa) {
                (PS256 | PS384 | PS512, Some(numbers)) => URL_SAFE_NO_PAD
                    .decode(signature)
                    .is_ok_and(|signature| numbers.verifies(algorithm, message, &signature)),
                _ => jsonwebtoken::crypto::verify(signature, message, &self.key, algorithm).unwrap_or(false),
            }
    }
}

/// Checks that `use` and `key_ops` (RFC 7517 §4.2, §4.3) allow verifying, if they are present.
fn check_use(members: &Map<String, Value>) -> Result<(), Unusable> {
    if members.get("use").is_some_and(|usage| usage != "sig") {
        return Err(Unusable::new("use is not 'sig'", "leave out keys for encryption"));
    }
    let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
    if members.get("key_ops").is_some_and(|ops| !verifies(ops)) {
        return Err(Unusable::new("key_ops does not include 'verify'", "leave out keys for other uses"));
    }
    Ok(())
}

/// Reads an RSA key (RFC 7518 §6.3.1). The library looks at the numbers only when it verifies, so they are
/// judged here.
fn rsa(members: &Map<String, Value>) -> Result<Material, Unusable> {
    let (n, e) = (bytes(members, "n")?, bytes(members, "e")?);
    let bits = bit_length(&n);
    if !RSA_BITS.contains(&bits) {
        return Err(Unusable::new(
            format!("an RSA modulus of {bits} bits"),
            format!("use one of {} to {} bits", RSA_BITS.start(), RSA_BITS.end()),
        ));
    }
    let exponent = if bit_length(&e) <= 64 { e.iter().fold(0, |sum, &b| sum << 8 | u64::from(b)) } else { 0 };
    let odd = n.last().is_some_and(|b| b & 1 == 1) && exponent & 1 == 1;
    let key = if odd && (3..=MAX_RSA_EXPONENT).contains(&exponent) { rsa_der(&n, &e) } else { None };
    let key = key.ok_or_else(|| {
        Unusable::new("n and e are not those of an RSA key", "copy the key again from its issuer")
    })?;
    use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    Ok((vec![RS256, RS384, RS512, PS256, PS384, PS512], key, Some(RsaNumbers::new(&n, exponent))))
}

/// Returns the key in DER, in which any verifier takes it without more ado.
fn rsa_der(n: &[u8], e: &[u8]) -> Option<DecodingKey> {
    let (modulus, public_exponent) = (UintRef::new(n).ok()?, UintRef::new(e).ok()?);
    let der = RsaPublicKey { modulus, public_exponent }.to_der().ok()?;
    Some(DecodingKey::from_rsa_der(&der))
}

/// Reads a key of an elliptic curve (RFC 7518 §6.2.1): each coordinate has the full size of the field.
fn elliptic(members: &Map<String, Value>) -> Result<Material, Unusable> {
    let (algorithm, size) = match text(members, "crv")? {
        "P-256" => (Algorithm::ES256, 32),
        "P-384" => (Algorithm::ES384, 48),
        _ => return Err(Unusable::new("unknown curve", "use P-256 or P-384")),
    };
    let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
    let sizes = x.len() == size && y.len() == size;
    // SEC 1 §2.3.3: 4 marks a point with both coordinates.
    let key = DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat());
    if sizes && is_accepted(&key, algorithm) { Ok((vec![algorithm], key, None)) } else { Err(not_on_curve()) }
}

/// Reads an Edwards key (RFC 8037 §2). The size is judged before the library slices the key.
fn edwards(members: &Map<String, Value>) -> Result<Material, Unusable> {
    if text(members, "crv")? != "Ed25519" {
        return Err(Unusable::new("unknown curve", "use Ed25519"));
    }
    let x = bytes(members, "x")?;
    let key = DecodingKey::from_ed_der(&x);
    if x.len() == 32 && is_accepted(&key, Algorithm::EdDSA) {
        Ok((vec![Algorithm::EdDSA], key, None))
    } else {
        Err(not_on_curve())
    }
}

fn not_on_curve() -> Unusable {
    Unusable::new("the coordinates are not a point of the curve", "copy the key again from its issuer")
}

/// Says whether the library itself can build a verifier of the key, whoever verifies with it later.
fn is_accepted(key: &DecodingKey, algorithm: Algorithm) -> bool {
    (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&algorithm, key).is_ok()
}

fn text<'j>(members: &'j Map<String, Value>, name: &str) -> Result<&'j str, Unusable> {
    members.get(name).and_then(Value::as_str).ok_or_else(|| {
        Unusable::new(format!("{name} is missing or not a string"), "copy the key again from its issuer")
    })
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Unusable> {
    URL_SAFE_NO_PAD.decode(text(members, name)?).map_err(|_| {
        Unusable::new(
            format!("{name} is not base64url without padding"),
            "copy the key again from its issuer",
        )
    })
}

/// Returns the number of bits of a big-endian number, leading zeros left out.
fn bit_length(number: &[u8]) -> usize {
    let significant = number.iter().skip_while(|&&b| b == 0);
    match significant.clone().next() {
        Some(first) => significant.count() * 8 - first.leading_zeros() as usize,
        None => 0,
    }
}

#[cfg(test)]
mod tests;
