//! RSASSA-PSS signatures (RFC 8017 §8.1.2) as JSON Web Signatures have them (RFC 7518 §3.5): MGF1 with
//! the hash function of the message, and a salt as long as its hash.
//!
//! No host verifies these signatures, and the library's own way takes seven times as long in a sandbox: it
//! prepares for private exponents, which are long and secret. Nothing here is secret.

use jsonwebtoken::Algorithm;
use num_bigint::BigUint;
use sha2::digest::Output;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The numbers of a public RSA key.
#[derive(Debug)]
pub(super) struct RsaNumbers {
    modulus: BigUint,
    exponent: u64,
}

/// The last octet of the encoded message (RFC 8017 §9.1.1).
const TRAILER: u8 = 0xbc;

/// The octets ahead of the hash and the salt when they are hashed (RFC 8017 §9.1.1).
const PADDING: [u8; 8] = [0; 8];

impl RsaNumbers {
    /// Creates a key of this modulus, which is not 0, and this exponent.
    pub(super) fn new(modulus: &[u8], exponent: u64) -> Self {
        Self { modulus: BigUint::from_bytes_be(modulus), exponent }
    }

    /// Says whether `signature` is this key's over `message` by `algorithm`. Never so unless the algorithm is
    /// PS256, PS384 or PS512.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match algorithm {
            Algorithm::PS256 => self.verifies_by::<Sha256>(message, signature),
            Algorithm::PS384 => self.verifies_by::<Sha384>(message, signature),
            Algorithm::PS512 => self.verifies_by::<Sha512>(message, signature),
            _ => false,
        }
    }

    fn verifies_by<H: Digest>(&self, message: &[u8], signature: &[u8]) -> bool {
        let bits = self.modulus.bits();
        if bits == 0 || signature.len() as u64 != bits.div_ceil(8) {
            return false;
        }
        let signature = BigUint::from_bytes_be(signature);
        if signature >= self.modulus {
            return false;
        }
        encodes::<H>(&self.raise(&signature), bits - 1, &H::digest(message))
    }

    /// Returns the number to the power of the exponent, by squares (RSAVP1, RFC 8017 §5.2.2).
    fn raise(&self, number: &BigUint) -> BigUint {
        let mut power = BigUint::from(1_u8);
        for bit in (0..u64::BITS - self.exponent.leading_zeros()).rev() {
            power = &power * &power % &self.modulus;
            if self.exponent >> bit & 1 == 1 {
                power = power * number % &self.modulus;
            }
        }
        power
    }
}

/// Says whether `number` encodes, in this number of bits, a message with this hash (EMSA-PSS-VERIFY, RFC 8017
/// §9.1.2).
fn encodes<H: Digest>(number: &BigUint, bits: u64, hash: &Output<H>) -> bool {
    let bytes = number.to_bytes_be();
    let Ok(len) = usize::try_from(bits.div_ceil(8)) else { return false };
    let Some(missing) = len.checked_sub(bytes.len()) else { return false };
    let mut encoded = vec![0; missing];
    encoded.extend(bytes);
    let hash_len = hash.len();
    let Some((encoded, masked_len)) = encoded.strip_suffix(&[TRAILER]).zip(len.checked_sub(hash_len + 1))
    else {
        return false;
    };
    let Some((masked, salted)) = encoded.split_at_checked(masked_len) else { return false };
    // The octets have these bits more than the encoding, seven at most.
    let unused = u32::try_from(8 * len as u64 - bits).unwrap_or(8);
    let used = 0xff_u8.checked_shr(unused).unwrap_or(0);
    if masked.first().is_none_or(|first| first & !used != 0) {
        return false;
    }
    let mut block: Vec<u8> = masked.iter().zip(mask::<H>(salted)).map(|(byte, mask)| byte ^ mask).collect();
    if let Some(first) = block.first_mut() {
        *first &= used;
    }
    let Some((padding, salt)) = block.len().checked_sub(hash_len).map(|at| block.split_at(at)) else {
        return false;
    };
    let is_padded =
        padding.split_last().is_some_and(|(last, zeros)| *last == 1 && zeros.iter().all(|b| *b == 0));
    let again = H::new().chain_update(PADDING).chain_update(hash).chain_update(salt).finalize();
    is_padded && again[..] == *salted
}

