//! The renewal of a token inside the connection: the client learns of the outcome and of the end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postern_e2e::client::token::{EDGE_SECRET, edge_claims, now};
use postern_e2e::deadline::LATE;
use postern_e2e::scene::document;
use postern_e2e::{Behaviour, Frame, RawClient, Request, RunningScene, Scene, Shared, Signer, Value, json};

/// The provider's `clock_skew`, and the policy's `expiry_notice`, in seconds.
const SKEW: u64 = 1;
const NOTICE: u64 = 4;

fn configuration() -> Value {
    let provider = |issuer: &str, secret: Value| {
        json!({
            "issuer": issuer, "audiences": ["chat"], "algorithms": ["HS256"], "clock_skew": format!("{SKEW}s"),
            "secret": secret,
        })
    };
    let edge = provider("edge", json!({"env": "POSTERN_EDGE_SECRET"}));
    let other = provider("other", json!({"inline": EDGE_SECRET}));
    let auth = json!({
        "providers": ["edge", "other"], "from": [{"header": "authorization"}, {"first_message": "/token"}],
        "require": [{"claim": "scope", "contains": "chat"}], "refresh": "/auth/token", "expiry_grace": "0s",
    });
    let mut noticed = auth.clone();
    noticed["expiry_notice"] = json!(format!("{NOTICE}s"));
    let mut mute = auth.clone();
    mute["refresh_reply"] = json!(false);
    let counted = json!([{"count": "messages", "per": "connection", "limit": 2, "window": "1h"}]);
    document(
        json!({"edge": edge, "other": other}),
        json!({
            "renewed": {"auth": auth}, "noticed": {"auth": noticed}, "mute": {"auth": mute},
            "counted": {"auth": mute, "rates": counted},
        }),
    )
}

fn scene() -> Scene {
    let scene = Scene::new().document(configuration()).workers(2).plaintext();
    scene.upstream("/ws/renewed/recorder", Behaviour::Recorder)
}

static SCENE: Shared<RunningScene> = Shared::new(scene);

fn claims(seconds: u64) -> Value {
    let mut claims = edge_claims("alice");
    claims["scope"] = json!("chat");
    claims["exp"] = json!(now() + seconds);
    claims
}

async fn open(scene: &RunningScene, path: &str, seconds: u64) -> RawClient {
    let token = Signer::edge().mint(&claims(seconds));
    let request = Request::upgrade(path).header("Authorization", format!("Bearer {token}"));
    scene.open_with(&request).await
}

fn refresh(claims: &Value) -> Frame {
    let token = Signer::edge().mint(claims);
    Frame::text(&json!({"auth": {"token": token}, "id": 7}).to_string()).masked()
}

/// Returns the word of a message of Postern, and the seconds that it gives.
fn said(frame: &Frame) -> (String, u64) {
    let message: Value = serde_json::from_slice(&frame.payload).expect("JSON");
    let word = message["postern"].as_str().expect("a word").to_owned();
    (word, message["expires_in"].as_u64().expect("whole seconds"))
}

fn assert_accepted(frame: &Frame, seconds: u64) {
    let (word, left) = said(frame);
    assert_eq!((word.as_str(), frame.fin, frame.opcode, frame.rsv), ("token_accepted", true, 1, 0));
    assert!((seconds - 2..=seconds).contains(&left), "{left} seconds are left of {seconds}");
}

#[tokio::test]
async fn a_refresh_is_answered_and_goes_no_further() {
    let scene = SCENE.shared().await;
    let mut client = open(&scene, "/ws/renewed/recorder", 60).await;
    let record = scene.record(&client).await;
    client.send(refresh(&claims(300)).bytes()).await;
    assert_accepted(&client.frame().await.expect("an answer on an idle connection"), 300);
    let message = refresh(&claims(400));
    let (head, tail) = message.payload.split_at(30);
    let pieces = [
        Frame::text("before").masked(),
        Frame { payload: head.to_vec(), ..message.clone() }.unfinished(),
        Frame::continuation(tail).masked(),
        Frame::text("behind").masked(),
    ];
    client.send_in_pieces_of(5, pieces.map(|frame| frame.bytes()).concat()).await;
    assert_accepted(&client.frame().await.expect("an answer"), 400);
    let ordinary = [Frame::text("before").masked(), Frame::text("behind").masked()];
    assert_eq!(record.frames_when(2).await, ordinary, "no token went up");
}

