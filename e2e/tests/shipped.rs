//! The part of the shipped `envoy.yaml` that is Envoy's: labels, access log, pushed configurations.

use postern_e2e::client::token::edge_claims;
use postern_e2e::{Frame, Pushed, Request, RunningScene, Scene, Shared, Signer, json};

static SHIPPED: Shared<RunningScene> = Shared::new(Scene::new);

#[tokio::test]
async fn a_refusal_is_counted_under_labels_and_told_in_the_access_log_without_the_token() {
    let scene = SHIPPED.shared().await;
    let token = Signer::edge().mint(&edge_claims("alice"));
    let request = Request::upgrade(&format!("/ws/chat?access_token={token}&room=1"));
    let request = request.header("Origin", "https://evil.example");
    let response = scene.ask(&request).await;
    assert_eq!((response.status, response.reason().as_deref()), (403, Some("origin_denied")));
    assert!(!scene.upstream().has_seen(request.case()));

    let labels = [("policy", "chat"), ("result", "refused"), ("reason", "origin_denied")];
    scene.envoy().stat_becomes("postern_handshakes", &labels, 1.0).await;
    let line = scene.access_line(request.case()).await;
    assert_eq!((&line["status"], &line["reason"]), (&json!(403), &json!("origin_denied")));
    assert_eq!(line["path"], "/ws/chat?room=1");
}

#[tokio::test]
async fn a_close_is_told_in_the_access_log_when_the_socket_has_ended() {
    let scene = SHIPPED.shared().await;
    let mut client = scene.open("/ws/public").await;
    client.send(Frame::binary("no text").masked().bytes()).await;
    let close = client.close().await;
    assert_eq!((close.code(), close.reason()), (Some(1003), "type_denied".to_owned()));
    assert_eq!(scene.record(&client).await.close().await.code(), Some(1003));

    let line = scene.access_line(client.case()).await;
    assert_eq!((&line["status"], &line["reason"]), (&json!(101), &json!("type_denied")));
    assert_eq!(scene.envoy().stats().await.sum("postern_closes", &[("reason", "type_denied")]), 1.0);
}

#[tokio::test]
async fn a_pushed_policy_reaches_new_sockets_cuts_no_open_one_and_is_rejected_when_it_is_wrong() {
    let mut scene = Scene::new().policy(json!({})).discovered().start().await;
    let mut old = scene.open("/ws/chat").await;
    let strict = json!({"origins": {"allow": ["https://app.example.com"], "missing": "deny"}});
    assert_eq!(scene.push(strict).await, Pushed::Taken);
    assert_eq!(scene.ask(&Request::upgrade("/ws/chat")).await.reason().as_deref(), Some("origin_missing"));

    assert_eq!(scene.push(json!({"origins": "anything"})).await, Pushed::Rejected);
    assert_eq!(scene.ask(&Request::upgrade("/ws/chat")).await.reason().as_deref(), Some("origin_missing"));

    old.send(Frame::text("still here").masked().bytes()).await;
    assert_eq!(old.frame().await, Ok(Frame::text("still here")));
}

#[tokio::test]
async fn a_wrong_policy_keeps_envoy_from_starting_and_the_path_is_named() {
    let wrong = Scene::new().policy(json!({"messages": {"max_frame_bytes": "64 elephants"}}));
    let error = wrong.try_start().await.expect_err("an Envoy that refuses its configuration").to_string();
    assert!(error.contains("policies.chat.messages.max_frame_bytes"), "{error}");
}

#[tokio::test]
async fn a_client_certificate_that_envoy_verified_satisfies_mutual_tls_and_none_does_not() {
    let scene = Scene::new().policy(json!({"tls": "mutual"})).verify_clients().start().await;
    let refused = scene.ask(&Request::upgrade("/ws/chat")).await;
    assert_eq!((refused.status, refused.reason().as_deref()), (403, Some("tls_required")));
    let certified = scene.connect_certified().await.ask(&Request::upgrade("/ws/chat")).await;
    assert_eq!(certified.status, 101, "{}", certified.text());
}
