//! Counts over the mesh, by a rate limit service.

use postern_e2e::client::token::edge_claims;
use postern_e2e::deadline::PATIENCE;
use postern_e2e::environment;
use postern_e2e::scene::module;
use postern_e2e::{
    Frame, Manner, RateLimits, RawClient, Request, Response, RunningScene, Scene, Signer, Value, json,
};

/// Makes a scene whose one policy asks `limits`, with these keys besides.
fn scene(limits: &RateLimits, keys: &Value) -> Scene {
    let mut rule =
        json!({"cluster": "ratelimit", "domain": "postern", "report_interval": "250ms", "timeout": "2s"});
    rule.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
    let policy = json!({"tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "rates": [],
        "auth": "none", "global_rate_limit": rule});
    Scene::new().policy(policy).cluster_http2("ratelimit", limits.address()).plaintext()
}

/// Makes a handshake. Its socket stays open as long as the client is kept.
async fn handshake(scene: &RunningScene) -> (RawClient, Response) {
    let mut client = scene.connect().await;
    let response = client.ask(&Request::upgrade("/ws/chat")).await;
    (client, response)
}

async fn outcome(scene: &RunningScene) -> (u16, Option<String>) {
    let (_client, response) = handshake(scene).await;
    (response.status, response.reason())
}

fn refused(status: u16, reason: &str) -> (u16, Option<String>) {
    (status, Some(reason.to_owned()))
}

const LET_IN: (u16, Option<String>) = (101, None);

#[tokio::test]
async fn a_handshake_beyond_the_limit_of_the_service_is_refused_until_the_service_says() {
    let limits = RateLimits::start().await;
    limits.limit("handshakes", 3);
    let scene = scene(&limits, &json!({})).workers(2).beside_others().start().await;
    for _ in 0..3 {
        assert_eq!(outcome(&scene).await, LET_IN);
    }
    let (_client, response) = handshake(&scene).await;
    assert_eq!((response.status, response.reason()), refused(429, "global_rate"));
    assert_eq!(response.header("retry-after"), Some(RateLimits::RESET.to_string()));
    let asked = limits.asked("handshakes");
    assert_eq!(asked.len(), 4);
    let ip = format!("ip={}", environment::current().own());
    for asked in asked {
        assert_eq!((asked.domain.as_str(), asked.hits), ("postern", 1));
        assert_eq!(asked.descriptors, [["count=handshakes", &ip, "policy=chat"]]);
    }
    limits.reset();
    assert_eq!(outcome(&scene).await, LET_IN);
}

#[tokio::test]
async fn without_an_answer_the_policy_says_who_comes_in() {
    let limits = RateLimits::start().await;
    for (failure, expected) in [("allow", LET_IN), ("deny", refused(503, "rate_limit_unavailable"))] {
        let scene =
            scene(&limits, &json!({"failure": failure, "timeout": "100ms"})).beside_others().start().await;
        for manner in [
            Manner::Silent,
            Manner::Bytes(b"no message".to_vec()),
            Manner::Bytes(Vec::new()),
            Manner::Bytes(vec![0x0a; 100_000]),
            Manner::Status(14),
        ] {
            limits.answer(manner.clone());
            assert_eq!(outcome(&scene).await, expected, "{failure} {manner:?}");
            limits.answer(Manner::Sound);
            eventually_let_in(&scene).await;
        }
    }
}

/// Waits until a handshake is let in, and one that is asked about.
async fn eventually_let_in(scene: &RunningScene) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while outcome(scene).await != LET_IN {
        assert!(tokio::time::Instant::now() < end, "nobody is let in");
    }
}

#[tokio::test]
async fn a_service_that_stops_is_not_waited_for_and_counts_again_once_it_is_back() {
    let mut limits = RateLimits::start().await;
    let scene = scene(&limits, &json!({"failure": "deny"})).beside_others().start().await;
    assert_eq!(outcome(&scene).await, LET_IN);
    limits.stop().await;
    for _ in 0..20 {
        assert_eq!(outcome(&scene).await, refused(503, "rate_limit_unavailable"));
    }
    limits.start_again().await;
    let before = limits.asked("handshakes").len();
    eventually_let_in(&scene).await;
    assert!(limits.asked("handshakes").len() > before);
}

