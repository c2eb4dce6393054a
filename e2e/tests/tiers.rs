//! Limits by claim: the tier of a client follows its newest token, and nothing is judged by half of each.

use std::time::Duration;

use postern_e2e::client::token::edge_claims;
use postern_e2e::deadline::LATE;
use postern_e2e::scene::document;
use postern_e2e::{
    Behaviour, Frame, Pushed, RawClient, Request, RunningScene, Scene, Shared, Signer, Value, json,
};

/// The most payload bytes of a message under the policy itself, and under the tiers `free` and `pro`.
const POLICY: usize = 1000;
const FREE: usize = 600;
const PRO: usize = 5000;

/// The time that a session of the tier `short` may last.
const SHORT: Duration = Duration::from_secs(3);

fn provider() -> Value {
    json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "clock_skew": "0s",
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    })
}

fn auth() -> Value {
    json!({
        "providers": ["edge"], "from": [{"header": "authorization"}, {"first_message": "/token"}],
        "refresh": "/auth/token", "refresh_reply": false,
    })
}

fn tier(plan: &str, keys: Value) -> Value {
    let mut tier = json!({"require": [{"claim": "plan", "one_of": [plan]}]});
    for (key, value) in keys.as_object().expect("an object") {
        tier[key] = value.clone();
    }
    tier
}

fn sizes(most: usize) -> Value {
    let limits = json!({"max_frame_bytes": most, "max_message_bytes": most});
    json!({"messages": limits, "upstream_messages": limits})
}

fn sized() -> Value {
    let mut policy = sizes(POLICY);
    policy["auth"] = auth();
    policy["tiers"] = json!([
        tier("free", sizes(FREE)),
        tier("pro", sizes(PRO)),
        tier("pro", sizes(1)),
        tier("short", json!({"max_session": format!("{}s", SHORT.as_secs())})),
    ]);
    policy
}

fn counted() -> Value {
    let limit =
        |per: &str, limit: u64| json!([{"count": "messages", "per": per, "limit": limit, "window": "1h"}]);
    json!({
        "auth": auth(), "rates": limit("user", 2),
        "tiers": [tier("pro", json!({"rates": limit("user", 3)})), tier("same", json!({})), tier("line", json!({"rates": limit("connection", 3)}))],
    })
}

fn capped() -> Value {
    json!({
        "auth": auth(), "connections": {"per_user": 1},
        "tiers": [tier("pro", json!({"connections": {"per_user": 3}}))],
    })
}

fn scene() -> Scene {
    let policies = json!({"sized": sized(), "counted": counted(), "capped": capped()});
    let whole = document(json!({"edge": provider()}), policies);
    Scene::new()
        .document(whole)
        .workers(2)
        .plaintext()
        .upstream("/ws/sized/recorder", Behaviour::Recorder)
        .change_connection_manager(|hcm| {
            let routes = &mut hcm["route_config"]["virtual_hosts"][0]["routes"];
            let mut untiered = routes[0].clone();
            untiered["match"] = json!({"prefix": "/ws/untiered"});
            untiered["metadata"] = json!({"filter_metadata": {"postern": {"policy": "sized", "tiers": []}}});
            routes.as_array_mut().expect("routes").insert(0, untiered);
        })
}

static SCENE: Shared<RunningScene> = Shared::new(scene);

fn token(subject: &str, plan: &str) -> String {
    let mut claims = edge_claims(subject);
    claims["plan"] = json!(plan);
    Signer::edge().mint(&claims)
}

fn refresh(subject: &str, plan: &str) -> Frame {
    Frame::text(&json!({"auth": {"token": token(subject, plan)}}).to_string()).masked()
}

async fn open(scene: &RunningScene, path: &str, subject: &str, plan: &str) -> RawClient {
    let bearer = format!("Bearer {}", token(subject, plan));
    scene.open_with(&Request::upgrade(path).header("Authorization", bearer)).await
}

fn said(len: usize) -> Frame {
    Frame::binary(vec![7; len])
}

/// Asserts that messages of `most` bytes pass both ways, and that one byte more is refused.
async fn assert_most(mut client: RawClient, most: usize, what: &str) {
    client.send(said(most).masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(said(most)), "{what}");
    client.send(said(most + 1).masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::closing(1009, "frame_too_big")), "{what}");
}

#[tokio::test]
async fn the_token_of_the_handshake_of_the_first_message_or_of_a_refresh_brings_its_limits() {
    let scene = SCENE.shared().await;
    for (plan, most) in [("free", FREE), ("pro", PRO), ("other", POLICY)] {
        assert_most(open(&scene, "/ws/sized", "alice", plan).await, most, plan).await;

        let mut client = scene.open("/ws/sized").await;
        let first = json!({"token": token("alice", plan)}).to_string();
        client.send(Frame::text(&first).masked().bytes()).await;
        assert_most(client, most, &format!("{plan} by its first message")).await;

        for before in ["free", "pro", "other"] {
            let mut client = open(&scene, "/ws/sized", "alice", before).await;
            client.send(refresh("alice", plan).bytes()).await;
            assert_most(client, most, &format!("{plan} after {before}")).await;
        }
    }
}

