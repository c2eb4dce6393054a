//! Envoy's own function `verify_signature`, and hosts that have another one or none.

use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::DecodePublicKey as _;
use prost::Message;
use proxy_wasm::types::Status;
use rsa::pkcs1v15;
use rsa::sha2::{Sha256, Sha384, Sha512};

/// What a host does when it is to verify a signature.
#[derive(Clone, Debug, Default)]
pub(crate) enum Verification {
    /// It verifies it, as Envoy does.
    #[default]
    Honest,
    /// It says this, whatever it is asked.
    Says(Vec<u8>),
    /// It fails, or has no such function: [`Status::NotFound`].
    Fails(Status),
}

#[derive(Clone, PartialEq, Message)]
struct Arguments {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
}

impl Verification {
    /// What the function returns for `arguments`.
    pub(super) fn answer(&self, arguments: &[u8]) -> Result<Vec<u8>, Status> {
        match self {
            Self::Fails(status) => Err(*status),
            Self::Says(bytes) => Ok(bytes.clone()),
            Self::Honest => {
                let arguments = Arguments::decode(arguments).map_err(|_| Status::BadArgument)?;
                Ok(if verifies(&arguments)? { b"\x08\x01".to_vec() } else { b"\x12\x05wrong".to_vec() })
            }
        }
    }
}

/// As Envoy's does it, with an error for a key that cannot be read. The signature of an elliptic
/// curve is in DER, and what is in no such form verifies nothing.
fn verifies(arguments: &Arguments) -> Result<bool, Status> {
    let Arguments { hash_function, public_key, signature, text } = arguments;
    if let Ok(key) = rsa::RsaPublicKey::from_public_key_der(public_key) {
        let Ok(signature) = pkcs1v15::Signature::try_from(signature.as_slice()) else { return Ok(false) };
        return Ok(match hash_function.as_str() {
            "sha256" => pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(text, &signature).is_ok(),
            "sha384" => pkcs1v15::VerifyingKey::<Sha384>::new(key).verify(text, &signature).is_ok(),
            "sha512" => pkcs1v15::VerifyingKey::<Sha512>::new(key).verify(text, &signature).is_ok(),
            _ => false,
        });
    }
    if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(public_key) {
        let signature = p256::ecdsa::Signature::from_der(signature);
        return Ok(hash_function == "sha256" && signature.is_ok_and(|s| key.verify(text, &s).is_ok()));
    }
    let key = p384::ecdsa::VerifyingKey::from_public_key_der(public_key).map_err(|_| Status::BadArgument)?;
    let signature = p384::ecdsa::Signature::from_der(signature);
    Ok(hash_function == "sha384" && signature.is_ok_and(|s| key.verify(text, &s).is_ok()))
}
