//! The demands of `tls` on the connection that a handshake comes over.

use postern_e2e::scene::document;
use postern_e2e::{Attack, ControlPair, Request, Scene, json};

fn scene() -> Scene {
    Scene::new().document(document(
        json!({}),
        json!({
            "required": {"tls": "required"},
            "mutual": {"tls": "mutual"},
            "forwarded": {"tls": "forwarded"},
            "optional": {"tls": "optional"},
        }),
    ))
}

fn refused(policy: &'static str, request: Request) -> Attack<'static> {
    Attack { name: policy, request, policy, status: 403, reason: "tls_required" }
}

fn upgrade(policy: &str) -> Request {
    Request::upgrade(&format!("/ws/{policy}"))
}

/// Makes Envoy take the header for the client's, as behind a trusted proxy; on an edge listener it takes it
/// for its own.
fn behind_a_proxy(scene: Scene) -> Scene {
    scene.change_connection_manager(|hcm| {
        hcm["use_remote_address"] = json!(false);
    })
}

#[tokio::test]
async fn without_tls_only_policies_that_do_not_ask_for_it_grant_a_socket() {
    let pair = ControlPair::start(|| scene().plaintext()).await;
    for policy in ["required", "mutual", "forwarded"] {
        pair.assert_refused(&refused(policy, upgrade(policy))).await;
    }
    // An Envoy on the edge writes this header itself.
    for policy in ["required", "forwarded"] {
        let claiming = upgrade(policy).header("X-Forwarded-Proto", "https");
        pair.assert_refused(&refused(policy, claiming)).await;
    }
    assert_eq!(pair.guarded.ask(&upgrade("optional")).await.status, 101);
}

#[tokio::test]
async fn a_trusted_proxy_vouches_for_tls_only_where_the_policy_says_so_and_only_for_https() {
    let pair = ControlPair::start(|| behind_a_proxy(scene().plaintext())).await;
    for scheme in ["https", "wss", "WSS"] {
        let vouched = upgrade("forwarded").header("X-Forwarded-Proto", scheme);
        assert_eq!(pair.guarded.ask(&vouched).await.status, 101, "{scheme}");
    }
    for policy in ["required", "mutual"] {
        let vouched = upgrade(policy).header("X-Forwarded-Proto", "https");
        pair.assert_refused(&refused(policy, vouched)).await;
    }
    pair.assert_refused(&refused("forwarded", upgrade("forwarded"))).await;
    for scheme in ["http", "ws"] {
        let plain = upgrade("forwarded").header("X-Forwarded-Proto", scheme);
        pair.assert_refused(&refused("forwarded", plain)).await;
    }
}

#[tokio::test]
async fn mutual_tls_takes_a_client_certificate_that_envoy_has_verified() {
    let pair = ControlPair::start(|| scene().verify_clients()).await;
    pair.assert_refused(&refused("mutual", upgrade("mutual"))).await;
    for policy in ["required", "forwarded", "optional"] {
        assert_eq!(pair.guarded.ask(&upgrade(policy)).await.status, 101, "{policy} without a certificate");
    }
    for policy in ["mutual", "required"] {
        let mut client = pair.guarded.connect_certified().await;
        assert_eq!(client.ask(&upgrade(policy)).await.status, 101, "{policy} with a certificate");
    }
}

#[tokio::test]
async fn mutual_tls_is_not_satisfied_where_envoy_asks_for_no_certificate() {
    let guarded = scene().start().await;
    let mut client = guarded.connect_certified().await;
    assert_eq!(client.ask(&upgrade("required")).await.status, 101);
    let mut client = guarded.connect_certified().await;
    let response = client.ask(&upgrade("mutual")).await;
    assert_eq!((response.status, response.reason().as_deref()), (403, Some("tls_required")));
}
