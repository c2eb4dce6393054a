//! Counts over the mesh, by a rate limit service.

use postern_e2e::deadline::PATIENCE;
use postern_e2e::{
    Frame, Manner, RateLimits, RawClient, Request, Response, RunningScene, Scene, Value, json,
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
    let scene = scene(&limits, &json!({})).workers(2).start().await;
    for _ in 0..3 {
        assert_eq!(outcome(&scene).await, LET_IN);
    }
    let (_client, response) = handshake(&scene).await;
    assert_eq!((response.status, response.reason()), refused(429, "global_rate"));
    assert_eq!(response.header("retry-after"), Some(RateLimits::RESET.to_string()));
    let asked = limits.asked("handshakes");
    assert_eq!(asked.len(), 4);
    for asked in asked {
        assert_eq!((asked.domain.as_str(), asked.hits), ("postern", 1));
        assert_eq!(asked.descriptors, [["count=handshakes", "ip=127.0.0.1", "policy=chat"]]);
    }
    limits.reset();
    assert_eq!(outcome(&scene).await, LET_IN);
}

#[tokio::test]
async fn without_an_answer_the_policy_says_who_comes_in() {
    let limits = RateLimits::start().await;
    for (failure, expected) in [("allow", LET_IN), ("deny", refused(503, "rate_limit_unavailable"))] {
        let scene = scene(&limits, &json!({"failure": failure, "timeout": "100ms"})).start().await;
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
    let scene = scene(&limits, &json!({"failure": "deny"})).start().await;
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
    let scene = scene(&limits, &json!({"failure": "deny", "cluster": "nowhere"})).start().await;
    for _ in 0..5 {
        assert_eq!(outcome(&scene).await, refused(503, "rate_limit_unavailable"));
    }
}

#[tokio::test]
async fn messages_of_all_connections_of_a_client_count_together_and_end_all_when_they_are_too_many() {
    let limits = RateLimits::start().await;
    limits.limit("messages", 10);
    let scene = scene(&limits, &json!({})).start().await;
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
    let later = scene.open("/ws/chat").await;
    drop(later);
}
