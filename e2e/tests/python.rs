//! The Python library `websockets` against the shipped policy: a client that nobody wrote with Postern in mind.

use std::time::Duration;

use postern_e2e::client::python;
use postern_e2e::client::token::edge_claims;
use postern_e2e::deadline::{PATIENCE, within};
use postern_e2e::scene::document;
use postern_e2e::{ControlPair, RunningScene, Scene, Shared, Signer, Value, json};
use tokio::time::sleep;

static PAIR: Shared<ControlPair> = Shared::new(Scene::new);

/// Returns the view of the client; `None` when there is no such client on this machine.
async fn visit(scene: &RunningScene, path: &str, options: Value) -> Option<Value> {
    let certificate = scene.certificate();
    let mut visit =
        json!({"url": scene.url(path), "certificate": certificate, "origin": "https://app.example.com"});
    for (name, value) in options.as_object().expect("an object") {
        visit[name] = value.clone();
    }
    let outcome = python::run(include_str!("python/visit.py"), &[&visit.to_string()]).await?;
    assert!(outcome.success, "{}", outcome.stderr);
    Some(serde_json::from_str(&outcome.stdout).expect("a report in JSON"))
}

fn bearer() -> Value {
    json!({"Authorization": format!("Bearer {}", Signer::edge().mint(&edge_claims("alice")))})
}

#[tokio::test]
async fn the_client_and_the_upstream_understand_each_other_through_a_bare_envoy() {
    let pair = PAIR.shared().await;
    let scene = &pair.bare;
    let options = json!({"messages": ["hello"], "replies": 1, "compression": null});
    let Some(seen) = visit(scene, "/ws/chat", options).await else { return };
    assert_eq!(
        (&seen["status"], &seen["messages"], &seen["code"]),
        (&json!(101), &json!(["hello"]), &json!(1000))
    );
}

#[tokio::test]
async fn with_a_token_it_talks_and_its_offer_to_compress_is_not_taken() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let options = json!({
        "additional_headers": bearer(), "subprotocols": ["chat.v2"], "messages": ["hello", "wörld"], "replies": 2,
    });
    let Some(seen) = visit(scene, "/ws/chat", options).await else { return };
    assert_eq!((&seen["status"], &seen["code"]), (&json!(101), &json!(1000)), "{seen}");
    assert_eq!(seen["messages"], json!(["hello", "wörld"]));
    assert_eq!(seen["protocol"], "chat.v2");
    assert_eq!(seen["compressed"], false);
}

#[tokio::test]
async fn without_a_token_or_from_another_site_it_is_told_why_not_and_envoy_alone_lets_it_in() {
    let pair = PAIR.alone().await;
    let (scene, bare) = (&pair.guarded, &pair.bare);
    let before = scene.upstream().records().len();
    for (options, status, problem) in [
        (json!({}), 401, "urn:postern:token_missing"),
        (
            json!({"additional_headers": bearer(), "origin": "https://evil.example"}),
            403,
            "urn:postern:origin_denied",
        ),
        (
            json!({"additional_headers": bearer(), "subprotocols": ["chat.v1"]}),
            403,
            "urn:postern:subprotocol_denied",
        ),
    ] {
        let Some(seen) = visit(scene, "/ws/chat", options.clone()).await else { return };
        assert_eq!((&seen["status"], &seen["problem"]), (&json!(status), &json!(problem)));
        let Some(seen) = visit(bare, "/ws/chat", options).await else { return };
        assert_eq!((&seen["status"], &seen["code"]), (&json!(101), &json!(1000)), "{seen}");
    }
    assert_eq!(scene.upstream().records().len(), before, "one went up");
}

#[tokio::test]
async fn a_message_over_the_limit_ends_in_a_close_that_the_library_accepts() {
    let pair = PAIR.alone().await;
    let scene = &pair.guarded;
    let options =
        json!({"additional_headers": bearer(), "messages": ["x".repeat(64 * 1024 + 1)], "replies": 1});
    let Some(seen) = visit(scene, "/ws/chat", options).await else { return };
    assert_eq!(
        (&seen["status"], &seen["code"], &seen["reason"], &seen["messages"]),
        (&json!(101), &json!(1009), &json!("frame_too_big"), &json!([])),
        "{seen}"
    );
    let record = scene.upstream().records().pop().expect("a record");
    assert_eq!(record.messages(), Vec::<Vec<u8>>::new());
}

/// Returns a text in which nothing repeats, so that it compresses to no less than half of its length:
/// hexadecimal digits.
fn digits(count: usize) -> String {
    let scattered = (1..).map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32);
    scattered
        .map(|number| format!("{:08x}", number.wrapping_mul(number) >> 16 & 0xffff_ffff))
        .take(count / 8)
        .collect()
}

/// Returns the payload bytes of data frames that passed under a policy from the client and from the upstream,
/// once that many messages have been counted each way.
async fn bytes_passed(scene: &RunningScene, policy: &str, messages: usize) -> [f64; 2] {
    let directions = ["downstream", "upstream"];
    let sums = async |metric| {
        let stats = scene.envoy().stats().await;
        directions.map(|direction| stats.sum(metric, &[("policy", policy), ("direction", direction)]))
    };
    within(PATIENCE, "all messages to be counted", async {
        while sums("postern_messages").await != [messages as f64; 2] {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    sums("postern_bytes").await
}

#[tokio::test]
async fn it_compresses_over_messages_both_ways_unless_its_offer_is_stripped() {
    let Some(service) = python::serve(include_str!("python/echo.py")).await else { return };
    let limits = json!({"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB"});
    let policy = |compression: &str| json!({"compression": compression, "messages": limits});
    let policies =
        json!({"inspected": policy("inspect"), "passed": policy("pass"), "stripped": policy("strip")});
    let scene = || Scene::new().service(service.address());
    let guarded = scene().document(document(json!({}), policies)).start().await;
    let bare = scene().bare().start().await;

    // Each short message is half as long when it is compressed, and next to nothing when it refers to the one
    // before.
    let digits = digits(2000);
    let without_context = 8 * digits.len() / 2;
    let short = [(digits.as_str(), 1); 8];
    let long = [("κόσμε κόσμε ", 20_000), ("x", 500_000), ("{\"list\": [1, 2, 3]}", 10_000)];
    let texts = [&short[..], &long].concat();
    let messages: Vec<String> = texts.iter().map(|(text, times)| text.repeat(*times)).collect();
    let plain: usize = messages.iter().map(String::len).sum();
    let options = json!({"messages": texts, "replies": texts.len()});
    let agreed = json!("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12");

    for (scene, policy, agreed) in [
        (&bare, "inspected", &agreed),
        (&guarded, "inspected", &agreed),
        (&guarded, "passed", &agreed),
        (&guarded, "stripped", &Value::Null),
    ] {
        let Some(seen) = visit(scene, &format!("/ws/{policy}"), options.clone()).await else { return };
        assert_eq!((&seen["status"], &seen["code"]), (&json!(101), &json!(1000)), "{policy}");
        assert_eq!((&seen["agreed"], &seen["compressed"]), (agreed, &json!(agreed.is_string())), "{policy}");
        assert!(seen["messages"] == json!(messages), "{policy}: what came back is not what was sent");
    }
    for policy in ["inspected", "passed"] {
        let passed = bytes_passed(&guarded, policy, messages.len()).await;
        assert!(passed.iter().all(|bytes| *bytes < without_context as f64), "{policy}: {passed:?}");
    }
    assert_eq!(bytes_passed(&guarded, "stripped", messages.len()).await, [plain as f64; 2], "stripped");
}
