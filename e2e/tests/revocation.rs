//! Tokens that are revoked: at the handshake, and on open sockets.

use std::time::{Duration, Instant};

use postern_e2e::client::token::{edge_claims, now};
use postern_e2e::deadline::{LATE, PATIENCE, eventually};
use postern_e2e::frames::opcode;
use postern_e2e::{
    Behaviour, Documents, Frame, Pushed, RawClient, Request, RunningScene, Scene, Served, Signer, Value, json,
};
use tokio::task::JoinSet;
use tokio::time::sleep;

const PATH: &str = "/revoked.json";

/// The time that a handshake waits for the first list.
const TIMEOUT: Duration = Duration::from_secs(2);

fn policy() -> Value {
    json!({
        "rates": [],
        "auth": {
            "providers": ["edge"], "from": [{"header": "authorization"}],
            "revocation": {"cluster": "auth", "path": PATH, "interval": "1s"},
        },
    })
}

fn scene(documents: &Documents) -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let scene = Scene::new().policy(policy()).provider("edge", edge).cluster("auth", documents.address());
    scene.workers(4).plaintext().upstream("/ws/idle", Behaviour::Silent)
}

fn bearing(path: &str, changes: Value) -> Request {
    let mut claims = edge_claims("alice");
    let members = claims.as_object_mut().expect("an object");
    members.extend(changes.as_object().expect("an object").clone());
    members.retain(|_, value| !value.is_null());
    Request::upgrade(path).header("Authorization", format!("Bearer {}", Signer::edge().mint(&claims)))
}

async fn outcome(scene: &RunningScene, changes: Value) -> (u16, Option<String>) {
    let response = scene.ask(&bearing("/ws/chat", changes)).await;
    (response.status, response.reason())
}

