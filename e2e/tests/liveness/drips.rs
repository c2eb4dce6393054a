//! Frames and messages that come a byte at a time: they have to be whole in time.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use postern_e2e::Frame;
use postern_e2e::deadline::LATE;

use crate::heartbeats::{EARLY, LISTENING, answer, assert_closed};
use crate::stage::{IDLE_TIMEOUT, PLAINTEXT, open};

#[tokio::test]
async fn a_client_that_drips_a_frame_is_told_in_time_and_its_service_too_unless_it_has_seen_half() {
    let pair = PLAINTEXT.shared().await;
    let scene = &pair.guarded;
    let long = vec![b'x'; 64 << 10];
    let in_all = IDLE_TIMEOUT + Duration::from_secs(4);
    let cases = [
        ("a header", Frame::binary(long.clone()), 0, IDLE_TIMEOUT, true),
        ("a Close", Frame::closing(1000, &"x".repeat(100)), 6, IDLE_TIMEOUT, true),
        ("a short text", Frame::text(&"x".repeat(200)), 9, IDLE_TIMEOUT, true),
        ("a text", Frame::text(&"x".repeat(64 << 10)), 600, in_all, false),
        ("binary", Frame::binary(long.clone()), 600, in_all, false),
    ];
    join_all(cases.map(async |(what, frame, start, after, service_is_told)| {
        let mut client = open(scene, "/ws/drips").await;
        let bytes = frame.masked().bytes();
        let began = Instant::now();
        client.send(&bytes[..=start]).await;
        let mut rest = bytes[start + 1..].iter();
        let close = loop {
            match tokio::time::timeout(LISTENING, client.frame()).await {
                Ok(frame) => break frame.expect("a Close"),
                Err(_) => {
                    assert!(began.elapsed() < after + LATE, "{what}: it is kept");
                    client.send([*rest.next().expect("more of it")]).await;
                }
            }
        };
        let took = began.elapsed();
        assert_eq!(close, Frame::closing(3008, "idle_timeout"), "{what}");
        assert!(took + LISTENING > after && took < after + LATE, "{what}: {took:?}");
        let record = scene.record(&client).await;
        if service_is_told {
            let up = record.close().await;
            assert_eq!((up.code(), up.reason()), (Some(3008), "idle_timeout".to_owned()), "{what}");
        } else {
            record.ended().await;
        }
    }))
    .await;
}

#[tokio::test]
async fn a_message_that_is_kept_back_is_to_be_whole_in_time_whoever_sends_it_and_however_whole_its_frames_are()
 {
    let pair = PLAINTEXT.shared().await;
    let scene = &pair.guarded;
    let mut client = open(scene, "/ws/hears").await;
    let start = Instant::now();
    let mut fragment = Frame::text("{").unfinished();
    let close = loop {
        client.send([fragment.masked().bytes(), Frame::pong("").masked().bytes()].concat()).await;
        fragment = Frame { fin: false, ..Frame::continuation(" ") };
        if let Ok(frame) = tokio::time::timeout(LISTENING, client.frame()).await {
            break frame.expect("a Close");
        }
        assert!(start.elapsed() < IDLE_TIMEOUT + LATE, "it is kept");
    };
    assert!(start.elapsed() + EARLY > IDLE_TIMEOUT, "{:?}", start.elapsed());
    assert_closed(scene, &mut client, &close, "idle_timeout").await;

    // The service drips a text, while the client answers every Ping.
    let mut client = open(scene, "/ws/dripped").await;
    let record = scene.record(&client).await;
    let text = Frame::text(&"x".repeat(200)).bytes();
    let start = Instant::now();
    record.send(&text[..5]);
    let mut rest = text[5..].iter();
    let close = loop {
        match tokio::time::timeout(LISTENING, client.frame()).await {
            Ok(frame) if frame.as_ref().is_ok_and(Frame::is_heartbeat) => {
                answer(&mut client, &frame.expect("a Ping")).await;
            }
            Ok(frame) => break frame.expect("a Close"),
            Err(_) => record.send([*rest.next().expect("more of it")]),
        }
        assert!(start.elapsed() < Duration::from_secs(6) + LATE, "it is kept");
    };
    assert!(start.elapsed() + EARLY > Duration::from_secs(6), "{:?}", start.elapsed());
    assert_eq!(close, Frame::closing(3008, "idle_timeout"));
    let up = record.close().await;
    assert_eq!((up.code(), up.reason()), (Some(3008), "idle_timeout".to_owned()));
}

#[tokio::test]
async fn a_frame_that_drips_behind_a_burst_that_nobody_reads_is_not_held_up() {
    let pair = PLAINTEXT.shared().await;
    let scene = &pair.guarded;
    let mut client = open(scene, "/ws/bursts").await;
    scene.record(&client).await.stop_reading();
    let start = Instant::now();
    client.send(Frame::binary(vec![7; 60_000]).masked().bytes().repeat(8)).await;
    let frame = Frame::binary(vec![7; 900]).masked().bytes();
    let mut bytes = frame.iter();
    while scene.envoy().log_lines_with("policy=bursts reason=idle_timeout").is_empty() {
        assert!(start.elapsed() < Duration::from_secs(6) + LATE + LATE, "it is kept");
        if client.try_send([*bytes.next().expect("more of it")]).await.is_err() {
            break;
        }
        tokio::time::sleep(LISTENING).await;
    }
    assert!(start.elapsed() + EARLY > Duration::from_secs(6), "{:?}", start.elapsed());
    assert_eq!(scene.access_line(client.case()).await["reason"], "idle_timeout");
}
