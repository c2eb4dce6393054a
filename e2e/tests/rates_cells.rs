//! Every quantity that rates count, by every group that can share a bucket, on one worker and on four: N pass, the
//! next is refused, and once the window has passed the bucket gives again.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use postern_e2e::client::token::{EDGE_SECRET, edge_claims};
use postern_e2e::scene::document;
use postern_e2e::{Frame, RawClient, Request, RunningScene, Scene, Shared, Signer, Value, json};
use tokio::time::sleep;

/// The number that passes.
const N: usize = 3;

/// The payload of every frame, in bytes.
const PAYLOAD: usize = 10;

/// The time within which a bucket that fills in a second gives again, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

const ALL: [&str; 4] = ["connection", "ip", "user", "policy"];

/// The quantities, who can share a bucket of each, and the reason when it is empty.
const COUNTS: [(&str, &[&str], &str); 5] = [
    ("handshakes", &["ip", "user", "policy"], "handshake_rate"),
    ("refusals", &["ip", "user"], "refusal_rate"),
    ("messages", &ALL, "message_rate"),
    ("bytes", &ALL, "byte_rate"),
    ("control_frames", &ALL, "control_rate"),
];

/// A quantity by a group.
#[derive(Clone, Copy, Debug)]
struct Cell {
    count: &'static str,
    per: &'static str,
    reason: &'static str,
}

fn cells() -> impl Iterator<Item = Cell> {
    let of = |(count, groups, reason): (&'static str, &'static [&'static str], &'static str)| {
        groups.iter().map(move |per| Cell { count, per, reason })
    };
    COUNTS.into_iter().flat_map(of)
}

impl Cell {
    /// The name of the policy whose bucket fills in this window.
    fn policy(self, window: &str) -> String {
        format!("{}-{}-{window}", self.count, self.per)
    }

    fn rates(self, window: &str) -> Value {
        let limit = if self.count == "bytes" { N * PAYLOAD } else { N };
        json!([{"count": self.count, "per": self.per, "limit": limit, "window": window}])
    }

    /// A handshake of a client whose token is good, or is refused for its claims.
    fn handshake(self, window: &str, is_good: bool) -> Request {
        let mut claims = edge_claims("alice");
        claims["role"] = json!(if is_good { "member" } else { "guest" });
        let token = Signer::edge().mint(&claims);
        Request::upgrade(&format!("/ws/{}", self.policy(window)))
            .header("Authorization", format!("Bearer {token}"))
    }

    fn is_of_handshakes(self) -> bool {
        matches!(self.count, "handshakes" | "refusals")
    }
}

fn scene(workers: u32) -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"inline": EDGE_SECRET},
    });
    let auth = json!({
        "providers": ["edge"], "from": [{"header": "authorization"}],
        "require": [{"claim": "role", "one_of": ["member"]}],
    });
    let policies = cells().flat_map(|cell| ["1h", "3s"].map(|window| (cell, window)));
    let policies = policies
        .map(|(cell, window)| (cell.policy(window), json!({"auth": auth, "rates": cell.rates(window)})));
    let policies = Value::Object(policies.collect());
    Scene::new().document(document(json!({"edge": edge}), policies)).workers(workers).plaintext()
}

static ONE: Shared<RunningScene> = Shared::new(|| scene(1));
static FOUR: Shared<RunningScene> = Shared::new(|| scene(4));

/// The outcome of an attempt: it passed, or was refused for a reason, with a time to stay away where one is told.
#[derive(Debug, PartialEq)]
enum Outcome {
    Passed,
    Refused(String, Option<u64>),
}

/// Makes a handshake that counts.
async fn attempt_handshake(scene: &RunningScene, cell: Cell, window: &str) -> Outcome {
    let is_good = cell.count == "handshakes";
    let response = scene.ask(&cell.handshake(window, is_good)).await;
    match (response.status, response.reason().as_deref()) {
        (101, _) | (403, Some("claims_denied")) => Outcome::Passed,
        (429, Some(reason)) => {
            let wait = response.header("retry-after").and_then(|wait| wait.parse().ok());
            Outcome::Refused(reason.to_owned(), wait)
        }
        _ => panic!("{cell:?}: {response:?}"),
    }
}

