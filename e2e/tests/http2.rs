//! WebSockets over HTTP/2 (RFC 8441): an extended CONNECT has no Sec-WebSocket-Key, and the upstream speaks HTTP/1.1,
//! which demands one.

use std::time::Duration;

use postern_e2e::assert::Refusal;
use postern_e2e::client::csrf::{CSRF_SECRET, mint};
use postern_e2e::client::http2::{handshake, open, read};
use postern_e2e::client::token::{edge_claims, jwks, now};
use postern_e2e::deadline::{PATIENCE, within};
use postern_e2e::http::Headers;
use postern_e2e::scene::document;
use postern_e2e::{
    Answer, Behaviour, ControlPair, Documents, Frame, RunningScene, Scene, Served, Shared, Signer, json,
};

const APP: &str = "https://app.example.com";

fn scene() -> Scene {
    let chat = json!({"tls": "required", "origins": {"allow": [APP], "missing": "deny"},
        "liveness": {"close_timeout": "500ms"}});
    let beats = json!({"tls": "required", "origins": {"allow": [APP], "missing": "deny"},
        "liveness": {"idle_timeout": "10s", "ping_interval": "1s", "pong_timeout": "2s"}});
    let wrong = Answer::switching().without("Sec-WebSocket-Accept").header("Sec-WebSocket-Accept", "wrong");
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let tokens = json!({"auth": {
        "providers": ["edge"], "from": [{"first_message": "/token"}], "refresh": "/token",
    }});
    let greeting = vec![Frame::text("welcome").bytes()];
    Scene::new()
        .document(document(json!({"edge": edge}), json!({"chat": chat, "beats": beats, "tokens": tokens})))
        .upstream("/ws/tokens", Behaviour::Chatty(greeting))
        .upstream("/ws/chat/silent", Behaviour::Silent)
        .upstream("/ws/chat/wrong", Behaviour::Answer(wrong))
        .upstream("/ws/chat/declines", Behaviour::Answer(Answer::status(403, "no")))
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

/// Makes one handshake on a connection of its own, from a page of `origin` if there is one. Returns the
/// response, and its body where no WebSocket was opened.
async fn ask(scene: &RunningScene, path: &str, case: &str, origin: Option<&str>) -> postern_e2e::Response {
    let mut client = scene.connect_http2().await;
    let request = handshake(path, case);
    let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
    let (response, _stream) = open(&mut client, request).await;
    let (head, mut body) = response.into_parts();
    let fields = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let headers = Headers(fields.collect());
    let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let body = read(&mut body, length).await.to_vec();
    postern_e2e::Response { status: head.status.as_u16(), headers, body }
}

#[tokio::test]
async fn an_extended_connect_is_upgraded_with_a_key_of_posterns_own_and_frames_pass_both_ways() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.connect_http2().await;
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
}

/// Envoy hands on an authority of HTTP/2 as it is, without a Host field beside it; an authority with a user
/// it never takes.
#[tokio::test]
async fn what_is_no_host_opens_no_socket_over_http2_either() {
    let pair = ControlPair::start(|| {
        let admin = json!({"origins": {"allow": [APP], "missing": "deny"}});
        let mut whole = document(json!({}), json!({"admin": admin, "weak": {}}));
        whole["routes"] = json!([{"match": {"host": "admin.example.com"}, "policy": "admin"}]);
        whole["default_policy"] = json!("weak");
        Scene::new().document(whole)
    })
    .await;
    let at = |authority: &str, case: &str| handshake("/ws/x", case).uri(format!("https://{authority}/ws/x"));
    let ask_at = async |scene: &RunningScene, authority: &str, case: &str, host: Option<&str>| {
        let mut client = scene.connect_http2().await;
        let request =
            host.into_iter().fold(at(authority, case), |request, host| request.header("host", host));
        let (response, _stream) = open(&mut client, request).await;
        let (head, mut body) = response.into_parts();
        let fields = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let headers = Headers(fields.collect());
        let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
        let body = read(&mut body, length).await.to_vec();
        postern_e2e::Response { status: head.status.as_u16(), headers, body }
    };
    for scene in [&pair.guarded, &pair.bare] {
        let request = at("user@admin.example.com", "h2-user").body(()).expect("a sound request");
        let (response, _stream) =
            scene.connect_http2().await.send_request(request, false).expect("a connection");
        within(PATIENCE, "the end of the connection", response).await.expect_err("no response");
    }
    for (authority, case) in [("admin.example.com..", "h2-dots"), ("admin..example.com", "h2-label")] {
        let (status, reason) = (400, "malformed_handshake");
        let refusal = Refusal { name: authority, case, policy: "none", status, reason, without: 200 };
        pair.assert_refused_by(&refusal, async |scene| ask_at(scene, authority, case, None).await).await;
    }
    for (authority, host, case) in
        [("ADMIN.example.com", None, "h2-case"), ("admin.example.com", Some("a.example.com"), "h2-beside")]
    {
        let answer = ask_at(&pair.guarded, authority, case, host).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("origin_missing")), "{case}");
    }
    let answer = ask_at(&pair.guarded, "a.example.com", "h2-other", Some("admin.example.com")).await;
    assert_eq!(answer.status, 200);
    let record = pair.guarded.upstream().record("h2-other").await;
    assert_eq!(record.head.headers.all("host"), ["a.example.com"]);
}