#[tokio::test]
async fn a_message_that_is_under_way_goes_on_under_the_limits_that_it_began_under() {
    let scene = SCENE.shared().await;
    for (before, after) in [("pro", "free"), ("free", "pro")] {
        let mut client = open(&scene, "/ws/sized/recorder", "alice", before).await;
        let record = scene.record(&client).await;
        record.send(Frame::text(&"a".repeat(FREE)).unfinished().bytes());
        assert_eq!(client.frame().await, Ok(Frame::text(&"a".repeat(FREE)).unfinished()));
        let behind = Frame::text("behind").masked();
        client.send([refresh("alice", after).bytes(), behind.bytes()].concat()).await;
        assert_eq!(record.frames_when(1).await, [behind], "the refresh has been taken");
        record.send(Frame::continuation("b").bytes());
        if before == "free" {
            assert_eq!(client.frame().await, Ok(Frame::closing(1009, "message_too_big")));
            continue;
        }
        assert_eq!(client.frame().await, Ok(Frame::continuation("b")));
        record.send([said(FREE).bytes(), said(FREE + 1).bytes()].concat());
        assert_eq!(client.frame().await, Ok(said(FREE)));
        assert_eq!(client.frame().await, Ok(Frame::closing(1009, "frame_too_big")));
    }
}

#[tokio::test]
async fn what_follows_a_refresh_in_the_same_chunk_comes_under_its_limits_however_it_is_cut() {
    let scene = SCENE.shared().await;
    let fragments = [said(FREE).unfinished().masked(), Frame::continuation(vec![8; FREE]).masked()];
    for size in [1, 9, 10_000] {
        let mut client = open(&scene, "/ws/sized/recorder", "alice", "free").await;
        let record = scene.record(&client).await;
        let frames =
            [vec![refresh("alice", "pro")], fragments.to_vec(), vec![refresh("alice", "free")]].concat();
        let mut bytes: Vec<u8> = frames.iter().chain(&fragments).flat_map(Frame::bytes).collect();
        // The last header is refused, and nobody reads what is behind it.
        bytes.truncate(bytes.len() - FREE);
        client.send_in_pieces_of(size, bytes).await;
        assert_eq!(client.close().await, Frame::closing(1009, "message_too_big"), "pieces of {size}");
        record.close().await;
        let [first, second] = &fragments;
        let went_up = record.frames();
        let messages = went_up.split_last().map(|(_, messages)| messages);
        assert_eq!(messages, Some(&[first.clone(), second.clone(), first.clone()][..]), "pieces of {size}");
    }
}

/// Sends messages until one is refused, and returns how many passed.
async fn passed(client: &mut RawClient) -> usize {
    for count in 0..10 {
        client.send(Frame::text("hello").masked().bytes()).await;
        match client.frame().await {
            Ok(frame) if frame == Frame::text("hello") => {}
            end => {
                assert_eq!(end, Ok(Frame::closing(1008, "message_rate")));
                return count;
            }
        }
    }
    panic!("nothing was refused")
}

#[tokio::test]
async fn rates_of_a_tier_are_buckets_of_their_own_over_all_connections_of_a_user() {
    let scene = SCENE.shared().await;
    // One user after the other uses up a bucket: of the tier, of the policy, and of the policy by a tier without rates.
    for (subject, steps) in [
        ("one", &[("pro", 3), ("pro", 0), ("other", 2), ("other", 0), ("same", 0), ("pro", 0)][..]),
        ("two", &[("same", 2), ("other", 0), ("pro", 3)]),
        ("three", &[("line", 3), ("line", 3), ("other", 2)]),
    ] {
        for (plan, most) in steps {
            let mut client = open(&scene, "/ws/counted", subject, plan).await;
            assert_eq!(passed(&mut client).await, *most, "{subject} {plan} of {steps:?}");
        }
    }
    // A refresh is a message as well.
    for (subject, before, after, left) in [
        ("four", "line", "line", 2),
        ("five", "other", "line", 3),
        ("six", "line", "other", 2),
        ("seven", "same", "other", 1),
    ] {
        let mut client = open(&scene, "/ws/counted", subject, before).await;
        client.send(refresh(subject, after).bytes()).await;
        assert_eq!(passed(&mut client).await, left, "{before} to {after}");
    }
}

#[tokio::test]
async fn connections_of_a_user_are_capped_as_the_tier_says_that_they_begin_in() {
    let scene = SCENE.shared().await;
    let request = |plan: &str| {
        let bearer = format!("Bearer {}", token("many", plan));
        Request::upgrade("/ws/capped").header("Authorization", bearer)
    };
    let (_one, _two) = (scene.open_with(&request("pro")).await, scene.open_with(&request("pro")).await);
    let refused = scene.ask(&request("other")).await;
    assert_eq!((refused.status, refused.reason().as_deref()), (429, Some("connection_limit")));
    let mut by_first_message = scene.open("/ws/capped").await;
    let first = json!({"token": token("many", "other")}).to_string();
    by_first_message.send(Frame::text(&first).masked().bytes()).await;
    assert_eq!(by_first_message.frame().await, Ok(Frame::closing(1013, "connection_limit")));
    let mut last = scene.open("/ws/capped").await;
    let first = json!({"token": token("many", "pro")}).to_string();
    last.send([Frame::text(&first).masked().bytes(), said(9).masked().bytes()].concat()).await;
    assert_eq!(last.frame().await, Ok(said(9)));
    let refused = scene.ask(&request("pro")).await;
    assert_eq!((refused.status, refused.reason().as_deref()), (429, Some("connection_limit")));
}

