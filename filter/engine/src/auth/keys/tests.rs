use postern_config::RemoteJwks;
use serde_json::json;

use super::*;
use crate::auth::minting::{SECRET, issuer_keys, public_provider, secret_provider};

fn document(providers: impl IntoIterator<Item = Provider>) -> BTreeMap<String, Provider> {
    providers.into_iter().map(|p| (p.name.clone(), p)).collect()
}

fn with_keys(keys: Value) -> Provider {
    Provider { keys: KeySource::Inline(keys), ..public_provider() }
}

/// Returns the paths and texts of all problems, on which `check` and `compile` must agree.
fn problems(provider: Provider) -> Vec<(String, String)> {
    let document = document([provider]);
    let checked = Keyring::check(&document);
    let compiled = Keyring::compile(&document, &|_| None).err().map(|p| p.0).unwrap_or_default();
    assert_eq!(checked, compiled);
    checked.into_iter().map(|p| (p.path, p.what)).collect()
}

#[test]
fn every_unusable_key_of_a_set_is_a_problem_at_its_position() {
    let mut keys = issuer_keys();
    keys["keys"][1] = json!({"kty": "oct", "k": "c2VjcmV0"});
    keys["keys"][3]["use"] = json!("enc");
    let paths: Vec<_> = problems(with_keys(keys)).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["providers.main.jwks.inline.keys[1]", "providers.main.jwks.inline.keys[3]"]);
}

#[test]
fn a_kid_that_two_keys_share_is_a_problem_at_the_second() {
    let mut keys = issuer_keys();
    keys["keys"][2]["kid"] = keys["keys"][0]["kid"].clone();
    let found = problems(with_keys(keys));
    assert_eq!(found[0].0, "providers.main.jwks.inline.keys[2]");
    assert!(found[0].1.contains("kid"), "{found:?}");
}

#[test]
fn a_set_that_no_algorithm_of_the_provider_can_use_is_a_problem() {
    let idle = Provider {
        algorithms: vec![Allowed::EdDSA],
        ..with_keys(json!({"keys": [issuer_keys()["keys"][0]]}))
    };
    for provider in [idle, with_keys(json!({"keys": []}))] {
        let found = problems(provider);
        assert_eq!(found[0].0, "providers.main.jwks.inline.keys");
        assert!(found[0].1.contains("no key fits"), "{found:?}");
    }
}

#[test]
fn what_is_no_set_is_a_problem_and_not_an_empty_one() {
    for set in [json!({}), json!([]), json!({"keys": {}}), json!(null)] {
        assert_eq!(problems(with_keys(set.clone()))[0].0, "providers.main.jwks.inline.keys", "{set}");
    }
}

#[test]
fn a_secret_is_resolved_when_compiling_and_taken_on_trust_when_checking() {
    let env = |name: &str| (name == "EDGE").then(|| String::from_utf8(SECRET.to_vec()).unwrap());
    let named = |name: &str| {
        document([Provider { keys: KeySource::Secret(Secret::Env(name.into())), ..secret_provider() }])
    };
    assert!(Keyring::compile(&named("EDGE"), &env).is_ok());
    let Problems(found) = Keyring::compile(&named("ABSENT"), &env).unwrap_err();
    assert_eq!(found[0].path, "providers.edge.secret.env");
    assert_eq!(Keyring::check(&named("ABSENT")), []);
}

#[test]
fn problems_of_all_providers_are_told_at_once() {
    let secret = Provider { keys: KeySource::Secret(Secret::Env("ABSENT".into())), ..secret_provider() };
    let document = document([secret, with_keys(json!({"keys": []}))]);
    let Problems(found) = Keyring::compile(&document, &|_| None).unwrap_err();
    assert_eq!(found.len(), 2);
}

#[test]
fn a_remote_set_gives_no_keys() {
    let remote = RemoteJwks {
        cluster: "auth".into(),
        uri: "https://auth.example.com/jwks.json".parse().unwrap(),
        timeout: Duration::from_secs(2),
        refresh_interval: Duration::from_secs(300),
        max_stale: Duration::from_secs(3600),
    };
    let document = document([Provider { keys: KeySource::Remote(remote), ..public_provider() }]);
    assert_eq!(Keyring::check(&document), []);
    let keyring = Keyring::compile(&document, &|_| None).unwrap();
    let main = keyring.providers(&["main".into(), "absent".into()]);
    assert!(matches!(main.as_slice(), [KeyedProvider { keys: Keys::Remote(_), .. }]));
}

#[test]
fn debug_shows_no_secret() {
    let keyring = crate::auth::minting::keyring([secret_provider()]);
    let shown = format!("{keyring:?}");
    assert!(!shown.contains(&format!("{:?}", &SECRET[..4]).replace(['[', ']'], "")), "{shown}");
    assert!(!shown.contains("a secret"), "{shown}");
}
