//! Pings and Pongs: where Postern's own may stand, that they are counted, and that all others pass.

use std::time::Instant;

use postern_e2e::Frame;

use crate::heartbeats::{LISTENING, answer, listen, next, next_of_application};
use crate::stage::{PING_INTERVAL, PLAINTEXT, open};

#[tokio::test]
async fn what_postern_says_by_itself_and_where_it_cannot_is_counted() {
    let pair = PLAINTEXT.shared().await;
    let scene = &pair.guarded;
    let since = Instant::now();
    let mut client = open(scene, "/ws/proves/silent").await;
    let record = scene.record(&client).await;
    let ping = next(&mut client, since, PING_INTERVAL).await;
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
    let since = Instant::now();
    let mut client = open(scene, "/ws/beats").await;
    let record = scene.record(&client).await;
    let ping = next(&mut client, since, PING_INTERVAL).await;
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
    let since = Instant::now();
    let mut client = open(scene, "/ws/beats").await;
    let record = scene.record(&client).await;
    let start = Frame::text("frag").unfinished();
    record.send(start.bytes());
    assert_eq!(client.frame().await, Ok(start));
    let ping = next(&mut client, since, PING_INTERVAL).await;
    answer(&mut client, &ping).await;
    // The upstream may be asked in its turn; it answers before it goes on.
    listen(&mut client).await;
    // The next fragment begins and does not end, so that nothing may stand in it.
    let middle = Frame { fin: false, ..Frame::continuation([b'x'; 300]) };
    let bytes = middle.bytes();
    record.send(&bytes[..200]);
    assert_eq!(client.bytes(200).await, Ok(bytes[..200].to_vec()));
    let heard = tokio::time::timeout(2 * PING_INTERVAL, client.bytes(1)).await;
    assert!(heard.is_err(), "{heard:?} within a frame");
    record.send(&bytes[200..]);
    assert_eq!(client.bytes(104).await, Ok(bytes[200..].to_vec()));
    let ping = client.frame().await.expect("a Ping");
    answer(&mut client, &ping).await;
    record.send(Frame::continuation("ment").bytes());
    assert_eq!(next_of_application(&mut client).await, Frame::continuation("ment"));
}
