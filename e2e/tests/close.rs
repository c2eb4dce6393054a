//! The end of a WebSocket under Postern: in order where both sides take part, and in time where one does not.

use std::time::Duration;

use postern_e2e::deadline::LATE;
use postern_e2e::scene::document;
use postern_e2e::{Behaviour, ControlPair, Frame, RawClient, RunningScene, Scene, Shared, json};
use tokio::time::Instant;

/// The policy's `close_timeout`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The time that Envoy leaves a cut connection to the client for bytes still on their way:
/// `delayed_close_timeout`.
const DELAYED_CLOSE: Duration = Duration::from_secs(1);

/// The time without a byte after which nothing is taken to come.
const QUIET: Duration = Duration::from_millis(300);

/// Makes a scene with several equal policies: under some a test counts what no other test may add to.
fn scene() -> Scene {
    let policy = json!({"liveness": {"close_timeout": format!("{}s", CLOSE_TIMEOUT.as_secs())}});
    Scene::new()
        .document(document(
            json!({}),
            json!({"silent": policy, "chat": policy, "polite": policy, "counted": policy}),
        ))
        .plaintext()
        .upstream("/ws/silent", Behaviour::Silent)
        .upstream("/ws/counted/silent", Behaviour::Silent)
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

/// Returns a frame that ends the connection with 1002.
fn offence() -> Vec<u8> {
    Frame::text("x").masked().rsv(4).bytes()
}

fn verdict() -> Frame {
    Frame::closing(1002, "protocol_error")
}

/// Waits until Envoy has cut both sides, and asserts that this is `close_timeout` after `since`.
async fn assert_cut_in_time(scene: &RunningScene, client: &mut RawClient, since: Instant) {
    scene.record(client).await.ended().await;
    let elapsed = since.elapsed();
    assert!(elapsed >= CLOSE_TIMEOUT, "cut after {elapsed:?}");
    assert!(elapsed < CLOSE_TIMEOUT + LATE, "cut after {elapsed:?}");
    client.rest().await;
    let elapsed = since.elapsed();
    assert!(elapsed < CLOSE_TIMEOUT + DELAYED_CLOSE + LATE, "the client knows after {elapsed:?}");
}

#[tokio::test]
async fn a_close_of_the_client_and_its_answer_pass_as_they_are() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let closes = [
        Frame::closing(1000, "bye"),
        Frame::closing(4999, "Größe"),
        Frame::new(0x8, ""),
        Frame::closing(3000, ""),
    ];
    for close in closes {
        let mut client = scene.open("/ws/polite").await;
        client.send(close.clone().masked().bytes()).await;
        assert_eq!(client.rest().await.0, close.bytes());
        assert_eq!(scene.record(&client).await.bytes(), close.masked().bytes());
        assert_eq!(scene.access_line(client.case()).await["reason"], json!(null));
    }
    assert_eq!(scene.envoy().stats().await.sum("postern_closes", &[("policy", "polite")]), 0.0);
}

#[tokio::test]
async fn a_close_of_the_upstream_and_its_answer_pass_as_they_are() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let close = Frame::closing(1001, "going away");
    let mut client = scene.open("/ws/silent").await;
    let record = scene.record(&client).await;
    record.send(close.bytes());
    assert_eq!(client.frame().await, Ok(close.clone()));
    client.send(close.clone().masked().bytes()).await;
    assert_eq!(record.bytes_when(close.clone().masked().bytes().len()).await, close.masked().bytes());
    record.hang_up();
    assert_eq!(client.rest().await.0, b"");
}

#[tokio::test]
async fn nothing_passes_behind_a_close_of_the_client() {
    let close = Frame::closing(1000, "").masked().bytes();
    let smuggled = Frame::text("smuggled").masked().bytes();
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.open("/ws/silent").await;
    client.send([&close[..], &smuggled].concat()).await;
    let record = scene.record(&client).await;
    record.bytes_when(close.len()).await;
    client.send(&smuggled).await;
    record.ended().await;
    assert_eq!(record.bytes(), close);

    let bare = &pair.bare;
    let mut client = bare.open("/ws/silent").await;
    let attack = [close, smuggled].concat();
    client.send(&attack).await;
    assert_eq!(bare.record(&client).await.bytes_when(attack.len()).await, attack);
}

#[tokio::test]
async fn nothing_passes_behind_a_close_of_the_upstream() {
    let close = Frame::closing(1000, "").bytes();
    let attack = [&close[..], &Frame::text("behind").bytes()].concat();
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.open("/ws/silent").await;
    let record = scene.record(&client).await;
    record.send(&attack);
    assert_eq!(client.bytes(close.len()).await, Ok(close.clone()));
    record.send(&attack);
    assert_eq!(client.rest().await.0, b"");

    let bare = &pair.bare;
    let mut client = bare.open("/ws/silent").await;
    bare.record(&client).await.send(&attack);
    assert_eq!(client.bytes(attack.len()).await, Ok(attack));
}

