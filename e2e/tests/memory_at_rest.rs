//! The memory of inflaters on idle clients: their history is held too, and a client that comes later and
//! holds as much does not take their place.

use std::time::Duration;

use postern_e2e::frames::opcode::TEXT;
use postern_e2e::scene::document;
use postern_e2e::{Answer, Behaviour, Frame, RawClient, Request, RunningScene, Scene, json};
use tokio::time::timeout;

/// `Hello`, compressed (RFC 7692 §7.2.3.1).
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// Sends one message, so that Postern keeps the history of its inflater; `None` where the client is refused.
async fn rests(scene: &RunningScene) -> Option<RawClient> {
    let request = Request::upgrade("/ws/chat").header("Sec-WebSocket-Extensions", "permessage-deflate");
    let mut client = scene.connect().await;
    let is_open = client.ask(&request).await.status == 101;
    client.try_send(Frame::new(TEXT, HELLO).rsv(4).masked().bytes()).await.ok().filter(|()| is_open)?;
    Some(client)
}

/// Says whether the client has been sent away.
async fn is_ended(client: &mut RawClient) -> bool {
    while let Ok(frame) = timeout(Duration::from_millis(20), client.frame()).await {
        if frame.map_or(true, |frame| frame.is_close()) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn who_comes_later_has_no_idle_client_ended_whose_inflater_rests() {
    const HONEST: usize = 40;
    let mut whole = document(json!({}), json!({"chat": {"compression": "inspect"}}));
    whole["memory"] = json!({"budget": "8MiB"});
    let answer = Answer::switching().header("Sec-WebSocket-Extensions", "permessage-deflate");
    let scene = Scene::new().document(whole).plaintext();
    let scene = scene.upstream("/ws", Behaviour::Answer(answer)).start().await;
    let mut honest = Vec::new();
    for _ in 0..HONEST {
        honest.push(rests(&scene).await.expect("room"));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The others come from one address, without a token, and are never idle.
    let mut others = Vec::new();
    for _ in 0..300 {
        others.extend(rests(&scene).await);
        if others.len() % 10 == 0 {
            for other in &mut others {
                let _ = other.try_send(Frame::pong("moves").masked().bytes()).await;
            }
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut ended = 0;
    for client in &mut honest {
        ended += usize::from(is_ended(client).await);
    }
    assert_eq!(ended, 0, "of {HONEST} who were idle for two seconds");
}
