//! WebSockets over HTTP/2 (RFC 8441): an extended CONNECT has no Sec-WebSocket-Key, and the upstream speaks HTTP/1.1,
//! which demands one.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail anywhere")]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use postern_e2e::deadline::{PATIENCE, within};
use postern_e2e::twins::document;
use postern_e2e::{Answer, Behaviour, Frame, RunningScene, Scene, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const APP: &str = "https://app.example.com";

fn scene() -> Scene {
    let chat = json!({"tls": "required", "origins": {"allow": [APP], "missing": "deny"}});
    let wrong = Answer::switching().without("Sec-WebSocket-Accept").header("Sec-WebSocket-Accept", "wrong");
    Scene::new()
        .document(document(json!({}), json!({"chat": chat})))
        .upstream("/ws/chat/wrong", Behaviour::Answer(wrong))
        .upstream("/ws/chat/declines", Behaviour::Answer(Answer::status(403, "no")))
}

/// A connection over TLS on which Envoy allows extended CONNECT.
async fn connect(scene: &RunningScene) -> SendRequest<Bytes> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(scene.certificate()).expect("Envoy's certificate");
    roots.add(certificate).expect("a sound certificate");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(("127.0.0.1", scene.port())).await.expect("Envoy's listener");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("TLS");
    let (client, connection) = h2::client::handshake(tls).await.expect("HTTP/2");
    tokio::spawn(connection);
    let ready = within(PATIENCE, "an HTTP/2 connection", client.ready()).await.expect("a connection");
    // Envoy's SETTINGS come with its first bytes, yet after the client's own.
    within(PATIENCE, "extended CONNECT to be allowed", async {
        while !ready.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    ready
}

/// A handshake as a browser makes it (RFC 8441 §5).
fn handshake(path: &str, case: &str) -> http::request::Builder {
    Request::builder()
        .method(Method::CONNECT)
        .uri(format!("https://localhost{path}"))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")
        .header("x-case", case)
}

async fn open(
    client: &mut SendRequest<Bytes>,
    request: http::request::Builder,
) -> (Response<RecvStream>, SendStream<Bytes>) {
    let request = request.body(()).expect("a sound request");
    let (response, stream) = client.send_request(request, false).expect("an open connection");
    (within(PATIENCE, "a response", response).await.expect("a response"), stream)
}

/// Reads `n` bytes.
async fn read(body: &mut RecvStream, n: usize) -> BytesMut {
    let mut bytes = BytesMut::new();
    while bytes.len() < n {
        let chunk = within(PATIENCE, "bytes of a WebSocket", body.data()).await.expect("more bytes");
        let chunk = chunk.expect("an open stream");
        body.flow_control().release_capacity(chunk.len()).expect("what has just been read");
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

#[tokio::test]
async fn an_extended_connect_is_upgraded_with_a_key_of_posterns_own_and_frames_pass_both_ways() {
    let scene = scene().start().await;
    let mut client = connect(&scene).await;
    let request = handshake("/ws/chat?room=1", "h2-echo").header("origin", APP);
    let (response, mut stream) = open(&mut client, request).await;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("sec-websocket-accept"), "a hash of a key nobody knows");

    let record = scene.upstream().record("h2-echo").await;
    assert_eq!((record.head.method.as_str(), record.head.target.as_str()), ("GET", "/ws/chat?room=1"));
    assert_eq!(record.header("sec-websocket-key").map(|key| key.len()), Some(24));
    assert_eq!(record.header("sec-websocket-extensions"), None);

    let (sent, echo) = (Frame::text("over HTTP/2").masked().bytes(), Frame::text("over HTTP/2").bytes());
    stream.send_data(sent.clone().into(), false).expect("an open stream");
    let mut body = response.into_body();
    assert_eq!(read(&mut body, echo.len()).await, echo);
    assert_eq!(record.bytes(), sent);

    // A frame that no client may send, unmasked.
    stream.send_data(Frame::text("bare").bytes().into(), false).expect("an open stream");
    let close = Frame::closing(1002, "protocol_error").bytes();
    assert_eq!(read(&mut body, close.len()).await, close);
    assert_eq!(record.close().await.code(), Some(1002));
    let line = scene.access_line("h2-echo").await;
    assert_eq!(line["reason"], "protocol_error");
}

#[tokio::test]
async fn two_sockets_of_one_connection_have_keys_of_their_own() {
    let scene = scene().start().await;
    let mut client = connect(&scene).await;
    let mut keys = Vec::new();
    for case in ["h2-one", "h2-two"] {
        let (response, _stream) = open(&mut client, handshake("/ws/chat", case).header("origin", APP)).await;
        assert_eq!(response.status(), 200);
        keys.push(scene.upstream().record(case).await.header("sec-websocket-key"));
    }
    assert_ne!(keys[0], keys[1]);
}

/// A key that the client sends is none of RFC 8441's, and is not the one that the accept is checked against.
#[tokio::test]
async fn a_key_in_an_extended_connect_does_not_go_up() {
    let scene = scene().start().await;
    let mut client = connect(&scene).await;
    let request = handshake("/ws/chat", "h2-key").header("origin", APP).header("sec-websocket-key", "chosen");
    let (response, _stream) = open(&mut client, request).await;
    assert_eq!(response.status(), 200);
    let key = scene.upstream().record("h2-key").await.header("sec-websocket-key");
    assert!(key.is_some_and(|key| key.len() == 24), "the client's own key went up");
}

#[tokio::test]
async fn a_refusal_is_a_problem_document_here_too_and_the_connection_serves_on() {
    let scene = scene().start().await;
    let mut client = connect(&scene).await;
    let cases = [
        (
            "h2-evil",
            403,
            "origin_denied",
            handshake("/ws/chat", "h2-evil").header("origin", "https://evil.example"),
        ),
        ("h2-none", 403, "origin_missing", handshake("/ws/chat", "h2-none")),
        ("h2-lost", 403, "no_policy", handshake("/elsewhere", "h2-lost").header("origin", APP)),
    ];
    for (case, status, reason, request) in cases {
        let (response, _stream) = open(&mut client, request).await;
        assert_eq!(response.status(), status, "{case}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{case}");
        let length = response.headers()["content-length"].to_str().expect("text").parse().expect("a length");
        let body = read(&mut response.into_body(), length).await;
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(problem["type"], format!("urn:postern:{reason}"), "{case}");
        assert_eq!(scene.access_line(case).await["reason"], reason, "{case}");
        assert!(!scene.upstream().has_seen(case), "{case}: the upstream was asked");
    }
    let (response, _stream) = open(&mut client, handshake("/ws/chat", "h2-good").header("origin", APP)).await;
    assert_eq!(response.status(), 200);

    let bare = Scene::new().bare().start().await;
    let mut client = connect(&bare).await;
    let evil = handshake("/ws/chat", "h2-evil").header("origin", "https://evil.example");
    let (response, _stream) = open(&mut client, evil).await;
    assert_eq!(response.status(), 200, "without Postern");
    assert!(bare.upstream().has_seen("h2-evil"));
}

#[tokio::test]
async fn an_upstream_that_declines_or_answers_wrongly_opens_nothing() {
    let scene = scene().start().await;
    let mut client = connect(&scene).await;
    for (path, status) in [("/ws/chat/declines", 403), ("/ws/chat/wrong", 502)] {
        let (response, _stream) = open(&mut client, handshake(path, path).header("origin", APP)).await;
        assert_eq!(response.status(), status, "{path}");
        assert!(scene.upstream().has_seen(path));
    }
}
