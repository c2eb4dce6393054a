//! Forged tokens cost the address that they come from, and nobody else.

use std::time::Duration;

use postern_e2e::client::token::{jwks, now, tampered};
use postern_e2e::{Frame, Request, Response, RunningScene, Scene, Signer, Value, json};

/// The number of signatures of an address that may be verified in vain at once, and again in each minute.
const FORGERIES: usize = 100;

/// The most forgeries that are sent: more than may come back meanwhile.
const MOST: usize = 3 * FORGERIES;

const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];
const ISSUER: &str = "https://auth.example.com/";

/// Starts a scene with one issuer, one worker, and no rate of handshakes.
async fn start(signer: &Signer) -> RunningScene {
    let policy = |from: Value| {
        json!({
            "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "rates": [],
            "auth": {"providers": ["main"], "from": [from]},
        })
    };
    let document = json!({
        "providers": {"main": {"issuer": ISSUER, "audiences": ["chat"], "jwks": {"inline": jwks(&[signer])}}},
        "policies": {
            "header": policy(json!({"header": "authorization"})),
            "message": policy(json!({"first_message": "/token"})),
        },
        "routes": [{"match": {"path_prefix": "/ws/message"}, "policy": "message"}],
        "default_policy": "header",
    });
    Scene::new().document(document).plaintext().workers(1).start().await
}

fn token(signer: &Signer, id: &str) -> String {
    signer.mint(&json!({"iss": ISSUER, "aud": "chat", "sub": "alice", "jti": id, "exp": now() + 300}))
}

async fn ask(scene: &RunningScene, from: [u8; 4], token: &str) -> Response {
    let request = Request::upgrade("/ws/chat").header("Authorization", format!("Bearer {token}"));
    scene.connect_from(from).await.ask(&request).await
}

/// Sends forged tokens until one is not judged any more, and returns the number of those that were.
async fn exhaust(scene: &RunningScene, forged: &str) -> usize {
    for judged in 0..MOST {
        let response = ask(scene, HERE, forged).await;
        if response.status == 401 {
            assert_eq!(response.reason().as_deref(), Some("token_invalid"));
            continue;
        }
        assert_eq!((response.status, response.reason().as_deref()), (429, Some("handshake_rate")));
        assert_eq!(response.header("retry-after").as_deref(), Some("1"));
        return judged;
    }
    panic!("{MOST} forged tokens were all judged");
}

#[tokio::test]
async fn an_address_that_sends_forged_tokens_waits_and_what_is_known_to_be_genuine_does_not() {
    let signer = Signer::es256("main");
    let scene = start(&signer).await;
    let known = token(&signer, "known");
    let forged = tampered::signature(&token(&signer, "forged"));
    for number in 0..FORGERIES + 20 {
        assert_eq!(ask(&scene, HERE, &token(&signer, &number.to_string())).await.status, 101, "{number}");
    }
    assert_eq!(ask(&scene, HERE, &known).await.status, 101);
    let judged = exhaust(&scene, &forged).await;
    assert!(judged >= FORGERIES, "{judged}");
    assert_eq!(ask(&scene, HERE, &known).await.status, 101, "a token that was verified before");
    assert_eq!(ask(&scene, ELSEWHERE, &token(&signer, "elsewhere")).await.status, 101);
    assert_eq!(ask(&scene, ELSEWHERE, &forged).await.status, 401);

    // A share comes back every 600 ms, on a busy machine just before the next request.
    let mut in_band = None;
    for number in 0..20 {
        exhaust(&scene, &forged).await;
        let mut client = scene.open("/ws/message").await;
        let message = json!({"token": token(&signer, &format!("in band {number}"))}).to_string();
        client.send(Frame::text(&message).masked().bytes()).await;
        client.send(Frame::closing(1000, "").masked().bytes()).await;
        let close = client.close().await;
        if close.code() == Some(1013) {
            in_band = Some(close.reason());
            break;
        }
    }
    assert_eq!(in_band.as_deref(), Some("handshake_rate"), "a first message is judged all the same");
    let fresh = token(&signer, "fresh");
    let mut tries = 0..MOST;
    while ask(&scene, HERE, &fresh).await.status != 101 {
        assert!(tries.next().is_some(), "its share does not come back");
        // Retry-After asks for this pause.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
