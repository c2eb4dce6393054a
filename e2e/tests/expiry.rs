//! The end of a connection with the token that opened it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postern_e2e::client::token::{edge_claims, now};
use postern_e2e::deadline::LATE;
use postern_e2e::frames::opcode;
use postern_e2e::scene::document;
use postern_e2e::{
    Behaviour, ControlPair, Frame, RawClient, Request, RunningScene, Scene, Shared, Signer, Value, json,
};

/// The provider's `clock_skew` and the policy's `expiry_grace`, in seconds.
const SKEW: u64 = 1;
const GRACE: u64 = 1;

/// The time after its end in which a connection that stays hears nothing.
const QUIET: Duration = Duration::from_secs(1);

fn configuration() -> Value {
    let provider = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "clock_skew": format!("{SKEW}s"),
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let auth = |expiry: &str| {
        let grace = format!("{GRACE}s");
        json!({
            "providers": ["edge"], "from": [{"header": "authorization"}], "expiry": expiry, "expiry_grace": grace,
        })
    };
    let policies = json!({"close": {"auth": auth("close")}, "idle": {"auth": auth("close")}, "ignore": {"auth": auth("ignore")}});
    document(json!({"edge": provider}), policies)
}

static PAIR: Shared<ControlPair> = Shared::new(|| {
    Scene::new().document(configuration()).plaintext().upstream("/ws/idle", Behaviour::Silent)
});

/// Opens a socket, and returns it with the time at which its token ends in all respects.
async fn open(scene: &RunningScene, path: &str) -> (RawClient, SystemTime) {
    let exp = now() + 2;
    let mut claims = edge_claims("alice");
    claims["exp"] = json!(exp);
    let token = Signer::edge().mint(&claims);
    let request = Request::upgrade(path).header("Authorization", format!("Bearer {token}"));
    (scene.open_with(&request).await, UNIX_EPOCH + Duration::from_secs(exp + SKEW + GRACE))
}

/// Asserts that a Close that has just come is right and in time, and that the upstream and the access log
/// agree.
async fn assert_expired(scene: &RunningScene, client: &mut RawClient, close: &Frame, end: SystemTime) {
    let late = SystemTime::now().duration_since(end).expect("a Close that does not come early");
    assert!(late < LATE, "closed {late:?} too late");
    assert_eq!(*close, Frame::closing(3000, "token_expired"));
    // The client's answer does not go up; the upstream gets Postern's own Close.
    client.send(Frame::closing(1000, "").masked().bytes()).await;
    let record = scene.record(client).await;
    let up = record.close().await;
    assert_eq!((up.code(), up.reason()), (Some(3000), "token_expired".to_owned()));
    assert_eq!(client.rest().await.0, b"");
    assert_eq!(scene.access_line(client.case()).await["reason"], "token_expired");
}

#[tokio::test]
async fn an_idle_connection_is_closed_when_its_token_has_ended_with_skew_and_grace() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let (mut client, end) = open(scene, "/ws/idle").await;
    let close = client.frame().await.expect("a Close");
    assert_expired(scene, &mut client, &close, end).await;
    let labels = [("policy", "idle"), ("reason", "token_expired")];
    assert_eq!(scene.envoy().stats().await.sum("postern_closes", &labels), 1.0);
}

#[tokio::test]
async fn a_busy_connection_is_closed_at_its_next_frame_after_that() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let (mut client, end) = open(scene, "/ws/close/busy").await;
    let mut echoes = 0;
    let close = loop {
        client.send(Frame::text("tick").masked().bytes()).await;
        let frame = client.frame().await.expect("an echo or a Close");
        if frame.opcode == opcode::CLOSE {
            break frame;
        }
        assert_eq!(frame, Frame::text("tick"));
        echoes += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(echoes > 5, "{echoes} echoes in two seconds and more");
    assert_expired(scene, &mut client, &close, end).await;
}

#[tokio::test]
async fn a_policy_may_let_a_connection_outlive_its_token_as_envoy_alone_does() {
    let pair = PAIR.shared().await;
    for scene in [&pair.guarded, &pair.bare] {
        let (mut client, end) = open(scene, "/ws/ignore").await;
        let wait = end.duration_since(SystemTime::now()).unwrap_or_default() + QUIET;
        assert!(client.receives_nothing_for(wait).await);
        client.send(Frame::text("still here").masked().bytes()).await;
        assert_eq!(client.frame().await, Ok(Frame::text("still here")));
    }
}