#[tokio::test]
async fn a_cluster_that_envoy_does_not_know_is_a_service_that_does_not_answer() {
    let limits = RateLimits::start().await;
    for (failure, expected) in [("allow", LET_IN), ("deny", refused(503, "rate_limit_unavailable"))] {
        let scene =
            scene(&limits, &json!({"failure": failure, "cluster": "nowhere"})).beside_others().start().await;
        for _ in 0..5 {
            assert_eq!(outcome(&scene).await, expected, "{failure}");
        }
    }
}

#[tokio::test]
async fn messages_of_all_connections_of_a_client_count_together_and_end_all_when_they_are_too_many() {
    let limits = RateLimits::start().await;
    limits.limit("messages", 10);
    let scene = scene(&limits, &json!({})).beside_others().start().await;
    let (mut one, mut other) = (scene.open("/ws/chat").await, scene.open("/ws/chat").await);
    for client in [&mut one, &mut other] {
        for _ in 0..5 {
            client.send(Frame::text("x").masked().bytes()).await;
        }
    }
    limits.hits_become("messages", 10).await;
    assert_eq!(limits.hits("messages"), 10);
    one.send(Frame::text("x").masked().bytes()).await;
    for mut client in [one, other] {
        let (frames, _) = client.frames_to_close().await;
        let close = frames.last().expect("a Close");
        assert_eq!((close.code(), close.reason().as_str()), (Some(1013), "global_rate"));
    }
    let mut later = scene.open("/ws/chat").await;
    later.send(Frame::ping("still there").masked().bytes()).await;
    assert_eq!(later.frame().await.expect("a Pong"), Frame::pong("still there"));
}

#[tokio::test]
async fn bytes_are_counted_as_they_are_on_the_wire() {
    let limits = RateLimits::start().await;
    limits.limit("bytes", 1000);
    let scene = scene(&limits, &json!({"counts": ["bytes"]})).beside_others().start().await;
    let mut client = scene.open("/ws/chat").await;
    for _ in 0..4 {
        client.send(Frame::binary([7; 250]).masked().bytes()).await;
    }
    limits.hits_become("bytes", 1000).await;
    assert_eq!((limits.hits("bytes"), limits.hits("messages"), limits.hits("handshakes")), (1000, 0, 0));
    client.send(Frame::binary([7]).masked().bytes()).await;
    let (frames, _) = client.frames_to_close().await;
    assert_eq!(frames.last().and_then(Frame::code), Some(1013));
}

/// Waits until a report of messages has failed.
async fn a_report_fails(scene: &RunningScene) {
    let failed = [("count", "messages"), ("result", "failed")];
    let end = tokio::time::Instant::now() + PATIENCE;
    while scene.envoy().stats().await.sum("postern_rate_limit_calls", &failed) < 1.0 {
        assert!(tokio::time::Instant::now() < end, "no report has failed");
    }
}

#[tokio::test]
async fn a_report_that_fails_ends_connections_where_the_policy_says_so() {
    let limits = RateLimits::start().await;
    for failure in ["deny", "allow"] {
        let keys = json!({"counts": ["messages"], "failure": failure, "timeout": "100ms"});
        let scene = scene(&limits, &keys).start().await;
        limits.answer(Manner::Silent);
        let mut client = scene.open("/ws/chat").await;
        client.send(Frame::text("x").masked().bytes()).await;
        assert_eq!(client.frame().await.expect("an echo"), Frame::text("x"));
        a_report_fails(&scene).await;
        limits.answer(Manner::Sound);
        if failure == "deny" {
            let close = client.close().await;
            assert_eq!((close.code(), close.reason().as_str()), (Some(1013), "rate_limit_unavailable"));
        } else {
            let before = limits.hits("messages");
            client.send(Frame::text("y").masked().bytes()).await;
            assert_eq!(client.frame().await.expect("an echo"), Frame::text("y"));
            limits.hits_become("messages", before + 1).await;
        }
    }
}

#[tokio::test]
async fn a_new_connection_too_many_is_refused_and_those_that_are_open_stay() {
    let limits = RateLimits::start().await;
    let scene = scene(&limits, &json!({"counts": ["connections"]})).beside_others().start().await;
    let (mut one, _other) = (scene.open("/ws/chat").await, scene.open("/ws/chat").await);
    limits.limit("connections", 2);
    assert_eq!(outcome(&scene).await, refused(429, "connection_limit"));
    one.send(Frame::text("x").masked().bytes()).await;
    assert_eq!(one.frame().await.expect("an echo"), Frame::text("x"));
}

