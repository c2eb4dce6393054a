//! A listener that is pushed anew (LDS), in a file that Envoy watches.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use postern_e2e::deadline::{PATIENCE, within};
use postern_e2e::scene::module;
use postern_e2e::{Request, Scene, Value, json};
use tokio::time::sleep;

use crate::chat::Chatter;

/// The place of the document in a listener.
const DOCUMENT: &str =
    "/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/configuration/value";

/// The time in which the listeners of an Envoy that a test starts drain.
const DRAIN: Duration = Duration::from_secs(1);

/// The time by which Envoy's timers may be early: they begin when its loop has last looked at the clock.
const EARLY: Duration = Duration::from_millis(500);

/// The file of the first listener, before a module is put into it.
const FIRST: &str = "first.json";

fn file(folder: &Path) -> PathBuf {
    folder.join("listeners.json")
}

/// Writes the file by moving it into place, for which Envoy watches.
fn write(folder: &Path, listener: &Value, version: &str) {
    let mut listener = listener.clone();
    module::exchange(&mut listener);
    let response = json!({"version_info": version, "resources": [listener]});
    let draft = folder.join("listeners.draft");
    std::fs::write(&draft, response.to_string())
        .and_then(|()| std::fs::rename(&draft, file(folder)))
        .expect("a writable folder");
}

/// Has the bootstrap take its listener from the file.
fn take_listener(bootstrap: &mut Value, folder: &Path) {
    let mut listener = bootstrap["static_resources"]["listeners"][0].take();
    listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    std::fs::write(folder.join(FIRST), listener.to_string()).expect("a writable folder");
    write(folder, &listener, "1");
    bootstrap["static_resources"]["listeners"] = json!([]);
    let source = json!({"path_config_source": {"path": file(folder)}, "resource_api_version": "V3"});
    bootstrap["dynamic_resources"] = json!({ "lds_config": source });
    bootstrap["node"] = json!({"id": "edge", "cluster": "edge"});
}

#[tokio::test]
async fn a_listener_that_is_changed_cuts_what_is_open_after_its_drain_time_and_new_sockets_begin_under_it() {
    let scene = Scene::new().policy(json!({})).plaintext().change_with_files(take_listener).start().await;
    let mut chatters = Vec::new();
    for _ in 0..4 {
        let mut chatter = Chatter::new(scene.open("/ws/chat").await);
        chatter.say_at_once().await;
        chatters.push(chatter);
    }
    let first = std::fs::read_to_string(scene.folder().join(FIRST)).expect("the file");
    let mut listener: Value = serde_json::from_str(&first).expect("JSON");
    let document = listener.pointer_mut(DOCUMENT).expect("a document");
    document["policies"]["chat"]["origins"] =
        json!({"allow": ["https://app.example.com"], "missing": "deny"});
    let begun = Instant::now();
    write(scene.folder(), &listener, "2");

    within(PATIENCE, "handshakes to be judged by what was pushed", async {
        while scene.ask(&Request::upgrade("/ws/chat")).await.reason().as_deref() != Some("origin_missing") {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let request = Request::upgrade("/ws/chat").header("Origin", "https://app.example.com");
    let mut new = Chatter::new(scene.open_with(&request).await);
    for chatter in &mut chatters {
        let (frames, end) = chatter.client.frames_to_close().await;
        assert_eq!(frames, [], "{end:?}");
        assert!(begun.elapsed() >= DRAIN - EARLY, "{end:?} after {:?}", begun.elapsed());
        assert_eq!(scene.access_line(chatter.client.case()).await["reason"], Value::Null);
    }
    new.say_at_once().await;
    // Postern has ended none of them.
    assert_eq!(scene.envoy().stats().await.sum("postern_closes", &[]), 0.0);
}
