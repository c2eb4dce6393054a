//! Upgrades to other protocols, which a policy may let pass: none becomes a WebSocket.

use h2::ext::Protocol;
use http::Method;
use postern_e2e::client::http2::open;
use postern_e2e::scene::document;
use postern_e2e::{Answer, Behaviour, Request, Scene, json};

/// Makes a scene whose service takes any client that sends a Sec-WebSocket-Key for one of WebSockets.
fn scene() -> Scene {
    let others = json!({"other_upgrades": "pass", "origins": {"allow": ["null"], "missing": "deny"}});
    Scene::new()
        .document(document(json!({}), json!({"others": others})))
        .upstream("/ws/others", Behaviour::Answer(Answer::switching()))
        .change_connection_manager(|hcm| {
            let types = ["websocket", "foo", "websocket/13", "websocket;v=13"];
            hcm["upgrade_configs"] = json!(types.map(|name| json!({ "upgrade_type": name })));
        })
}

#[tokio::test]
async fn a_service_that_switches_another_upgrade_to_a_websocket_is_not_believed() {
    let scene = scene().start().await;
    for name in ["foo", "websocket/13", "websocket;v=13"] {
        let response = scene.ask(&Request::upgrade("/ws/others").set("Upgrade", name)).await;
        let expected = (502, Some("upstream_handshake_invalid"));
        assert_eq!((response.status, response.reason().as_deref()), expected, "{name}");
    }
    let mut client = scene.connect_http2().await;
    let request = http::Request::builder()
        .method(Method::CONNECT)
        .uri("https://localhost/ws/others")
        .extension(Protocol::from_static("foo"))
        .header("sec-websocket-version", "13");
    let (response, _stream) = open(&mut client, request).await;
    assert_eq!(response.status(), 502, "over HTTP/2");
}
