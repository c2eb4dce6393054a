//! The view of whoever reads logs: Envoy's own, with Postern's lines in both forms, and the access log, for a
//! handshake that is refused, a socket that Postern closes and one that its client does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use postern_e2e::client::http2::{handshake, open, read};
use postern_e2e::client::token::edge_claims;
use postern_e2e::scene::{document, module};
use postern_e2e::{Frame, Request, RunningScene, Scene, Signer, Value, json};

const APP: &str = "https://app.example.com";
/// An Origin that would begin a line of its own, colour a terminal, and end a field.
const FORGED: &[u8] = b"https://x\"}\t{\"postern\":\"closed\"} postern: closed \xff";
/// A user whose name would do so too.
const USER: &str = "alice\"}\n{\"postern\":\"closed\"}\u{1b}[2K";
const KEY: &str = "a key for logs of these tests, 32 bytes or more";
const LIMIT: usize = 100;

async fn scene(format: &'static str) -> RunningScene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let chat = json!({
        "origins": {"allow": [APP], "missing": "allow"}, "tls": "required",
        "auth": {"providers": ["edge"], "from": [{"query": "access_token"}]},
        "messages": {"max_frame_bytes": LIMIT},
    });
    let mut whole = document(json!({ "edge": edge }), json!({ "chat": chat }));
    whole["log"] =
        json!({"format": format, "subject_key": {"env": "POSTERN_LOG_KEY"}, "refusals_per_second": 1000});
    Scene::new().document(whole).env("POSTERN_LOG_KEY", KEY).start().await
}

