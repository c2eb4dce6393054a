//! One Envoy for each way in which a stream reaches Postern: its policies, of which several are equal, and its services.

use std::time::Duration;

use postern_e2e::scene::document;
use postern_e2e::{Behaviour, ControlPair, Frame, RawClient, RunningScene, Scene, Shared, Value, json};

pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(1);
pub(crate) const PONG_TIMEOUT: Duration = Duration::from_secs(2);
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

fn configuration() -> Value {
    let seconds = |duration: Duration| format!("{}s", duration.as_secs());
    let beats = json!({
        "idle_timeout": "6s", "ping_interval": seconds(PING_INTERVAL), "pong_timeout": seconds(PONG_TIMEOUT),
        "close_timeout": seconds(CLOSE_TIMEOUT),
    });
    let waits = json!({
        "idle_timeout": seconds(IDLE_TIMEOUT), "ping_interval": "none", "close_timeout": seconds(CLOSE_TIMEOUT),
    });
    let proves = json!({"liveness": beats, "upstream_messages": {"utf8": true}});
    let auth =
        json!({"providers": ["edge"], "from": [{"first_message": "/token"}], "first_message_timeout": "1h"});
    let (beating, waiting) = (json!({"liveness": beats}), json!({"liveness": waits}));
    // Some tests count or read what is said of their connections, so there are equal policies under names of
    // their own.
    let policies = json!({
        "beats": beating, "stops": beating, "bursts": beating, "unanswered": beating, "waits": waiting,
        "drips": waiting, "proves": proves, "dripped": proves, "hears": {"liveness": waits, "auth": auth},
    });
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    document(json!({"edge": edge}), policies)
}

pub(crate) fn scene() -> Scene {
    Scene::new()
        .document(configuration())
        .upstream("/ws/waits/silent", Behaviour::Silent)
        .upstream("/ws/beats/greets", Behaviour::Chatty(vec![Frame::text("hello").bytes()]))
        .upstream("/ws/beats/silent", Behaviour::Silent)
        .upstream("/ws/bursts", Behaviour::Silent)
        .upstream("/ws/unanswered", Behaviour::Silent)
        .upstream("/ws/proves/silent", Behaviour::Silent)
}

/// Puts filters of Envoy's own on both sides of Postern.
fn between_others(scene: Scene) -> Scene {
    scene.change_connection_manager(|manager| {
        let lua = |name: &str| {
            json!({"name": name, "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                "default_source_code": {"inline_string": "function envoy_on_request(handle) \
                    handle:headers():add('x-lua', 'seen') end \
                    function envoy_on_response(handle) handle:headers():add('x-lua', 'seen') end"},
            }})
        };
        let cors = json!({"name": "cors", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors"}});
        let compressor = json!({"name": "compressor", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor",
            "compressor_library": {"name": "gzip", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip"}}}});
        let filters = manager["http_filters"].as_array_mut().expect("a list of filters");
        filters.insert(1, lua("behind"));
        filters.splice(0..0, [cors, compressor, lua("before")]);
    })
}

pub(crate) static PLAINTEXT: Shared<ControlPair> = Shared::new(|| scene().plaintext());
static TLS: Shared<RunningScene> = Shared::new(scene);
static AMONG_OTHERS: Shared<RunningScene> = Shared::new(|| between_others(scene()));

/// Runs the test on every way in which a stream may reach Postern here.
pub(crate) async fn everywhere(test: impl AsyncFn(&str, &RunningScene)) {
    let (plaintext, tls, among) = tokio::join!(PLAINTEXT.shared(), TLS.shared(), AMONG_OTHERS.shared());
    tokio::join!(
        test("plaintext", &plaintext.guarded),
        test("TLS", &tls),
        test("other filters around it", &among),
    );
}

pub(crate) async fn open(scene: &RunningScene, path: &str) -> RawClient {
    let mut client = scene.open(path).await;
    client.show_heartbeats();
    client
}
