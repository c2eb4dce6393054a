//! Schemas that are pushed while connections are open.

use postern_e2e::frames::opcode;
use postern_e2e::{Behaviour, Frame, Pushed, RawClient, RunningScene, Scene, Value, json};

/// A policy under which both members of a message have to be `version`.
fn policy(version: u32) -> Value {
    let member = json!({ "const": version });
    json!({
        "rates": [],
        "messages": {
            "schema": {"required": ["a", "b"], "properties": {"a": member, "b": member}},
            "on_violation": "drop",
        },
    })
}

fn message(a: u32, b: u32) -> Frame {
    Frame::text(&json!({"a": a, "b": b}).to_string())
}

/// Asserts that messages of `version` pass, and none that is half of another version.
async fn assert_judged_by(version: u32, other: u32, client: &mut RawClient) {
    for (a, b) in [(other, other), (version, other), (other, version)] {
        client.send(message(a, b).masked().bytes()).await;
        let answer = client.frame().await.expect("an answer").as_text().to_owned();
        assert!(answer.contains("message_refused"), "{a} and {b} under version {version}: {answer}");
    }
    client.send(message(version, version).masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(message(version, version)), "version {version}");
}

async fn open(scene: &RunningScene, version: u32) -> RawClient {
    let mut client = scene.open("/ws").await;
    assert_judged_by(version, version + 1, &mut client).await;
    client
}

#[tokio::test]
async fn a_pushed_schema_judges_new_connections_and_nothing_is_judged_by_half_of_two() {
    let mut scene =
        Scene::new().policy(policy(1)).discovered().upstream("/ws", Behaviour::Echo).start().await;
    let mut clients = Vec::new();
    let mut halved = open(&scene, 1).await;
    let whole = message(1, 1).payload;
    let (start, end) = whole.split_at(6);
    halved.send(Frame::new(opcode::TEXT, start.to_vec()).unfinished().masked().bytes()).await;
    for version in 1..4 {
        if version > 1 {
            assert_eq!(scene.push(policy(version)).await, Pushed::Taken);
        }
        for _ in 0..8 {
            clients.push((version, open(&scene, version).await));
        }
    }
    halved.send(Frame::new(opcode::CONTINUATION, end.to_vec()).masked().bytes()).await;
    let echoed = [halved.frame().await.expect("a frame"), halved.frame().await.expect("a frame")];
    assert_eq!(echoed.map(|frame| frame.payload).concat(), whole, "it began under the first schema");
    for (version, client) in &mut clients {
        assert_judged_by(*version, *version % 3 + 1, client).await;
    }
}

#[tokio::test]
async fn a_schema_that_cannot_be_used_is_refused_and_the_one_in_force_stays() {
    let mut scene =
        Scene::new().policy(policy(1)).discovered().upstream("/ws", Behaviour::Echo).start().await;
    for schema in [
        json!({"requierd": ["a"]}),
        json!({"$ref": "https://schemas.example.com/message"}),
        json!({"$ref": "#"}),
        json!({"properties": {"a": {"pattern": "(?=a)"}}}),
        json!({"properties": {"a": {"pattern": "^(a{1,1000}){1,1000}$"}}}),
    ] {
        let mut bad = policy(2);
        bad["messages"]["schema"] = schema.clone();
        assert_eq!(scene.push(bad).await, Pushed::Rejected, "{schema}");
        open(&scene, 1).await;
    }
}