#[tokio::test]
async fn on_a_busy_connection_the_answer_stands_between_two_messages() {
    let scene = SCENE.shared().await;
    let mut client = open(&scene, "/ws/renewed/recorder", 60).await;
    let record = scene.record(&client).await;
    for _ in 0..3 {
        record.send(Frame::text("be").unfinished().bytes());
        assert_eq!(client.frame().await, Ok(Frame::text("be").unfinished()));
        client
            .send([refresh(&claims(300)), Frame::text("sync").masked()].map(|frame| frame.bytes()).concat())
            .await;
        record.bytes_when(1).await;
        assert!(client.receives_nothing_for(Duration::from_millis(700)).await, "within a message");
        record.send([Frame::continuation("gun").bytes(), Frame::text("next").bytes()].concat());
        assert_eq!(client.frame().await, Ok(Frame::continuation("gun")));
        let (one, two) = (client.frame().await.expect("a frame"), client.frame().await.expect("a frame"));
        let (answer, next) = if one == Frame::text("next") { (two, one) } else { (one, two) };
        assert_accepted(&answer, 300);
        assert_eq!(next, Frame::text("next"));
    }
}

#[tokio::test]
async fn a_connection_lives_and_ends_with_its_last_token() {
    let scene = SCENE.shared().await;
    let mut client = open(&scene, "/ws/mute", 4).await;
    let last = claims(8);
    client.send(refresh(&last).bytes()).await;
    let close = client.frame().await.expect("a Close, and no answer");
    assert_eq!(close, Frame::closing(3000, "token_expired"));
    let end = UNIX_EPOCH + Duration::from_secs(last["exp"].as_u64().expect("a time") + SKEW);
    let late = SystemTime::now().duration_since(end).expect("a Close that does not come early");
    assert!(late < LATE, "closed {late:?} too late");
}

#[tokio::test]
async fn a_bad_refresh_ends_the_connection_on_both_sides() {
    let scene = SCENE.shared().await;
    let with = |key: &str, value: Value| {
        let mut claims = claims(300);
        claims[key] = value;
        refresh(&claims)
    };
    let twice = String::from_utf8(refresh(&claims(300)).payload).expect("text");
    let twice = Frame::text(&twice.replace(r#""id":7"#, r#""auth":7"#)).masked();
    for (message, code, reason) in [
        (with("sub", json!("bob")), 3000, "subject_changed"),
        (with("iss", json!("other")), 3000, "subject_changed"),
        (with("iss", json!("nobody")), 3000, "token_invalid"),
        (with("exp", json!(now() - 10)), 3000, "token_expired"),
        (with("scope", json!("mail")), 3003, "claims_denied"),
        (Frame::text(r#"{"auth":{"token":"nonsense"}}"#).masked(), 3000, "token_invalid"),
        (Frame::text(r#"{"\u0061uth":{"token":"nonsense"}}"#).masked(), 3000, "token_invalid"),
        (twice, 3000, "token_invalid"),
    ] {
        let mut client = open(&scene, "/ws/renewed/echo", 60).await;
        let record = scene.record(&client).await;
        client.send([message, Frame::text("late").masked()].map(|frame| frame.bytes()).concat()).await;
        assert_eq!(client.frame().await, Ok(Frame::closing(code, reason)));
        client.send(Frame::closing(1000, "").masked().bytes()).await;
        let close = record.close().await;
        assert_eq!((close.code(), close.reason()), (Some(code), reason.to_owned()));
        assert_eq!(record.frames().len(), 1, "nothing else went up");
        assert_eq!(scene.access_line(client.case()).await["reason"], reason);
        let labels = [("policy", "renewed"), ("reason", reason)];
        assert!(scene.envoy().stats().await.sum("postern_closes", &labels) > 0.0);
    }
}

#[tokio::test]
async fn notice_is_given_in_time_on_an_idle_connection() {
    let scene = SCENE.shared().await;
    for by_message in [false, true] {
        let token = claims(8);
        let exp = UNIX_EPOCH + Duration::from_secs(token["exp"].as_u64().expect("a time"));
        let text = Signer::edge().mint(&token);
        let mut client = if by_message {
            let mut client = scene.open("/ws/noticed/idle").await;
            client.send(Frame::text(&json!({"token": text}).to_string()).masked().bytes()).await;
            client
        } else {
            let request =
                Request::upgrade("/ws/noticed/idle").header("Authorization", format!("Bearer {text}"));
            scene.open_with(&request).await
        };
        let notice = client.frame().await.expect("a notice");
        let left = exp.duration_since(SystemTime::now()).expect("a notice ahead of the end");
        assert!(left <= Duration::from_secs(NOTICE), "{left:?}");
        let (word, seconds) = said(&notice);
        assert_eq!(word, "token_expiring");
        assert!((1..=NOTICE).contains(&seconds), "{seconds} seconds are left");
        assert_eq!(client.frame().await, Ok(Frame::closing(3000, "token_expired")), "once, and then the end");
    }
}

#[tokio::test]
async fn refreshes_count_as_messages() {
    let scene = SCENE.shared().await;
    let mut client = open(&scene, "/ws/counted", 60).await;
    for _ in 0..3 {
        client.send(refresh(&claims(300)).bytes()).await;
    }
    assert_eq!(client.frame().await, Ok(Frame::closing(1008, "message_rate")));
}
