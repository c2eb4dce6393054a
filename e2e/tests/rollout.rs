//! The way of a policy onto live traffic, as `docs/operate.md` has it: in shadow, then in part, then whole. Its very policies
//! are pushed, one after the other, and nothing that is open is cut.

use postern_e2e::{Frame, RawClient, Request, RunningScene, Scene, Value};

const PAGE: &str = include_str!("../../docs/operate.md");

const APP: &str = "https://app.example.com";
const PARTNER: &str = "https://partner.example.com";
const EVIL: &str = "https://evil.example";

const NEW: &str = r#"{"type": "say"}"#;
/// What clients say that are too old for the schema.
const OLD: &str = r#"{"say": 1}"#;

/// Returns the policies of the section, in order.
fn policies() -> [Value; 3] {
    let (_, section) = PAGE.split_once("## Roll it out\n").expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let blocks = section.split("```yaml policies\n").skip(1);
    let read = blocks
        .map(|block| serde_saphyr::from_str(block.split("```").next().expect("a block")).expect("YAML"));
    read.collect::<Vec<_>>().try_into().expect("three policies")
}

/// Opens a connection, and says something.
async fn say(scene: &RunningScene, origin: &str, text: &str) -> (u16, Option<RawClient>) {
    let mut client = scene.connect().await;
    let response = client.ask(&Request::upgrade("/ws/chat").header("Origin", origin)).await;
    if response.status != 101 {
        return (response.status, None);
    }
    client.send(Frame::text(text).masked().bytes()).await;
    (101, Some(client))
}

async fn is_echoed(scene: &RunningScene, origin: &str, text: &str) -> RawClient {
    let (status, client) = say(scene, origin, text).await;
    let mut client = client.unwrap_or_else(|| panic!("{origin} is answered {status}"));
    assert_eq!(client.frame().await, Ok(Frame::text(text)), "{origin} is served");
    client
}

#[tokio::test]
async fn a_policy_goes_from_shadow_into_force_step_by_step_as_the_page_has_it() {
    let [in_shadow, in_part, in_force] = policies();
    let mut scene = Scene::new().document(in_shadow).discovered().start().await;
    let found = |rule: &'static str| [("policy", "chat"), ("rule", rule), ("mode", "shadow")];
    let (origins, schema) = (found("origins"), found("messages.schema"));

    // Everybody is served, and what would have been refused is counted and told.
    let mut first = is_echoed(&scene, APP, NEW).await;
    for (origin, text) in [(PARTNER, NEW), (EVIL, NEW), (APP, OLD)] {
        is_echoed(&scene, origin, text).await;
    }
    scene.envoy().stat_becomes("postern_violations", &origins, 2.0).await;
    scene.envoy().stat_becomes("postern_violations", &schema, 1.0).await;
    scene.envoy().stat_becomes("postern_handshakes", &[("result", "shadow")], 2.0).await;
    for origin in [PARTNER, EVIL] {
        let cause = format!("rule=origins side=client cause=\"the origin is `{origin}`\"");
        scene.envoy().logged(&cause).await;
    }
    assert_eq!(scene.ask(&Request::upgrade("/elsewhere")).await.status, 101, "unjudged");

    // What is settled is enforced.
    scene.push_document(in_part).await;
    is_echoed(&scene, PARTNER, NEW).await;
    assert_eq!(say(&scene, EVIL, NEW).await.0, 403);
    is_echoed(&scene, APP, OLD).await;
    scene.envoy().stat_becomes("postern_violations", &schema, 2.0).await;

    // And all of it at last.
    scene.push_document(in_force).await;
    is_echoed(&scene, PARTNER, NEW).await;
    let (_, client) = say(&scene, APP, OLD).await;
    assert_eq!(client.expect("a handshake with nothing wrong").close().await.code(), Some(1007));
    assert_eq!(scene.ask(&Request::upgrade("/elsewhere")).await.status, 403);

    // Who was there at first is still served, and under the policy of then.
    first.send(Frame::text(OLD).masked().bytes()).await;
    assert_eq!(first.frame().await, Ok(Frame::text(OLD)));
}
