//! Signatures that the host verifies, or does not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use proxy_wasm::types::{LogLevel, Status};
use serde_json::{Value, json};

use crate::fixtures::{document, handshake, request, sign, with};
use crate::host::{Envoy, Verification, Worker};

/// What the host is asked about.
const BY_HOST: [Algorithm; 5] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256, Algorithm::ES384];
/// What it is not asked about.
const IN_MODULE: [Algorithm; 4] = [Algorithm::PS256, Algorithm::PS384, Algorithm::PS512, Algorithm::EdDSA];

const FALLBACKS: &str = "postern_verification_fallbacks";

fn key(algorithm: Algorithm) -> EncodingKey {
    use Algorithm::{ES256, ES384, EdDSA};
    match algorithm {
        ES256 => EncodingKey::from_ec_pem(include_bytes!("../../engine/src/auth/testdata/p256.pem")),
        ES384 => EncodingKey::from_ec_pem(include_bytes!("../../engine/src/auth/testdata/p384.pem")),
        EdDSA => EncodingKey::from_ed_pem(include_bytes!("../../engine/src/auth/testdata/ed25519.pem")),
        _ => EncodingKey::from_rsa_pem(include_bytes!("../../engine/src/auth/testdata/rsa.pem")),
    }
    .unwrap()
}

/// A policy that takes tokens of all algorithms with public keys.
fn configure(worker: &Worker) {
    let kinds = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];
    let keys = kinds.map(|algorithm| {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&key(algorithm), algorithm).unwrap()).unwrap();
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    });
    let algorithms = [BY_HOST.as_slice(), &IN_MODULE].concat();
    let auth = json!({"providers": ["main"], "from": [{"header": "authorization"}]});
    let mut document = document(json!({ "auth": auth }));
    document["providers"]["main"] = json!({
        "issuer": "main",
        "audiences": ["chat"],
        "algorithms": algorithms,
        "jwks": {"inline": {"keys": keys}},
    });
    assert!(worker.configure(document.to_string().as_bytes()), "{:?}", worker.log(LogLevel::Error));
}

fn token(algorithm: Algorithm) -> String {
    let claims = json!({"iss": "main", "aud": "chat", "sub": "alice", "exp": 2_000_000_300});
    sign(&json!({ "alg": algorithm }), &claims, &key(algorithm), algorithm)
}

/// The same but for one bit of the signature.
fn forged(algorithm: Algorithm) -> String {
    let token = token(algorithm);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    with_signature(signed, &{
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        signature[20] ^= 1;
        signature
    })
}