#[tokio::test]
async fn a_session_ends_as_its_tier_says_counted_from_its_handshake() {
    let scene = SCENE.shared().await;
    let before = std::time::Instant::now();
    let mut short = open(&scene, "/ws/sized", "alice", "short").await;
    let mut shortened = open(&scene, "/ws/sized", "alice", "pro").await;
    let mut lengthened = open(&scene, "/ws/sized", "alice", "short").await;
    let start = std::time::Instant::now();
    lengthened.send(refresh("alice", "pro").bytes()).await;
    assert!(shortened.receives_nothing_for(SHORT / 2).await);
    shortened.send(refresh("alice", "short").bytes()).await;
    for client in [&mut short, &mut shortened] {
        let close = client.frame_within(SHORT + LATE).await;
        assert_eq!(close, Ok(Frame::closing(1012, "session_limit")));
        assert!(before.elapsed() >= SHORT, "after {:?}", before.elapsed());
        assert!(start.elapsed() < SHORT + LATE, "after {:?}", start.elapsed());
    }
    assert!(lengthened.receives_nothing_for(LATE).await);
    assert_most(lengthened, PRO, "a session that has no end").await;
}

#[tokio::test]
async fn a_route_without_tiers_has_the_policys_limits_for_everybody() {
    let scene = SCENE.shared().await;
    for plan in ["free", "pro", "other"] {
        assert_most(open(&scene, "/ws/untiered", "alice", plan).await, POLICY, plan).await;
    }
}

fn pushed(tiers: Value) -> Value {
    let mut policy = sizes(POLICY);
    (policy["auth"], policy["tiers"]) = (auth(), tiers);
    policy
}

#[tokio::test]
async fn a_pushed_policy_with_a_bad_tier_is_refused_and_the_old_one_stays() {
    let scene = Scene::new().provider("edge", provider()).policy(pushed(json!([tier("pro", sizes(PRO))])));
    let mut scene = scene.plaintext().discovered().start().await;
    for (bad, told) in [
        (
            tier("pro", json!({"messages": {"max_message_bytes": 0}})),
            "policies.chat.tiers[1].messages.max_message_bytes: is zero",
        ),
        (tier("pro", json!({"liveness": {}})), "policies.chat.tiers[1].liveness: cannot stand in a tier"),
        (
            tier("pro", json!({"upstream_messages": {"schema": {"type": "text"}}})),
            "policies.chat.tiers[1].upstream_messages.schema.type",
        ),
        (
            tier("pro", json!({"messages": {"max_message_bytes": "64MiB", "max_json_depth": 8}})),
            "memory.budget: leaves no room for what one connection under `chat` may hold",
        ),
    ] {
        let policy = pushed(json!([tier("free", sizes(FREE)), bad]));
        assert_eq!(scene.push(policy).await, Pushed::Rejected, "{told}");
        scene.envoy().logged(told).await;
        assert_most(open(&scene, "/ws/chat", "alice", "pro").await, PRO, told).await;
        assert_most(open(&scene, "/ws/chat", "alice", "free").await, POLICY, told).await;
    }
}

#[tokio::test]
async fn a_pushed_policy_that_changes_a_tier_holds_for_new_connections_and_open_ones_keep_theirs() {
    let scene = Scene::new().provider("edge", provider()).policy(pushed(json!([tier("pro", sizes(PRO))])));
    let mut scene = scene.plaintext().discovered().start().await;
    let mut before = open(&scene, "/ws/chat", "alice", "pro").await;
    let mut to_refresh = open(&scene, "/ws/chat", "alice", "other").await;
    for client in [&mut before, &mut to_refresh] {
        client.send(said(POLICY).masked().bytes()).await;
        assert_eq!(client.frame().await, Ok(said(POLICY)));
    }
    // A message is under way while the policy is pushed.
    let (first, last) = (said(FREE).unfinished().masked(), Frame::continuation(vec![8; PRO - FREE]).masked());
    before.send(first.bytes()).await;
    assert_eq!(before.frame().await, Ok(said(FREE).unfinished()));
    assert_eq!(scene.push(pushed(json!([tier("pro", sizes(FREE))]))).await, Pushed::Taken);
    before.send(last.bytes()).await;
    assert_eq!(before.frame().await, Ok(Frame::continuation(vec![8; PRO - FREE])));
    assert_most(open(&scene, "/ws/chat", "alice", "pro").await, FREE, "a new one").await;
    assert_most(before, PRO, "an open one").await;
    to_refresh.send(refresh("alice", "pro").bytes()).await;
    assert_most(to_refresh, PRO, "an open one with a new token").await;
}