/// A browser may send each cookie in a field of its own over HTTP/2 (RFC 9113 §8.2.3).
#[tokio::test]
async fn a_csrf_token_is_demanded_and_taken_out_over_http_2_too() {
    let csrf = json!({
        "secret": {"env": "POSTERN_CSRF_SECRET"}, "session_cookie": "sid", "from": {"query": "csrf_token"},
    });
    let policy = json!({"origins": {"allow": [APP]}, "tls": "required", "csrf": csrf});
    let scene = Scene::new().policy(policy).env("POSTERN_CSRF_SECRET", CSRF_SECRET).start().await;
    let good = mint(CSRF_SECRET, "abc", now());
    let path = format!("/ws/chat?room=1&csrf_token={good}");
    let cases = [
        ("h2-csrf", path.as_str(), 200),
        ("h2-csrf-missing", "/ws/chat?room=1", 403),
        ("h2-csrf-forged", "/ws/chat?room=1&csrf_token=1800000000.x", 403),
    ];
    for (case, path, status) in cases {
        let mut client = scene.connect_http2().await;
        let request =
            handshake(path, case).header("origin", APP).header("cookie", "a=1").header("cookie", "sid=abc");
        let (response, _stream) = open(&mut client, request).await;
        assert_eq!(response.status(), status, "{case}");
        assert_eq!(scene.upstream().has_seen(case), status == 200, "{case}");
    }
    let record = scene.upstream().record("h2-csrf").await;
    assert_eq!(record.head.target, "/ws/chat?room=1");
    assert_eq!(record.header("cookie").as_deref(), Some("a=1; sid=abc"));
}

#[tokio::test]
async fn a_silent_client_over_http_2_is_asked_and_told_too() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.connect_http2().await;
    let request = handshake("/ws/beats", "h2-beats").header("origin", APP);
    let (response, mut stream) = open(&mut client, request).await;
    let mut body = response.into_body();
    let record = scene.upstream().record("h2-beats").await;
    for beat in 0..3 {
        let ping = read(&mut body, 18).await;
        let (ping, _) = Frame::parse(&ping).expect("a frame");
        assert!(ping.is_heartbeat(), "{ping:?}");
        let pong = Frame::pong(ping.payload).masked().bytes();
        stream.send_data(pong.into(), false).expect("an open stream");
        let (sent, echo) = (Frame::text("still").masked().bytes(), Frame::text("still").bytes());
        stream.send_data(sent.clone().into(), false).expect("an open stream");
        assert_eq!(read(&mut body, echo.len()).await, echo, "beat {beat}");
    }
    assert_eq!(record.bytes(), Frame::text("still").masked().bytes().repeat(3));
    // The last Ping is not answered.
    let close = Frame::closing(3008, "pong_timeout").bytes();
    let received = read(&mut body, 18 + close.len()).await;
    assert_eq!(received[18..], close);
    assert_eq!(scene.access_line("h2-beats").await["reason"], "pong_timeout");
}