/// Makes a scene whose one policy asks `limits`, with tokens of single use from here.
fn scene_with_tickets(limits: &RateLimits, from: &Value, keys: &Value) -> Scene {
    let provider = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let auth = json!({"providers": ["edge"], "from": [from], "single_use": true});
    let scene = scene(limits, keys).provider("edge", provider);
    scene.configured(move |document| document["policies"]["chat"]["auth"] = auth)
}

fn ticket(id: &str) -> String {
    let mut claims = edge_claims("alice");
    claims["jti"] = json!(id);
    Signer::edge().mint(&claims)
}

#[tokio::test]
async fn a_token_of_single_use_opens_one_connection_over_two_envoys() {
    /// The base64url of the SHA-256 of `edge`, NUL and `t1`.
    const ENTRY: &str = "ticket=n0Ybb-72p78c0E09LQmGtkvNe90xv21K5uQUrz8OTkQ";
    let limits = RateLimits::start().await;
    limits.limit("tickets", 1);
    let (keys, from) = (json!({"counts": ["tickets"]}), json!({"header": "authorization"}));
    let here = scene_with_tickets(&limits, &from, &keys).beside_others().start().await;
    let there = scene_with_tickets(&limits, &from, &keys).beside_others().start().await;
    let request = || Request::upgrade("/ws/chat").header("Authorization", format!("Bearer {}", ticket("t1")));
    limits.answer(Manner::Status(14));
    let response = there.ask(&request()).await;
    assert_eq!((response.status, response.reason()), refused(503, "rate_limit_unavailable"));
    limits.answer(Manner::Sound);
    assert_eq!(here.ask(&request()).await.status, 101);
    let response = there.ask(&request()).await;
    assert_eq!((response.status, response.reason()), refused(401, "token_replayed"));
    let asked = limits.asked("tickets");
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0].descriptors, [["count=tickets", ENTRY]]);
    let response = here.ask(&request()).await;
    assert_eq!((response.status, response.reason()), refused(401, "token_replayed"));
    assert_eq!(limits.asked("tickets"), asked, "what is known here is not asked");
}

#[tokio::test]
async fn a_user_of_a_first_message_is_asked_about_before_anything_passes() {
    let limits = RateLimits::start().await;
    let keys = json!({"counts": ["handshakes", "messages", "tickets"], "descriptors": ["user"]});
    let scene =
        scene_with_tickets(&limits, &json!({"first_message": "/token"}), &keys).beside_others().start().await;
    let first = |id: &str| Frame::text(&json!({"token": ticket(id)}).to_string()).masked().bytes();
    let mut client = scene.open("/ws/chat").await;
    client.send([first("t1"), Frame::text("behind it").masked().bytes()].concat()).await;
    assert_eq!(client.frame().await.expect("an echo"), Frame::text("behind it"));
    let asked = limits.asked("handshakes");
    let descriptors: Vec<_> = asked.iter().flat_map(|asked| asked.descriptors.clone()).collect();
    assert_eq!(descriptors, [vec!["count=handshakes"], vec!["count=handshakes", "user=alice"]]);
    assert_eq!(limits.hits("tickets"), 1);
    limits.hits_become("messages", 2).await;
    assert_eq!(limits.asked("messages")[0].descriptors, [["count=messages", "user=alice"]]);

    // Alice has had one already, and the handshakes without a user have not.
    limits.limit("handshakes", 1);
    limits.forget("count=handshakes");
    let mut client = scene.open("/ws/chat").await;
    client.send(first("t2")).await;
    let close = client.close().await;
    assert_eq!((close.code(), close.reason().as_str()), (Some(1013), "global_rate"));
}

#[tokio::test]
async fn a_module_that_may_make_no_call_asks_nobody_and_stays() {
    if module::lacks("calls that Envoy can forbid") {
        return;
    }
    let limits = RateLimits::start().await;
    let scene =
        scene(&limits, &json!({"failure": "deny"})).forbid("proxy_grpc_call").beside_others().start().await;
    for _ in 0..5 {
        assert_eq!(outcome(&scene).await, refused(503, "rate_limit_unavailable"));
    }
    assert!(limits.asked("handshakes").is_empty());
}
