//! docs/identity-providers.md: the policy for each product lets its tokens in, as the product makes them, and
//! refuses those with one thing wrong, with that thing in the log.
//!
//! The claims of the tokens are in e2e/tests/identity_providers.json, by which another library and a real
//! Envoy are tried too.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail anywhere")]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use postern_config::{Config, KeySource};
use postern_engine::auth::keys::Keyring;
use postern_engine::auth::single_use::{Spent, Ticket};
use postern_engine::auth::verifier;
use postern_engine::rate::{BucketRequest, Charged, Outcome, Shared};
use postern_engine::{
    ConnectionFacts, Engine, Entropy, Event, Input, Output, Protocol, RequestHead, RouteFacts, Selection,
};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const NOW: Duration = Duration::from_secs(1_800_000_000);
const SECRET: &str = "a secret that issuer and Envoy share, of 32 bytes or more";

/// A token of a product, and the faults that one may have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// The heading that its policy is under.
    section: String,
    /// The name of the user.
    user: String,
    algorithm: Algorithm,
    header: Map<String, Value>,
    /// The lifetime, in seconds.
    lifetime: u64,
    claims: Map<String, Value>,
    wrong: Vec<Wrong>,
}

/// A fault of a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrong {
    name: String,
    /// The claims in the place of others; a claim that is null is left out.
    #[serde(default)]
    claims: Map<String, Value>,
    algorithm: Option<Algorithm>,
    key: Option<Key>,
    /// The time since it was issued, in seconds.
    #[serde(default)]
    age: u64,
    reason: String,
    detail: Option<String>,
}

/// The key that signs a token in the place of the issuer's key.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Key {
    /// The text of the public key, as a secret (RFC 8725 §2.1).
    Public,
    /// A key of somebody else's.
    Strange,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn cases() -> Vec<Case> {
    serde_json::from_str(&read("e2e/tests/identity_providers.json")).expect("cases")
}

/// Returns the policies by their headings.
fn policies() -> Vec<(String, String)> {
    let text = read("docs/identity-providers.md");
    let sections = text.split("\n## ").skip(1);
    let policy = |section: &str| {
        let (heading, rest) = section.split_once('\n').expect("a heading");
        let (_, block) = rest.split_once("\n```yaml policies\n").expect("a policy under every heading");
        let (block, rest) = block.split_once("\n```\n").expect("an end of the block");
        assert!(!rest.contains("```"), "{heading}: one block each");
        (heading.to_owned(), block.to_owned())
    };
    sections.map(policy).collect()
}

fn policy(section: &str) -> Value {
    let found = policies().into_iter().find(|(heading, _)| heading == section);
    let (_, text) = found.unwrap_or_else(|| panic!("no section {section}"));
    json_of(&Yaml::load_from_str(&text).expect("YAML")[0])
}

