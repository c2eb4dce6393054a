//! A token that opens one connection: over all workers, for as long as it would be accepted, and not spent by
//! a handshake that is refused.

use std::sync::Arc;

use postern_e2e::client::token::{edge_claims, now};
use postern_e2e::scene::document;
use postern_e2e::{
    Answer, Attack, Behaviour, ControlPair, Request, RunningScene, Scene, Shared, Signer, Value, json,
};
use tokio::task::JoinSet;

const RUSH: usize = 160;

fn scene() -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"}, "clock_skew": "0s",
    });
    let auth = |changes: Value| {
        let mut auth = json!({
            "providers": ["edge"], "from": [{"header": "authorization"}], "single_use": true,
        });
        let members = auth.as_object_mut().expect("an object");
        members.extend(changes.as_object().expect("an object").clone());
        auth
    };
    let origins = json!({"allow": ["https://app.example.com"], "missing": "allow"});
    let per_user = json!([{"count": "handshakes", "per": "user", "limit": 1, "window": "1h"}]);
    let policies = json!({
        "once": {"auth": auth(json!({})), "origins": origins},
        "other": {"auth": auth(json!({}))},
        "scoped": {"auth": auth(json!({"require": [{"claim": "scope", "contains": "admin"}]}))},
        "seldom": {"auth": auth(json!({})), "rates": per_user},
        "often": {"auth": auth(json!({"single_use": false}))},
    });
    Scene::new()
        .document(document(json!({"edge": edge}), policies))
        // The limit leaves room for as many lines as these tests may cause in a second.
        .configured(|whole| whole["log"] = json!({"refusals_per_second": 1000}))
        .plaintext()
        .upstream("/ws/once/declined", Behaviour::Answer(Answer::status(404, "no")))
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

fn token(jti: &str) -> String {
    let mut claims = edge_claims("alice");
    claims["jti"] = json!(jti);
    Signer::edge().mint(&claims)
}

fn with(token: &str, path: &str) -> Request {
    Request::upgrade(path).header("Authorization", format!("Bearer {token}"))
}

async fn assert_replayed(pair: &ControlPair, name: &str, token: &str, policy: &str) {
    let request = with(token, &format!("/ws/{policy}"));
    let attack = Attack { name, request, policy, status: 401, reason: "token_replayed" };
    let response = pair.assert_refused(&attack).await;
    assert_eq!(response.header("www-authenticate").as_deref(), Some("Bearer error=\"invalid_token\""));
}

/// Makes `RUSH` handshakes at once with one token and returns the number that are answered with 101; the
/// others must be refused because the token was used.
async fn rush(scene: &Arc<RunningScene>, token: &str, path: &'static str) -> usize {
    let mut handshakes = JoinSet::new();
    for _ in 0..RUSH {
        let (scene, request) = (Arc::clone(scene), with(token, path));
        handshakes.spawn(async move {
            let mut client = scene.connect().await;
            let response = client.ask(&request).await;
            if response.status != 101 {
                assert_eq!((response.status, response.reason().as_deref()), (401, Some("token_replayed")));
                assert!(!scene.upstream().has_seen(request.case()));
            }
            (client, response.status)
        });
    }
    handshakes.join_all().await.iter().filter(|(_, status)| *status == 101).count()
}

#[tokio::test]
async fn of_a_rush_of_handshakes_with_one_token_four_workers_together_let_one_through() {
    let scene = Arc::new(scene().workers(4).start().await);
    let refused = [("policy", "once"), ("result", "refused"), ("reason", "token_replayed")];
    for (round, jti) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(rush(&scene, &token(jti), "/ws/once").await, 1);
        let count = scene.envoy().stats().await.sum("postern_handshakes", &refused);
        assert_eq!(count, ((round + 1) * (RUSH - 1)) as f64);
    }
    assert_eq!(scene.envoy().stats().await.sum("postern_single_use_table_full", &[]), 0.0);
    assert_eq!(rush(&scene, &token("d"), "/ws/often").await, RUSH, "where the policy does not ask for it");

    let bare = Arc::new(Scene::new().bare().workers(4).plaintext().start().await);
    assert_eq!(rush(&bare, &token("a"), "/ws/once").await, RUSH);
}