/// The hash of [`USER`], as anybody makes it who has the key. HS256 is HMAC-SHA256 (RFC 7518 §3.2).
fn hash() -> String {
    let key = EncodingKey::from_secret(KEY.as_bytes());
    let text = format!("edge\0{USER}");
    let hash = jsonwebtoken::crypto::sign(text.as_bytes(), &key, Algorithm::HS256).expect("a hash");
    let bytes = URL_SAFE_NO_PAD.decode(hash).expect("base64url");
    bytes[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn path() -> String {
    format!("/ws/chat?room=%22%0a&access_token={}", Signer::edge().mint(&edge_claims(USER)))
}

fn oversized() -> Vec<u8> {
    Frame::binary(vec![0; LIMIT + 1]).masked().bytes()
}

fn honest() -> Vec<u8> {
    [Frame::text("hello").masked().bytes(), Frame::binary([7; 60]).masked().bytes()].concat()
}

fn goodbye() -> Vec<u8> {
    Frame::closing(4001, "enough").masked().bytes()
}

/// The cases of three clients: one that is refused, one that Postern closes, and one that goes.
type Cases = [String; 3];

async fn over_http1(scene: &RunningScene) -> Cases {
    let refused = Request::upgrade(&path()).header("Origin", FORGED);
    assert_eq!(scene.ask(&refused).await.status, 403);
    let from_app = || Request::upgrade(&path()).header("Origin", APP);
    let mut closed = scene.open_with(&from_app()).await;
    closed.send(oversized()).await;
    assert_eq!(closed.close().await.code(), Some(1009));
    let mut gone = scene.open_with(&from_app()).await;
    gone.send(honest()).await;
    for _ in 0..2 {
        gone.frame().await.expect("an echo");
    }
    gone.send(goodbye()).await;
    assert_eq!(gone.close().await.code(), Some(4001));
    [refused.case().to_owned(), closed.case().to_owned(), gone.case().to_owned()]
}

async fn over_http2(scene: &RunningScene) -> Cases {
    let cases = ["h2-refused", "h2-closed", "h2-gone"].map(str::to_owned);
    let forged = http::HeaderValue::from_bytes(FORGED).expect("a value");
    let mut client = scene.connect_http2().await;
    let (response, _) = open(&mut client, handshake(&path(), &cases[0]).header("origin", forged)).await;
    assert_eq!(response.status(), 403);
    for (case, sent, answer) in [
        (&cases[1], oversized(), Frame::closing(1009, "frame_too_big").bytes().len()),
        (
            &cases[2],
            [honest(), goodbye()].concat(),
            2 + 5 + 2 + 60 + Frame::closing(4001, "enough").bytes().len(),
        ),
    ] {
        let (response, mut stream) = open(&mut client, handshake(&path(), case).header("origin", APP)).await;
        assert_eq!(response.status(), 200);
        stream.send_data(sent.into(), false).expect("an open stream");
        let mut body = response.into_body();
        read(&mut body, answer).await;
        stream.send_reset(h2::Reason::CANCEL);
    }
    cases
}

/// Asserts what the access log says of the three, and returns their request ids.
async fn assert_access_log(scene: &RunningScene, cases: &Cases) -> [String; 3] {
    let fields =
        |line: &Value, names: &[&str]| names.iter().map(|name| line[*name].clone()).collect::<Vec<_>>();
    let (told, passed, end) = (
        &["policy", "rule", "reason", "subject"],
        &["messages_downstream", "bytes_downstream", "messages_upstream", "bytes_upstream"],
        &["close_code", "closed_by"],
    );
    let [refused, closed, gone] = [
        scene.access_line(&cases[0]).await,
        scene.access_line(&cases[1]).await,
        scene.access_line(&cases[2]).await,
    ];
    assert_eq!(
        fields(&refused, told),
        [json!("chat"), json!("origins"), json!("origin_denied"), json!(null)]
    );
    let unset = [passed, &end[..], &["open_for"]].concat();
    assert!(fields(&refused, &unset).iter().all(Value::is_null), "{refused}");

    let rule = json!("messages.max_frame_bytes");
    assert_eq!(
        fields(&closed, told),
        [json!("chat"), rule, json!("frame_too_big"), json!(hash())],
        "{closed}"
    );
    assert_eq!(fields(&closed, passed), vec![json!("0"); 4], "{closed}");
    assert_eq!(fields(&closed, end), [json!("1009"), json!("postern")], "{closed}");

    assert_eq!(fields(&gone, told), [json!("chat"), json!(null), json!(null), json!(hash())], "{gone}");
    assert_eq!(fields(&gone, passed), [json!("2"), json!("65"), json!("2"), json!("65")], "{gone}");
    assert_eq!(fields(&gone, end), [json!("4001"), json!("client")], "{gone}");
    for open in [&closed, &gone] {
        let number = |field: &Value| match field {
            Value::String(text) => text.parse::<u64>().expect("a number"),
            number => number.as_u64().expect("a number"),
        };
        assert!(number(&open["open_for"]) <= number(&open["duration"]), "{open}");
    }
    [refused, closed, gone].map(|line| line["request_id"].as_str().expect("a request id").to_owned())
}

/// The line that Postern has written of a request.
async fn line_about(scene: &RunningScene, request_id: &str) -> String {
    let lines = scene.envoy().logged(request_id).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = module::said(&lines[0]).expect("Envoy's mark before it");
    assert!(line.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{line}");
    line.to_owned()
}

/// Asserts that no log has a token, or a name.
fn assert_silent(scene: &RunningScene) {
    for (log, text) in [("Envoy's", scene.envoy().log()), ("access", scene.access_log_text())] {
        for secret in ["eyJ", "alice", KEY] {
            assert!(!text.contains(secret), "{secret:?} in the {log} log");
        }
    }
}

#[tokio::test]
async fn lines_of_json_and_of_the_access_log_tell_of_the_same_streams_over_both_versions_of_http() {
    let scene = scene("json").await;
    for cases in [over_http1(&scene).await, over_http2(&scene).await] {
        let [refused, closed, gone] = assert_access_log(&scene, &cases).await;
        for (id, event, reason, origin, subject) in [
            (&refused, "refused", "origin_denied", FORGED.escape_ascii().to_string(), json!(null)),
            (&closed, "closed", "frame_too_big", APP.to_owned(), json!(hash())),
        ] {
            let line = line_about(&scene, id).await;
            assert!(line.starts_with(&format!("{{\"postern\":\"{event}\",\"time\":\"20")), "{line}");
            let object: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let told =
                ["policy", "reason", "request_id", "side", "origin", "subject"].map(|name| &object[name]);
            let expected = [json!("chat"), json!(reason), json!(id), json!("client"), json!(origin), subject];
            assert_eq!(told, expected.each_ref(), "{line}");
            let address = object["address"].as_str().expect("an address");
            assert!(address.parse::<std::net::IpAddr>().is_ok(), "{line}");
        }
        assert_eq!(scene.envoy().log_lines_with(&gone), Vec::<String>::new(), "nothing was refused");
    }
    assert!(!scene.envoy().logged("{\"postern\":\"configured\",").await.is_empty());
    assert_silent(&scene);
}

#[tokio::test]
async fn lines_of_text_have_address_origin_and_user_behind_what_they_always_had() {
    let scene = scene("text").await;
    let cases = over_http1(&scene).await;
    let [refused, closed, _] = assert_access_log(&scene, &cases).await;
    let line = line_about(&scene, &refused).await;
    let begin = format!(
        "postern: refused policy=chat reason=origin_denied request={refused} rule=origins side=client cause="
    );
    assert!(line.starts_with(&begin), "{line}");
    assert!(line.ends_with(&format!(" origin=\"{}\"", FORGED.escape_ascii())), "{line}");
    let line = line_about(&scene, &closed).await;
    let (_, behind) =
        line.split_once("cause=\"the bytes of a frame are 101, and 100 may be\" address=").expect("a cause");
    let (address, behind) = behind.split_once(' ').expect("more");
    assert!(address.parse::<std::net::IpAddr>().is_ok(), "{line}");
    assert_eq!(behind, format!("origin=\"{APP}\" subject={}", hash()));
    assert_silent(&scene);
}
