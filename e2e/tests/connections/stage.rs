//! The common parts of the tests of caps: who connects, and how long a place takes to come back.

use std::time::{Duration, Instant};

use postern_e2e::client::token::edge_claims;
use postern_e2e::{RawClient, Request, RunningScene, Signer, Value, json};
use tokio::time::sleep;

/// The time within which a place that was given back can be had: at once but for a machine that is busy, and
/// after a trap within the five seconds in which a lease ends.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The answer to a handshake that finds a cap full.
pub(crate) const FULL: (u16, Option<&str>) = (429, Some("connection_limit"));

/// Returns the `auth` of policies that take tokens of the provider `edge` from the header, or, without one, from
/// the first message.
pub(crate) fn auth() -> Value {
    json!({
        "providers": ["edge"], "from": [{"header": "authorization"}, {"first_message": "/token"}],
        "first_message_timeout": "1h",
    })
}

/// Returns the provider of those tokens.
pub(crate) fn providers() -> Value {
    json!({"edge": {
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"inline": postern_e2e::client::token::EDGE_SECRET},
    }})
}

/// Returns a handshake of this user's.
pub(crate) fn of_user(path: &str, user: &str) -> Request {
    Request::upgrade(path).header("Authorization", format!("Bearer {}", token(user)))
}

/// Returns a token of this user's.
pub(crate) fn token(user: &str) -> String {
    Signer::edge().mint(&edge_claims(user))
}

/// A handshake's client, if it was let in, and otherwise the answer.
pub(crate) async fn attempt(scene: &RunningScene, request: &Request) -> Result<RawClient, (u16, String)> {
    let mut client = scene.connect().await;
    let response = client.ask(request).await;
    match response.status {
        101 => Ok(client),
        status => Err((status, response.reason().unwrap_or_default())),
    }
}

/// Asserts that a handshake is refused, since a cap is full.
pub(crate) async fn assert_full(scene: &RunningScene, request: &Request, rule: &str) {
    let refused = attempt(scene, request).await.err();
    let told = refused.as_ref().map(|(status, reason)| (*status, Some(reason.as_str())));
    assert_eq!(told, Some(FULL), "{rule}");
}

/// Opens a socket as soon as there is a place for it.
pub(crate) async fn open_soon(scene: &RunningScene, request: impl Fn() -> Request, what: &str) -> RawClient {
    let begun = Instant::now();
    loop {
        match attempt(scene, &request()).await {
            Ok(client) => return client,
            Err((429, reason)) if reason == "connection_limit" => {}
            // The VM of a worker that has trapped is started anew a little later.
            Err((503, _)) => {}
            Err(answer) => panic!("{what}: {answer:?}"),
        }
        assert!(begun.elapsed() < SOON, "{what}: no place was given back");
        sleep(Duration::from_millis(20)).await;
    }
}
