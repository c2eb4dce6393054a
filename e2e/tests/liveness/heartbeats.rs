//! Pings that a client hears in time, and its answers.

use std::time::{Duration, Instant};

use postern_e2e::deadline::LATE;
use postern_e2e::{Frame, RawClient, RunningScene};

/// The most by which what is due may come early, since time is told in ticks.
pub(crate) const EARLY: Duration = Duration::from_millis(20);

/// The time without a frame after which nothing more is taken to come.
pub(crate) const LISTENING: Duration = Duration::from_millis(300);

/// Waits for the next frame, which must come `after` a moment that is not before `since`, and not much later.
pub(crate) async fn next(client: &mut RawClient, since: Instant, after: Duration) -> Frame {
    let frame = client.frame_within(after + LATE + LATE).await.expect("a frame");
    let took = since.elapsed();
    assert!(
        took + EARLY >= after && took < after + LATE,
        "{frame:?} came after {took:?} instead of {after:?}"
    );
    frame
}

pub(crate) async fn answer(client: &mut RawClient, ping: &Frame) {
    assert!(ping.is_heartbeat(), "{ping:?}");
    client.send(Frame::pong(ping.payload.clone()).masked().bytes()).await;
}

/// Sends one message to the echo, and answers Postern's Pings meanwhile.
pub(crate) async fn talk(client: &mut RawClient) {
    client.send(Frame::text("hello").masked().bytes()).await;
    assert_eq!(next_of_application(client).await, Frame::text("hello"));
    // A frame that follows the echo comes at once.
    listen(client).await;
}

/// Answers Postern's Pings until none has come for a while.
pub(crate) async fn listen(client: &mut RawClient) {
    while let Ok(Ok(frame)) = tokio::time::timeout(LISTENING, client.frame()).await {
        answer(client, &frame).await;
    }
}

/// Returns the next frame that is not Postern's, and answers Postern's Pings before it.
pub(crate) async fn next_of_application(client: &mut RawClient) -> Frame {
    loop {
        let frame = client.frame().await.expect("an open connection");
        if !frame.is_heartbeat() {
            return frame;
        }
        answer(client, &frame).await;
    }
}

/// Answers a Close as a client should, and asserts what the upstream and the access log have of it.
pub(crate) async fn assert_closed(scene: &RunningScene, client: &mut RawClient, close: &Frame, reason: &str) {
    assert_eq!(*close, Frame::closing(3008, reason));
    client.send(Frame::closing(3008, "").masked().bytes()).await;
    let up = scene.record(client).await.close().await;
    assert_eq!((up.code(), up.reason()), (Some(3008), reason.to_owned()));
    assert_eq!(client.rest().await.0, b"", "nothing follows a Close");
    assert_eq!(scene.access_line(client.case()).await["reason"], reason);
}