#[tokio::test]
async fn a_frame_of_the_upstream_is_finished_before_the_verdict_on_the_client() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.open("/ws/silent").await;
    let record = scene.record(&client).await;
    let frame = Frame::text("a frame in two halves").bytes();
    let (first, second) = frame.split_at(9);
    record.send(first);
    assert_eq!(client.bytes(first.len()).await, Ok(first.to_vec()));

    client.send(offence()).await;
    let close = record.close().await;
    assert_eq!((close.code(), close.reason()), (Some(1002), "protocol_error".to_owned()));
    assert!(client.receives_nothing_for(QUIET).await, "something stands in the middle of a frame");

    record.send([second, &Frame::text("too late").bytes()].concat());
    let rest = [second, &verdict().bytes()].concat();
    assert_eq!(client.rest().await.0, rest);
}

#[tokio::test]
async fn a_verdict_reaches_the_client_of_an_upstream_that_never_spoke_and_the_rest_is_cut_in_time() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.open("/ws/silent").await;
    let since = Instant::now();
    client.send(offence()).await;
    assert_eq!(client.frame().await, Ok(verdict()));
    assert!(since.elapsed() < CLOSE_TIMEOUT, "the verdict came with the cut");
    assert_cut_in_time(scene, &mut client, since).await;
}

#[tokio::test]
async fn an_upstream_that_has_fallen_silent_cannot_keep_an_offender_connected() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.open("/ws/silent").await;
    scene.record(&client).await.send(Frame::text("the last word").bytes());
    assert_eq!(client.frame().await, Ok(Frame::text("the last word")));
    let since = Instant::now();
    client.send(offence()).await;
    assert_cut_in_time(scene, &mut client, since).await;
    assert_eq!(scene.access_line(client.case()).await["reason"], "protocol_error");
}

#[tokio::test]
async fn whoever_does_not_answer_a_close_is_cut_in_time_and_not_before() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    // The client does not answer the upstream's Close.
    let mut client = scene.open("/ws/silent").await;
    let since = Instant::now();
    scene.record(&client).await.send(Frame::closing(1001, "").bytes());
    assert_eq!(client.frame().await, Ok(Frame::closing(1001, "")));
    assert_cut_in_time(scene, &mut client, since).await;

    // The upstream does not answer the client's Close.
    let mut client = scene.open("/ws/silent").await;
    let since = Instant::now();
    client.send(Frame::closing(1000, "").masked().bytes()).await;
    assert_cut_in_time(scene, &mut client, since).await;

    // Envoy without Postern waits for both sides.
    let bare = &pair.bare;
    let mut client = bare.open("/ws/silent").await;
    client.send(Frame::closing(1000, "").masked().bytes()).await;
    bare.record(&client).await.close().await;
    assert!(client.receives_nothing_for(CLOSE_TIMEOUT + QUIET).await);
}

#[tokio::test]
async fn a_client_that_goes_without_a_close_takes_its_upstream_along() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let client = scene.open("/ws/silent").await;
    let record = scene.record(&client).await;
    drop(client);
    record.ended().await;
    assert_eq!(record.bytes(), b"");
}

#[tokio::test]
async fn an_upstream_that_goes_without_a_close_takes_its_client_along_at_once() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    for path in ["/ws/silent", "/ws/chat"] {
        let mut client = scene.open(path).await;
        let hello = Frame::text("hello").masked().bytes();
        client.send(&hello).await;
        let record = scene.record(&client).await;
        record.bytes_when(hello.len()).await;
        let since = Instant::now();
        record.hang_up();
        client.rest().await;
        assert!(since.elapsed() < DELAYED_CLOSE + LATE, "{path}: after {:?}", since.elapsed());
    }
}

#[tokio::test]
async fn the_count_of_connections_returns_to_nothing_however_they_end() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let labels = [("policy", "counted")];
    let mut offender = scene.open("/ws/counted/silent").await;
    let mut polite = scene.open("/ws/counted/chat").await;
    let vanishing = scene.open("/ws/counted/chat").await;
    let abandoned = scene.open("/ws/counted/silent").await;
    scene.envoy().stat_becomes("postern_connections", &labels, 4.0).await;
    drop(vanishing);
    scene.record(&abandoned).await.hang_up();
    polite.send(Frame::closing(1000, "").masked().bytes()).await;
    scene.envoy().stat_becomes("postern_connections", &labels, 1.0).await;
    offender.send(offence()).await;
    scene.envoy().stat_becomes("postern_connections", &labels, 0.0).await;
}
