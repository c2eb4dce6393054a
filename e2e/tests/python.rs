//! The Python library `websockets` against the shipped policy: a client that nobody wrote with Postern in mind.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail anywhere")]

use postern_e2e::token::edge_claims;
use postern_e2e::{RunningScene, Scene, Signer, Value, json, python};

/// What the client saw; `None` when there is no such client on this machine.
async fn visit(scene: &RunningScene, path: &str, options: Value) -> Option<Value> {
    let certificate = scene.certificate();
    let mut visit =
        json!({"url": scene.url(path), "certificate": certificate, "origin": "https://app.example.com"});
    for (name, value) in options.as_object().expect("an object") {
        visit[name] = value.clone();
    }
    let outcome = python::run(include_str!("python/visit.py"), &[&visit.to_string()]).await?;
    assert!(outcome.success, "{}", outcome.stderr);
    Some(serde_json::from_str(&outcome.stdout).expect("a report in JSON"))
}

fn bearer() -> Value {
    json!({"Authorization": format!("Bearer {}", Signer::edge().mint(&edge_claims("alice")))})
}

#[tokio::test]
async fn the_client_and_the_upstream_understand_each_other_through_a_bare_envoy() {
    let scene = Scene::new().bare().start().await;
    let options = json!({"messages": ["hello"], "replies": 1, "compression": null});
    let Some(seen) = visit(&scene, "/ws/chat", options).await else { return };
    assert_eq!(
        (&seen["status"], &seen["messages"], &seen["code"]),
        (&json!(101), &json!(["hello"]), &json!(1000))
    );
}

#[tokio::test]
async fn with_a_token_it_talks_and_its_offer_to_compress_is_not_taken() {
    let scene = Scene::new().start().await;
    let options = json!({
        "additional_headers": bearer(), "subprotocols": ["chat.v2"], "messages": ["hello", "wörld"], "replies": 2,
    });
    let Some(seen) = visit(&scene, "/ws/chat", options).await else { return };
    assert_eq!((&seen["status"], &seen["code"]), (&json!(101), &json!(1000)), "{seen}");
    assert_eq!(seen["messages"], json!(["hello", "wörld"]));
    assert_eq!(seen["protocol"], "chat.v2");
    assert_eq!(seen["compressed"], false);
}

#[tokio::test]
async fn without_a_token_or_from_another_site_it_is_told_why_not_and_envoy_alone_lets_it_in() {
    let (scene, bare) = (Scene::new().start().await, Scene::new().bare().start().await);
    for (options, status, problem) in [
        (json!({}), 401, "urn:postern:token_missing"),
        (
            json!({"additional_headers": bearer(), "origin": "https://evil.example"}),
            403,
            "urn:postern:origin_denied",
        ),
        (
            json!({"additional_headers": bearer(), "subprotocols": ["chat.v1"]}),
            403,
            "urn:postern:subprotocol_denied",
        ),
    ] {
        let Some(seen) = visit(&scene, "/ws/chat", options.clone()).await else { return };
        assert_eq!((&seen["status"], &seen["problem"]), (&json!(status), &json!(problem)));
        let Some(seen) = visit(&bare, "/ws/chat", options).await else { return };
        assert_eq!((&seen["status"], &seen["code"]), (&json!(101), &json!(1000)), "{seen}");
    }
    assert!(scene.upstream().records().is_empty());
}

#[tokio::test]
async fn a_message_over_the_limit_ends_in_a_close_that_the_library_accepts() {
    let scene = Scene::new().start().await;
    let options =
        json!({"additional_headers": bearer(), "messages": ["x".repeat(64 * 1024 + 1)], "replies": 1});
    let Some(seen) = visit(&scene, "/ws/chat", options).await else { return };
    assert_eq!(
        (&seen["status"], &seen["code"], &seen["reason"], &seen["messages"]),
        (&json!(101), &json!(1009), &json!("frame_too_big"), &json!([])),
        "{seen}"
    );
    assert_eq!(scene.upstream().records()[0].messages(), Vec::<Vec<u8>>::new());
}
