//! Tokens of libraries that nobody wrote with Postern in mind, in every algorithm, verified by the host and
//! without it.

use std::collections::BTreeMap;

use postern_e2e::client::python;
use postern_e2e::client::token::{edge_claims, jwks, tampered};
use postern_e2e::scene::{document, module};
use postern_e2e::{Request, RunningScene, Scene, Signer, Value, json};

use jsonwebtoken::Algorithm::{self, *};

const ALL: [Algorithm; 12] =
    [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256, HS384, HS512];
/// The algorithms that Envoy verifies for the module.
const BY_HOST: [Algorithm; 5] = [RS256, RS384, RS512, ES256, ES384];
const FALLBACKS: &str = "postern_verification_fallbacks";
const COMPLAINT: &str = "the host verifies no signatures";
const SECRET: &str = "a secret of an issuer in Rust, 64 bytes or more, as HS512 asks for";

/// An issuer: its keys, its secret, and a token of each algorithm. The tokens under HS* belong to the
/// provider `secret`.
struct Issuer {
    jwks: Value,
    secret: String,
    tokens: BTreeMap<String, String>,
}

/// Returns an issuer by the library `jsonwebtoken`, which computes with RustCrypto.
fn rust() -> Issuer {
    let (rsa, p256, p384, ed) =
        (Signer::rs256("rsa"), Signer::es256("p256"), Signer::es384("p384"), Signer::eddsa("ed"));
    let mut jwks = jwks(&[&rsa, &p256, &p384, &ed]);
    // The RSA key serves several algorithms, so it names none.
    jwks["keys"][0].as_object_mut().expect("a key").remove("alg");
    let secret = Signer::hs256(SECRET);
    let mint = |algorithm: Algorithm| {
        let (signer, issuer) = match algorithm {
            ES256 => (&p256, "public"),
            ES384 => (&p384, "public"),
            EdDSA => (&ed, "public"),
            HS256 | HS384 | HS512 => (&secret, "secret"),
            _ => (&rsa, "public"),
        };
        (format!("{algorithm:?}"), signer.clone().with_algorithm(algorithm).mint(&claims(issuer)))
    };
    Issuer { jwks, secret: SECRET.to_owned(), tokens: ALL.map(mint).into_iter().collect() }
}

/// Returns an issuer by PyJWT, which computes with OpenSSL.
async fn python() -> Option<Issuer> {
    let outcome = python::run(include_str!("python/mint.py"), &[&claims("").to_string()]).await?;
    assert!(outcome.success, "{}", outcome.stderr);
    let mut said: Value = serde_json::from_str(&outcome.stdout).expect("tokens in JSON");
    let tokens = serde_json::from_value(said["tokens"].take()).expect("a token for each algorithm");
    Some(Issuer { jwks: said["jwks"].take(), secret: said["secret"].as_str()?.to_owned(), tokens })
}

fn claims(issuer: &str) -> Value {
    let mut claims = edge_claims("alice");
    claims["iss"] = json!(issuer);
    claims
}

fn scene(issuer: &Issuer) -> Scene {
    let of = |prefix: &[&str]| -> Vec<String> {
        let names = ALL.iter().map(|algorithm| format!("{algorithm:?}"));
        names.filter(|name| prefix.iter().any(|prefix| name.starts_with(prefix))).collect()
    };
    let providers = json!({
        "public": {
            "issuer": "public", "audiences": ["chat"], "algorithms": of(&["RS", "PS", "ES", "Ed"]),
            "jwks": {"inline": issuer.jwks},
        },
        "secret": {
            "issuer": "secret", "audiences": ["chat"], "algorithms": of(&["HS"]),
            "secret": {"env": "POSTERN_ISSUER_SECRET"},
        },
    });
    let auth = json!({"auth": {"providers": ["public", "secret"], "from": [{"header": "authorization"}]}});
    Scene::new()
        .document(document(providers, json!({ "chat": auth })))
        .env("POSTERN_ISSUER_SECRET", &issuer.secret)
        .workers(2)
}

async fn status(scene: &RunningScene, token: &str) -> u16 {
    let request = Request::upgrade("/ws/chat").header("Authorization", format!("Bearer {token}"));
    scene.ask(&request).await.status
}

/// Asserts that every token is accepted, and none with another signature.
async fn assert_judged_right(scene: &RunningScene, issuer: &Issuer) {
    assert_eq!(issuer.tokens.len(), ALL.len());
    for (name, token) in &issuer.tokens {
        assert_eq!(status(scene, token).await, 101, "{name}");
        assert_eq!(status(scene, &tampered::signature(token)).await, 401, "{name}, tampered with");
    }
}

#[tokio::test]
async fn tokens_of_every_algorithm_by_two_libraries_are_accepted_and_the_host_verifies_what_it_can() {
    for issuer in [Some(rust()), python().await].into_iter().flatten() {
        let scene = scene(&issuer).start().await;
        assert_judged_right(&scene, &issuer).await;
        assert_eq!(scene.envoy().stats().await.sum(FALLBACKS, &[]), 0.0);
        assert_eq!(scene.envoy().log_lines_with(COMPLAINT), Vec::<String>::new());
    }
}

#[tokio::test]
async fn where_envoy_forbids_the_call_the_module_verifies_and_says_so_once_a_worker() {
    if module::lacks("calls that Envoy can forbid") {
        return;
    }
    let issuer = rust();
    let scene = scene(&issuer).forbid("proxy_call_foreign_function").start().await;
    assert_judged_right(&scene, &issuer).await;
    // Each token is sent genuine and tampered with.
    let asked = 2 * BY_HOST.len();
    assert_eq!(scene.envoy().stats().await.sum(FALLBACKS, &[]), asked as f64);
    let complaints = scene.envoy().logged(COMPLAINT).await.len();
    assert!((1..=2).contains(&complaints), "{complaints}");
}