/// Sends a frame that counts, and reads its echo, its Pong, or the Close.
async fn attempt_frame(client: &mut RawClient, cell: Cell) -> Outcome {
    let payload = "0123456789";
    assert_eq!(payload.len(), PAYLOAD);
    let (sent, answer) = match cell.count {
        "control_frames" => (Frame::ping(payload), Frame::pong(payload)),
        _ => (Frame::text(payload), Frame::text(payload)),
    };
    client.send(sent.masked().bytes()).await;
    let frame = client.frame().await.unwrap_or_else(|end| panic!("{cell:?}: {end:?}"));
    if frame == answer {
        return Outcome::Passed;
    }
    assert_eq!(frame.code(), Some(1008), "{cell:?}");
    Outcome::Refused(frame.reason(), None)
}

/// Opens the connections that take turns: several share a bucket, unless each has its own.
async fn clients(scene: &RunningScene, cell: Cell, window: &str) -> Vec<RawClient> {
    let count = if cell.per == "connection" { 1 } else { N + 1 };
    let request = cell.handshake(window, true);
    join_all((0..count).map(|_| scene.open_with(&request))).await
}

async fn assert_exact(scene: &RunningScene, cell: Cell) {
    let mut open = if cell.is_of_handshakes() { Vec::new() } else { clients(scene, cell, "1h").await };
    for i in 0..=N {
        let turn = i % open.len().max(1);
        let outcome = match open.get_mut(turn) {
            Some(client) => attempt_frame(client, cell).await,
            None => attempt_handshake(scene, cell, "1h").await,
        };
        match outcome {
            Outcome::Passed => assert!(i < N, "{cell:?}: {i} have passed before"),
            Outcome::Refused(reason, wait) => {
                assert_eq!((i, reason.as_str()), (N, cell.reason), "{cell:?}");
                // A third of an hour, but for the time that this takes.
                let is_right = wait.is_none_or(|wait| (1000..=1200).contains(&wait));
                assert!(is_right && wait.is_some() == cell.is_of_handshakes(), "{cell:?}: {wait:?}");
            }
        }
    }
}

/// Uses a bucket up, and then tries until it gives again.
async fn assert_fills(scene: &RunningScene, cell: Cell) {
    let begun = Instant::now();
    let mut was_refused = false;
    loop {
        let outcome = if cell.is_of_handshakes() {
            attempt_handshake(scene, cell, "3s").await
        } else {
            let mut client = scene.open_with(&cell.handshake("3s", true)).await;
            let mut outcome = attempt_frame(&mut client, cell).await;
            // A bucket of the connection's own is empty only for it.
            while cell.per == "connection" && outcome == Outcome::Passed && !was_refused {
                outcome = attempt_frame(&mut client, cell).await;
            }
            outcome
        };
        match outcome {
            Outcome::Passed if was_refused => return,
            Outcome::Passed => {}
            Outcome::Refused(reason, wait) => {
                assert_eq!(reason, cell.reason, "{cell:?}");
                assert!(wait.is_none_or(|wait| (1..=3).contains(&wait)), "{cell:?}: {wait:?}");
                was_refused = true;
                sleep(Duration::from_millis(100)).await;
            }
        }
        assert!(begun.elapsed() < SOON, "{cell:?}: refused at all: {was_refused}");
    }
}

#[tokio::test]
async fn on_one_worker_so_many_pass_and_the_next_does_not() {
    let scene = ONE.shared().await;
    join_all(cells().map(|cell| assert_exact(&scene, cell))).await;
}

#[tokio::test]
async fn over_four_workers_so_many_pass_and_the_next_does_not() {
    let scene = FOUR.shared().await;
    join_all(cells().map(|cell| assert_exact(&scene, cell))).await;
}

#[tokio::test]
async fn once_the_window_has_passed_the_bucket_gives_again() {
    let scene = FOUR.shared().await;
    join_all(cells().map(|cell| assert_fills(&scene, cell))).await;
}
