//! Tokens in messages, which are treated like any other: revoked, used once, and judged by keys that are
//! fetched.

use std::time::Duration;

use postern_e2e::client::token::{edge_claims, jwks};
use postern_e2e::scene::document;
use postern_e2e::{Documents, Frame, RawClient, Request, RunningScene, Scene, Served, Signer, Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

const KEYS: &str = "/keys";
const LIST: &str = "/revoked.json";

/// Starts a scene with one policy for each demand on a token; all take the token from the first message.
async fn start(documents: &Documents) -> RunningScene {
    let main = json!({"issuer": "main", "audiences": ["chat"],
        "jwks": {"remote": {"cluster": "auth", "uri": "https://auth.example.com/keys", "timeout": "1s"}}});
    let edge = json!({"issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"}});
    let auth = |provider: &str| json!({"auth": {"providers": [provider], "from": [{"first_message": "/token"}], "refresh": "/token"}});
    let (mut revoked, mut once) = (auth("edge"), auth("edge"));
    revoked["auth"]["revocation"] = json!({"cluster": "auth", "path": LIST, "interval": "1s"});
    once["auth"]["single_use"] = json!(true);
    let policies = json!({"revoked": revoked, "once": once, "fetched": auth("main")});
    let scene = Scene::new().document(document(json!({"main": main, "edge": edge}), policies));
    scene.cluster("auth", documents.address()).workers(4).plaintext().beside_others().start().await
}

fn message(signer: &Signer, changes: Value) -> Vec<u8> {
    let mut claims = edge_claims("alice");
    claims.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    Frame::text(&json!({ "token": signer.mint(&claims) }).to_string()).masked().bytes()
}

/// Opens a socket and sends its first message.
async fn enter(scene: &RunningScene, path: &str, message: Vec<u8>) -> RawClient {
    let mut client = scene.open(path).await;
    client.send(message).await;
    client
}

/// Says whether the client is let in: its echo comes back; the error is the Close that comes instead.
async fn is_let_in(client: &mut RawClient) -> Result<(), Frame> {
    // An error is no matter: nobody reads after a Close.
    let _ = client.try_send(Frame::text("hello").masked().bytes()).await;
    match client.frame().await.expect("an echo or a Close") {
        frame if frame.is_close() => Err(frame),
        frame => {
            assert_eq!(frame, Frame::text("hello"));
            Ok(())
        }
    }
}

#[tokio::test]
async fn a_message_whose_token_is_revoked_lets_nobody_in_and_renews_nothing() {
    let documents = Documents::start().await;
    documents.serve(LIST, Served::Document(json!({"jti": ["gone"]})));
    documents.serve(KEYS, Served::Silence);
    let scene = start(&documents).await;
    let edge = Signer::edge();
    let closing = Frame::closing(3000, "token_revoked");
    let mut client = enter(&scene, "/ws/revoked", message(&edge, json!({"jti": "gone"}))).await;
    assert_eq!(is_let_in(&mut client).await, Err(closing.clone()));
    let mut client = enter(&scene, "/ws/revoked", message(&edge, json!({"jti": "good"}))).await;
    assert_eq!(is_let_in(&mut client).await, Ok(()));
    client.send(message(&edge, json!({"jti": "gone"}))).await;
    assert_eq!(client.frame().await, Ok(closing.clone()));

    // The list names the client by its last token: that of the first message no longer counts.
    let mut client = enter(&scene, "/ws/revoked", message(&edge, json!({"jti": "first"}))).await;
    assert_eq!(is_let_in(&mut client).await, Ok(()));
    client.send(message(&edge, json!({"jti": "second"}))).await;
    assert!(client.frame().await.expect("an answer").as_text().contains("token_accepted"));
    documents.serve(LIST, Served::Document(json!({"jti": ["first"]})));
    documents.hits_become(LIST, documents.hits(LIST) + 2).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(is_let_in(&mut client).await, Ok(()));
    documents.serve(LIST, Served::Document(json!({"jti": ["second"]})));
    assert_eq!(client.frame().await, Ok(closing));
    let labels = [("policy", "revoked"), ("reason", "token_revoked")];
    scene.common_envoy().stat_becomes("postern_closes", &labels, 3.0).await;
}

#[tokio::test]
async fn of_many_first_messages_with_one_token_one_is_let_in() {
    let documents = Documents::start().await;
    documents.serve(KEYS, Served::Silence);
    documents.serve(LIST, Served::Silence);
    let scene = start(&documents).await;
    let token = message(&Signer::edge(), json!({"jti": "ticket"}));
    let mut clients = Vec::new();
    for _ in 0..24 {
        clients.push(scene.open("/ws/once").await);
    }
    let mut entering = JoinSet::new();
    for mut client in clients {
        let token = token.clone();
        entering.spawn(async move {
            client.send(token).await;
            is_let_in(&mut client).await
        });
    }
    let outcomes = entering.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    let replayed = Err(Frame::closing(3000, "token_replayed"));
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == replayed).count(), 23, "{outcomes:?}");
    let mut nameless = enter(&scene, "/ws/once", message(&Signer::edge(), json!({}))).await;
    assert_eq!(is_let_in(&mut nameless).await, Err(Frame::closing(3000, "token_invalid")));
}

#[tokio::test]
async fn a_first_message_is_not_waited_for_before_there_are_keys_to_judge_it() {
    let documents = Documents::start().await;
    documents.serve(KEYS, Served::Silence);
    documents.serve(LIST, Served::Silence);
    let scene = start(&documents).await;
    let response = scene.ask(&Request::upgrade("/ws/fetched")).await;
    assert_eq!((response.status, response.reason().as_deref()), (503, Some("keys_unavailable")));
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    documents.serve(KEYS, Served::Document(jwks(&[&old])));
    documents.hits_become(KEYS, documents.hits(KEYS) + 1).await;
    let bearing = |signer: &Signer| message(signer, json!({"iss": "main"}));
    let mut client = enter(&scene, "/ws/fetched", bearing(&old)).await;
    assert_eq!(is_let_in(&mut client).await, Ok(()));
    // A key that is not known is no key right after a fetch, and is waited for later.
    documents.serve(KEYS, Served::Document(jwks(&[&old, &new])));
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let mut client = enter(&scene, "/ws/fetched", bearing(&new)).await;
        match is_let_in(&mut client).await {
            Ok(()) => return,
            Err(close) => assert_eq!(close, Frame::closing(3000, "token_invalid")),
        }
        assert!(tokio::time::Instant::now() < end, "the new key is never taken up");
        sleep(Duration::from_millis(250)).await;
    }
}