/// Waits until every worker has the document that is served now.
async fn settle(documents: &Documents) {
    documents.hits_become(PATH, documents.hits(PATH) + 2).await;
    sleep(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn handshakes_wait_for_the_first_list_and_are_answered_503_when_it_does_not_come() {
    let documents = Documents::start().await;
    documents.serve(PATH, Served::Silence);
    let scene = scene(&documents).start().await;
    let request = bearing("/ws/chat", json!({}));
    let (start, stranger) = (Instant::now(), Request::upgrade("/ws/chat"));
    let timed = async |request: &Request| (scene.ask(request).await, Instant::now());
    let ((response, waited), (of_stranger, answered)) = tokio::join!(timed(&request), timed(&stranger));
    assert_eq!((response.status, response.reason().as_deref()), (503, Some("revocation_unavailable")));
    assert!(waited - start < TIMEOUT + LATE, "{:?}", waited - start);
    assert!(!scene.upstream().has_seen(request.case()));
    assert_eq!(scene.access_line(request.case()).await["reason"], "revocation_unavailable");
    // A client without a good token does not wait.
    assert_eq!(of_stranger.reason().as_deref(), Some("token_missing"));
    assert!(answered < waited, "{:?}", answered - waited);

    documents.serve(PATH, Served::Document(json!({"jti": ["gone"]})));
    let end = Instant::now() + Duration::from_secs(20);
    while outcome(&scene, json!({})).await.0 != 101 {
        assert!(Instant::now() < end, "the list is there and nobody gets in");
    }
    assert_eq!(outcome(&scene, json!({"jti": "gone"})).await, (401, Some("token_revoked".to_owned())));
}

#[tokio::test]
async fn whoever_the_list_names_is_not_let_in() {
    let documents = Documents::start().await;
    let issued = now() - 100;
    let list = json!({"jti": ["t1", "t2"], "sub": {"bob": issued, "carol": 0}, "sid": ["s1"]});
    documents.serve(PATH, Served::Document(list));
    let scene = scene(&documents).start().await;
    let revoked = Some("token_revoked".to_owned());
    let cases = [
        (json!({"jti": "t2"}), (401, revoked.clone())),
        (json!({"jti": "t3"}), (101, None)),
        (json!({"sid": "s1"}), (401, revoked.clone())),
        (json!({"sid": "t1", "jti": "s1"}), (101, None)),
        (json!({"sub": "bob", "iat": issued - 1}), (401, revoked.clone())),
        (json!({"sub": "bob", "iat": issued}), (101, None)),
        (json!({"sub": "bob", "iat": null}), (401, revoked.clone())),
        (json!({"sub": "carol"}), (101, None)),
        (json!({"sub": "carol", "iat": null}), (401, revoked.clone())),
        (json!({"sub": null, "iat": null}), (101, None)),
    ];
    for (claims, expected) in cases {
        assert_eq!(outcome(&scene, claims.clone()).await, expected, "{claims}");
    }
    assert_eq!(documents.requests(PATH)[0].headers.get("host").as_deref(), Some("auth"));
    let refused = [("result", "refused"), ("reason", "token_revoked")];
    assert_eq!(scene.envoy().stats().await.sum("postern_handshakes", &refused), 5.0);
}

/// Returns the client with the first Close after the list has changed, if one comes by `end`.
async fn close_of(mut client: RawClient, busy: bool, end: Instant) -> (RawClient, Option<(Frame, Instant)>) {
    loop {
        if busy && client.try_send(Frame::text("tick").masked().bytes()).await.is_err() {
            return (client, None);
        }
        let Some(left) = end.checked_duration_since(Instant::now()) else { return (client, None) };
        match tokio::time::timeout(left, client.frame()).await {
            Ok(Ok(frame)) if frame.opcode == opcode::CLOSE => {
                return (client, Some((frame, Instant::now())));
            }
            Ok(Ok(_)) => sleep(Duration::from_millis(20)).await,
            Ok(Err(_)) | Err(_) => return (client, None),
        }
    }
}

#[tokio::test]
async fn open_sockets_that_a_new_list_names_are_closed_soon_on_every_worker() {
    let documents = Documents::start().await;
    documents.serve(PATH, Served::Document(json!({})));
    let scene = scene(&documents).start().await;
    let named = [
        json!({"jti": "t1"}),
        json!({"sid": "s1"}),
        json!({"sub": "bob"}),
        json!({"sub": "bob", "iat": null}),
    ];
    let mut sockets = Vec::new();
    for claims in &named {
        for path in ["/ws/idle", "/ws/busy"] {
            for _ in 0..4 {
                sockets.push((
                    scene.open_with(&bearing(path, claims.clone())).await,
                    path == "/ws/busy",
                    true,
                ));
            }
        }
    }
    for path in ["/ws/idle", "/ws/busy"] {
        sockets.push((
            scene.open_with(&bearing(path, json!({"jti": "t2"}))).await,
            path == "/ws/busy",
            false,
        ));
    }
    let mut records = Vec::new();
    for (client, ..) in &sockets {
        records.push(scene.record(client).await);
    }
    documents.serve(PATH, Served::Document(json!({"jti": ["t1"], "sid": ["s1"], "sub": {"bob": now() + 1}})));
    // A request from here on gets the new list.
    documents.hits_become(PATH, documents.hits(PATH) + 1).await;
    let start = Instant::now();
    let end = start + 2 * LATE;
    let mut closing = JoinSet::new();
    for (client, busy, is_named) in sockets {
        closing.spawn(async move {
            let (client, close) = close_of(client, busy, end).await;
            match (close, is_named) {
                (Some((close, at)), true) => {
                    assert_eq!(close, Frame::closing(3000, "token_revoked"));
                    let took = at.saturating_duration_since(start);
                    assert!(took < LATE, "closed after {took:?}, busy {busy}");
                }
                (None, false) => {}
                (close, _) => panic!("named {is_named}, busy {busy}, but {close:?}"),
            }
            (client, is_named)
        });
    }
    let mut cases = Vec::new();
    while let Some(done) = closing.join_next().await {
        let (mut client, is_named) = done.expect("a check that holds");
        if is_named {
            let _ = client.try_send(Frame::closing(3000, "").masked().bytes()).await;
            cases.push(client.case().to_owned());
        }
    }
    for record in records.iter().filter(|record| cases.contains(&record.header("x-case").unwrap_or_default()))
    {
        let up = record.close().await;
        assert_eq!((up.code(), up.reason()), (Some(3000), "token_revoked".to_owned()));
    }
    for case in &cases {
        assert_eq!(scene.access_line(case).await["reason"], "token_revoked");
    }
    let closes = scene.envoy().stats().await.sum("postern_closes", &[("reason", "token_revoked")]);
    assert_eq!(closes, 32.0);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_leaves_the_last_one_in_force() {
    let documents = Documents::start().await;
    documents.serve(PATH, Served::Document(json!({"jti": ["t1"]})));
    let scene = scene(&documents).start().await;
    assert_eq!(outcome(&scene, json!({"jti": "t1"})).await.0, 401);
    let mut client = scene.open_with(&bearing("/ws/chat", json!({"jti": "t2"}))).await;
    let twice = br#"{"jti": ["t2"], "jti": ["t2"]}"#.to_vec();
    let large = json!({"jti": ["t2"], "sid": ["x".repeat(1024 * 1024)]});
    let cases = [
        ("down", Served::HangUp, "the status is 503"),
        ("an error", Served::Answer(500, br#"{"jti": ["t2"]}"#.to_vec()), "the status is 500"),
        ("a member twice", Served::Answer(200, twice), "no unambiguous JSON"),
        ("a list", Served::Document(json!(["t2"])), "no unambiguous JSON object"),
        ("numbers", Served::Document(json!({"jti": ["t2", 7]})), "jti is not a list of strings"),
        (
            "no seconds",
            Served::Document(json!({"jti": ["t2"], "sub": {"a": "1"}})),
            "sub is not an object of seconds",
        ),
        ("an unknown member", Served::Document(json!({"jti": ["t2"], "subs": {}})), "a member that is not"),
        ("too large", Served::Document(large), "too large"),
    ];
    for (name, served, words) in cases {
        documents.serve(PATH, served);
        settle(&documents).await;
        let log = || {
            scene
                .envoy()
                .log_lines_with("fetch failed source=revocation cluster=auth uri=http://auth/revoked.json: ")
        };
        let is_logged = || log().iter().any(|line| line.contains(words));
        eventually(PATIENCE, name, || is_logged().then_some(())).await;
        assert_eq!(outcome(&scene, json!({"jti": "t1"})).await.0, 401, "{name}");
        assert_eq!(outcome(&scene, json!({"jti": "t2"})).await.0, 101, "{name}");
    }
    let failed = [("source", "revocation"), ("path", PATH), ("result", "failed")];
    assert!(scene.envoy().stats().await.sum("postern_fetches", &failed) >= 8.0);
    documents.serve(PATH, Served::Document(json!({"jti": ["t2"]})));
    assert_eq!(client.close().await, Frame::closing(3000, "token_revoked"));
    // The workers learn of the new list one after the other.
    let end = Instant::now() + PATIENCE;
    while outcome(&scene, json!({"jti": "t1"})).await.0 != 101 {
        assert!(Instant::now() < end, "the list names it no more and it is not let in");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_list_ends_sockets_of_a_configuration_that_is_not_in_force_any_more() {
    let documents = Documents::start().await;
    documents.serve(PATH, Served::Document(json!({})));
    let mut scene = scene(&documents).workers(2).discovered().start().await;
    let mut sockets = Vec::new();
    for _ in 0..6 {
        sockets.push(scene.open_with(&bearing("/ws/idle", json!({"jti": "t1"}))).await);
    }
    // No policy of the new configuration asks for the list.
    let mut pushed = policy();
    pushed["auth"].as_object_mut().expect("an object").remove("revocation");
    assert_eq!(scene.push(pushed).await, Pushed::Taken);
    assert_eq!(outcome(&scene, json!({"jti": "t1"})).await.0, 101);
    sleep(Duration::from_secs(2)).await;
    documents.serve(PATH, Served::Document(json!({"jti": ["t1"]})));
    documents.hits_become(PATH, documents.hits(PATH) + 1).await;
    let end = Instant::now() + LATE;
    for client in sockets {
        let (_, close) = close_of(client, false, end).await;
        assert_eq!(close.map(|(close, _)| close), Some(Frame::closing(3000, "token_revoked")));
    }
}
