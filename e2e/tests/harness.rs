//! The harness itself, before an Envoy without Postern: its view of both sides is true.

use postern_e2e::environment;
use postern_e2e::wire::End;
use postern_e2e::{Answer, Behaviour, Frame, Request, RunningScene, Scene, Shared, json};

static BARE: Shared<RunningScene> = Shared::new(|| Scene::new().bare());

#[tokio::test]
async fn an_echo_passes_a_bare_envoy_byte_for_byte() {
    let scene = BARE.shared().await;
    let mut client = scene.open("/ws/chat").await;
    let frame = Frame::text("hello").masked();
    client.send(frame.bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::text("hello")));

    let record = scene.record(&client).await;
    assert_eq!(record.bytes(), frame.bytes());
    assert_eq!(record.messages(), [b"hello"]);
    assert_eq!(record.head.target, "/ws/chat");

    client.send(Frame::closing(1000, "bye").masked().bytes()).await;
    let close = client.close().await;
    assert_eq!((close.code(), close.reason()), (Some(1000), "bye".to_owned()));
    assert_eq!(record.close().await.code(), Some(1000));
}

#[tokio::test]
async fn a_frame_may_be_written_byte_by_byte_and_arrives_whole() {
    let scene = Scene::new().bare().plaintext().start().await;
    let mut client = scene.open("/ws/chat").await;
    let long = Frame::binary(vec![7; 300]).masked();
    client.send_in_pieces_of(1, long.bytes()).await;
    assert_eq!(scene.record(&client).await.bytes_when(long.bytes().len()).await, long.bytes());
    assert_eq!(client.frame().await, Ok(Frame::binary(vec![7; 300])));
}

#[tokio::test]
async fn a_second_loopback_address_is_another_client_to_envoy() {
    let scene = BARE.shared().await;
    for address in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        let mut client = scene.connect_from(address).await;
        let request = Request::get("/hello");
        assert_eq!(client.ask(&request).await.text(), "/hello");
        let text = environment::current().address_of(address.into()).to_string();
        assert_eq!(scene.access_line(request.case()).await["client"], text);
    }
}

#[tokio::test]
async fn headers_that_are_not_text_reach_the_upstream_as_they_were_sent() {
    let scene = BARE.shared().await;
    let request = Request::upgrade("/ws/chat").header("X-Odd", b"a\xffb").header("X-Odd", "twice");
    let client = scene.open_with(&request).await;
    let record = scene.record(&client).await;
    let odd: Vec<_> =
        record.head.headers.0.iter().filter(|(name, _)| name == "x-odd").map(|(_, value)| value).collect();
    assert_eq!(odd, [&b"a\xffb"[..], b"twice"]);
}

#[tokio::test]
async fn the_upstream_behaves_by_path_as_the_test_says() {
    let early = Frame::text("early").bytes();
    let scene = Scene::new()
        .bare()
        .upstream("/ws/silent", Behaviour::Silent)
        .upstream("/ws/recorder", Behaviour::Recorder)
        .upstream("/ws/chatty", Behaviour::Chatty(vec![early]))
        .upstream("/ws/refusing", Behaviour::Answer(Answer::status(403, "no")))
        .upstream("/ws/wrong", Behaviour::Answer(Answer::switching().without("sec-websocket-accept")))
        .start()
        .await;

    let mut chatty = scene.open("/ws/chatty").await;
    assert_eq!(chatty.frame().await, Ok(Frame::text("early")));

    let mut recorder = scene.open("/ws/recorder").await;
    recorder.send([Frame::text("a").masked().bytes(), Frame::ping("b").masked().bytes()].concat()).await;
    assert_eq!(recorder.frame().await, Ok(Frame::pong("b")));
    let record = scene.record(&recorder).await;
    assert_eq!(record.messages(), [b"a"]);
    record.send(Frame::text("c").bytes());
    assert_eq!(recorder.frame().await, Ok(Frame::text("c")));
    record.hang_up();
    assert_eq!(recorder.rest().await.0, b"");

    let mut silent = scene.open("/ws/silent").await;
    silent.send(Frame::closing(1000, "").masked().bytes()).await;
    let record = scene.record(&silent).await;
    record.close().await;
    assert!(record.is_open());
    drop(silent);
    assert_eq!(record.ended().await, End::Eof);

    let refused = scene.ask(&Request::upgrade("/ws/refusing")).await;
    assert_eq!((refused.status, refused.text()), (403, "no".to_owned()));
    let wrong = scene.ask(&Request::upgrade("/ws/wrong")).await;
    assert_eq!((wrong.status, wrong.header("sec-websocket-accept")), (101, None));
}

#[tokio::test]
async fn a_change_to_the_bootstrap_and_the_stats_of_it_are_seen() {
    let scene = Scene::new()
        .bare()
        .workers(2)
        .change(|bootstrap| bootstrap["node"]["id"] = json!("changed"))
        .start()
        .await;
    assert_eq!(scene.envoy().ask_admin("/server_info").await.json()["node"]["id"], "changed");
    assert_eq!(scene.envoy().stats().await.sum("envoy_server_concurrency", &[]), 2.0);
    let _client = scene.open("/ws/chat").await;
    scene
        .envoy()
        .stat_becomes("envoy_cluster_upstream_cx_active", &[("envoy_cluster_name", "service")], 1.0)
        .await;
    assert!(scene.envoy().allocated_bytes().await > 0);
}

#[tokio::test]
async fn an_envoy_that_does_not_start_says_why() {
    let broken =
        Scene::new().bare().change(|bootstrap| bootstrap["static_resources"]["clusters"] = json!([]));
    let error = broken.try_start().await.expect_err("an Envoy whose route has no cluster");
    assert!(error.to_string().contains("service"), "{error}");
}
