//! `rates` that count refusals: who is refused too often is let in no more, until the bucket fills again.

use futures_util::future::join_all;
use postern_e2e::client::token::edge_claims;
use postern_e2e::scene::document;
use postern_e2e::{Frame, Request, Response, RunningScene, Scene, Shared, Signer, Value, json};

use crate::stage::{attempt, auth, of_user, providers};

/// The number of refusals that an address or a user may have.
const N: usize = 4;

/// The kinds of handshakes that count, each under a policy of its own: what is wrong, and the answer.
fn spoilt() -> Vec<(&'static str, Request, u16)> {
    let request =
        |name: &str| Request::upgrade(&format!("/ws/{name}")).header("Origin", "https://app.example.com");
    let bearing = |name: &str, token: &str| request(name).header("Authorization", format!("Bearer {token}"));
    let denied = Signer::edge().mint(&edge_claims("mallory"));
    vec![
        ("malformed_handshake", request("malformed_handshake").set("Sec-WebSocket-Key", "short"), 400),
        ("version_unsupported", request("version_unsupported").set("Sec-WebSocket-Version", "8"), 426),
        (
            "origin_denied",
            Request::upgrade("/ws/origin_denied").header("Origin", "https://evil.example"),
            403,
        ),
        ("origin_missing", Request::upgrade("/ws/origin_missing"), 403),
        ("subprotocol_denied", request("subprotocol_denied").header("Sec-WebSocket-Protocol", "ssh"), 403),
        ("token_missing", request("token_missing"), 401),
        ("token_invalid", bearing("token_invalid", "no.token.x"), 401),
        ("claims_denied", bearing("claims_denied", &denied), 403),
        ("csrf_missing", bearing("csrf_missing", &denied), 403),
    ]
}

/// The kinds of messages that count, each under a policy of its own.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("protocol_error", Frame::text("unmasked").bytes()),
        ("type_denied", Frame::binary("binary").masked().bytes()),
        ("invalid_utf8", Frame::new(1, [0xff]).masked().bytes()),
        ("frame_too_big", Frame::text(&"a".repeat(101)).masked().bytes()),
        ("schema_violation", Frame::text("no JSON").masked().bytes()),
        ("message_rate", [Frame::text("{}").masked().bytes(), Frame::text("{}").masked().bytes()].concat()),
    ]
}

fn scene() -> Scene {
    let refusals = |per: &str| json!({"count": "refusals", "per": per, "limit": N, "window": "1h"});
    let origins = json!({"allow": ["https://app.example.com"], "missing": "deny"});
    let header = json!({"providers": ["edge"], "from": [{"header": "authorization"}]});
    let mut policies = json!({});
    for (name, _, _) in spoilt() {
        let mut auth = header.clone();
        let mut policy =
            json!({"origins": origins, "rates": [refusals("ip")], "subprotocols": {"allow": ["chat"]}});
        match name {
            "claims_denied" => auth["require"] = json!([{"claim": "sub", "one_of": ["alice"]}]),
            "csrf_missing" => {
                policy["csrf"] = json!({
                    "secret": {"inline": "a secret for CSRF of the tests, 32 bytes and more"},
                    "session_cookie": "sid", "from": {"query": "csrf"},
                });
            }
            _ => {}
        }
        if matches!(name, "claims_denied" | "csrf_missing") || name.starts_with("token") {
            policy["auth"] = auth;
        }
        policies[name] = policy;
    }
    for (name, _) in hostile() {
        policies[name] = json!({
            "messages": {"types": ["text"], "max_frame_bytes": 100, "schema": {"type": "object"}},
            "rates": [refusals("ip"), {"count": "messages", "per": "connection", "limit": 1, "window": "1h"}],
        });
    }
    policies["user"] = json!({
        "auth": {"providers": ["edge"], "from": [{"header": "authorization"}],
            "require": [{"claim": "role", "one_of": ["member"]}]},
        "rates": [refusals("user")],
    });
    policies["first"] = json!({"auth": auth(), "rates": [refusals("ip"), refusals("user")]});
    policies["rush"] = json!({"auth": header, "rates": [refusals("ip")]});
    policies["other"] = json!({
        "tls": "required", "connections": {"per_ip": 1}, "rates": [
            refusals("ip"), {"count": "handshakes", "per": "ip", "limit": 20, "window": "1h"},
        ],
    });
    policies["ends"] = json!({
        "rates": [refusals("ip")], "connections": {"per_ip": 1},
        "liveness": {"ping_interval": "none", "idle_timeout": "1s"},
    });
    policies["again"] = json!({
        "auth": header, "rates": [{"count": "refusals", "per": "ip", "limit": 1, "window": "2s"}],
    });
    Scene::new().document(document(providers(), policies)).workers(4).plaintext().beside_others()
}

static SCENE: Shared<RunningScene> = Shared::new(scene);

fn told(response: &Response) -> (u16, Option<String>) {
    (response.status, response.reason())
}

fn locked_out() -> (u16, Option<String>) {
    (429, Some("refusal_rate".to_owned()))
}

async fn ask_from(scene: &RunningScene, address: [u8; 4], request: &Request) -> Response {
    scene.connect_from(address).await.ask(request).await
}

/// Returns a handshake with nothing wrong.
fn sound(name: &str) -> Request {
    of_user(&format!("/ws/{name}"), "alice").header("Origin", "https://app.example.com")
}