#[tokio::test]
async fn a_used_token_opens_nothing_more_also_under_another_policy_or_in_another_form() {
    let pair = PAIR.alone().await;
    let used = token("used");
    assert_eq!(pair.guarded.ask(&with(&used, "/ws/once")).await.status, 101);
    assert_replayed(&pair, "again", &used, "once").await;
    assert_replayed(&pair, "under another policy", &used, "other").await;
    let mut renewed = edge_claims("alice");
    renewed["jti"] = json!("used");
    renewed["exp"] = json!(now() + 3600);
    assert_replayed(&pair, "with other claims", &Signer::edge().mint(&renewed), "once").await;
    assert_eq!(pair.guarded.ask(&with(&token("other"), "/ws/once")).await.status, 101);
}

#[tokio::test]
async fn a_token_without_a_name_is_not_valid() {
    let pair = PAIR.alone().await;
    for jti in [json!(null), json!("")] {
        let mut claims = edge_claims("alice");
        if jti != Value::Null {
            claims["jti"] = jti;
        }
        let request = with(&Signer::edge().mint(&claims), "/ws/once");
        let (name, policy, status, reason) = ("no jti", "once", 401, "token_invalid");
        pair.assert_refused(&Attack { name, request, policy, status, reason }).await;
    }
    pair.guarded.envoy().logged("no token id").await;
}

#[tokio::test]
async fn what_is_refused_for_anything_else_leaves_the_token_good() {
    let pair = PAIR.alone().await;
    let token = token("patient");
    let seldom = with(&self::token("first of alice"), "/ws/seldom");
    assert_eq!(pair.guarded.ask(&seldom).await.status, 101);
    let cases = [
        (with(&token, "/ws/once").header("Origin", "https://evil.example"), ("once", 403, "origin_denied")),
        (with(&token, "/ws/once").without("sec-websocket-key"), ("once", 400, "malformed_handshake")),
        (with(&token, "/ws/scoped"), ("scoped", 403, "claims_denied")),
        (with(&token, "/ws/seldom"), ("seldom", 429, "handshake_rate")),
    ];
    for (request, (policy, status, reason)) in cases {
        pair.assert_refused(&Attack { name: reason, request, policy, status, reason }).await;
    }
    assert_eq!(pair.guarded.ask(&with(&token, "/ws/once")).await.status, 101);
    assert_replayed(&pair, "now it is used", &token, "once").await;
}

/// The upstream's agreement is known only after the token is spent.
#[tokio::test]
async fn a_token_that_went_up_is_used_also_when_the_upstream_declines() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let token = token("declined");
    assert_eq!(scene.ask(&with(&token, "/ws/once/declined")).await.status, 404);
    let response = scene.ask(&with(&token, "/ws/once")).await;
    assert_eq!((response.status, response.reason().as_deref()), (401, Some("token_replayed")));
}

#[tokio::test]
async fn a_used_token_stays_used_when_a_new_policy_is_pushed() {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let policy = |grace: &str| {
        json!({"auth": {
            "providers": ["edge"], "from": [{"header": "authorization"}], "single_use": true, "expiry_grace": grace,
        }})
    };
    let scene = Scene::new().provider("edge", edge).policy(policy("25s")).discovered().workers(2);
    let mut scene = scene.start().await;
    let token = token("pushed");
    assert_eq!(scene.ask(&with(&token, "/ws/chat")).await.status, 101);
    assert_eq!(scene.push(policy("20s")).await, postern_e2e::Pushed::Taken);
    let response = scene.ask(&with(&token, "/ws/chat")).await;
    assert_eq!((response.status, response.reason().as_deref()), (401, Some("token_replayed")));
}
