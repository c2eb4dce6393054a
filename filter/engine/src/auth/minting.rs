//! Tokens, keys and providers for tests; the keys are those of `testdata`.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use postern_config::{
    Algorithm as Allowed, Audiences, ClaimPath, Issuer, JsonPointer, KeySource, Provider, Secret,
};
use serde_json::{Value, json};

use super::keys::Keyring;

/// The time that the tests take for now: a while after 2033, in seconds since the Unix epoch.
pub(crate) const NOW: u64 = 2_000_000_000;
pub(crate) const SECRET: &[u8] = b"a secret for tests, 32 bytes or more";
pub(crate) const ISSUER: &str = "https://auth.example.com/";

pub(crate) const PUBLIC: [Allowed; 9] = {
    use Allowed::*;
    [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA]
};

pub(crate) fn now() -> Duration {
    Duration::from_secs(NOW)
}

/// Returns the issuer's private key for `algorithm`.
pub(crate) fn key(algorithm: Algorithm) -> EncodingKey {
    use Algorithm::*;
    match algorithm {
        HS256 | HS384 | HS512 => EncodingKey::from_secret(SECRET),
        RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => {
            EncodingKey::from_rsa_pem(include_bytes!("testdata/rsa.pem")).unwrap()
        }
        ES256 => EncodingKey::from_ec_pem(include_bytes!("testdata/p256.pem")).unwrap(),
        ES384 => EncodingKey::from_ec_pem(include_bytes!("testdata/p384.pem")).unwrap(),
        EdDSA => EncodingKey::from_ed_pem(include_bytes!("testdata/ed25519.pem")).unwrap(),
        other => panic!("no test key for {other:?}"),
    }
}

/// Returns a private key that no issuer has.
pub(crate) fn other_rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(include_bytes!("testdata/other_rsa.pem")).unwrap()
}

/// Returns the public half of a private key.
pub(crate) fn jwk(key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
    let members = jwk.as_object_mut().unwrap();
    members.remove("alg");
    if let Some(kid) = kid {
        members.insert("kid".into(), kid.into());
    }
    jwk
}

/// Returns the issuer's keys: `rsa`, `p256`, `p384` and `ed`.
pub(crate) fn issuer_keys() -> Value {
    // Reading a private RSA key checks its primes, which takes long without optimisation.
    static KEYS: LazyLock<Value> = LazyLock::new(|| {
        let kids = [
            (Algorithm::RS256, "rsa"),
            (Algorithm::ES256, "p256"),
            (Algorithm::ES384, "p384"),
            (Algorithm::EdDSA, "ed"),
        ];
        let keys: Vec<Value> = kids.iter().map(|&(alg, kid)| jwk(&key(alg), alg, Some(kid))).collect();
        json!({ "keys": keys })
    });
    KEYS.clone()
}

pub(crate) fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

pub(crate) fn decoded(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

/// Signs a header and a payload as they are, whatever they say.
pub(crate) fn sign(header: &str, payload: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key, algorithm).unwrap();
    format!("{signed}.{signature}")
}

/// Returns a token with `claims`, signed with the issuer's key for `algorithm`.
pub(crate) fn mint(algorithm: Algorithm, claims: &Value) -> String {
    sign(&json!({"alg": algorithm}).to_string(), &claims.to_string(), &key(algorithm), algorithm)
}

/// Returns claims that are accepted, for five minutes.
pub(crate) fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "chat", "sub": "alice", "exp": NOW + 300})
}

/// Returns the claims of [`claims`], one of them replaced.
pub(crate) fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().insert(name.into(), value);
    claims
}

/// Returns the claims of [`claims`] without one of them.
pub(crate) fn claims_without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// Returns audiences that bind tokens by `claim`, a name or a JSON pointer, to one of `values`.
pub(crate) fn bound<const N: usize>(claim: &str, values: [&str; N]) -> Audiences {
    Audiences::Bound { claim: claim_path(claim), values: values.map(str::to_owned).to_vec() }
}

/// Returns a pointer if `text` is one, else a name.
pub(crate) fn claim_path(text: &str) -> ClaimPath {
    JsonPointer::new(text).map_or_else(|_| ClaimPath::Name(text.into()), ClaimPath::Pointer)
}

/// Returns a provider called `main` with the issuer's public keys.
pub(crate) fn public_provider() -> Provider {
    Provider {
        name: "main".into(),
        issuers: vec![Issuer::exactly(ISSUER)],
        audiences: bound("aud", ["chat", "video"]),
        subject: claim_path("sub"),
        algorithms: PUBLIC.to_vec(),
        keys: KeySource::Inline(issuer_keys()),
        clock_skew: Duration::from_secs(30),
        max_token_bytes: 8192,
    }
}

/// Returns a provider called `edge` with the shared secret.
pub(crate) fn secret_provider() -> Provider {
    Provider {
        name: "edge".into(),
        issuers: vec![Issuer::exactly("edge")],
        algorithms: vec![Allowed::HS256, Allowed::HS384, Allowed::HS512],
        keys: KeySource::Secret(Secret::Inline(SECRET.to_vec())),
        ..public_provider()
    }
}

/// Returns the keys of these providers, none of which is in the environment.
pub(crate) fn keyring(providers: impl IntoIterator<Item = Provider>) -> Keyring {
    let providers: BTreeMap<_, _> = providers.into_iter().map(|p| (p.name.clone(), p)).collect();
    Keyring::compile(&providers, &|_| None).unwrap()
}
