//! A client that does not read what it is sent, on a real Envoy.

use std::time::Duration;

use postern_e2e::scene::document;
use postern_e2e::{Frame, Scene, json};

const MIB: usize = 1 << 20;
/// The backlog in bytes: below the buffer limit of Envoy's connections, at which Envoy stops reading from the
/// upstream.
const BACKLOG: usize = MIB / 2;
const FRAME: usize = 64 * 1024;

fn scene() -> Scene {
    let policy = |on_exceed: &str| {
        json!({
            "backpressure": {"max_backlog_bytes": BACKLOG, "on_exceed": on_exceed},
            "liveness": {"idle_timeout": "10m", "ping_interval": "none", "close_timeout": "10s"},
        })
    };
    Scene::new()
        .document(document(json!({}), json!({"closes": policy("close"), "drops": policy("drop")})))
        .plaintext()
}

/// Returns a frame with this number in it.
fn numbered(number: u32) -> Frame {
    let mut payload = vec![0; FRAME];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    Frame::binary(payload)
}

fn number(frame: &Frame) -> u32 {
    assert_eq!(frame.payload.len(), FRAME, "a whole message");
    u32::from_be_bytes(frame.payload[..4].try_into().expect("four bytes"))
}

#[tokio::test]
async fn a_client_that_stops_reading_is_closed_and_the_upstream_told() {
    let scene = scene().start().await;
    let mut client = scene.open("/ws/closes").await;
    let record = scene.record(&client).await;
    for i in 0..256 {
        record.send(numbered(i).bytes());
    }
    let up = record.close().await;
    assert_eq!((up.code(), up.reason()), (Some(1013), "backlog_exceeded".to_owned()));
    // The frames that the client reads in the end are whole messages in order, and the Close.
    let (frames, _) = client.frames_to_close().await;
    let (close, messages) = frames.split_last().expect("a Close");
    assert_eq!(*close, Frame::closing(1013, "backlog_exceeded"));
    let numbers: Vec<_> = messages.iter().map(number).collect();
    assert_eq!(numbers, (0..u32::try_from(numbers.len()).expect("few")).collect::<Vec<_>>());
    assert!(messages.len() * FRAME <= BACKLOG && messages.len() * FRAME > BACKLOG / 2, "{}", messages.len());
    assert_eq!(scene.access_line(client.case()).await["reason"], "backlog_exceeded");
    let stats = scene.envoy().stats().await;
    assert_eq!(stats.sum("postern_closes", &[("reason", "backlog_exceeded")]), 1.0);
}

#[tokio::test]
async fn what_a_client_does_not_read_costs_envoy_no_memory_and_what_it_reads_later_is_whole() {
    const ROUNDS: u32 = 16;
    let scene = scene().start().await;
    let mut client = scene.open("/ws/drops").await;
    let record = scene.record(&client).await;
    let before = scene.envoy().usage().memory;
    let mut most = before;
    // One gibibyte is sent, of which the client reads nothing.
    let per_round = u32::try_from(64 * MIB / FRAME).expect("few");
    for round in 0..ROUNDS {
        for i in 0..per_round {
            record.send(numbered(round * per_round + i).bytes());
        }
        let expected = f64::from((round + 1) * per_round);
        let end = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let stats = scene.envoy().stats().await;
            let read = stats.sum("postern_messages", &[("policy", "drops"), ("direction", "upstream")]);
            if read >= expected {
                break;
            }
            assert!(
                std::time::Instant::now() < end,
                "Envoy does not read on in round {round}: {read} of {expected}"
            );
            most = most.max(scene.envoy().usage().memory);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let grown = most - before;
    println!("1 GiB to a client that does not read: {} KiB more of memory", grown / 1024);
    assert!(grown < 32 * MIB, "{grown}");
    let stats = scene.envoy().stats().await;
    let dropped = stats.sum("postern_messages", &[("policy", "drops"), ("result", "dropped")]);
    assert!(dropped > f64::from(ROUNDS * per_round) * 0.9, "{dropped}");

    // Once the client reads and answers again, there is room again.
    client.show_heartbeats();
    let total = ROUNDS * per_round;
    let mut last = None;
    while last != Some(total) {
        match tokio::time::timeout(Duration::from_millis(200), client.frame()).await {
            Err(_) => record.send(numbered(total).bytes()),
            Ok(frame) => {
                let frame = frame.expect("an open connection");
                if frame.is_heartbeat() {
                    client.send(Frame::pong(frame.payload).masked().bytes()).await;
                    continue;
                }
                let number = Some(number(&frame));
                assert!(last < number, "{last:?} before {number:?}");
                last = number;
            }
        }
    }
}
