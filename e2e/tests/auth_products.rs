//! The policies of docs/identity-providers.md in a real Envoy: each lets in tokens as its product makes them,
//! by PyJWT, and refuses them with one thing wrong.

use std::path::{Path, PathBuf};

use postern_e2e::client::python;
use postern_e2e::scene::document;
use postern_e2e::{Attack, ControlPair};
use postern_e2e::{Request, Scene, Value, json};

const SECRET: &str = "a secret that issuer and Envoy share, of 32 bytes or more";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cases_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/identity_providers.json")
}

fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(cases_file()).expect("cases");
    serde_json::from_str(&text).expect("a list")
}

/// Returns the policies of the documentation by their headings.
fn policies() -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(root().join("docs/identity-providers.md")).expect("the documentation");
    let policy = |section: &str| {
        let (heading, rest) = section.split_once('\n').expect("a heading");
        let (_, block) = rest.split_once("\n```yaml policies\n").expect("a policy");
        let (block, _) = block.split_once("\n```\n").expect("an end of the block");
        (heading.to_owned(), serde_saphyr::from_str(block).expect("YAML"))
    };
    text.split("\n## ").skip(1).map(policy).collect()
}

/// Returns a heading as the name of a policy.
fn name_of(heading: &str) -> String {
    heading.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// Returns all policies in one configuration, each under `/ws/<its name>`, with these keys in the place of
/// those that would be fetched.
fn whole(keys: &Value) -> Value {
    let (mut providers, mut all) = (json!({}), json!({}));
    for (heading, policy) in policies() {
        let of_section = |case: &&Value| case["section"] == json!(heading) && case["algorithm"] != "HS256";
        for (name, provider) in policy["providers"].as_object().expect("providers") {
            let mut provider = provider.clone();
            if provider.get("jwks").is_some() {
                let case = cases().iter().find(of_section).expect("a token of these keys").clone();
                let mut jwk = keys[provider["algorithms"][0].as_str().expect("an algorithm")].clone();
                jwk["kid"] = case["header"]["kid"].clone();
                provider["jwks"] = json!({"inline": {"keys": [jwk]}});
            }
            providers[name] = provider;
        }
        all[name_of(&heading)] = policy["policies"]["chat"].clone();
    }
    document(providers, all)
}

fn bearing(section: &str, token: &str) -> Request {
    let request = Request::upgrade(&format!("/ws/{section}")).header("Origin", "https://app.example.com");
    request.header("Authorization", format!("Bearer {token}"))
}

#[tokio::test]
async fn tokens_of_each_product_are_let_in_and_refused_with_one_thing_wrong() {
    let file = cases_file();
    let arguments = [file.to_str().expect("a path in UTF-8"), SECRET];
    let Some(outcome) = python::run(include_str!("python/products.py"), &arguments).await else { return };
    assert!(outcome.success, "{}", outcome.stderr);
    let said: Value = serde_json::from_str(&outcome.stdout).expect("tokens in JSON");
    let scene = || {
        let scene = Scene::new().document(whole(&said["keys"])).env("SUPABASE_JWT_SECRET", SECRET);
        scene.workers(2).plaintext()
    };
    let pair = ControlPair::start(scene).await;
    for (case, tokens) in cases().iter().zip(said["tokens"].as_array().expect("tokens")) {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let (name, section) = (text(&case["name"]), name_of(&text(&case["section"])));
        let good = bearing(&section, &text(&tokens["good"]));
        assert_eq!(pair.guarded.ask(&good).await.status, 101, "{name}");
        for (wrong, token) in
            case["wrong"].as_array().expect("a list").iter().zip(tokens["wrong"].as_array().expect("a list"))
        {
            let reason = text(&wrong["reason"]);
            let attack = Attack {
                name: &format!("{name}: {}", text(&wrong["name"])),
                request: bearing(&section, &text(token)),
                policy: &section,
                status: if reason == "claims_denied" { 403 } else { 401 },
                reason: &reason,
            };
            let response = pair.assert_refused(&attack).await;
            let Some(detail) = wrong["detail"].as_str() else { continue };
            let instance =
                response.json()["instance"].as_str().expect("an instance").replacen("urn:uuid:", "", 1);
            let line = pair.guarded.envoy().logged(&instance).await.pop().expect("a line");
            assert!(line.contains(&format!("cause=\"{detail}\"")), "{}: {line}", attack.name);
        }
    }
}
