//! `postern mint` as people run it: the engine takes what it makes, and it says what it cannot make.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use postern_config::Config;
use postern_engine::auth::claims::Claims;
use postern_engine::auth::keys::Keyring;
use postern_engine::auth::verifier;
use postern_engine::csrf::CsrfKey;
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "a secret of the tests, thirty-two bytes or more";

/// The output of the command.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn mint(folder: &TempDir, arguments: &str) -> Told {
    let output = Command::new(env!("CARGO_BIN_EXE_postern"))
        .arg("mint")
        .args(arguments.split(' '))
        .current_dir(folder.path())
        .env("POSTERN_TEST_SECRET", SECRET)
        .env_remove("POSTERN_TEST_ABSENT")
        .env("POSTERN_TEST_SHORT", "hunter2")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Told {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn key_file(name: &str) -> PathBuf {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filter/engine/src/auth/testdata");
    keys.join(format!("{name}.pem"))
}

fn jwk(name: &str, algorithm: Algorithm) -> Value {
    let pem = std::fs::read(key_file(name)).unwrap();
    let key = match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_pem(&pem),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(&pem),
        _ => EncodingKey::from_rsa_pem(&pem),
    };
    let mut jwk = Jwk::from_encoding_key(&key.unwrap(), algorithm).unwrap();
    jwk.common.key_id = Some(name.to_owned());
    serde_json::to_value(jwk).unwrap()
}

fn document() -> Value {
    let shared = |env: &str| json!({"issuer": env, "audiences": ["chat", "other"], "algorithms": ["HS256", "HS512"], "secret": {"env": env}});
    let keys =
        [jwk("rsa", Algorithm::RS256), jwk("p256", Algorithm::ES256), jwk("ed25519", Algorithm::EdDSA)];
    let mut issuerless = shared("POSTERN_TEST_SECRET");
    issuerless.as_object_mut().unwrap().remove("issuer");
    let csrf =
        |secret: Value| json!({"secret": secret, "session_cookie": "sid", "from": {"query": "csrf_token"}});
    let policy = |csrf: Value| json!({"origins": {"allow": ["*"]}, "auth": "none", "csrf": csrf});
    json!({
        "providers": {
            "edge": shared("POSTERN_TEST_SECRET"),
            "absent": shared("POSTERN_TEST_ABSENT"),
            "short": shared("POSTERN_TEST_SHORT"),
            "issuerless": issuerless,
            "odd": {
                "issuer": ["odd", "older"], "audiences": {"claim": "/client/id", "values": ["chat"]}, "subject": "/user/id",
                "algorithms": ["HS256"], "secret": {"env": "POSTERN_TEST_SECRET"},
            },
            "tenants": {
                "issuer": "https://login.example.com/{tenant}/v2.0", "issuer_allow": {"tenant": ["one", "two"]},
                "audiences": "none", "algorithms": ["HS256"], "secret": {"env": "POSTERN_TEST_SECRET"},
            },
            "login": {"issuer": "login", "audiences": ["chat"], "jwks": {"inline": {"keys": keys}}},
            "single": {"issuer": "s", "audiences": ["chat"], "algorithms": ["EdDSA"], "jwks": {"inline": {"keys": keys[2..]}}},
        },
        "policies": {
            "chat": policy(csrf(json!({"env": "POSTERN_TEST_SECRET"}))),
            "inline": policy(csrf(json!({"inline": SECRET}))),
            "absent": policy(csrf(json!({"env": "POSTERN_TEST_ABSENT"}))),
            "open": policy(json!("none")),
        },
    })
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.json"), document().to_string()).unwrap();
    std::fs::write(folder.path().join("wrong.yaml"), "policies: {}\n").unwrap();
    std::fs::write(folder.path().join("key.pem"), "no key").unwrap();
    folder
}

#[expect(clippy::disallowed_methods, reason = "the command reads the clock too")]
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