/// Returns as many octets as are asked for of the mask of this seed (MGF1, RFC 8017 §B.2.1).
fn mask<H: Digest>(seed: &[u8]) -> impl Iterator<Item = u8> {
    (0_u32..).flat_map(move |counter| {
        H::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize().to_vec()
    })
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::crypto::rust_crypto;
    use jsonwebtoken::{DecodingKey, EncodingKey};
    use serde_json::Value;

    use super::*;
    use crate::auth::minting::{jwk, key, other_rsa};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    const ALGORITHMS: [Algorithm; 3] = [Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
    const MESSAGE: &[u8] = b"header.payload";

    /// Returns the numbers of a key, and the key as the library has it.
    fn numbers(key: &EncodingKey) -> (RsaNumbers, DecodingKey) {
        let jwk = jwk(key, Algorithm::PS256, None);
        let text = |name: &str| jwk.get(name).and_then(Value::as_str).unwrap().to_owned();
        let [modulus, exponent] = ["n", "e"].map(|name| URL_SAFE_NO_PAD.decode(text(name)).unwrap());
        let exponent = exponent.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        (
            RsaNumbers::new(&modulus, exponent),
            DecodingKey::from_rsa_components(&text("n"), &text("e")).unwrap(),
        )
    }

    fn sign(key: &EncodingKey, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(jsonwebtoken::crypto::sign(message, key, algorithm).unwrap()).unwrap()
    }

    #[test]
    fn what_the_library_signs_verifies_by_its_key_its_algorithm_and_its_message_alone() {
        let key = key(Algorithm::PS256);
        let ((ours, _), (theirs, _)) = (numbers(&key), numbers(&other_rsa()));
        for algorithm in ALGORITHMS {
            let signature = sign(&key, algorithm, MESSAGE);
            for verified_by in ALGORITHMS {
                assert_eq!(ours.verifies(verified_by, MESSAGE, &signature), verified_by == algorithm);
            }
            assert!(!ours.verifies(Algorithm::RS256, MESSAGE, &signature));
            assert!(!ours.verifies(algorithm, b"header.payloae", &signature));
            assert!(!theirs.verifies(algorithm, MESSAGE, &signature));
        }
        let other_scheme = sign(&key, Algorithm::RS256, MESSAGE);
        assert!(!ours.verifies(Algorithm::PS256, MESSAGE, &other_scheme));
    }

    #[test]
    fn no_other_bytes_than_the_signature_verify() {
        let key = key(Algorithm::PS256);
        let (numbers, _) = numbers(&key);
        let signature = sign(&key, Algorithm::PS256, MESSAGE);
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(!numbers.verifies(Algorithm::PS256, MESSAGE, &changed), "{at}");
        }
        let one_more = BigUint::from_bytes_be(&signature) + &numbers.modulus;
        let odd: [&[u8]; 7] = [
            b"",
            &signature[1..],
            &[&[0], &signature[..]].concat(),
            &[&signature[..], &[0]].concat(),
            &[0; 256],
            &[0xff; 256],
            &one_more.to_bytes_be(),
        ];
        for signature in odd {
            assert!(!numbers.verifies(Algorithm::PS256, MESSAGE, signature), "{signature:02x?}");
        }
    }

    /// The encodings are made by the private key, so that every part of them can be wrong by itself.
    #[test]
    fn an_encoding_is_judged_as_the_library_judges_it() {
        use rsa::traits::{PrivateKeyParts, PublicKeyParts};
        let pem = include_str!("testdata/rsa.pem");
        let private = <rsa::RsaPrivateKey as rsa::pkcs8::DecodePrivateKey>::from_pkcs8_pem(pem)
            .or_else(|_| <rsa::RsaPrivateKey as pkcs1::DecodeRsaPrivateKey>::from_pkcs1_pem(pem))
            .unwrap();
        let (numbers, library) = numbers(&key(Algorithm::PS256));
        let big = |number: &rsa::BigUint| BigUint::from_bytes_be(&number.to_bytes_be());
        let (exponent, modulus) = (big(private.d()), big(private.n()));
        let sound = |salt_len: usize, padding_end: u8, trailer: u8, first: u8| {
            let salt = vec![7; salt_len];
            let hash = Sha256::digest(MESSAGE);
            let salted =
                Sha256::new().chain_update(PADDING).chain_update(hash).chain_update(&salt).finalize();
            let mut block = vec![0; 256 - 32 - 1 - salt_len - 1];
            block.push(padding_end);
            block.extend(&salt);
            block[0] ^= first;
            let mut encoded: Vec<u8> =
                block.iter().zip(mask::<Sha256>(&salted)).map(|(byte, mask)| byte ^ mask).collect();
            encoded[0] &= 0x7f;
            encoded.extend(salted);
            encoded.push(trailer);
            encoded
        };
        let mut accepted = 0;
        for (salt_len, padding_end, trailer, first) in [
            (32, 1, TRAILER, 0),
            (31, 1, TRAILER, 0),
            (33, 1, TRAILER, 0),
            (0, 1, TRAILER, 0),
            (32, 2, TRAILER, 0),
            (32, 0, TRAILER, 0),
            (32, 1, 0xcc, 0),
            (32, 1, TRAILER, 0x40),
            (32, 1, TRAILER, 0x80),
        ] {
            let encoded = BigUint::from_bytes_be(&sound(salt_len, padding_end, trailer, first));
            let mut signature = encoded.modpow(&exponent, &modulus).to_bytes_be();
            signature.splice(0..0, vec![0; 256 - signature.len()]);
            let verifier =
                (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&Algorithm::PS256, &library).unwrap();
            let expected = verifier.verify(MESSAGE, &signature).is_ok();
            let ours = numbers.verifies(Algorithm::PS256, MESSAGE, &signature);
            assert_eq!(ours, expected, "{salt_len} {padding_end} {trailer:x} {first:x}");
            accepted += usize::from(ours);
        }
        // The highest bit does not belong to the encoding, so its change does not count.
        assert_eq!(accepted, 2);
    }
}
