//! Secrets and tokens show up in nothing that Envoy writes, however much it is told to write.

use postern_e2e::token::{EDGE_SECRET, edge_claims, tampered};
use postern_e2e::twins::document;
use postern_e2e::{Frame, RawClient, Request, Scene, Signer, json};

fn scene() -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let chat = json!({
        "origins": {"allow": ["https://app.example.com"], "missing": "allow"},
        "auth": {
            "providers": ["edge"],
            "from": [
                {"header": "authorization"}, {"query": "access_token"}, {"subprotocol": "bearer."},
                {"cookie": "ws_token"}, {"first_message": "/token"},
            ],
            "refresh": "/token",
            "require": [{"claim": "scope", "contains": "chat"}],
        },
    });
    Scene::new().document(document(json!({"edge": edge}), json!({"chat": chat})))
}

#[tokio::test]
async fn tokens_and_secrets_are_in_no_log_no_metric_and_no_answer() {
    let scene = scene().start().await;
    let mut admin = RawClient::connect(scene.envoy().admin(), None, None).await.expect("the admin interface");
    let all = Request::get("/logging?wasm=trace").method("POST").header("Content-Length", "0");
    assert_eq!(admin.ask(&all).await.status, 200, "the module may log whatever it has to say");
    let signer = Signer::edge();
    let mut expired = edge_claims("alice");
    expired["exp"] = json!(1_000_000_000);
    let mut poor = edge_claims("alice");
    poor["scope"] = json!("mail");
    let good = signer.mint(&edge_claims("alice"));
    let tokens = [good.clone(), signer.mint(&expired), signer.mint(&poor), tampered::signature(&good)];

    let mut said = String::new();
    for token in &tokens {
        let upgrade = || Request::upgrade("/ws/chat");
        let requests = [
            upgrade().header("Authorization", format!("Bearer {token}")),
            upgrade().header("Cookie", format!("ws_token={token}")),
            upgrade().header("Sec-WebSocket-Protocol", format!("chat, bearer.{token}")),
            Request::upgrade(&format!("/ws/chat?access_token={token}")),
            Request::upgrade(&format!("/ws/chat?access_token={token}"))
                .header("Origin", "https://evil.example"),
            Request::upgrade(&format!("/elsewhere?access_token={token}")),
            Request::upgrade(&format!("/ws/chat?access_token={token}&access_token={good}")),
        ];
        for request in requests {
            let response = scene.ask(&request).await;
            said.push_str(&format!("{:?}\n{}\n", response.headers, response.text()));
            said.push_str(&scene.access_line(request.case()).await.to_string());
        }
        let message = Frame::text(&json!({ "token": token }).to_string()).masked().bytes();
        let mut client = scene.open("/ws/chat").await;
        client.send(&message).await;
        // As a first message, and where that is good, as a refresh, which is answered.
        let _ = client.try_send(&message).await;
        said.push_str(&String::from_utf8_lossy(&client.frame().await.expect("a Close or an answer").payload));
    }
    assert!(
        ["token_expired", "claims_denied", "token_accepted"].iter().all(|word| said.contains(word)),
        "the cases are not what they seem"
    );
    said.push_str(&scene.envoy().ask_admin("/stats").await.text());
    said.push_str(&scene.envoy().ask_admin("/config_dump").await.text());
    let log = scene.envoy().log();
    assert!(log.contains("[wasm]") && log.contains("token_expired"), "the module's log is not there: {log}");
    said.push_str(&log);

    for part in tokens.iter().flat_map(|token| token.split('.').skip(1)) {
        assert!(!said.contains(part), "a part of a token is told: {part}");
    }
    assert!(!said.contains(EDGE_SECRET), "the secret is told");
}
