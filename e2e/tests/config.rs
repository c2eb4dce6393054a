//! A wrong policy: Envoy does not start with it, a running Envoy does not take it, and `postern check` says
//! the same beforehand.

use std::path::PathBuf;
use std::process::Command;

use postern_e2e::not_run::not_run;
use postern_e2e::scene::module;
use postern_e2e::{Frame, Pushed, RawClient, RunningScene, Scene, Value, json};

/// One mistake in an otherwise sound document.
struct Mistake {
    /// The object in which it is made.
    object: &'static str,
    key: &'static str,
    /// The value of the key; `None` leaves the key out.
    value: Option<Value>,
    /// The path that must be named.
    path: &'static str,
}

/// Returns a sound document.
fn sound() -> Value {
    json!({
        "providers": {
            "edge": {
                "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
                "secret": {"env": "POSTERN_EDGE_SECRET"},
            },
        },
        "policies": {
            "chat": {
                "origins": {"allow": ["https://app.example.com"]},
                "auth": {"providers": ["edge"], "from": [{"header": "authorization"}]},
                "messages": {"max_frame_bytes": 100},
                "rates": [{"count": "messages", "per": "connection", "limit": 10, "window": "1m"}],
            },
        },
        "routes": [{"match": {"path_prefix": "/ws/chat"}, "policy": "chat"}],
        "default_policy": "deny",
    })
}

fn mistake(object: &'static str, key: &'static str, value: Value, path: &'static str) -> Mistake {
    Mistake { object, key, value: Some(value), path }
}

impl Mistake {
    fn document(&self) -> Value {
        let mut document = sound();
        let object = document.pointer_mut(self.object).and_then(Value::as_object_mut).expect("an object");
        match &self.value {
            Some(value) => object.insert(self.key.to_owned(), value.clone()),
            None => object.remove(self.key),
        };
        document
    }
}

/// The policy in which most mistakes are made.
const CHAT: &str = "/policies/chat";

fn mistakes() -> Vec<Mistake> {
    vec![
        mistake(CHAT, "orgins", json!({}), "policies.chat.orgins"),
        Mistake { object: CHAT, key: "origins", value: None, path: "policies.chat.origins" },
        mistake(
            "/policies/chat/messages",
            "max_frame_bytes",
            json!(true),
            "policies.chat.messages.max_frame_bytes",
        ),
        mistake("/policies/chat/rates/0", "window", json!("a fortnight"), "policies.chat.rates[0].window"),
        mistake(
            "/policies/chat/origins",
            "allow",
            json!(["https://app.example.com", "https://app.example.com/path"]),
            "policies.chat.origins.allow[1]",
        ),
        mistake("/policies/chat/auth", "providers", json!(["elsewhere"]), "policies.chat.auth.providers[0]"),
        mistake("/providers/edge", "algorithms", json!(["none"]), "providers.edge.algorithms[0]"),
        mistake("/providers/edge", "secret", json!({"inline": "short"}), "providers.edge.secret.inline"),
        mistake("/routes/0", "policy", json!("chatt"), "routes[0].policy"),
        mistake("", "default_policy", json!("chatt"), "default_policy"),
        mistake(CHAT, "shadow", json!(["tls"]), "policies.chat.shadow[0]"),
        mistake(CHAT, "connections", json!({"per_ip": 0}), "policies.chat.connections.per_ip"),
        mistake(
            CHAT,
            "tiers",
            json!([{"require": [{"claim": "plan", "one_of": ["pro"]}], "messages": {"max_message_bytes": 0}}]),
            "policies.chat.tiers[0].messages.max_message_bytes",
        ),
        mistake(
            "/policies/chat/messages",
            "schema",
            json!({"requierd": ["type"]}),
            "policies.chat.messages.schema.requierd",
        ),
    ]
}

/// Returns the reason why Envoy does not start with `document`.
async fn complaint(document: Value) -> String {
    let error = Scene::new().document(document).plaintext().try_start().await;
    error.expect_err("an Envoy that refuses its configuration").to_string()
}

#[tokio::test]
async fn envoy_does_not_start_with_a_single_mistake_and_the_path_of_it_is_named() {
    // Every fifth mistake is tried, so that each sort has one: an unknown key, an impossible value, a rule that
    // cannot be shadowed. Every start compiles the module anew; all the mistakes are pushed to a running Envoy
    // below.
    for mistake in mistakes().into_iter().step_by(5) {
        let (path, complaint) = (mistake.path, complaint(mistake.document()).await);
        assert!(complaint.contains(&format!("configuration refused: {path}: ")), "{path}: {complaint}");
        assert_eq!(complaint.matches("configuration refused").count(), 1, "{path}: {complaint}");
    }
}