#[tokio::test]
async fn a_frame_that_no_client_may_send_ends_a_socket_over_http_2_too() {
    let pair = PAIR.alone().await;
    let labels = [("policy", "chat"), ("reason", "protocol_error")];
    let closes = pair.guarded.envoy().growth("postern_closes", &labels).await;
    let good = Frame::text("good").masked().bytes();
    let attack = [good.clone(), Frame::text("not masked").bytes()].concat();
    let sockets = [&pair.guarded, &pair.bare].map(async |scene| {
        let mut client = scene.connect_http2().await;
        let request = handshake("/ws/chat/silent", "h2-frame").header("origin", APP);
        let (response, mut stream) = open(&mut client, request).await;
        assert_eq!(response.status(), 200);
        stream.send_data(attack.clone().into(), false).expect("an open stream");
        (response.into_body(), stream, scene.upstream().record("h2-frame").await)
    });
    let [guarded, bare] = sockets;

    let (mut body, _stream, record) = guarded.await;
    let close = Frame::closing(1002, "protocol_error").bytes();
    assert_eq!(read(&mut body, close.len()).await, close);
    let close = record.close().await;
    assert_eq!((close.code(), close.reason()), (Some(1002), "protocol_error".to_owned()));
    assert_eq!(record.bytes(), [good, close.bytes()].concat());
    assert_eq!(pair.guarded.access_line("h2-frame").await["reason"], "protocol_error");
    assert_eq!(closes.so_far().await, 1.0);

    let (_body, _stream, record) = bare.await;
    assert_eq!(record.bytes_when(attack.len()).await, attack, "without Postern");
}

#[tokio::test]
async fn two_sockets_of_one_connection_have_keys_of_their_own() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.connect_http2().await;
    let mut keys = Vec::new();
    for case in ["h2-one", "h2-two"] {
        let (response, _stream) = open(&mut client, handshake("/ws/chat", case).header("origin", APP)).await;
        assert_eq!(response.status(), 200);
        keys.push(scene.upstream().record(case).await.header("sec-websocket-key"));
    }
    assert_ne!(keys[0], keys[1]);
}

/// RFC 8441 has no key: one that the client sends does not go up, and the accept is not checked against it.
#[tokio::test]
async fn a_key_in_an_extended_connect_does_not_go_up() {
    let pair = PAIR.alone().await;
    for (scene, sent) in [(&pair.guarded, None), (&pair.bare, Some("chosen"))] {
        let mut client = scene.connect_http2().await;
        let request =
            handshake("/ws/chat", "h2-key").header("origin", APP).header("sec-websocket-key", "chosen");
        let (response, _stream) = open(&mut client, request).await;
        assert_eq!(response.status(), 200);
        let key = scene.upstream().record("h2-key").await.header("sec-websocket-key").expect("a key");
        match sent {
            Some(sent) => assert_eq!(key, sent, "without Postern"),
            None => assert_eq!(key.len(), 24, "the client's own key went up"),
        }
    }
}

#[tokio::test]
async fn an_extended_connect_is_refused_as_any_handshake_is() {
    let pair = PAIR.alone().await;
    let evil = Some("https://evil.example");
    let cases = [
        ("h2-evil", "/ws/chat", evil, ("chat", 403, "origin_denied")),
        ("h2-none", "/ws/chat", None, ("chat", 403, "origin_missing")),
        ("h2-lost", "/elsewhere", Some(APP), ("none", 403, "no_policy")),
        ("h2-wrong", "/ws/chat/wrong", Some(APP), ("chat", 502, "upstream_handshake_invalid")),
    ];
    for (case, path, origin, (policy, status, reason)) in cases {
        let refusal = Refusal { name: case, case, policy, status, reason, without: 200 };
        pair.assert_refused_by(&refusal, async |scene| ask(scene, path, case, origin).await).await;
    }
}

#[tokio::test]
async fn a_connection_serves_on_behind_a_refusal() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.connect_http2().await;
    for (case, origin, status) in [("h2-before", "https://evil.example", 403), ("h2-behind", APP, 200)] {
        let (response, _stream) =
            open(&mut client, handshake("/ws/chat", case).header("origin", origin)).await;
        assert_eq!(response.status(), status, "{case}");
    }
}

#[tokio::test]
async fn an_upstream_that_declines_opens_nothing() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let response = ask(scene, "/ws/chat/declines", "h2-declined", Some(APP)).await;
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    assert!(scene.upstream().has_seen("h2-declined"));
    assert_eq!(scene.access_line("h2-declined").await["reason"], json!(null));
}

#[tokio::test]
async fn a_first_message_and_a_refresh_work_over_http_2_too() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.connect_http2().await;
    let (response, mut stream) = open(&mut client, handshake("/ws/tokens", "h2-tokens")).await;
    let mut body = response.into_body();
    let record = scene.upstream().record("h2-tokens").await;
    let token = json!({"token": Signer::edge().mint(&edge_claims("alice"))}).to_string();
    let token = Frame::text(&token).masked().bytes();
    stream.send_data(token.clone().into(), false).expect("an open stream");
    let welcome = Frame::text("welcome").bytes();
    assert_eq!(read(&mut body, welcome.len()).await, welcome);
    stream.send_data(token.into(), false).expect("an open stream");
    let begins = [&[0x81, 46][..], br#"{"postern":"token_accepted","expires_in":"#].concat();
    assert_eq!(read(&mut body, begins.len()).await[2..begins.len()], begins[2..]);
    let bye = Frame::closing(1000, "").masked().bytes();
    stream.send_data(bye.clone().into(), false).expect("an open stream");
    assert_eq!(record.bytes_when(bye.len()).await, bye, "no token went up");
}

