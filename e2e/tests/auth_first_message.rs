//! The token in the first message: before it, nothing of either side reaches the other.

use std::time::{Duration, Instant};

use postern_e2e::client::python;
use postern_e2e::client::token::{edge_claims, now};
use postern_e2e::deadline::LATE;
use postern_e2e::frames::LengthForm;
use postern_e2e::scene::document;
use postern_e2e::{
    Answer, Behaviour, Frame, RawClient, Request, RunningScene, Scene, Shared, Signer, Value, json,
};

/// The time without a byte after which nothing is taken to come.
const QUIET: Duration = Duration::from_millis(300);

/// The `first_message_timeout` of the policy `late`.
const TIMEOUT: Duration = Duration::from_secs(2);

fn configuration() -> Value {
    let provider = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "clock_skew": "0s",
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let auth = json!({
        "providers": ["edge"], "from": [{"header": "authorization"}, {"first_message": "/token"}],
        "first_message_timeout": "30s", "max_unauthenticated_bytes": "8KiB",
        "expiry_grace": "0s", "require": [{"claim": "scope", "contains": "chat"}],
    });
    let mut long = auth.clone();
    (long["max_unauthenticated_bytes"], long["refresh"]) = (json!("512KiB"), json!("/auth/token"));
    let mut late = auth.clone();
    late["first_message_timeout"] = json!(format!("{}s", TIMEOUT.as_secs()));
    let inspects = json!({"auth": auth, "compression": "inspect"});
    let rated = json!({"auth": auth, "rates": [
        {"count": "handshakes", "per": "user", "limit": 1, "window": "1h"},
    ]});
    document(
        json!({"edge": provider}),
        json!({
            "first": {"auth": auth}, "counted": {"auth": auth}, "late": {"auth": late}, "inspects": inspects,
            "rated": rated, "long": {"auth": long},
        }),
    )
}

fn deflates() -> Answer {
    Answer::switching().header("Sec-WebSocket-Extensions", "permessage-deflate")
}

fn greeting() -> Vec<Vec<u8>> {
    vec![
        Frame::text("welcome").bytes(),
        Frame { fin: false, ..Frame::text("in ") }.bytes(),
        Frame::ping("server").bytes(),
        Frame::continuation("pieces").bytes(),
        Frame::binary(vec![7; 5000]).bytes(),
    ]
}

fn scene() -> Scene {
    Scene::new()
        .document(configuration())
        .workers(2)
        .upstream("/ws/first/greets", Behaviour::Chatty(greeting()))
        .upstream("/ws/late/greets", Behaviour::Chatty(greeting()))
        .upstream("/ws/first/silent", Behaviour::Silent)
        .upstream("/ws/long/silent", Behaviour::Silent)
        .upstream("/ws/first/floods", Behaviour::Chatty(vec![Frame::binary(vec![7; 9000]).bytes()]))
        .upstream("/ws/inspects", Behaviour::Answer(deflates()))
}

static SCENE: Shared<RunningScene> = Shared::new(scene);

fn claims(subject: &str) -> Value {
    let mut claims = edge_claims(subject);
    claims["scope"] = json!("chat");
    claims
}

fn token(subject: &str) -> String {
    Signer::edge().mint(&claims(subject))
}

/// Returns a first message with this token.
fn first(token: &str) -> Frame {
    Frame::text(&json!({"token": token}).to_string()).masked()
}

/// Reads up to `count` frames and returns their bytes.
async fn frames(client: &mut RawClient, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        bytes.extend(client.frame().await.expect("a frame").bytes());
    }
    bytes
}

/// Asserts that the client, the access log, the metrics and the upstream know of this end, and that the
/// upstream saw nothing but a Close.
async fn assert_ended(scene: &RunningScene, mut client: RawClient, code: u16, reason: &str) {
    assert_eq!(client.frame().await, Ok(Frame::closing(code, reason)));
    client.send(Frame::closing(1000, "").masked().bytes()).await;
    let record = scene.record(&client).await;
    let close = record.close().await;
    assert_eq!((close.code(), close.reason()), (Some(code), reason.to_owned()));
    assert_eq!(record.frames().len(), 1, "nothing but the Close went up");
    assert_eq!(client.rest().await.0, b"");
    assert_eq!(scene.access_line(client.case()).await["reason"], reason);
}

#[tokio::test]
async fn a_good_token_lets_both_sides_speak_and_goes_no_further() {
    let scene = SCENE.shared().await;
    for size in [1, 7, 10_000] {
        let mut client = scene.open("/ws/counted/echo").await;
        let record = scene.record(&client).await;
        client.send(Frame::ping("early").masked().bytes()).await;
        assert!(client.receives_nothing_for(QUIET).await);
        let behind = Frame::text("hello").masked();
        let bytes = [first(&token("alice")).bytes(), behind.bytes()].concat();
        client.send_in_pieces_of(size, bytes).await;
        assert_eq!(client.frame().await, Ok(Frame::text("hello")), "pieces of {size}");
        assert_eq!(record.frames(), [behind], "pieces of {size}");
    }
    let labels = [("policy", "counted"), ("direction", "downstream"), ("result", "consumed")];
    scene.envoy().stat_becomes("postern_messages", &labels, 3.0).await;
}