#[tokio::test]
async fn envoy_does_not_start_without_a_secret_that_the_policy_names() {
    let mut document = sound();
    document["providers"]["edge"]["secret"]["env"] = json!("POSTERN_NOBODY_SETS_THIS");
    let complaint = complaint(document).await;
    assert!(complaint.contains("configuration refused: providers.edge.secret.env: "), "{complaint}");
}

/// Returns the command line, which is built beside these tests.
fn command_line() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let built = here.parent()?.parent()?.join("postern");
    built.is_file().then_some(built)
}

#[test]
fn the_command_line_finds_the_same_mistakes() {
    let Some(postern) = command_line() else {
        not_run("the command line is not built; `cargo build -p postern-cli` builds it");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("policy.json");
    let check = |document: &Value| {
        std::fs::write(&file, document.to_string()).expect("a writable folder");
        let output = Command::new(&postern).arg("check").arg(&file).output().expect("a command line");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, printed) = check(&sound());
    assert_eq!(code, Some(0), "{printed}");
    for mistake in mistakes() {
        let (code, printed) = check(&mistake.document());
        assert_eq!(code, Some(1), "{}: {printed}", mistake.path);
        assert!(printed.contains(&format!(" {}: ", mistake.path)), "{}: {printed}", mistake.path);
    }
}

/// Says whether a message of `length` bytes passes and comes back; one that does not ends the connection with
/// 1009.
async fn passes(client: &mut RawClient, length: usize) -> bool {
    let message = Frame::binary(vec![0; length]);
    client.send(message.clone().masked().bytes()).await;
    let frame = client.frame().await.expect("an echo or a Close");
    if frame == message {
        return true;
    }
    assert_eq!((frame.code(), frame.reason()), (Some(1009), "frame_too_big".to_owned()));
    false
}

/// Asserts that the longest frame that a new connection may send is `limit` bytes.
async fn assert_limit_of_new_connections(scene: &RunningScene, limit: usize) {
    assert!(passes(&mut scene.open("/ws/chat").await, limit).await);
    let mut client = scene.open("/ws/chat").await;
    assert!(!passes(&mut client, limit + 1).await);
    let record = scene.record(&client).await;
    assert_eq!(record.close().await.code(), Some(1009));
    assert_eq!(record.messages(), Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn a_running_envoy_takes_no_wrong_policy_and_a_good_one_for_new_connections_only() {
    let policy = |limit: u32| json!({"messages": {"max_frame_bytes": limit}, "rates": []});
    let mut scene = Scene::new().policy(policy(100)).plaintext().discovered().start().await;
    let mut old = scene.open("/ws/chat").await;
    assert!(passes(&mut old, 100).await);

    for mistake in mistakes() {
        assert_eq!(scene.push_document(mistake.document()).await, Pushed::Rejected, "{}", mistake.path);
        let named = format!("configuration refused: {}: ", mistake.path);
        scene.envoy().logged(&named).await;
    }
    assert!(passes(&mut old, 100).await);
    assert_limit_of_new_connections(&scene, 100).await;

    assert_eq!(scene.push(policy(10)).await, Pushed::Taken);
    assert_limit_of_new_connections(&scene, 10).await;
    assert!(passes(&mut old, 100).await);
    assert!(!passes(&mut old, 101).await);
}

/// The functions of the host without which a request could not be judged, a stream not cut, or a limit not counted, but for the log.
const NEEDED: [&str; 19] = [
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_set_effective_context",
    "proxy_get_buffer_bytes",
    "proxy_set_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_add_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_continue_stream",
    "proxy_close_stream",
    "proxy_send_local_response",
];

#[tokio::test]
async fn where_envoy_forbids_what_the_module_cannot_do_without_it_does_not_start_and_each_function_is_named()
{
    if module::lacks("calls that Envoy can forbid") {
        return;
    }
    let one = &NEEDED[12..13];
    for functions in [one, &NEEDED] {
        let scene = functions.iter().fold(Scene::new().plaintext(), |scene, function| scene.forbid(function));
        let error = scene.try_start().await.expect_err("an Envoy that refuses its configuration");
        let complaint = error.to_string();
        let told = format!("capability_restriction_config of Envoy forbids {}; allow", functions.join(", "));
        assert!(complaint.contains(&told), "{complaint}");
        assert!(!complaint.contains("panicked") && !complaint.contains("Function: proxy_on"), "{complaint}");
    }
}