/// Returns the claims that the engine reads in a token of `provider`.
fn verified(provider: &str, token: &str) -> Claims {
    let mut document = document();
    document["providers"].as_object_mut().unwrap().retain(|name, _| name == provider);
    let config = Config::from_value(document).unwrap();
    let keyring = Keyring::compile(&config.providers, &|_| Some(SECRET.to_owned())).unwrap();
    let providers = keyring.providers(&[provider.to_owned()]);
    verifier::verify(token.trim_end().as_bytes(), &providers, now()).unwrap()
}

/// Returns the token that is made with these arguments and nothing said beside it.
fn token(folder: &TempDir, arguments: &str) -> String {
    let told = mint(folder, &format!("token --policy-file policy.json {arguments}"));
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{arguments}");
    told.stdout
}

#[test]
fn a_token_of_a_shared_secret_is_one_that_is_let_in() {
    let folder = folder();
    let claims = verified("edge", &token(&folder, "--provider edge --sub alice --ttl 90s --jti one"));
    assert_eq!((claims.issuer(), claims.subject()), (Some("POSTERN_TEST_SECRET"), Some("alice")));
    assert_eq!(claims.token_id(), Some("one"));
    let left = claims.expires_at().saturating_sub(now());
    assert!(left <= Duration::from_secs(90) && left > Duration::from_secs(30), "{left:?}");
    assert!(claims.issued_at().is_some_and(|issued| issued <= now()));

    let claims = verified("issuerless", &token(&folder, "--provider issuerless --sub bob"));
    assert_eq!((claims.issuer(), claims.token_id()), (None, None));
    let claims = verified("odd", &token(&folder, "--provider odd --sub carol"));
    assert_eq!((claims.issuer(), claims.subject()), (Some("odd"), Some("carol")));
    let claims = verified("tenants", &token(&folder, "--provider tenants --sub carol"));
    assert_eq!(claims.issuer(), Some("https://login.example.com/one/v2.0"));
    let hs512 = token(&folder, "--provider edge --sub alice --alg HS512");
    assert_eq!(verified("edge", &hs512).subject(), Some("alice"));
}

#[test]
fn claims_are_json_or_else_text_and_may_replace_those_that_are_there_anyway() {
    let arguments = "--provider edge --sub alice --claim scope=chat --claim n=5 --claim realm={\"tier\":\"gold\"} \
                     --claim aud=other --claim exp=4000000000 --claim empty=";
    let claims = verified("edge", &token(&folder(), arguments));
    let get = |name: &str| claims.get(&postern_config::ClaimPath::Name(name.to_owned())).cloned();
    assert_eq!(get("scope"), Some(json!("chat")));
    assert_eq!(get("n"), Some(json!(5)));
    assert_eq!(get("realm"), Some(json!({"tier": "gold"})));
    assert_eq!(get("aud"), Some(json!("other")));
    assert_eq!(get("empty"), Some(json!("")));
    assert_eq!(claims.expires_at(), Duration::from_secs(4_000_000_000));
}

#[test]
fn every_random_name_is_another() {
    let folder = folder();
    let names: Vec<_> = (0..2)
        .map(|_| {
            let token = token(&folder, "--provider edge --sub alice --jti random");
            verified("edge", &token).token_id().unwrap().to_owned()
        })
        .collect();
    assert_ne!(names[0], names[1]);
    assert!(names.iter().all(|name| name.len() == 32), "{names:?}");
}

#[test]
fn a_token_of_a_private_key_is_one_that_is_let_in() {
    let folder = folder();
    for (name, algorithm) in [("rsa", "RS256"), ("p256", "ES256"), ("ed25519", "EdDSA")] {
        let key = key_file(name).display().to_string();
        let arguments = format!("--provider login --sub alice --key {key} --alg {algorithm} --kid {name}");
        assert_eq!(verified("login", &token(&folder, &arguments)).subject(), Some("alice"), "{name}");
    }
    let key = key_file("ed25519").display().to_string();
    let only = token(&folder, &format!("--provider single --sub alice --key {key}"));
    assert_eq!(verified("single", &only).subject(), Some("alice"));
}