#[tokio::test]
async fn what_the_server_says_first_waits_and_arrives_complete() {
    let scene = SCENE.shared().await;
    let mut client = scene.open("/ws/first/greets").await;
    assert!(client.receives_nothing_for(QUIET).await);
    client.send(first(&token("alice")).bytes()).await;
    assert_eq!(frames(&mut client, 5).await, greeting().concat());
    client.send(Frame::text("hello").masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::text("hello")));
}

#[tokio::test]
async fn a_service_that_answers_no_ping_has_its_client_told_as_soon_all_the_same() {
    let scene = SCENE.shared().await;
    for (count, size, at_once) in
        [(10, 6_000, false), (10, 6_000, true), (390, 1_000, false), (390, 1_000, true)]
    {
        let mut client = scene.open("/ws/long/silent").await;
        let record = scene.record(&client).await;
        let message = Frame::binary(vec![7; size]).bytes();
        let said = message.repeat(count);
        match at_once {
            true => record.send(&said),
            false => (0..count).for_each(|_| record.send(&message)),
        }
        assert!(client.receives_nothing_for(QUIET).await);
        client.send(first(&token("alice")).bytes()).await;
        assert!(frames(&mut client, count).await == said, "{count} of {size}, at once: {at_once}");
        // The first answer does not wait for the service's next word either, whatever the service said
        // before.
        record.send(&said);
        assert!(frames(&mut client, count).await == said);
        let refresh = json!({"auth": {"token": token("alice")}}).to_string();
        client.send(Frame::text(&refresh).masked().bytes()).await;
        let notice = client.frame_within(Duration::from_secs(2)).await.expect("an answer");
        let notice: Value = serde_json::from_slice(&notice.payload).expect("JSON");
        assert_eq!(notice["postern"], "token_accepted", "{count} of {size}, at once: {at_once}");
    }
}

#[tokio::test]
async fn a_first_message_may_come_in_the_middle_of_a_frame_of_the_servers() {
    let scene = SCENE.shared().await;
    let mut client = scene.open("/ws/first/silent").await;
    let record = scene.record(&client).await;
    let (slowly, later) = (Frame::text("slowly"), Frame::text("later"));
    record.send(&slowly.bytes()[..3]);
    assert!(client.receives_nothing_for(QUIET).await);
    client.send(first(&token("alice")).bytes()).await;
    record.send(&slowly.bytes()[3..]);
    assert_eq!(client.frame().await, Ok(slowly));
    record.send(later.bytes());
    assert_eq!(client.frame().await, Ok(later));
}