fn with_signature(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Whether the filter lets a handshake with this token up; otherwise it refuses the token.
fn admits(worker: &Worker, token: &str) -> bool {
    let stream = request(worker, &with(&handshake(), "authorization", format!("Bearer {token}")));
    let reply = stream.reply();
    let admitted = stream.request().is_some();
    assert!(admitted || reply.is_some_and(|reply| reply.status == 401), "neither let up nor refused");
    stream.end();
    admitted
}

fn fallbacks(worker: &Worker) -> i64 {
    worker.metrics().get(FALLBACKS).copied().unwrap_or(0)
}

#[test]
fn the_host_verifies_rsa_and_ecdsa_and_the_module_the_rest() {
    Envoy::default().worker(|worker| {
        configure(worker);
        let mut asked = 0;
        for (algorithm, by_host) in BY_HOST.map(|a| (a, 1)).into_iter().chain(IN_MODULE.map(|a| (a, 0))) {
            for (token, genuine) in [(token(algorithm), true), (forged(algorithm), false)] {
                assert_eq!(admits(worker, &token), genuine, "{algorithm:?}");
                asked += by_host;
                assert_eq!(worker.asked_to_verify(), asked, "{algorithm:?}, genuine: {genuine}");
            }
        }
        assert_eq!(fallbacks(worker), 0);
        assert!(worker.log(LogLevel::Warn).is_empty());
    });
}

#[test]
fn a_host_that_says_no_is_believed() {
    let error = b"\x12\x1csha384 is not supported here".to_vec();
    for answer in [b"\x08\x00".to_vec(), error, Vec::new()] {
        Envoy::verifying(Verification::Says(answer.clone())).worker(|worker| {
            configure(worker);
            for algorithm in BY_HOST {
                assert!(!admits(worker, &token(algorithm)), "{algorithm:?}, {}", answer.escape_ascii());
            }
            assert_eq!((worker.asked_to_verify(), fallbacks(worker)), (5, 0));
        });
    }
}

#[test]
fn a_host_that_says_yes_is_believed_and_not_asked_about_what_is_no_signature() {
    Envoy::verifying(Verification::Says(b"\x08\x01".to_vec())).worker(|worker| {
        configure(worker);
        assert!(admits(worker, &forged(Algorithm::RS256)), "the host is what says no, and it does not");
        let asked = worker.asked_to_verify();
        let [es256, es384] = [Algorithm::ES256, Algorithm::ES384].map(token);
        let (es256, es384) = (es256.rsplit_once('.').unwrap().0, es384.rsplit_once('.').unwrap().0);
        let number = |size: usize, byte| vec![byte; size];
        let cases = [
            ("nothing", with_signature(es256, b"\x01")),
            ("zeros", with_signature(es256, &[0; 64])),
            ("no r", with_signature(es256, &[number(32, 0), number(32, 1)].concat())),
            ("no s", with_signature(es256, &[number(32, 1), number(32, 0)].concat())),
            ("r beyond the order", with_signature(es256, &[number(32, 0xff), number(32, 1)].concat())),
            ("s beyond the order", with_signature(es256, &[number(32, 1), number(32, 0xff)].concat())),
            ("a byte less", with_signature(es256, &[1; 63])),
            ("a byte more", with_signature(es256, &[1; 65])),
            ("of the larger curve", with_signature(es256, &[1; 96])),
            ("of the smaller curve", with_signature(es384, &[1; 64])),
            ("zeros on P-384", with_signature(es384, &[0; 96])),
            ("beyond the order of P-384", with_signature(es384, &[number(48, 1), number(48, 0xff)].concat())),
            (
                "in DER",
                with_signature(es256, &[&b"\x30\x44\x02\x20"[..], &[1; 32], b"\x02\x20", &[1; 32]].concat()),
            ),
        ];
        for (name, token) in cases {
            assert!(!admits(worker, &token), "{name}");
        }
        assert_eq!(worker.asked_to_verify(), asked);
    });
}

#[test]
fn without_an_answer_the_module_verifies_which_is_counted_and_said_once() {
    let hosts = [
        ("no such function", Verification::Fails(Status::NotFound)),
        ("not allowed to call it", Verification::Fails(Status::InternalFailure)),
        ("a key that it cannot read", Verification::Fails(Status::BadArgument)),
        ("a status that the call does not have", Verification::Fails(Status::CasMismatch)),
        ("garbage", Verification::Says(b"\xff\xff\xff".to_vec())),
        ("a truncated answer", Verification::Says(b"\x08\x01\x12\x05".to_vec())),
        ("another type", Verification::Says(b"\x0a\x01\x01".to_vec())),
    ];
    for (name, verification) in hosts {
        Envoy::verifying(verification).worker(|worker| {
            configure(worker);
            for algorithm in BY_HOST {
                assert!(admits(worker, &token(algorithm)), "{name}: {algorithm:?}");
                assert!(!admits(worker, &forged(algorithm)), "{name}: {algorithm:?}, forged");
            }
            assert_eq!(fallbacks(worker), 10, "{name}");
            assert_eq!(worker.log(LogLevel::Warn).len(), 1, "{name}: {:?}", worker.log(LogLevel::Warn));
        });
    }
}

#[test]
fn every_worker_says_it_once_and_a_new_configuration_not_again() {
    let scene = |worker: &Worker| {
        for _ in 0..2 {
            configure(worker);
            assert!(admits(worker, &token(Algorithm::ES256)));
        }
        worker.log(LogLevel::Warn).len()
    };
    let said = Envoy::verifying(Verification::Fails(Status::NotFound)).workers([scene; 2]);
    assert_eq!(said, [1, 1]);
}

#[test]
fn a_token_presented_again_is_verified_once_while_it_lasts_and_a_forged_one_every_time() {
    Envoy::default().worker(|worker| {
        configure(worker);
        let asked = |token: &str, genuine| {
            let before = worker.asked_to_verify();
            assert_eq!(admits(worker, token), genuine);
            worker.asked_to_verify() - before
        };
        let (good, bad) = (token(Algorithm::RS256), forged(Algorithm::RS256));
        assert_eq!([asked(&good, true), asked(&good, true), asked(&good, true)], [1, 0, 0]);
        assert_eq!([asked(&bad, false), asked(&bad, false), asked(&good, true)], [1, 1, 0]);
        configure(worker);
        assert_eq!([asked(&good, true), asked(&good, true)], [1, 0], "keys that were read anew");
        worker.pass(std::time::Duration::from_secs(330));
        assert_eq!([asked(&good, false), asked(&good, false)], [1, 1], "expired");
    });
}

#[test]
fn a_key_in_any_form_that_is_accepted_is_one_that_the_host_can_read() {
    Envoy::default().worker(|worker| {
        let jwk = |algorithm| {
            serde_json::to_value(Jwk::from_encoding_key(&key(algorithm), algorithm).unwrap()).unwrap()
        };
        let mut padded = jwk(Algorithm::RS256);
        for part in ["n", "e"] {
            let number = URL_SAFE_NO_PAD.decode(padded[part].as_str().unwrap()).unwrap();
            padded[part] = Value::from(URL_SAFE_NO_PAD.encode([&[0, 0], number.as_slice()].concat()));
        }
        let auth = json!({"providers": ["main"], "from": [{"header": "authorization"}]});
        let mut document = document(json!({ "auth": auth }));
        document["providers"]["main"] = json!({
            "issuer": "main", "audiences": ["chat"], "jwks": {"inline": {"keys": [padded]}},
        });
        assert!(worker.configure(document.to_string().as_bytes()), "{:?}", worker.log(LogLevel::Error));
        assert!(admits(worker, &token(Algorithm::RS256)));
        assert_eq!((worker.asked_to_verify(), fallbacks(worker)), (1, 0));
    });
}
