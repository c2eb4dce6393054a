//! Peers that do not read, or slowly, and what lies on the way to them.

use std::time::{Duration, Instant};

use postern_e2e::deadline::LATE;
use postern_e2e::{Behaviour, Frame, RawClient, json};

use crate::heartbeats::{answer, listen};
use crate::stage::{CLOSE_TIMEOUT, PING_INTERVAL, PONG_TIMEOUT, open, scene};

#[tokio::test]
async fn a_client_whose_service_does_not_read_is_not_silent_and_all_it_says_arrives() {
    // The time is longer than a client may be silent, asked or not.
    const STOPPED: Duration = Duration::from_secs(9);
    let scene =
        scene().plaintext().upstream("/ws/beats/records", Behaviour::Recorder).beside_others().start().await;
    for size in [1_000, 60_000] {
        let mut client = scene.open("/ws/beats/records").await;
        let record = scene.record(&client).await;
        record.stop_reading();
        // The data is more than Envoy and the sockets on the way hold, so that Pongs wait behind it.
        let all = Frame::binary(vec![7; size]).masked().bytes().repeat((32 << 20) / size);
        {
            let mut sending = std::pin::pin!(client.try_send(&all));
            let sent = tokio::time::timeout(STOPPED, &mut sending).await;
            assert!(sent.is_err(), "{size}: it is held up, and not cut: {sent:?}");
            record.read_on();
            sending.await.expect("an open connection");
        }
        assert!(record.bytes_when(all.len()).await == all, "{size}");
        client.show_heartbeats();
        listen(&mut client).await;
        assert!(record.is_open(), "{size}");
    }
    // A client that is gone is found, though its service does not read either.
    let mut client = scene.open("/ws/beats/records").await;
    scene.record(&client).await.stop_reading();
    let start = Instant::now();
    client.send(Frame::binary(vec![7; 30_000]).masked().bytes()).await;
    client.rest().await;
    assert!(start.elapsed() < PING_INTERVAL + PONG_TIMEOUT + LATE + LATE, "{:?}", start.elapsed());
    assert_eq!(scene.access_line(client.case()).await["reason"], "pong_timeout");
}

/// A client that reads as many bytes at a time as a test says, and answers Postern's Pings.
struct Reader {
    client: RawClient,
    /// The bytes that it has read of a frame that is not whole.
    partial: Vec<u8>,
    /// The number of the application's bytes that it has read in whole frames.
    read: usize,
    /// The number of Pings that it got.
    asked: usize,
}

impl Reader {
    async fn take(&mut self, bytes: usize) {
        self.partial.extend(self.client.bytes(bytes).await.expect("an open connection"));
        let mut taken = 0;
        while let Some((frame, length)) = Frame::parse(&self.partial[taken..]) {
            taken += length;
            if frame.is_heartbeat() {
                self.asked += 1;
                answer(&mut self.client, &frame).await;
            } else {
                assert_eq!(frame.payload.first(), Some(&7), "{frame:?}");
                self.read += length;
            }
        }
        self.partial.drain(..taken);
    }

    /// Reads `speed` bytes a second for `time`.
    async fn take_slowly(&mut self, speed: usize, time: Duration) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / 8);
        let start = Instant::now();
        while start.elapsed() < time {
            ticks.tick().await;
            self.take(speed / 8).await;
        }
    }

    /// Reads the rest of `bytes` bytes of the application's.
    async fn take_all(&mut self, bytes: usize) {
        while self.read < bytes {
            let left = bytes.saturating_sub(self.read + self.partial.len());
            self.take(left.clamp(1, 64 << 10)).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_stays_and_one_that_reads_nothing_does_not() {
    // The time is longer than a client may be silent.
    const SLOWLY: Duration = Duration::from_secs(10);
    const SPEED: usize = 32 << 10;
    let scene = scene().plaintext().beside_others().start().await;
    for (size, path) in [(1_000, "/ws/beats"), (60_000, "/ws/beats"), (60_000, "/ws/beats/silent")] {
        // The data is as much as the sockets on the way and Envoy hold.
        let message = Frame::binary(vec![7; size]).bytes();
        let all = message.repeat((6 << 20) / message.len());
        let reads_slowly = async {
            let client = open(&scene, path).await;
            let record = scene.record(&client).await;
            record.send(&all);
            let mut reader = Reader { client, partial: Vec::new(), read: 0, asked: 0 };
            reader.take_slowly(SPEED, SLOWLY).await;
            let (read, asked) = (reader.read, reader.asked);
            assert!(read < 1 << 20 && asked > 0, "{path} {size}: {read} bytes read, asked {asked} times");
            reader.take_all(all.len()).await;
            assert!(record.is_open(), "{path} {size}");
        };
        let reads_nothing = async {
            let client = open(&scene, path).await;
            let record = scene.record(&client).await;
            record.send(&all);
            let start = Instant::now();
            record.ended().await;
            let took = start.elapsed();
            // The bound has a second for every 16 KiB up to the first Ping, and then as long as for any other
            // client.
            let most = Duration::from_secs(4 + 4) + PONG_TIMEOUT + CLOSE_TIMEOUT + LATE;
            assert!(took < most, "{path} {size}: {took:?}");
            let reason = scene.access_line(client.case()).await["reason"].clone();
            assert!(reason == "pong_timeout" || reason == "idle_timeout", "{path} {size}: {reason}");
        };
        tokio::join!(reads_slowly, reads_nothing);
    }
}

#[tokio::test]
async fn a_burst_into_a_parked_stream_passes_whatever_its_size() {
    // Envoy reads 16 KiB at a time, and so reads past limits such as these. A paused stream would hold no
    // more than the limit, did the virtual host not say otherwise.
    for (limit, size) in [(60_000, 40_000), (60_000, 3 << 20), (1_000_000, 3 << 20)] {
        let scene = scene()
            .plaintext()
            .change(move |bootstrap| {
                for part in ["listeners", "clusters"] {
                    bootstrap["static_resources"][part][0]["per_connection_buffer_limit_bytes"] =
                        json!(limit);
                }
            })
            .beside_others()
            .start()
            .await;
        let burst = Frame::binary(vec![7; 60_000]).bytes().repeat(size / 60_000 + 1);
        let masked = Frame::binary(vec![7; 60_000]).masked().bytes().repeat(size / 60_000 + 1);
        // Several rounds are tried, since now and then less comes at once than was sent at once.
        for round in 0..5 {
            let mut client = scene.open("/ws/beats").await;
            let record = scene.record(&client).await;
            record.send(&burst);
            let got = client.bytes(burst.len()).await;
            let ended = got.as_ref().err();
            assert!(
                got.as_ref() == Ok(&burst),
                "limit {limit} size {size} round {round}, to the client: {ended:?}"
            );
            client.send(&masked).await;
            let up = record.bytes_when(masked.len()).await;
            assert!(up == masked, "limit {limit} size {size} round {round}, to the upstream");
        }
    }
}
