//! Keys that are fetched from a cluster.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail anywhere")]

use std::time::Duration;

use postern_e2e::token::{edge_claims, jwks};
use postern_e2e::{Documents, Request, Scene, Served, Signer, Value, json};

const ISSUER: &str = "https://auth.example.com/";
const PATH: &str = "/.well-known/jwks.json?tenant=1";

fn provider(remote: Value) -> Value {
    let mut whole = json!({"cluster": "auth", "uri": format!("https://auth.example.com{PATH}")});
    whole.as_object_mut().expect("an object").extend(remote.as_object().expect("an object").clone());
    json!({"issuer": ISSUER, "audiences": ["chat"], "jwks": {"remote": whole}})
}

fn policy() -> Value {
    json!({"auth": {"providers": ["main"], "from": [{"header": "authorization"}]}, "rates": []})
}

fn scene(documents: &Documents, remote: Value) -> Scene {
    Scene::new()
        .policy(policy())
        .provider("main", provider(remote))
        .cluster("auth", documents.address())
        .workers(2)
        .plaintext()
}

fn bearing(signer: &Signer) -> Request {
    let mut claims = edge_claims("alice");
    claims["iss"] = json!(ISSUER);
    Request::upgrade("/ws/chat").header("Authorization", format!("Bearer {}", signer.mint(&claims)))
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_workers_and_handshakes_wait_for_them() {
    let (documents, signer) = (Documents::start().await, Signer::es256("a"));
    documents.serve_after(PATH, Duration::from_secs(1), Served::Document(jwks(&[&signer])));
    let scene = scene(&documents, json!({})).start().await;
    let request = bearing(&signer);
    let clients = (0..8).map(|_| scene.ask(&request));
    for response in futures_util::future::join_all(clients).await {
        assert_eq!(response.status, 101, "{}", response.text());
    }
    assert_eq!(documents.hits(PATH), 1);
}