#[test]
fn a_csrf_token_is_that_of_its_session_and_secret() {
    let folder = folder();
    for policy in ["chat", "inline"] {
        let told =
            mint(&folder, &format!("csrf --policy-file policy.json --policy {policy} --session-id abc"));
        assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{policy}");
        let token = told.stdout.trim_end();
        let issued = Duration::from_secs(token.split_once('.').unwrap().0.parse().unwrap());
        assert!(now().saturating_sub(issued) < Duration::from_secs(60), "{issued:?}");
        assert_eq!(token, CsrfKey::new(SECRET.as_bytes()).unwrap().mint(b"abc", issued));
    }
}

#[test]
fn what_cannot_be_made_is_said_with_what_to_do_and_without_a_secret() {
    let folder = folder();
    let rsa = key_file("rsa").display().to_string();
    let token = |arguments: &str| format!("token --policy-file policy.json {arguments}");
    let csrf = |arguments: &str| format!("csrf --policy-file policy.json {arguments}");
    let cases = [
        (
            1,
            "token --policy-file wrong.yaml --provider edge --sub a".to_owned(),
            "wrong.yaml:1:1: policies: is empty",
        ),
        (
            1,
            token("--provider absent --sub a"),
            "providers.absent.secret: the environment variable POSTERN_TEST_ABSENT",
        ),
        (1, token("--provider short --sub a"), "providers.short.secret.env: the secret has 7 bytes"),
        (1, csrf("--policy absent --session-id a"), "policies.absent.csrf.secret: the environment variable"),
        (
            2,
            "token --policy-file nowhere.yaml --provider edge --sub a".to_owned(),
            "nowhere.yaml: cannot be read",
        ),
        (2, token("--provider egde --sub a"), "policy.json: has no provider `egde`, but `absent`, `edge`"),
        (2, token("--provider edge"), "--sub"),
        (2, token("--provider edge --sub a --ttl 300"), "write a number and a unit"),
        (2, token("--provider edge --sub a --claim scope"), "write `name=value`"),
        (2, token("--provider edge --sub a --alg none"), "is no algorithm"),
        (
            2,
            token("--provider edge --sub a --alg RS256"),
            "providers.edge: write one of its algorithms by --alg: HS256, HS512",
        ),
        (2, token(&format!("--provider edge --sub a --key {rsa}")), "providers.edge: has a shared secret"),
        (
            2,
            token("--provider single --sub a"),
            "providers.single: has public keys; give the private one by --key",
        ),
        (2, token(&format!("--provider login --sub a --key {rsa}")), "by --alg: RS256, ES256, EdDSA"),
        (
            2,
            token(&format!("--provider login --sub a --alg ES256 --key {rsa}")),
            "is no private key for ES256",
        ),
        (2, token("--provider single --sub a --key key.pem"), "key.pem: is no private key for EdDSA in PEM"),
        (2, token("--provider single --sub a --key nowhere.pem"), "nowhere.pem: cannot be read"),
        (2, csrf("--policy caht --session-id a"), "policy.json: has no policy `caht`, but `absent`, `chat`"),
        (2, csrf("--policy open --session-id a"), "policies.open.csrf: the policy asks for no CSRF token"),
        (2, csrf("--policy chat --session-id="), "--session-id is empty"),
        (2, "nothing".to_owned(), "nothing"),
    ];
    for (code, arguments, message) in cases {
        let told = mint(&folder, &arguments);
        assert_eq!((told.code, told.stdout.as_str()), (Some(code), ""), "{arguments}: {told:?}");
        assert!(told.stderr.contains(message), "{arguments}: {}", told.stderr);
        for secret in [SECRET, "hunter2", "PRIVATE KEY"] {
            assert!(!told.stderr.contains(secret), "{arguments}: {}", told.stderr);
        }
    }
}
