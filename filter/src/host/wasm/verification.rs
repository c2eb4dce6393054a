//! The signatures that the host verifies: natively, where this module would take fifty times as long.
//!
//! Owns which algorithms the host is asked about, and the form of the question. The library verifies all
//! others in the module, and these too if the host has no such function or gives no answer; an answer of no
//! is an answer. Envoy's function is BoringSSL's `EVP_DigestVerify` with its defaults: RSA by PKCS #1 v1.5
//! and ECDSA, neither RSA-PSS nor EdDSA.

use std::cell::Cell;
use std::sync::LazyLock;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, rust_crypto};
use jsonwebtoken::errors::Result;
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey};
use log::Level;
use postern_engine::Detail;
use prost::Message;
use spki::der::asn1::{AnyRef, BitStringRef};
use spki::der::{self, Encode as _};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::call;
use crate::{log_lines, metrics};

/// The name of Envoy's function.
const FUNCTION: &str = "verify_signature";

/// The object identifiers of RFC 5480 §2.1.1.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

thread_local! {
    /// Says whether this VM has said that its host does not verify.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// The message `envoy.source.extensions.common.wasm.VerifySignatureArguments`.
#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, tag = "1")]
    hash_function: String,
    /// The key as a SubjectPublicKeyInfo (RFC 5280 §4.1) in DER.
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    /// The signature; in DER (RFC 3279 §2.2.3) if it is an ECDSA one.
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
}

/// The message `envoy.source.extensions.common.wasm.VerifySignatureResult`.
#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(string, tag = "2")]
    error: String,
}

/// Has the library ask the host from now on.
pub(crate) fn install() {
    static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(|| CryptoProvider {
        verifier_factory: verifier,
        ..rust_crypto::DEFAULT_PROVIDER.clone()
    });
    // The provider stays installed, so another call changes nothing.
    let _ = LazyLock::force(&PROVIDER).install_default();
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let in_module = || (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(algorithm, key);
    match Scheme::of(*algorithm) {
        Some(scheme) => Ok(Box::new(ByHost { algorithm: *algorithm, scheme, key: key.clone() })),
        None => in_module(),
    }
}

/// The scheme of a signature: what the host needs to know beside key, signature and text.
#[derive(Clone, Copy)]
enum Scheme {
    /// RSASSA-PKCS1-v1_5 with this hash function.
    Rsa(&'static str),
    /// ECDSA on P-256 with SHA-256.
    P256,
    /// ECDSA on P-384 with SHA-384.
    P384,
}

impl Scheme {
    fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::RS256 => Some(Self::Rsa("sha256")),
            Algorithm::RS384 => Some(Self::Rsa("sha384")),
            Algorithm::RS512 => Some(Self::Rsa("sha512")),
            Algorithm::ES256 => Some(Self::P256),
            Algorithm::ES384 => Some(Self::P384),
            _ => None,
        }
    }

    fn hash_function(self) -> &'static str {
        match self {
            Self::Rsa(hash) => hash,
            Self::P256 => "sha256",
            Self::P384 => "sha384",
        }
    }

    /// Returns the SubjectPublicKeyInfo around a key as the engine keeps it.
    fn public_key(self, key: &[u8]) -> der::Result<Vec<u8>> {
        let elliptic =
            |curve| AlgorithmIdentifierRef { oid: EC_PUBLIC_KEY, parameters: Some(AnyRef::from(curve)) };
        let algorithm = match &self {
            Self::Rsa(_) => pkcs1::ALGORITHM_ID,
            Self::P256 => elliptic(&P256),
            Self::P384 => elliptic(&P384),
        };
        SubjectPublicKeyInfoRef { algorithm, subject_public_key: BitStringRef::from_bytes(key)? }.to_der()
    }

    /// Returns the signature in the host's form. A signature of a JWS is r and s, each as long as the order
    /// of the curve (RFC 7518 §3.4), both from 1 to below that order.
    fn signature(self, raw: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(match self {
            Self::Rsa(_) => raw.to_vec(),
            Self::P256 => p256::ecdsa::Signature::from_slice(raw)?.to_der().as_bytes().to_vec(),
            Self::P384 => p384::ecdsa::Signature::from_slice(raw)?.to_der().as_bytes().to_vec(),
        })
    }
}

/// A verifier that asks the host.
struct ByHost {
    algorithm: Algorithm,
    scheme: Scheme,
    key: DecodingKey,
}

impl ByHost {
    /// Returns the host's answer; `None` when it says nothing that can be understood.
    fn ask(&self, message: &[u8], signature: Vec<u8>) -> Option<bool> {
        let question = Question {
            hash_function: self.scheme.hash_function().to_owned(),
            public_key: self.scheme.public_key(self.key.try_get_as_bytes().ok()?).ok()?,
            signature,
            text: message.to_vec(),
        };
        let answer = call(FUNCTION, &question.encode_to_vec())?;
        Answer::decode(answer.as_slice()).ok().map(|answer| answer.result)
    }
}

impl Verifier<Vec<u8>> for ByHost {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        match self.ask(message, self.scheme.signature(signature)?) {
            Some(true) => Ok(()),
            Some(false) => Err(Error::new()),
            None => {
                tell();
                let verifier = (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&self.algorithm, &self.key);
                verifier.map_err(Error::from_source)?.verify(message, signature)
            }
        }
    }
}

impl JwtVerifier for ByHost {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Counts that the host does not verify, and says so once.
fn tell() {
    metrics::verification_fallback();
    if !TOLD.replace(true) {
        let what = "the host verifies no signatures, so the module does, which takes much longer";
        let details = [("message", Detail::Text(what))];
        log_lines::write(Level::Warn, "verification_fallback", &format!("postern: {what}"), &details);
    }
}
