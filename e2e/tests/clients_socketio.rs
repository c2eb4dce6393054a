//! Socket.IO over WebSockets: python-socketio, client and service. The service speaks first; the client's token is in a
//! header, or in the packet that connects, `40{"token":"…"}`.

use postern_e2e::client::python::{self, Service};
use postern_e2e::client::token::{edge_claims, tampered};
use postern_e2e::environment;
use postern_e2e::scene::document;
use postern_e2e::{RunningScene, Scene, Signer, Value, json};

async fn service() -> Option<Service> {
    python::serve(include_str!("python/socketio_server.py")).await
}

/// Returns the view of the client; `None` when there is no such client on this machine.
async fn visit(scene: &RunningScene, options: Value) -> Option<Value> {
    let mut visit = json!({"url": scene.url("/socket.io/").replace("ws:", "http:")});
    for (name, value) in options.as_object().expect("an object") {
        visit[name] = value.clone();
    }
    let outcome = python::run(include_str!("python/socketio_client.py"), &[&visit.to_string()]).await?;
    assert!(outcome.success, "{}", outcome.stderr);
    Some(serde_json::from_str(&outcome.stdout).expect("a report in JSON"))
}

/// Makes a scene with Postern before the service, and a token from the place `from`.
fn scene(service: &Service, from: Value, keep_token: bool) -> Scene {
    let provider = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let auth = json!({
        "providers": ["edge"], "from": [from], "keep_token": keep_token, "forward": {"x-user-id": "sub"},
        "first_message_timeout": "3s",
    });
    let origins =
        json!({"allow": [format!("http://{}:*", environment::current().host())], "missing": "deny"});
    let policy = json!({"origins": origins, "auth": auth, "upgrade_only": true});
    let mut whole = document(json!({"edge": provider}), json!({"socketio": policy}));
    whole["routes"] = json!([{"match": {"path_prefix": "/socket.io"}, "policy": "socketio"}]);
    // TLS is left out: the client reads and writes in two threads, and Python's TLS loses bytes then, if
    // seldom.
    Scene::new().service(service.address()).document(whole).plaintext()
}

fn packet() -> Value {
    json!({"first_message": {"pointer": "/token", "prefix": "40", "greeting": true}})
}

fn token() -> String {
    Signer::edge().mint(&edge_claims("alice"))
}

fn served(known: Value) -> Value {
    json!({"known": known, "said": ["hello"], "returned": 5, "error": null, "lost": false})
}

#[tokio::test]
async fn with_its_token_in_a_header_it_is_served_and_without_only_by_a_bare_envoy() {
    let Some(service) = service().await else { return };
    let from = || json!({"header": "authorization"});
    let guarded = scene(&service, from(), false).beside_others().start().await;
    let bare = scene(&service, from(), false).bare().start().await;
    let headers = json!({"headers": {"Authorization": format!("Bearer {}", token())}});
    let Some(seen) = visit(&guarded, headers).await else { return };
    assert_eq!(seen, served(json!({"auth": null, "user": "alice"})));
    let Some(seen) = visit(&bare, json!({})).await else { return };
    assert_eq!(seen, served(json!({"auth": null, "user": null})));
    let Some(seen) = visit(&guarded, json!({})).await else { return };
    assert_eq!((&seen["known"], &seen["error"]), (&Value::Null, &json!("Connection error")), "{seen}");
    assert_eq!(guarded.told("token_missing").await.len(), 1);
}

#[tokio::test]
async fn with_its_token_in_the_packet_that_connects_it_is_served_and_outlives_pings_of_the_service() {
    let Some(service) = service().await else { return };
    let scene = scene(&service, packet(), true).beside_others().start().await;
    let auth = json!({"token": token()});
    let Some(seen) = visit(&scene, json!({"auth": auth, "stay": 4})).await else { return };
    assert_eq!(seen, served(json!({"auth": auth, "user": null})));
}

#[tokio::test]
async fn a_bad_token_in_the_packet_that_connects_never_reaches_the_service_but_through_a_bare_envoy() {
    let Some(service) = service().await else { return };
    let guarded = scene(&service, packet(), true).beside_others().start().await;
    let bare = scene(&service, packet(), true).bare().start().await;
    let forged = json!({"token": tampered::signature(&token())});
    for (auth, reason) in [(forged, "token_invalid"), (Value::Null, "token_missing")] {
        let Some(seen) = visit(&guarded, json!({"auth": auth})).await else { return };
        assert_eq!((&seen["known"], seen["error"].is_string()), (&Value::Null, true), "{seen}");
        assert_eq!(guarded.told(reason).await.len(), 1);
        let Some(seen) = visit(&bare, json!({"auth": auth})).await else { return };
        assert_eq!(seen, served(json!({"auth": auth, "user": null})));
    }
}

/// A client waits for the service's first packet; Envoy's half of the greeting alone is of no use to it
/// either.
#[tokio::test]
async fn without_greeting_prefix_or_keep_token_it_never_gets_that_far() {
    let Some(service) = service().await else { return };
    let without = |key: &str| {
        let mut from = packet();
        from["first_message"].as_object_mut().expect("an object").remove(key);
        from
    };
    let auth = json!({"auth": {"token": token()}});
    for (missing, from, keep_token, reason) in [
        ("greeting", without("greeting"), true, Some("auth_timeout")),
        ("prefix", without("prefix"), true, Some("token_missing")),
        ("keep_token", packet(), false, None),
    ] {
        let scene = scene(&service, from, keep_token).beside_others().start().await;
        let Some(seen) = visit(&scene, auth.clone()).await else { return };
        assert_eq!(
            (&seen["known"], seen["error"].is_string()),
            (&Value::Null, true),
            "without {missing}: {seen}"
        );
        if let Some(reason) = reason {
            assert_eq!(scene.told(reason).await.len(), 1);
        }
    }
}