/// Starts a scene with tokens by keys that are fetched.
async fn fetching(documents: &Documents) -> RunningScene {
    let main = json!({"issuer": "main", "audiences": ["chat"],
        "jwks": {"remote": {"cluster": "auth", "uri": "https://auth.example.com/keys", "timeout": "2s"}}});
    let chat = json!({"tls": "required", "origins": {"allow": [APP], "missing": "deny"},
        "auth": {"providers": ["main"], "from": [{"header": "authorization"}, {"first_message": "/token"}]}});
    let scene = Scene::new().document(document(json!({"main": main}), json!({"chat": chat})));
    scene.cluster("auth", documents.address()).workers(2).beside_others().start().await
}

fn minted(signer: &Signer) -> String {
    let mut claims = edge_claims("alice");
    claims["iss"] = json!("main");
    signer.mint(&claims)
}

#[tokio::test]
async fn a_handshake_that_waits_for_keys_is_held_like_any_other() {
    let (documents, signer) = (Documents::start().await, Signer::es256("a"));
    documents.serve("/keys", Served::Silence);
    let scene = fetching(&documents).await;
    let token = format!("Bearer {}", minted(&signer));
    let bearing =
        |case: &str| handshake("/ws/chat", case).header("origin", APP).header("authorization", &token);
    let mut client = scene.connect_http2().await;
    let (response, _stream) = open(&mut client, bearing("h2-keyless")).await;
    assert_eq!(response.status(), 503);
    assert!(!scene.upstream().has_seen("h2-keyless"));

    let held = documents.serve_held("/keys", Served::Document(jwks(&[&signer])));
    documents.hits_become("/keys", documents.hits("/keys") + 1).await;
    let ((response, mut stream), ()) = tokio::join!(open(&mut client, bearing("h2-waits")), async {
        // The pause is long enough for the handshake to wait; one that comes later is let in as well.
        tokio::time::sleep(Duration::from_millis(300)).await;
        held.release();
    });
    assert_eq!(response.status(), 200);
    let (sent, echo) = (Frame::text("worth it").masked().bytes(), Frame::text("worth it").bytes());
    stream.send_data(sent.into(), false).expect("an open stream");
    assert_eq!(read(&mut response.into_body(), echo.len()).await, echo);
    assert_eq!(scene.upstream().record("h2-waits").await.header("authorization"), None);
}

#[tokio::test]
async fn a_first_message_waits_for_its_key_and_what_follows_with_it() {
    let (documents, old, new) = (Documents::start().await, Signer::es256("old"), Signer::es256("new"));
    documents.serve("/keys", Served::Document(jwks(&[&old])));
    let scene = fetching(&documents).await;
    let mut client = scene.connect_http2().await;
    let request = |case: &str| handshake("/ws/chat", case).header("origin", APP);
    let (response, _stream) = open(&mut client, request("h2-fetches")).await;
    assert_eq!(response.status(), 200);
    // An unknown key is asked for ten seconds after the last fetch at the earliest.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (response, mut stream) = open(&mut client, request("h2-first")).await;
    assert_eq!(response.status(), 200);
    let held = documents.serve_held("/keys", Served::Document(jwks(&[&old, &new])));
    let fetches = documents.hits("/keys");
    let first = Frame::text(&json!({"token": minted(&new)}).to_string()).masked().bytes();
    let (hello, echo) = (Frame::binary(vec![7; 5000]).masked().bytes(), Frame::binary(vec![7; 5000]).bytes());
    for piece in [first, hello[..100].to_vec(), hello[100..].to_vec(), hello] {
        stream.send_data(piece.into(), false).expect("an open stream");
    }
    documents.hits_become("/keys", fetches + 1).await;
    held.release();
    assert_eq!(read(&mut response.into_body(), 2 * echo.len()).await, [&echo[..], &echo].concat());
    let record = scene.upstream().record("h2-first").await;
    assert_eq!(
        record.frames(),
        [Frame::binary(vec![7; 5000]).masked(), Frame::binary(vec![7; 5000]).masked()]
    );
}
