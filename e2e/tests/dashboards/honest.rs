//! Honest clients, who come and go, talk, and now and then do what a policy refuses.

use futures_util::future::join4;
use postern_e2e::{Frame, RawClient, Request, RunningScene};
use tokio::time::sleep;

use crate::stage::{PAUSE, Stage};

/// The sizes of messages, in bytes.
const SIZES: [usize; 5] = [5, 20, 150, 900, 6000];

/// Talks for as long as nobody drops it.
pub(crate) async fn talk_on(stage: &Stage) {
    let edge = &stage.edge;
    let users = [stage.bearing("/ws/users"), stage.bearing("/ws/users?again")];
    join4(
        stay(edge, &Request::upgrade("/ws/chat")),
        stay(edge, &users[0]),
        come_and_go(edge, &[Request::upgrade("/ws/chat"), Request::upgrade("/ws/mesh"), users[1].clone()]),
        come_and_go(&stage.crippled, &[Request::upgrade("/ws/plain")]),
    )
    .await;
}

/// Stays connected, talks all the time and answers Pings.
async fn stay(scene: &RunningScene, request: &Request) {
    let mut client = scene.open_with(request).await;
    client.show_heartbeats();
    for size in SIZES.into_iter().cycle() {
        client.send(Frame::binary(vec![7; size]).masked().bytes()).await;
        while let Ok(Ok(frame)) = tokio::time::timeout(2 * PAUSE, client.frame()).await {
            if frame.is_heartbeat() {
                client.send(Frame::pong(frame.payload).masked().bytes()).await;
            }
        }
    }
}

/// Connects anew all the time; every few times somebody comes from a wrong site.
async fn come_and_go(scene: &RunningScene, requests: &[Request]) {
    for (turn, request) in requests.iter().cycle().enumerate() {
        let mut client = scene.open_with(request).await;
        for size in &SIZES[..3] {
            echo(&mut client, *size).await;
        }
        client.send(Frame::closing(1000, "").masked().bytes()).await;
        client.close().await;
        if turn % 5 == 0 {
            let strange = Request::upgrade("/ws/chat").header("Origin", "https://evil.example");
            assert_eq!(scene.ask(&strange).await.status, 403);
        }
        sleep(PAUSE).await;
    }
}

async fn echo(client: &mut RawClient, size: usize) {
    let frame = Frame::text(&"a".repeat(size));
    client.send(frame.clone().masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(frame));
}
