//! A pushed policy is no way to a fresh budget: what was counted before it is counted on, by the new limits.

use postern_e2e::scene::document;
use postern_e2e::{Pushed, Request, Response, RunningScene, Scene, Value, json};

use crate::stage::{assert_full, attempt, auth, of_user, open_soon, providers};

/// The document with these limits, and a size of messages that has nothing to do with them.
fn configuration(limit: u32, max_message_bytes: u32) -> Value {
    let rate = |count: &str| json!([{"count": count, "per": "ip", "limit": limit, "window": "1h"}]);
    let header = json!({"providers": ["edge"], "from": [{"header": "authorization"}]});
    let messages = json!({"max_message_bytes": max_message_bytes, "max_frame_bytes": max_message_bytes});
    let policy = |rates: Value, connections: Value, auth: Value| json!({"rates": rates, "connections": connections, "auth": auth, "messages": messages});
    let none = || json!({});
    let policies = json!({
        "handshakes": policy(rate("handshakes"), none(), json!("none")),
        "refusals": policy(rate("refusals"), none(), header),
        "ip": policy(json!([]), json!({"per_ip": limit}), json!("none")),
        "user": policy(json!([]), json!({"per_user": limit}), auth()),
    });
    document(providers(), policies)
}

async fn push(scene: &mut RunningScene, limit: u32, size: u32) {
    assert_eq!(scene.push_document(configuration(limit, size)).await, Pushed::Taken);
}

fn told(response: &Response) -> (u16, Option<String>) {
    (response.status, response.reason())
}

#[tokio::test]
async fn what_was_used_up_stays_so_whatever_is_pushed_and_live_connections_are_counted_on() {
    let mut scene =
        Scene::new().document(configuration(2, 1000)).workers(4).plaintext().discovered().start().await;
    let bad = || Request::upgrade("/ws/refusals").header("Authorization", "Bearer no.token.x");
    for _ in 0..2 {
        assert_eq!(scene.ask(&Request::upgrade("/ws/handshakes")).await.status, 101);
        assert_eq!(scene.ask(&bad()).await.status, 401);
    }
    let (ip, user) = (|| Request::upgrade("/ws/ip"), || of_user("/ws/user", "alice"));
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push((
            attempt(&scene, &ip()).await.expect("let in"),
            attempt(&scene, &user()).await.expect("let in"),
        ));
    }
    // The same limits beside another change, and other limits.
    for (limit, size) in [(2, 1001), (4, 1001), (1, 1001)] {
        push(&mut scene, limit, size).await;
        for (request, reason) in
            [(Request::upgrade("/ws/handshakes"), "handshake_rate"), (bad(), "refusal_rate")]
        {
            assert_eq!(told(&scene.ask(&request).await), (429, Some(reason.to_owned())), "{limit}");
        }
        if limit == 4 {
            let more = [attempt(&scene, &ip()).await, attempt(&scene, &ip()).await];
            assert!(more.iter().all(Result::is_ok), "{limit}");
            assert_full(&scene, &ip(), "per_ip").await;
            let more = [attempt(&scene, &user()).await, attempt(&scene, &user()).await];
            assert!(more.iter().all(Result::is_ok), "{limit}");
        }
        if limit != 4 {
            assert_full(&scene, &ip(), "per_ip").await;
            assert_full(&scene, &user(), "per_user").await;
        }
        // Those that were let in beyond what is allowed now have ended.
        scene.envoy().stat_becomes("postern_connections", &[("policy", "user")], 2.0).await;
        scene.envoy().stat_becomes("postern_connections", &[("policy", "ip")], 2.0).await;
    }
    let (_, first) = open.pop().expect("a pair");
    drop(first);
    assert_full(&scene, &user(), "one is as many as may be").await;
    let (_, last) = open.pop().expect("a pair");
    drop(last);
    open_soon(&scene, user, "none is left").await;
}
