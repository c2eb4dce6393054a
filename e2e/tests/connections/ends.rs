//! Every cap and every way in which a connection can end: N are let in and the next is refused, and each that ends
//! makes room for one.

use futures_util::future::join_all;
use postern_e2e::scene::document;
use postern_e2e::upstream::Answer;
use postern_e2e::{Behaviour, Frame, RawClient, Request, RunningScene, Scene, Shared, Value, json};

use crate::stage::{assert_full, attempt, auth, of_user, open_soon, providers, token};

/// The number of connections that every cap allows.
const N: usize = 3;

const CAPS: [&str; 4] = ["per_ip", "per_user", "per_policy", "unauthenticated_per_ip"];

/// The ways in which a connection ends.
const ENDS: [&str; 10] = [
    "client's Close",
    "client's cut",
    "service's Close",
    "service's cut",
    "frame that is refused",
    "frame of the service that is refused",
    "idle_timeout",
    "first_message_timeout",
    "first message that is refused",
    "first message that is accepted",
];

/// The ends that only connections without a token have, and the only ones.
fn is_of_first_message(end: &str) -> bool {
    end.starts_with("first")
}

fn name(cap: &str, end: &str) -> String {
    format!("{cap}-{}", end.replace([' ', '\''], "-"))
}

fn policies() -> Value {
    let policy = |cap: &str, end: &str| {
        let mut auth = auth();
        let mut liveness = json!({});
        match end {
            "idle_timeout" => liveness = json!({"ping_interval": "none", "idle_timeout": "2s"}),
            "first_message_timeout" => auth["first_message_timeout"] = json!("2s"),
            _ => {}
        }
        let policy = json!({"auth": auth, "connections": {cap: N}, "liveness": liveness});
        (name(cap, end), policy)
    };
    let cells = CAPS.iter().flat_map(|cap| ENDS.iter().map(|end| policy(cap, end)));
    let declined = CAPS[..3].iter().map(|cap| policy(cap, "declined"));
    Value::Object(cells.chain(declined).collect())
}

fn scene(workers: u32) -> Scene {
    let mut scene = Scene::new().document(document(providers(), policies())).workers(workers).plaintext();
    for cap in &CAPS[..3] {
        let path = format!("/ws/{}", name(cap, "declined"));
        let wrong = Answer::switching().without("Sec-WebSocket-Accept");
        scene = scene
            .upstream(&format!("{path}/declines"), Behaviour::Answer(Answer::status(403, "no")))
            .upstream(&format!("{path}/wrong"), Behaviour::Answer(wrong));
    }
    scene
}

static ONE: Shared<RunningScene> = Shared::new(|| scene(1));
static FOUR: Shared<RunningScene> = Shared::new(|| scene(4).beside_others());

/// Returns a handshake that a cap counts.
fn handshake(cap: &str, path: &str) -> Request {
    if cap == "unauthenticated_per_ip" { Request::upgrade(path) } else { of_user(path, "alice") }
}

/// Ends the connection.
async fn end(scene: &RunningScene, mut client: RawClient, end: &str) -> Option<RawClient> {
    match end {
        "client's Close" => client.send(Frame::closing(1000, "").masked().bytes()).await,
        "client's cut" => return None,
        "service's Close" => scene.record(&client).await.send(Frame::closing(1000, "").bytes()),
        "service's cut" => scene.record(&client).await.hang_up(),
        "frame that is refused" => client.send(Frame::text("unmasked").bytes()).await,
        "frame of the service that is refused" => {
            scene.record(&client).await.send(Frame::text("").rsv(4).bytes())
        }
        "first message that is refused" => client.send(Frame::text("{}").masked().bytes()).await,
        "first message that is accepted" => {
            let message = json!({"token": token("alice")}).to_string();
            client.send(Frame::text(&message).masked().bytes()).await;
        }
        _ => {}
    }
    // The client stays, so that it is not its cut that ends the connection.
    Some(client)
}

async fn judge(scene: &RunningScene, cap: &str, way: &str) {
    let path = format!("/ws/{}", name(cap, way));
    let request = || handshake(cap, &path);
    let what = format!("{cap}, {way}");
    let open = (0..N)
        .map(|_| async { attempt(scene, &request()).await.unwrap_or_else(|e| panic!("{what}: {e:?}")) });
    let mut open = join_all(open).await;
    // What ends by itself may have ended by now, on a busy machine.
    if !way.ends_with("timeout") {
        assert_full(scene, &request(), &what).await;
    }
    let ended = end(scene, open.remove(0), way).await;
    let again = open_soon(scene, request, &what).await;
    if !way.ends_with("timeout") {
        assert_full(scene, &request(), &what).await;
    }
    drop((ended, again, open));
}

async fn judge_all(scene: &RunningScene) {
    let cells = CAPS.iter().flat_map(|cap| ENDS.iter().map(move |end| (*cap, *end)));
    let cells = cells.filter(|(cap, end)| !is_of_first_message(end) || *cap == "unauthenticated_per_ip");
    join_all(cells.map(|(cap, end)| judge(scene, cap, end))).await;
}

#[tokio::test]
async fn on_one_worker_each_connection_that_ends_makes_room_for_one_whatever_ends_it() {
    judge_all(&*ONE.shared().await).await;
}

#[tokio::test]
async fn over_four_workers_each_connection_that_ends_makes_room_for_one_whatever_ends_it() {
    judge_all(&*FOUR.shared().await).await;
}

#[tokio::test]
async fn what_a_service_declines_or_answers_wrongly_takes_no_place_for_good() {
    for scene in [&*ONE.shared().await, &*FOUR.shared().await] {
        for cap in &CAPS[..3] {
            let path = format!("/ws/{}", name(cap, "declined"));
            for (end, status) in [("declines", 403), ("wrong", 502)] {
                for _ in 0..2 * N {
                    let mut client = scene.connect().await;
                    let request = handshake(cap, &format!("{path}/{end}"));
                    assert_eq!(client.ask(&request).await.status, status, "{cap}, {end}");
                    drop(client);
                }
            }
            let open = join_all((0..N).map(|_| open_soon(scene, || handshake(cap, &path), cap))).await;
            assert_full(scene, &handshake(cap, &path), cap).await;
            drop(open);
        }
    }
}

#[tokio::test]
async fn a_handshake_that_is_refused_for_anything_else_takes_no_place() {
    let scene = ONE.shared().await;
    let path = format!("/ws/{}", name("per_ip", "declined"));
    let bad = || Request::upgrade(&path).header("Authorization", "Bearer no.token.x");
    for _ in 0..2 * N {
        assert_eq!(attempt(&scene, &bad()).await.err(), Some((401, "token_invalid".to_owned())));
    }
}

#[tokio::test]
async fn a_refusal_says_how_many_there_are_and_when_to_come_back() {
    let scene = ONE.shared().await;
    let path = format!("/ws/{}", name("per_user", "client's cut"));
    let open = join_all((0..N).map(|_| open_soon(&scene, || of_user(&path, "bob"), "bob"))).await;
    let request = of_user(&path, "bob");
    let response = scene.ask(&request).await;
    assert_eq!((response.status, response.reason().as_deref()), (429, Some("connection_limit")));
    assert_eq!(response.header("retry-after").as_deref(), Some("1"));
    let line = "rule=connections.per_user side=client cause=\"the live connections are 3, and 3 may be\"";
    assert!(!scene.logged(line).await.is_empty());
    assert_eq!(scene.access_line(request.case()).await["reason"], "connection_limit");
    let _other_user = scene.open_with(&of_user(&path, "carol")).await;
    drop(open);
}
