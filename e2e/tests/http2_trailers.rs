//! Trailers behind a WebSocket over HTTP/2. RFC 8441 knows none; Envoy lets all go on with them that a filter holds.

use std::time::Duration;

use http::HeaderMap;
use postern_e2e::client::http2::{handshake, open, read};
use postern_e2e::client::token::edge_claims;
use postern_e2e::scene::document;
use postern_e2e::{
    Answer, Behaviour, ControlPair, Documents, Frame, RunningScene, Scene, Served, Shared, Signer, json,
};

const APP: &str = "https://app.example.com";

fn scene() -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let liveness = json!({"close_timeout": "1s"});
    let auth = json!({"providers": ["edge"], "from": [{"first_message": "/token"}], "refresh": "/token",
        "first_message_timeout": "1s"});
    let tokens = json!({"auth": auth, "liveness": liveness, "messages": {"max_message_bytes": 100}});
    let chat = json!({"liveness": liveness, "messages": {"max_message_bytes": 100}});
    Scene::new()
        .document(document(json!({"edge": edge}), json!({"chat": chat, "open": chat, "tokens": tokens})))
        .upstream("/ws/chat/declines", Behaviour::Answer(Answer::status(403, "no")))
        .upstream("/ws", Behaviour::Recorder)
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", "1".parse().expect("a value"));
    trailers
}

/// Sends a CONNECT, `bytes` and trailers, one behind the other and without waiting for anything. Returns the
/// reason in the access log; everything that gets through has come when its line is there.
async fn attack(scene: &RunningScene, path: &str, case: &str, bytes: &[u8]) -> Option<String> {
    let mut client = scene.connect_http2().await;
    let request = handshake(path, case).header("origin", APP).body(()).expect("a sound request");
    let (_response, mut stream) = client.send_request(request, false).expect("an open connection");
    if !bytes.is_empty() {
        stream.send_data(bytes.to_vec().into(), false).expect("an open stream");
    }
    stream.send_trailers(trailers()).expect("an open stream");
    let line = scene.access_line(case).await;
    line["reason"].as_str().map(str::to_owned)
}

/// Returns the bytes that got through to the service, but for a Close of Postern's own.
async fn got_through(scene: &RunningScene, case: &str) -> Vec<u8> {
    if !scene.upstream().has_seen(case) {
        return Vec::new();
    }
    let bytes = scene.upstream().record(case).await.bytes();
    let is_close = Frame::parse(&bytes).is_some_and(|(frame, len)| len == bytes.len() && frame.is_close());
    if is_close { Vec::new() } else { bytes }
}

#[tokio::test]
async fn nothing_that_is_held_goes_up_with_trailers() {
    let pair = PAIR.shared().await;
    let text = Frame::text("no token at all").masked().bytes();
    let cases = [
        ("a message before authentication", "/ws/tokens", text.clone()),
        ("a frame that is not masked", "/ws/chat", Frame::text("not masked").bytes()),
        ("a reserved opcode", "/ws/chat", [&[0x83][..], &text[1..]].concat()),
        ("more than a message may have", "/ws/chat", Frame::binary(vec![7; 16_000]).masked().bytes()),
        ("part of a text", "/ws/chat", text[..9].to_vec()),
        ("nothing", "/ws/chat", Vec::new()),
        (
            "a request, to a service that declines",
            "/ws/chat/declines",
            b"GET /admin HTTP/1.1\r\n\r\n".to_vec(),
        ),
    ];
    for (i, (name, path, bytes)) in cases.iter().enumerate() {
        let case = format!("trailers-{i}");
        let reason = attack(&pair.guarded, path, &case, bytes).await;
        assert_eq!(got_through(&pair.guarded, &case).await, b"", "{name}");
        let expected = ["protocol_error", "malformed_handshake"];
        let ended = reason.as_deref().is_some_and(|reason| expected.contains(&reason));
        assert!(ended || path.ends_with("declines"), "{name}: {reason:?}");
    }
    let bare = attack(&pair.bare, "/ws/tokens", "trailers-bare", &text);
    let record = async { pair.bare.upstream().record("trailers-bare").await.bytes_when(text.len()).await };
    let (_, got) = tokio::join!(tokio::time::timeout(Duration::from_secs(1), bare), record);
    assert_eq!(got, text, "without Postern");
}

