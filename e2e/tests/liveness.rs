//! Heartbeats and deadlines on connections on which nobody says anything, which a filter on a stock Envoy
//! keeps by itself.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use postern_e2e::scene::document;
use postern_e2e::{Behaviour, ControlPair, Frame, RawClient, RunningScene, Scene, Shared, Value, json};

/// The most by which anything may come after its deadline.
const LATE: Duration = Duration::from_secs(1);

const PING_INTERVAL: Duration = Duration::from_secs(1);
const PONG_TIMEOUT: Duration = Duration::from_secs(2);
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

fn configuration() -> Value {
    let seconds = |duration: Duration| format!("{}s", duration.as_secs());
    let beats = json!({
        "idle_timeout": "6s", "ping_interval": seconds(PING_INTERVAL), "pong_timeout": seconds(PONG_TIMEOUT),
        "close_timeout": seconds(CLOSE_TIMEOUT),
    });
    let waits = json!({
        "idle_timeout": seconds(IDLE_TIMEOUT), "ping_interval": "none", "close_timeout": seconds(CLOSE_TIMEOUT),
    });
    let proves = json!({"liveness": beats, "upstream_messages": {"utf8": true}});
    let auth =
        json!({"providers": ["edge"], "from": [{"first_message": "/token"}], "first_message_timeout": "1h"});
    let (beating, waiting) = (json!({"liveness": beats}), json!({"liveness": waits}));
    // Some tests count or read what is said of their connections, so there are equal policies under names of
    // their own.
    let policies = json!({
        "beats": beating, "stops": beating, "bursts": beating, "unanswered": beating, "waits": waiting,
        "drips": waiting, "proves": proves, "dripped": proves, "hears": {"liveness": waits, "auth": auth},
    });
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    document(json!({"edge": edge}), policies)
}

fn scene() -> Scene {
    Scene::new()
        .document(configuration())
        .upstream("/ws/waits/silent", Behaviour::Silent)
        .upstream("/ws/beats/greets", Behaviour::Chatty(vec![Frame::text("hello").bytes()]))
        .upstream("/ws/beats/silent", Behaviour::Silent)
        .upstream("/ws/bursts", Behaviour::Silent)
        .upstream("/ws/unanswered", Behaviour::Silent)
        .upstream("/ws/proves/silent", Behaviour::Silent)
}