#[tokio::test]
async fn a_client_has_one_try() {
    let scene = SCENE.shared().await;
    let good = token("alice");
    let mut expired = claims("alice");
    expired["exp"] = json!(now() - 1);
    let mut poor = claims("alice");
    poor["scope"] = json!("mail");
    let signer = Signer::edge();
    let json = |text: &str| Frame::text(text).masked().bytes();
    let too_big = Frame::text("").masked().bytes_claiming(LengthForm::Sixteen, 9000);
    let fragments = first(&good);
    let (start, end) = fragments.payload.split_at(10);
    let binary_fragments =
        [Frame::binary(start).unfinished().masked().bytes(), Frame::continuation(end).masked().bytes()];
    for (bytes, code, reason) in [
        (first("nonsense").bytes(), 3000, "token_invalid"),
        (first(&format!("{good}x")).bytes(), 3000, "token_invalid"),
        (first(&signer.mint(&expired)).bytes(), 3000, "token_expired"),
        (first(&signer.mint(&poor)).bytes(), 3003, "claims_denied"),
        (json(&good), 3000, "token_missing"),
        (json(&format!(r#"{{"auth":"{good}"}}"#)), 3000, "token_missing"),
        (json(&format!(r#"{{"token":"{good}","token":"{good}"}}"#)), 3000, "token_invalid"),
        (Frame::binary(fragments.payload.clone()).masked().bytes(), 3000, "token_missing"),
        (binary_fragments.concat(), 3000, "token_missing"),
        (too_big, 1009, "message_too_big"),
        (Frame::text("x").bytes(), 1002, "protocol_error"),
    ] {
        let mut client = scene.open("/ws/first/greets").await;
        let second = first(&good).bytes();
        client.send([bytes, second, Frame::text("hello").masked().bytes()].concat()).await;
        assert_ended(&scene, client, code, reason).await;
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_told_in_time_and_a_server_that_says_too_much_ends_it() {
    let scene = SCENE.shared().await;
    let since = Instant::now();
    let client = scene.open("/ws/late/greets").await;
    assert_ended(&scene, client, 3008, "auth_timeout").await;
    let took = since.elapsed();
    assert!(took >= TIMEOUT && took < TIMEOUT + LATE, "{took:?}");

    let mut client = scene.open("/ws/late/slow").await;
    client.send(&first(&token("alice")).bytes()[..40]).await;
    assert_ended(&scene, client, 3008, "auth_timeout").await;

    let client = scene.open("/ws/first/floods").await;
    assert_ended(&scene, client, 1009, "message_too_big").await;
    let labels = [("policy", "late"), ("reason", "auth_timeout")];
    assert_eq!(scene.envoy().stats().await.sum("postern_closes", &labels), 2.0);
}

#[tokio::test]
async fn a_close_is_passed_on_both_ways_and_nothing_that_waited() {
    let scene = SCENE.shared().await;
    let bye = Frame::closing(4001, "bye");
    let mut client = scene.open("/ws/first/greets").await;
    let record = scene.record(&client).await;
    assert!(client.receives_nothing_for(QUIET).await);
    client.send(bye.clone().masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(bye.clone()), "the server's answer");
    assert_eq!(record.frames(), [bye.clone().masked()]);

    let mut client = scene.open("/ws/first/greets").await;
    let record = scene.record(&client).await;
    record.send(bye.bytes());
    assert_eq!(client.frame().await, Ok(bye.clone()), "the server's own");
    client.send(bye.clone().masked().bytes()).await;
    assert_eq!(record.close().await, bye.masked());
    assert_eq!(scene.access_line(client.case()).await["reason"], Value::Null);
}

#[tokio::test]
async fn a_token_in_the_handshake_is_judged_there() {
    let scene = SCENE.shared().await;
    let with =
        |token: &str| Request::upgrade("/ws/first/echo").header("Authorization", format!("Bearer {token}"));
    let response = scene.ask(&with("nonsense")).await;
    assert_eq!(
        (response.status, response.reason().as_deref()),
        (401, Some("token_invalid")),
        "no second chance"
    );
    let mut client = scene.open_with(&with(&token("alice"))).await;
    let ordinary = first("ordinary");
    client.send(ordinary.bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame { mask: None, ..ordinary }));
}

#[tokio::test]
async fn the_token_of_a_first_message_ends_the_connection_and_its_user_is_counted_over_all_workers() {
    let scene = SCENE.shared().await;
    let mut short = claims("alice");
    let exp = now() + 4;
    short["exp"] = json!(exp);
    let mut client = scene.open("/ws/rated/echo").await;
    let hello = Frame::text("hello");
    let said = [first(&Signer::edge().mint(&short)), hello.clone().masked()];
    client.send(said.map(|frame| frame.bytes()).concat()).await;
    // Its token has been judged: another worker might be faster otherwise.
    assert_eq!(client.frame().await, Ok(hello));
    for _ in 0..5 {
        let mut other = scene.open("/ws/rated/echo").await;
        other.send(first(&token("alice")).bytes()).await;
        assert_ended(&scene, other, 1013, "handshake_rate").await;
    }
    let mut bob = scene.open("/ws/rated/echo").await;
    bob.send([first(&token("bob")), Frame::text("hello").masked()].map(|frame| frame.bytes()).concat()).await;
    assert_eq!(bob.frame().await, Ok(Frame::text("hello")));
    assert_eq!(client.frame().await, Ok(Frame::closing(3000, "token_expired")));
    assert!(now() >= exp);
    client.send(Frame::closing(1000, "").masked().bytes()).await;
    assert_eq!(client.rest().await.0, b"");
    assert_eq!(scene.access_line(client.case()).await["reason"], "token_expired");
}

#[tokio::test]
async fn a_library_that_compresses_sends_its_token_first_and_is_understood() {
    let scene = SCENE.shared().await;
    let messages = json!([json!({"token": token("alice")}).to_string(), "hello", "hello again"]);
    let visit = json!({
        "url": scene.url("/ws/inspects"), "certificate": scene.certificate(), "messages": messages, "replies": 2,
    });
    let Some(outcome) = python::run(include_str!("python/visit.py"), &[&visit.to_string()]).await else {
        return;
    };
    assert!(outcome.success, "{}", outcome.stderr);
    let seen: Value = serde_json::from_str(&outcome.stdout).expect("a report in JSON");
    assert_eq!((&seen["compressed"], &seen["code"]), (&json!(true), &json!(1000)), "{seen}");
    assert_eq!(seen["messages"], json!(["hello", "hello again"]));
    let agreed = seen["agreed"].as_str().expect("an agreement");
    assert!(agreed.contains("client_no_context_takeover"), "{agreed}");
}