/// Envoy reports the end of a stream that is upgraded neither to a filter nor to the service.
#[tokio::test]
async fn nothing_that_is_held_goes_up_when_a_client_ends_its_stream() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let text = Frame::text("no token at all").masked().bytes();
    for (case, bytes, reason) in
        [("ends", text, "token_missing"), ("ends-at-once", Vec::new(), "auth_timeout")]
    {
        let mut client = scene.connect_http2().await;
        let request = handshake("/ws/tokens", case).body(()).expect("a sound request");
        let (_response, mut stream) = client.send_request(request, false).expect("an open connection");
        stream.send_data(bytes.into(), true).expect("an open stream");
        assert_eq!(scene.access_line(case).await["reason"], reason, "{case}");
        assert_eq!(got_through(scene, case).await, b"", "{case}");
    }
}

#[tokio::test]
async fn an_open_connection_is_ended_by_trailers_and_the_client_is_told() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.connect_http2().await;
    let (response, mut stream) =
        open(&mut client, handshake("/ws/open", "trailers").header("origin", APP)).await;
    let hello = Frame::text("hello").masked().bytes();
    stream.send_data(hello.clone().into(), false).expect("an open stream");
    let record = scene.upstream().record("trailers").await;
    assert_eq!(record.bytes_when(hello.len()).await, hello);
    stream.send_trailers(trailers()).expect("an open stream");
    let close = Frame::closing(1002, "protocol_error").bytes();
    assert_eq!(read(&mut response.into_body(), close.len()).await, close);
    // Envoy has no callback in which a Close could go up where the stream was not paused before.
    record.ended().await;
    assert_eq!(record.messages(), [b"hello"]);
    assert_eq!(scene.access_line("trailers").await["reason"], "protocol_error");
    let labels = [("policy", "open"), ("reason", "protocol_error")];
    assert_eq!(scene.envoy().stats().await.sum("postern_closes", &labels), 1.0);
}

/// Envoy holds the frames behind such a message meanwhile.
#[tokio::test]
async fn what_follows_a_first_message_that_waits_for_its_key_does_not_go_up_with_trailers() {
    let (documents, old, new) = (Documents::start().await, Signer::es256("old"), Signer::es256("new"));
    let keys = |signers: &[&Signer]| Served::Document(postern_e2e::client::token::jwks(signers));
    documents.serve("/keys", keys(&[&old]));
    let main = json!({"issuer": "main", "audiences": ["chat"],
        "jwks": {"remote": {"cluster": "auth", "uri": "https://auth.example.com/keys", "timeout": "5s"}}});
    let chat = json!({"auth": {"providers": ["main"], "from": [{"first_message": "/token"}]}});
    let scene = Scene::new().document(document(json!({"main": main}), json!({"chat": chat})));
    let scene = scene.cluster("auth", documents.address()).start().await;
    documents.hits_become("/keys", 1).await;
    documents.serve("/keys", Served::Silence);
    // An unknown key is asked for ten seconds after the last fetch at the earliest.
    tokio::time::sleep(Duration::from_secs(10)).await;

    let mut client = scene.connect_http2().await;
    let (response, mut stream) =
        open(&mut client, handshake("/ws/chat", "behind").header("origin", APP)).await;
    assert_eq!(response.status(), 200);
    let mut claims = edge_claims("alice");
    claims["iss"] = json!("main");
    let first = Frame::text(&json!({"token": new.mint(&claims)}).to_string()).masked().bytes();
    let behind = Frame::text("behind it").masked().bytes();
    for piece in [first, behind] {
        stream.send_data(piece.into(), false).expect("an open stream");
    }
    documents.hits_become("/keys", 2).await;
    stream.send_trailers(trailers()).expect("an open stream");
    let record = scene.upstream().record("behind").await;
    let close = record.close().await;
    assert_eq!((close.code(), record.bytes()), (Some(1002), close.bytes()));
    assert_eq!(scene.access_line("behind").await["reason"], "protocol_error");
}