/// Puts filters of Envoy's own on both sides of Postern.
fn between_others(scene: Scene) -> Scene {
    scene.change_connection_manager(|manager| {
        let lua = |name: &str| {
            json!({"name": name, "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                "default_source_code": {"inline_string": "function envoy_on_request(handle) \
                    handle:headers():add('x-lua', 'seen') end \
                    function envoy_on_response(handle) handle:headers():add('x-lua', 'seen') end"},
            }})
        };
        let cors = json!({"name": "cors", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"}});
        let compressor = json!({"name": "compressor", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor",
            "compressor_library": {"name": "gzip", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip"}}}});
        let filters = manager["http_filters"].as_array_mut().expect("a list of filters");
        filters.insert(1, lua("behind"));
        filters.splice(0..0, [cors, compressor, lua("before")]);
    })
}

static PLAINTEXT: Shared<ControlPair> = Shared::new(|| scene().plaintext());
static TLS: Shared<RunningScene> = Shared::new(scene);
static AMONG_OTHERS: Shared<RunningScene> = Shared::new(|| between_others(scene()));

/// Runs the test on every way in which a stream may reach Postern here.
async fn everywhere(test: impl AsyncFn(&str, &RunningScene)) {
    let (plaintext, tls, among) = tokio::join!(PLAINTEXT.shared(), TLS.shared(), AMONG_OTHERS.shared());
    tokio::join!(
        test("plaintext", &plaintext.guarded),
        test("TLS", &tls),
        test("other filters around it", &among),
    );
}

async fn open(scene: &RunningScene, path: &str) -> RawClient {
    let mut client = scene.open(path).await;
    client.show_heartbeats();
    client
}

/// Waits for the next frame, which must come `after` the moment `since`, and not much later.
async fn next(client: &mut RawClient, since: Instant, after: Duration) -> Frame {
    let frame = client.frame_within(after + LATE + LATE).await.expect("a frame");
    let took = since.elapsed();
    // A stream without a clock of its own learns at most a tick late that it is due.
    let early = Duration::from_millis(20);
    assert!(
        took + early >= after && took < after + LATE,
        "{frame:?} came after {took:?} instead of {after:?}"
    );
    frame
}

async fn answer(client: &mut RawClient, ping: &Frame) {
    assert!(ping.is_heartbeat(), "{ping:?}");
    client.send(Frame::pong(ping.payload.clone()).masked().bytes()).await;
}

/// The time without a frame after which nothing more is taken to come.
const LISTENING: Duration = Duration::from_millis(300);

/// Sends one message to the echo, and answers Postern's Pings meanwhile.
async fn talk(client: &mut RawClient) {
    client.send(Frame::text("hello").masked().bytes()).await;
    assert_eq!(next_of_application(client).await, Frame::text("hello"));
    // A frame that follows the echo comes at once.
    listen(client).await;
}

/// Answers Postern's Pings until none has come for a while.
async fn listen(client: &mut RawClient) {
    while let Ok(Ok(frame)) = tokio::time::timeout(LISTENING, client.frame()).await {
        answer(client, &frame).await;
    }
}

/// Returns the next frame that is not Postern's, and answers Postern's Pings before it.
async fn next_of_application(client: &mut RawClient) -> Frame {
    loop {
        let frame = client.frame().await.expect("an open connection");
        if !frame.is_heartbeat() {
            return frame;
        }
        answer(client, &frame).await;
    }
}

/// Answers a Close as a client should, and asserts what the upstream and the access log have of it.
async fn assert_closed(scene: &RunningScene, client: &mut RawClient, close: &Frame, reason: &str) {
    assert_eq!(*close, Frame::closing(3008, reason));
    client.send(Frame::closing(3008, "").masked().bytes()).await;
    let up = scene.record(client).await.close().await;
    assert_eq!((up.code(), up.reason()), (Some(3008), reason.to_owned()));
    assert_eq!(client.rest().await.0, b"", "nothing follows a Close");
    assert_eq!(scene.access_line(client.case()).await["reason"], reason);
}

#[tokio::test]
async fn a_silent_client_is_asked_in_time_and_stays_as_long_as_it_answers() {
    everywhere(async |name, scene| {
        let mut client = open(scene, "/ws/beats").await;
        for _ in 0..8 {
            let ping = next(&mut client, Instant::now(), PING_INTERVAL).await;
            answer(&mut client, &ping).await;
        }
        let record = scene.record(&client).await;
        assert_eq!(record.bytes(), b"", "{name}: the application hears nothing of it");
        assert_eq!(record.heartbeats(), [], "{name}: nor does its library");
        talk(&mut client).await;
        let mut since = Instant::now() - LISTENING;
        for _ in 0..3 {
            let ping = next(&mut client, since, PING_INTERVAL).await;
            answer(&mut client, &ping).await;
            since = Instant::now();
        }
        assert_eq!(record.messages(), [b"hello"], "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_client_is_asked_in_time_though_its_service_speaks_with_the_101() {
    let pair = PLAINTEXT.shared().await;
    let scene = &pair.guarded;
    let mut client = open(scene, "/ws/beats/greets").await;
    assert_eq!(next_of_application(&mut client).await, Frame::text("hello"));
    let mut since = Instant::now();
    for _ in 0..8 {
        let ping = next(&mut client, since, PING_INTERVAL).await;
        answer(&mut client, &ping).await;
        since = Instant::now();
    }
}

#[tokio::test]
async fn a_client_that_stops_answering_is_gone_when_its_pong_is_overdue() {
    everywhere(async |name, scene| {
        let mut client = open(scene, "/ws/stops").await;
        let start = Instant::now();
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
        let start;
        if answers {
            talk(&mut client).await;
            start = Instant::now();
        } else {
            start = Instant::now();
            client.send(Frame::text("hello").masked().bytes()).await;
        }
        let (_, end) = client.rest().await;
        let took = start.elapsed();
        assert!(took < PING_INTERVAL + PONG_TIMEOUT + LATE + LATE, "answers {answers}: {took:?} ({end:?})");
        assert!(took > PING_INTERVAL + PONG_TIMEOUT - LATE, "answers {answers}: {took:?}");
        assert_eq!(scene.access_line(client.case()).await["reason"], "pong_timeout");
        scene.record(&client).await.ended().await;
    }
}

#[tokio::test]
async fn a_silent_client_that_is_not_asked_is_closed_in_time_whatever_was_said_before() {
    everywhere(async |name, scene| {
        for (path, talks) in [("/ws/waits", false), ("/ws/waits", true), ("/ws/waits/silent", false)] {
            let mut client = open(scene, path).await;
            let mut start = Instant::now();
            if talks {
                talk(&mut client).await;
                start = Instant::now() - LISTENING;
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
    assert!(client.receives_nothing_for(IDLE_TIMEOUT + LATE).await, "Envoy alone waits for minutes");
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
    let mut client = open(scene, "/ws/unanswered").await;
    let record = scene.record(&client).await;
    let mut since = Instant::now();
    for beat in 0..6 {
        let ping = next(&mut client, since, PING_INTERVAL).await;
        answer(&mut client, &ping).await;
        since = Instant::now();
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

#[tokio::test]
async fn what_postern_says_by_itself_and_where_it_cannot_is_counted() {
    let pair = PLAINTEXT.shared().await;
    let scene = &pair.guarded;
    let mut client = open(scene, "/ws/proves/silent").await;
    let record = scene.record(&client).await;
    let ping = next(&mut client, Instant::now(), PING_INTERVAL).await;
    answer(&mut client, &ping).await;
    let labels = [("policy", "proves"), ("direction", "downstream")];
    scene.envoy().stat_becomes("postern_pings", &labels, 1.0).await;
    let out_of_reach = [("policy", "proves")];
    assert_eq!(scene.envoy().stats().await.sum("postern_connections_out_of_reach", &out_of_reach), 0.0);
    // The texts come in two pieces, both ways, from an upstream that answers no Ping.
    let (news, hello) =
        (Frame::text(&"news".repeat(100)), Frame::text(&"hello".repeat(100)).masked().bytes());
    client.send_pieces([&hello[..400], &hello[400..]]).await;
    assert_eq!(record.bytes_when(hello.len()).await, hello);
    let bytes = news.bytes();
    for piece in [&bytes[..300], &bytes[300..]] {
        record.send(piece);
        tokio::time::sleep(LISTENING).await;
    }
    assert_eq!(next_of_application(&mut client).await, news);
    listen(&mut client).await;
    let upstream = [("policy", "proves"), ("direction", "upstream")];
    scene.envoy().stat_becomes("postern_pings", &upstream, 1.0).await;
    scene.envoy().stat_becomes("postern_connections_out_of_reach", &out_of_reach, 1.0).await;
    drop(client);
    scene.envoy().stat_becomes("postern_connections_out_of_reach", &out_of_reach, 0.0).await;
}

#[tokio::test]
async fn the_applications_own_pings_and_pongs_pass_with_any_payload() {
    let pair = PLAINTEXT.shared().await;
    let scene = &pair.guarded;
    let mut client = open(scene, "/ws/beats").await;
    let record = scene.record(&client).await;
    let ping = next(&mut client, Instant::now(), PING_INTERVAL).await;
    assert!(ping.is_heartbeat());
    let mut forged = ping.payload.clone();
    forged[15] ^= 1;
    // These Pongs are unasked for: as long as Postern's, and almost the same. Postern's own, as often as they
    // come, are not among them.
    let pongs = [vec![], vec![7; 16], forged, vec![1; 125]];
    let mut sent = Vec::new();
    for pong in &pongs {
        sent.extend(Frame::pong(pong.clone()).masked().bytes());
    }
    let own = Frame::pong(ping.payload).masked().bytes();
    sent.extend(Frame::ping("ping").masked().bytes());
    client.send_in_pieces_of(1, [&sent[..], &own, &own].concat()).await;
    assert_eq!(record.bytes_when(sent.len()).await, sent);
    assert_eq!(next_of_application(&mut client).await, Frame::pong("ping"));
    for payload in [&b""[..], b"postern:", &[3; 16], &[4; 125]] {
        record.send(Frame::ping(payload).bytes());
        record.send(Frame::pong(payload).bytes());
        for expected in [Frame::ping(payload), Frame::pong(payload)] {
            assert_eq!(next_of_application(&mut client).await, expected);
        }
        client.send(Frame::pong(payload).masked().bytes()).await;
    }
}

#[tokio::test]
async fn a_ping_stands_between_fragments_and_never_within_a_frame() {
    let pair = PLAINTEXT.shared().await;
    let scene = &pair.guarded;
    let mut client = open(scene, "/ws/beats").await;
    let record = scene.record(&client).await;
    let start = Frame::text("frag").unfinished();
    record.send(start.bytes());
    assert_eq!(client.frame().await, Ok(start));
    let ping = next(&mut client, Instant::now(), PING_INTERVAL).await;
    answer(&mut client, &ping).await;
    // The upstream may be asked in its turn; it answers before it goes on.
    listen(&mut client).await;
    // The next fragment begins and does not end, so that nothing may stand in it.
    let middle = Frame { fin: false, ..Frame::continuation([b'x'; 300]) };
    let bytes = middle.bytes();
    record.send(&bytes[..200]);
    assert_eq!(client.bytes(200).await, Ok(bytes[..200].to_vec()));
    let heard = tokio::time::timeout(PING_INTERVAL + LATE, client.bytes(1)).await;
    assert!(heard.is_err(), "{heard:?} within a frame");
    record.send(&bytes[200..]);
    assert_eq!(client.bytes(104).await, Ok(bytes[200..].to_vec()));
    let ping = client.frame().await.expect("a Ping");
    answer(&mut client, &ping).await;
    record.send(Frame::continuation("ment").bytes());
    assert_eq!(next_of_application(&mut client).await, Frame::continuation("ment"));
}

#[tokio::test]
async fn a_client_whose_service_does_not_read_is_not_silent_and_all_it_says_arrives() {
    // The time is longer than a client may be silent, asked or not.
    const STOPPED: Duration = Duration::from_secs(9);
    let scene = scene().plaintext().upstream("/ws/beats/records", Behaviour::Recorder).start().await;
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
    let scene = scene().plaintext().start().await;
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
    assert!(start.elapsed() + LATE > IDLE_TIMEOUT, "{:?}", start.elapsed());
    assert_closed(scene, &mut client, &close, "idle_timeout").await;

    // The service drips a text, while the client answers every Ping.
    let mut client = open(scene, "/ws/dripped").await;
    let record = scene.record(&client).await;
    let text = Frame::text(&"x".repeat(200)).bytes();
    record.send(&text[..5]);
    let start = Instant::now();
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
    assert!(start.elapsed() + LATE > Duration::from_secs(6), "{:?}", start.elapsed());
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
    client.send(Frame::binary(vec![7; 60_000]).masked().bytes().repeat(8)).await;
    let frame = Frame::binary(vec![7; 900]).masked().bytes();
    let mut bytes = frame.iter();
    let start = Instant::now();
    while scene.envoy().log_lines_with("policy=bursts reason=idle_timeout").is_empty() {
        assert!(start.elapsed() < Duration::from_secs(6) + LATE + LATE, "it is kept");
        if client.try_send([*bytes.next().expect("more of it")]).await.is_err() {
            break;
        }
        tokio::time::sleep(LISTENING).await;
    }
    assert!(start.elapsed() + LATE > Duration::from_secs(6), "{:?}", start.elapsed());
    assert_eq!(scene.access_line(client.case()).await["reason"], "idle_timeout");
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