#[tokio::test]
async fn every_kind_of_handshake_that_is_refused_takes_one_and_then_nothing_is_said_of_what_was_wrong() {
    let scene = SCENE.shared().await;
    for (name, request, status) in spoilt() {
        for i in 0..N {
            let case = request.clone().set("x-case", format!("{name}-{i}"));
            assert_eq!(told(&scene.ask(&case).await), (status, Some(name.to_owned())), "{i}");
        }
        for request in [&request, &sound(name)] {
            let response = scene.ask(request).await;
            assert_eq!(told(&response), locked_out(), "{name}");
            assert!(response.header("retry-after").is_some_and(|wait| wait.parse() != Ok(0_u32)), "{name}");
        }
        let elsewhere = ask_from(&scene, [127, 0, 0, 9], &request.clone().set("x-case", name)).await;
        assert_eq!(told(&elsewhere), (status, Some(name.to_owned())), "another address is not concerned");
    }
}

#[tokio::test]
async fn every_connection_that_ends_for_what_its_client_sent_takes_one() {
    let scene = SCENE.shared().await;
    for (name, bytes) in hostile() {
        for i in 0..N {
            let mut client = scene.open(&format!("/ws/{name}")).await;
            client.send(&bytes).await;
            let (frames, _) = client.frames_to_close().await;
            assert_eq!(frames.last().map(Frame::reason).as_deref(), Some(name), "{i}");
        }
        let refused = scene.ask(&Request::upgrade(&format!("/ws/{name}"))).await;
        assert_eq!(told(&refused), locked_out(), "{name}");
    }
}

#[tokio::test]
async fn of_many_attempts_at_once_no_more_are_answered_than_there_are_tokens() {
    let scene = SCENE.shared().await;
    let attempts = (0..60).map(|i| {
        let request = Request::upgrade("/ws/rush").header("Authorization", format!("Bearer guess.{i}.x"));
        let scene = &scene;
        async move { told(&scene.ask(&request).await) }
    });
    let answers = join_all(attempts).await;
    let count = |answer: (u16, Option<String>)| answers.iter().filter(|told| **told == answer).count();
    assert_eq!(count((401, Some("token_invalid".to_owned()))), N);
    assert_eq!(count(locked_out()), 60 - N);
}

#[tokio::test]
async fn a_user_is_locked_out_wherever_he_comes_from_and_nobody_else_is() {
    let scene = SCENE.shared().await;
    let bearing = |subject: &str, role: &str| {
        let mut claims = edge_claims(subject);
        claims["role"] = json!(role);
        Request::upgrade("/ws/user")
            .header("Authorization", format!("Bearer {}", Signer::edge().mint(&claims)))
    };
    for i in 0..N {
        let address = [127, 0, 1, u8::try_from(i).expect("few") + 1];
        let answer = ask_from(&scene, address, &bearing("mallory", "guest")).await;
        assert_eq!(told(&answer), (403, Some("claims_denied".to_owned())));
    }
    for role in ["guest", "member"] {
        assert_eq!(told(&scene.ask(&bearing("mallory", role)).await), locked_out(), "{role}");
    }
    assert_eq!(scene.ask(&bearing("alice", "member")).await.status, 101);
}

#[tokio::test]
async fn tokens_of_first_messages_count_for_address_and_user() {
    let scene = SCENE.shared().await;
    for _ in 0..N {
        let mut client = scene.open("/ws/first").await;
        client.send(Frame::text(r#"{"token":"no.token.x"}"#).masked().bytes()).await;
        assert_eq!(client.close().await.reason(), "token_invalid");
    }
    assert_eq!(
        attempt(&scene, &Request::upgrade("/ws/first")).await.err(),
        Some((429, "refusal_rate".to_owned()))
    );
}

#[tokio::test]
async fn what_is_no_doing_of_the_clients_takes_none() {
    let scene = SCENE.shared().await;
    // Not over TLS, and a place too many.
    for _ in 0..2 * N {
        let refused = scene.ask(&Request::upgrade("/ws/other")).await;
        assert_eq!(told(&refused), (403, Some("tls_required".to_owned())));
    }
    for _ in 0..2 * N {
        let mut client = crate::stage::open_soon(&scene, || Request::upgrade("/ws/ends"), "idle").await;
        let full = scene.ask(&Request::upgrade("/ws/ends")).await;
        assert!(matches!(full.status, 101 | 429), "{full:?}");
        if full.status == 429 {
            assert_eq!(full.reason().as_deref(), Some("connection_limit"));
        }
        client.send(Frame::closing(1000, "").masked().bytes()).await;
        let _ = client.rest().await;
    }
    let mut idle = crate::stage::open_soon(&scene, || Request::upgrade("/ws/ends"), "idle").await;
    assert_eq!(idle.close().await.reason(), "idle_timeout");
    let _in = crate::stage::open_soon(&scene, || Request::upgrade("/ws/ends"), "idle").await;
}

#[tokio::test]
async fn once_the_bucket_has_filled_again_the_address_is_let_in() {
    let scene = SCENE.shared().await;
    let bad: Request = Request::upgrade("/ws/again").header("Authorization", "Bearer no.token.x");
    assert_eq!(scene.ask(&bad).await.status, 401);
    let refused = scene.ask(&sound("again")).await;
    if refused.status == 101 {
        return; // Two seconds have passed since, on a machine that busy.
    }
    let wait: Value = json!(refused.header("retry-after"));
    assert!(matches!(wait.as_str(), Some("1" | "2")), "{wait}");
    let begun = std::time::Instant::now();
    while scene.ask(&sound("again")).await.status != 101 {
        assert!(begun.elapsed() < crate::stage::SOON);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