fn json_of(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Value(Scalar::Integer(number)) => json!(number),
        Yaml::Value(Scalar::Boolean(flag)) => json!(flag),
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(members) => {
            let member =
                |(key, value): (&Yaml<'_>, _)| (key.as_str().expect("text").to_owned(), json_of(value));
            Value::Object(members.iter().map(member).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn signing_key(algorithm: Algorithm, key: Option<Key>) -> EncodingKey {
    let pem = |name: &str| read(&format!("filter/engine/src/auth/testdata/{name}.pem")).into_bytes();
    match (algorithm, key) {
        (_, Some(Key::Public)) => {
            EncodingKey::from_secret(public_key(Algorithm::ES256, "").to_string().as_bytes())
        }
        (Algorithm::HS256 | Algorithm::HS512, _) => EncodingKey::from_secret(SECRET.as_bytes()),
        (Algorithm::RS256, _) => EncodingKey::from_rsa_pem(&pem("rsa")).expect("a key"),
        (Algorithm::ES256, None) => EncodingKey::from_ec_pem(&pem("p256")).expect("a key"),
        (Algorithm::ES256, Some(Key::Strange)) => EncodingKey::from_ec_der(&strange_p256()),
        other => panic!("no key for {:?}", other.0),
    }
}

/// Returns the PKCS #8 form of the key on P-256 whose number is all sevens, without the public half.
fn strange_p256() -> Vec<u8> {
    let prefix = [
        0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20,
    ];
    [&prefix[..], &[7; 32]].concat()
}

fn public_key(algorithm: Algorithm, kid: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(&signing_key(algorithm, None), algorithm).expect("a public key");
    jwk.common.key_id = Some(kid.to_owned());
    serde_json::to_value(jwk).expect("JSON")
}

/// Returns the document under a section, with keys of ours in the place of those that would be fetched.
fn config(case: &Case) -> Config {
    let mut document = policy(&case.section);
    let kid = case.header["kid"].as_str().expect("a kid");
    for (_, provider) in document["providers"].as_object_mut().expect("providers") {
        if provider.get("jwks").is_some() {
            let algorithm: Algorithm =
                serde_json::from_value(provider["algorithms"][0].clone()).expect("an algorithm");
            provider["jwks"] = json!({"inline": {"keys": [public_key(algorithm, kid)]}});
        }
    }
    Config::from_value(document).unwrap_or_else(|problems| panic!("{}: {problems}", case.name))
}

fn environment(name: &str) -> Option<String> {
    (name == "SUPABASE_JWT_SECRET").then(|| SECRET.to_owned())
}

fn token(case: &Case, wrong: Option<&Wrong>) -> String {
    let algorithm = wrong.and_then(|wrong| wrong.algorithm).unwrap_or(case.algorithm);
    let mut header = case.header.clone();
    header.insert("alg".to_owned(), json!(algorithm));
    let issued = NOW.as_secs() - wrong.map_or(0, |wrong| wrong.age);
    let mut claims = case.claims.clone();
    claims.extend([("iat".to_owned(), json!(issued)), ("exp".to_owned(), json!(issued + case.lifetime))]);
    claims.extend(wrong.into_iter().flat_map(|wrong| wrong.claims.clone()));
    claims.retain(|_, claim| !claim.is_null());
    let encode = |part: Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(part).to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let key = signing_key(algorithm, wrong.and_then(|wrong| wrong.key));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).expect("a signature");
    format!("{signed}.{signature}")
}

fn request(token: &str) -> RequestHead {
    let authorization = format!("Bearer {token}");
    let fields = [
        (":method", "GET"),
        (":path", "/chat"),
        (":authority", "chat.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("origin", "https://app.example.com"),
        ("authorization", authorization.as_str()),
    ];
    RequestHead {
        fields: fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec(),
        connection: ConnectionFacts {
            tls: true,
            mutual_tls: false,
            protocol: Protocol::Http11,
            client: Some(Ipv4Addr::new(198, 51, 100, 7).into()),
        },
        entropy: Entropy::NONE,
    }
}

/// Tables that always have tokens.
struct Tables;

impl Shared for Tables {
    fn charge(&mut self, _request: &BucketRequest, _now: Duration) -> Outcome {
        Outcome::Charged(Charged::Taken)
    }

    fn spend(&mut self, _ticket: &Ticket, _now: Duration) -> Spent {
        Spent::First
    }
}

/// Returns the reason of the refusal and what the log says beside it, if the token is refused.
fn refusal(engine: &Engine, token: &str) -> Option<(String, Option<String>)> {
    let head = request(token);
    let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else {
        panic!("the policy judges every request");
    };
    session.handle(Input::Request(head), &mut Tables, NOW);
    match session.poll_output().expect("a verdict") {
        Output::Admit(_) => None,
        Output::Tell(Event::Refused { violation, .. }) => {
            let cause = violation.cause.map(|cause| cause.to_string());
            Some((violation.reason.id().to_owned(), cause))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn tokens_as_each_product_makes_them_are_let_in_and_their_user_is_known() {
    for case in cases() {
        let config = config(&case);
        let keyring = Keyring::compile(&config.providers, &environment).expect("sound keys");
        let names: Vec<String> = config.providers.keys().cloned().collect();
        let token = token(&case, None);
        let claims = verifier::verify(token.as_bytes(), &keyring.providers(&names), NOW);
        let claims = claims.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        assert_eq!(claims.subject(), Some(case.user.as_str()), "{}", case.name);
        let engine = Engine::compile(config, &environment, [3; 16]).expect("a sound policy");
        assert_eq!(refusal(&engine, &token), None, "{}", case.name);
    }
}

#[test]
fn a_token_with_one_thing_wrong_is_refused_and_the_log_says_which() {
    for case in cases() {
        let engine = Engine::compile(config(&case), &environment, [3; 16]).expect("a sound policy");
        for wrong in &case.wrong {
            let expected = (wrong.reason.clone(), wrong.detail.clone());
            let told = refusal(&engine, &token(&case, Some(wrong)));
            assert_eq!(told, Some(expected), "{}: {}", case.name, wrong.name);
        }
    }
}

#[test]
fn every_policy_is_sound_as_it_stands_and_has_tokens_and_what_may_be_wrong_with_each() {
    let cases = cases();
    let tried: BTreeSet<&str> = cases.iter().map(|case| case.section.as_str()).collect();
    let mut names = BTreeSet::new();
    for (heading, text) in policies() {
        assert!(tried.contains(heading.as_str()), "{heading} has no tokens");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("policy.yaml");
        std::fs::write(&file, &text).expect("a writable folder");
        let output =
            Command::new(env!("CARGO_BIN_EXE_postern")).arg("check").arg(&file).output().expect("a binary");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), told.as_str()), (Some(0), ""), "{heading}");
        let config = Config::from_value(policy(&heading)).expect("a sound policy");
        for (name, provider) in config.providers {
            assert!(names.insert(name), "{heading}: of all the names none occurs twice");
            assert!(matches!(provider.keys, KeySource::Remote(_) | KeySource::Secret(_)), "{heading}");
        }
    }
    for case in &cases {
        let is_tried = |part: &str| {
            case.wrong.iter().any(|wrong| wrong.detail.as_ref().is_some_and(|d| d.contains(part)))
        };
        assert!(is_tried("unknown issuer") && is_tried("expired"), "{}", case.name);
    }
}
