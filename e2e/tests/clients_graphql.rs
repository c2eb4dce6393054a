//! GraphQL over WebSockets (graphql-transport-ws): the library `gql`, and a service of `graphql-core` that waits for its
//! connection_init, in which the token is.

use postern_e2e::client::python::{self, Service};
use postern_e2e::client::token::{edge_claims, tampered};
use postern_e2e::scene::document;
use postern_e2e::{RunningScene, Scene, Signer, Value, json};

async fn service() -> Option<Service> {
    python::serve(include_str!("python/graphql_server.py")).await
}

/// Returns the view of the client with this payload in its connection_init; `None` when there is no such
/// client on this machine.
async fn visit(scene: &RunningScene, payload: Value) -> Option<Value> {
    let options =
        json!({"url": scene.url("/ws/graphql"), "certificate": scene.certificate(), "payload": payload});
    let outcome = python::run(include_str!("python/graphql_client.py"), &[&options.to_string()]).await?;
    assert!(outcome.success, "{}", outcome.stderr);
    Some(serde_json::from_str(&outcome.stdout).expect("a report in JSON"))
}

/// Makes a scene with the policy of such a service, with these keys over those of its `auth`.
fn scene(service: &Service, keys: Value) -> Scene {
    let provider = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let mut auth = json!({
        "providers": ["edge"], "from": [{"first_message": "/payload/token"}], "keep_token": true,
    });
    for (key, value) in keys.as_object().expect("an object") {
        auth[key] = value.clone();
    }
    let policy = json!({
        "auth": auth, "subprotocols": {"allow": ["graphql-transport-ws"], "require": true},
        "messages": {"types": ["text"]},
    });
    let policies = json!({"graphql": policy});
    Scene::new().service(service.address()).document(document(json!({"edge": provider}), policies))
}

fn token() -> String {
    Signer::edge().mint(&edge_claims("alice"))
}

fn served(token: &str) -> Value {
    json!({"token": token, "counted": [0, 1, 2], "closed": null, "error": null})
}

#[tokio::test]
async fn a_query_and_a_subscription_are_served_behind_a_connection_init_with_a_good_token() {
    let Some(service) = service().await else { return };
    let scene = scene(&service, json!({})).beside_others().start().await;
    let token = token();
    let Some(seen) = visit(&scene, json!({"token": token})).await else { return };
    assert_eq!(seen, served(&token));
    let Some(seen) = visit(&scene, json!({"token": format!("Bearer {token}")})).await else { return };
    assert_eq!(seen, served(&format!("Bearer {token}")), "the service has what the client has sent");
}

#[tokio::test]
async fn a_bad_token_ends_in_a_close_that_the_client_understands_and_envoy_alone_serves_it() {
    let Some(service) = service().await else { return };
    let guarded = scene(&service, json!({})).beside_others().start().await;
    let bare = scene(&service, json!({})).bare().start().await;
    let forged = tampered::signature(&token());
    for (payload, reason) in [(json!({"token": forged}), "token_invalid"), (json!({}), "token_missing")] {
        let Some(seen) = visit(&guarded, payload.clone()).await else { return };
        assert_eq!((&seen["closed"], &seen["token"]), (&json!([3000, reason]), &Value::Null), "{seen}");
        let Some(seen) = visit(&bare, payload.clone()).await else { return };
        assert_eq!((&seen["counted"], &seen["token"]), (&json!([0, 1, 2]), &payload["token"]), "{seen}");
    }
}

#[tokio::test]
async fn without_keep_token_the_service_waits_for_its_connection_init_in_vain() {
    let Some(service) = service().await else { return };
    let scene = scene(&service, json!({"keep_token": false})).start().await;
    let Some(seen) = visit(&scene, json!({"token": token()})).await else { return };
    let waited = json!([4408, "Connection initialisation timeout"]);
    assert_eq!((&seen["closed"], &seen["token"]), (&waited, &Value::Null), "{seen}");
    let consumed = [("result", "consumed"), ("direction", "downstream")];
    scene.envoy().stat_becomes("postern_messages", &consumed, 1.0).await;
}
