//! Silent clients: asked in time, kept as long as they answer, and gone in time if they do not.

use std::time::{Duration, Instant};

use postern_e2e::Frame;
use postern_e2e::deadline::LATE;

use crate::heartbeats::{EARLY, answer, assert_closed, next, next_of_application, talk};
use crate::stage::{IDLE_TIMEOUT, PING_INTERVAL, PLAINTEXT, PONG_TIMEOUT, everywhere, open};

#[tokio::test]
async fn a_silent_client_is_asked_in_time_and_stays_as_long_as_it_answers() {
    everywhere(async |name, scene| {
        let mut since = Instant::now();
        let mut client = open(scene, "/ws/beats").await;
        for _ in 0..8 {
            let ping = next(&mut client, since, PING_INTERVAL).await;
            since = Instant::now();
            answer(&mut client, &ping).await;
        }
        let record = scene.record(&client).await;
        assert_eq!(record.bytes(), b"", "{name}: the application hears nothing of it");
        assert_eq!(record.heartbeats(), [], "{name}: nor does its library");
        since = Instant::now();
        talk(&mut client).await;
        for _ in 0..3 {
            let ping = next(&mut client, since, PING_INTERVAL).await;
            since = Instant::now();
            answer(&mut client, &ping).await;
        }
        assert_eq!(record.messages(), [b"hello"], "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_client_is_asked_in_time_though_its_service_speaks_with_the_101() {
    let pair = PLAINTEXT.shared().await;
    let scene = &pair.guarded;
    let mut since = Instant::now();
    let mut client = open(scene, "/ws/beats/greets").await;
    assert_eq!(next_of_application(&mut client).await, Frame::text("hello"));
    for _ in 0..8 {
        let ping = next(&mut client, since, PING_INTERVAL).await;
        since = Instant::now();
        answer(&mut client, &ping).await;
    }
}

#[tokio::test]
async fn a_client_that_stops_answering_is_gone_when_its_pong_is_overdue() {
    everywhere(async |name, scene| {
        let start = Instant::now();
        let mut client = open(scene, "/ws/stops").await;
        let ping = next(&mut client, start, PING_INTERVAL).await;
        assert!(ping.is_heartbeat(), "{name}: {ping:?}");
        let close = next(&mut client, start, PING_INTERVAL + PONG_TIMEOUT).await;
        assert_eq!(close, Frame::closing(3008, "pong_timeout"), "{name}");
        // Postern does not wait for the client's Close.
        assert_eq!(client.rest().await.0, b"", "{name}");
        let took = start.elapsed();
        assert!(took < PING_INTERVAL + PONG_TIMEOUT + LATE + LATE, "{name}: {took:?}");
        assert_eq!(scene.access_line(client.case()).await["reason"], "pong_timeout", "{name}");
        let labels = [("policy", "stops"), ("reason", "pong_timeout")];
        assert_eq!(scene.envoy().stats().await.sum("postern_closes", &labels), 1.0, "{name}");
        scene.record(&client).await.ended().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_falls_silent_after_it_has_talked_is_gone_as_soon() {
    for answers in [true, false] {
        let pair = PLAINTEXT.shared().await;
        let scene = &pair.guarded;
        let mut client = open(scene, "/ws/beats").await;
        let start = Instant::now();
        if answers {
            talk(&mut client).await;
        } else {
            client.send(Frame::text("hello").masked().bytes()).await;
        }
        let (_, end) = client.rest().await;
        let took = start.elapsed();
        assert!(took < PING_INTERVAL + PONG_TIMEOUT + LATE + LATE, "answers {answers}: {took:?} ({end:?})");
        assert!(took > PING_INTERVAL + PONG_TIMEOUT - EARLY, "answers {answers}: {took:?}");
        assert_eq!(scene.access_line(client.case()).await["reason"], "pong_timeout");
        scene.record(&client).await.ended().await;
    }
}

#[tokio::test]
async fn a_silent_client_that_is_not_asked_is_closed_in_time_whatever_was_said_before() {
    everywhere(async |name, scene| {
        for (path, talks) in [("/ws/waits", false), ("/ws/waits", true), ("/ws/waits/silent", false)] {
            let start = Instant::now();
            let mut client = open(scene, path).await;
            if talks {
                talk(&mut client).await;
            }
            let close = next(&mut client, start, IDLE_TIMEOUT).await;
            assert_closed(scene, &mut client, &close, "idle_timeout").await;
        }
        let labels = [("policy", "waits"), ("reason", "idle_timeout")];
        assert_eq!(scene.envoy().stats().await.sum("postern_closes", &labels), 3.0, "{name}");
    })
    .await;
    let pair = PLAINTEXT.shared().await;
    let mut client = pair.bare.open("/ws/waits").await;
    assert!(client.receives_nothing_for(2 * IDLE_TIMEOUT).await, "Envoy alone waits for minutes");
}

#[tokio::test]
async fn a_client_that_only_listens_stays_while_the_server_talks() {
    let pair = PLAINTEXT.shared().await;
    let scene = &pair.guarded;
    let mut client = open(scene, "/ws/beats").await;
    let record = scene.record(&client).await;
    let (mut heard, mut asked) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(9) {
        record.send(Frame::text("news").bytes());
        let frame = client.frame().await.expect("news, or a Ping");
        if frame.is_heartbeat() {
            answer(&mut client, &frame).await;
            asked += 1;
        } else {
            assert_eq!(frame, Frame::text("news"));
            heard += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(heard > 100, "{heard}");
    assert!((5..40).contains(&asked), "asked {asked} times in nine seconds");
    assert_eq!(record.bytes(), b"");
}

#[tokio::test]
async fn an_upstream_that_answers_no_ping_costs_a_silent_client_nothing() {
    let pair = PLAINTEXT.shared().await;
    let scene = &pair.guarded;
    let mut since = Instant::now();
    let mut client = open(scene, "/ws/unanswered").await;
    let record = scene.record(&client).await;
    for beat in 0..6 {
        let ping = next(&mut client, since, PING_INTERVAL).await;
        since = Instant::now();
        answer(&mut client, &ping).await;
        // Many servers write a frame in two pieces: its header, and then its payload.
        let news = Frame::text("news").bytes();
        let pieces = if beat % 2 == 0 { vec![&news[..]] } else { vec![&news[..2], &news[2..]] };
        for piece in pieces {
            record.send(piece);
            assert_eq!(client.bytes(piece.len()).await.as_deref(), Ok(piece));
        }
    }
    let out_of_reach =
        scene.envoy().stats().await.sum("postern_connections_out_of_reach", &[("policy", "unanswered")]);
    assert_eq!(out_of_reach, 0.0);
    let close = next(&mut client, since, PING_INTERVAL).await;
    assert!(close.is_heartbeat(), "{close:?}");
    let close = next(&mut client, since, PING_INTERVAL + PONG_TIMEOUT).await;
    assert_eq!(close, Frame::closing(3008, "pong_timeout"));
}
