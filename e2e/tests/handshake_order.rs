//! The order in which a handshake is judged: a client that breaks several rules hears of the first.

use postern_e2e::client::token::edge_claims;
use postern_e2e::scene::document;
use postern_e2e::{Attack, ControlPair, Request, Scene, Shared, Signer, json};

const RATED: &str = "rated";

fn scene() -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let strict = json!({
        "tls": "forwarded",
        "origins": {"allow": ["https://app.example.com"], "missing": "deny"},
        "subprotocols": {"allow": ["chat.v2"]},
        "auth": {
            "providers": ["edge"],
            "from": [{"header": "authorization"}],
            "require": [{"claim": "scope", "contains": "chat"}],
        },
    });
    let mut rated = strict.clone();
    rated["rates"] = json!([{"count": "handshakes", "per": "ip", "limit": 3, "window": "1h"}]);
    Scene::new()
        .document(document(json!({"edge": edge}), json!({"strict": strict, RATED: rated, "open": {}})))
        .plaintext()
        // The settings let a header stand for TLS, so that one connection can break that rule as well.
        .change_connection_manager(|hcm| {
            hcm["use_remote_address"] = json!(false);
        })
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

/// Returns a request under this policy that keeps the first `sound` rules and breaks all the others.
fn request(policy: &str, sound: usize) -> Request {
    let pick = |rule, good, bad| if sound > rule { good } else { bad };
    let mut claims = edge_claims("alice");
    claims["scope"] = json!(pick(6, "chat", "other"));
    let token = Signer::edge().mint(&claims);
    Request::upgrade(pick(0, &format!("/ws/{policy}"), "/ws/nowhere"))
        .header("X-Forwarded-Proto", pick(1, "https", "http"))
        .set("Sec-WebSocket-Version", pick(2, "13", "8"))
        .header("Origin", pick(3, "https://app.example.com", "https://evil.example"))
        .header("Sec-WebSocket-Protocol", pick(4, "chat.v2", "soap"))
        .header("Authorization", format!("Bearer {}", pick(5, token.as_str(), "nonsense")))
}

#[tokio::test]
async fn each_rule_is_judged_only_when_all_before_it_hold() {
    let pair = PAIR.alone().await;
    let rules = [
        ("none", 403, "no_policy"),
        ("strict", 403, "tls_required"),
        ("strict", 426, "version_unsupported"),
        ("strict", 403, "origin_denied"),
        ("strict", 403, "subprotocol_denied"),
        ("strict", 401, "token_invalid"),
        ("strict", 403, "claims_denied"),
    ];
    for (sound, (policy, status, reason)) in rules.into_iter().enumerate() {
        let request = request("strict", sound);
        pair.assert_refused(&Attack { name: reason, request, policy, status, reason }).await;
    }
    assert_eq!(pair.guarded.ask(&request("strict", rules.len())).await.status, 101);
}

/// A client that guesses tokens or origins runs out of handshakes (429), yet is still told first of a mistake
/// in the rules before the rate.
#[tokio::test]
async fn refused_handshakes_count_towards_the_rate_and_the_rate_comes_before_the_origin() {
    let pair = PAIR.alone().await;
    let attempts = [
        (1, 403, "tls_required"),
        (3, 403, "origin_denied"),
        (5, 401, "token_invalid"),
        (3, 429, "handshake_rate"),
        (7, 429, "handshake_rate"),
        (2, 426, "version_unsupported"),
    ];
    for (sound, status, reason) in attempts {
        let attack = Attack { name: reason, request: request(RATED, sound), policy: RATED, status, reason };
        let response = pair.assert_refused(&attack).await;
        if status == 429 {
            let wait: u64 =
                response.header("retry-after").and_then(|wait| wait.parse().ok()).expect("seconds");
            assert!((1100..=1200).contains(&wait), "three in an hour are one in 1200 s, not {wait}");
        }
    }
}
