//! Protocols whose service speaks first, or wants the first message too: its greeting reaches a client that
//! is not authenticated yet, and the client's first message goes up as it came, once the client is
//! authenticated.

use std::time::Duration;

use postern_e2e::client::token::{edge_claims, jwks};
use postern_e2e::scene::document;
use postern_e2e::{Behaviour, Documents, Frame, RunningScene, Scene, Served, Shared, Signer, json};

fn greeting() -> Vec<Frame> {
    vec![
        Frame::text(r#"0{"sid":"0a1b","pingInterval":25000}"#),
        Frame::binary(vec![7; 20_000]),
        Frame::text("behind much"),
    ]
}

fn scene() -> Scene {
    let provider = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let place = json!({"pointer": "/token", "prefix": "40", "greeting": true});
    let auth = json!({
        "providers": ["edge"], "from": [{"first_message": place}], "keep_token": true,
        "max_unauthenticated_bytes": "32KiB", "first_message_timeout": "30s",
    });
    let mut late = auth.clone();
    late["first_message_timeout"] = json!("2s");
    let greets: Vec<_> = greeting().iter().map(Frame::bytes).collect();
    let floods = vec![Frame::binary(vec![7; 30_000]).bytes(), Frame::binary(vec![7; 30_000]).bytes()];
    Scene::new()
        .document(document(
            json!({"edge": provider}),
            json!({"first": {"auth": auth}, "late": {"auth": late}}),
        ))
        .upstream("/ws/first/greets", Behaviour::Chatty(greets.clone()))
        .upstream("/ws/late/greets", Behaviour::Chatty(greets))
        .upstream("/ws/first/floods", Behaviour::Chatty(floods))
}

static SCENE: Shared<RunningScene> = Shared::new(scene);

fn first(token: &str) -> Frame {
    Frame::text(&format!("40{}", json!({ "token": token })))
}

fn good() -> Frame {
    first(&Signer::edge().mint(&edge_claims("alice")))
}

#[tokio::test]
async fn a_service_that_speaks_first_is_heard_and_then_hears_the_first_message_as_it_came() {
    let scene = SCENE.shared().await;
    for size in [1, 7, 1000] {
        let mut client = scene.open("/ws/first/greets").await;
        for frame in greeting() {
            assert_eq!(client.frame().await, Ok(frame));
        }
        let (good, behind) = (good(), Frame::text("behind"));
        client
            .send_in_pieces_of(
                size,
                &[good.clone().masked().bytes(), behind.clone().masked().bytes()].concat(),
            )
            .await;
        assert_eq!(client.frame().await, Ok(good), "the service has it and answers, in pieces of {size}");
        assert_eq!(client.frame().await, Ok(behind));
    }
}

#[tokio::test]
async fn nothing_goes_up_of_a_client_without_a_token_however_it_was_greeted() {
    let scene = SCENE.shared().await;
    let cases = [
        ("no token", Frame::text("40{}"), 3000, "token_missing"),
        ("without the prefix", Frame::text(&json!({"token": "x"}).to_string()), 3000, "token_missing"),
        ("nonsense", first("nonsense"), 3000, "token_invalid"),
    ];
    for (name, message, code, reason) in cases {
        let mut client = scene.open("/ws/first/greets").await;
        for frame in greeting() {
            assert_eq!(client.frame().await, Ok(frame), "{name}");
        }
        let behind = Frame::text("behind").masked().bytes();
        client.send([message.masked().bytes(), behind].concat()).await;
        assert_eq!(client.frame().await, Ok(Frame::closing(code, reason)), "{name}");
        client.send(Frame::closing(1000, "").masked().bytes()).await;
        let record = scene.record(&client).await;
        let close = record.close().await;
        assert_eq!((close.code(), close.reason()), (Some(code), reason.to_owned()), "{name}");
        assert_eq!(record.frames().len(), 1, "{name}: nothing but the Close went up");
    }
}

#[tokio::test]
async fn a_greeting_is_bounded_by_bytes_and_by_time() {
    let scene = SCENE.shared().await;
    let mut client = scene.open("/ws/first/floods").await;
    assert_eq!(client.frame().await, Ok(Frame::binary(vec![7; 30_000])), "it is within the limit");
    assert_eq!(client.frame().await, Ok(Frame::closing(1009, "message_too_big")));
    let mut client = scene.open("/ws/late/greets").await;
    for frame in greeting() {
        assert_eq!(client.frame().await, Ok(frame));
    }
    let timeout = Duration::from_secs(10);
    assert_eq!(client.frame_within(timeout).await, Ok(Frame::closing(3008, "auth_timeout")));
}

#[tokio::test]
async fn a_first_message_that_waits_for_its_key_goes_up_though_the_service_speaks_meanwhile() {
    let (documents, old, new) = (Documents::start().await, Signer::es256("old"), Signer::es256("new"));
    documents.serve("/keys", Served::Document(jwks(&[&old])));
    let main = json!({
        "issuer": "main", "audiences": ["chat"],
        "jwks": {"remote": {"cluster": "auth", "uri": "https://auth.example.com/keys", "timeout": "10s"}},
    });
    let place = json!({"pointer": "/token", "greeting": true});
    let auth =
        json!({"providers": ["main"], "from": [{"first_message": place}], "first_message_timeout": "30s"});
    let scene = Scene::new().document(document(json!({"main": main}), json!({"chat": {"auth": auth}})));
    let scene = scene.cluster("auth", documents.address()).plaintext().start().await;
    documents.hits_become("/keys", 1).await;
    let held = documents.serve_held("/keys", Served::Document(jwks(&[&old, &new])));
    // An unknown key is asked for ten seconds after the last fetch at the earliest.
    tokio::time::sleep(Duration::from_secs(10)).await;

    let mut client = scene.open("/ws/chat").await;
    let record = scene.record(&client).await;
    let mut claims = edge_claims("alice");
    claims["iss"] = json!("main");
    let first = Frame::text(&json!({"token": new.mint(&claims)}).to_string()).masked().bytes();
    let behind = Frame::text("behind").masked().bytes();
    client.send([first, behind.clone()].concat()).await;
    documents.hits_become("/keys", 2).await;
    for news in ["one", "two"] {
        record.send(Frame::text(news).bytes());
        assert_eq!(client.frame().await, Ok(Frame::text(news)));
    }
    held.release();
    assert_eq!(client.frame().await, Ok(Frame::text("behind")), "what came behind the token is answered");
    assert_eq!(record.bytes(), behind);
}
