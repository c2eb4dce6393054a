//! Envoy put to the test by the words of `postern check`: it loads every document that is its own, refuses an
//! evil Origin where the document is sound, and lets it in where the document is said to let requests past
//! Postern.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postern_e2e::deadline::PATIENCE;
use postern_e2e::environment;
use postern_e2e::scene::bootstrap::wasm_module;
use postern_e2e::scene::checked::{Checked, Surroundings, cluster, documents};
use postern_e2e::scene::{envoy, module};
use postern_e2e::{Envoy, Frame, RawClient, Request, Upstream, Value, json};
use tempfile::TempDir;

/// A module that loads at once and takes any policy: policies are not what is tested here.
const IDLE_MODULE: &str = include_str!("../modules/empty.wat");

const GOOD: &str = "https://app.example.com";
const EVIL: &str = "https://evil.example.com";

/// The words of the findings on filters that hold bodies.
const HOLDS: &str = "is never whole";

/// The time to wait for an answer that is not to come; one that comes takes some milliseconds.
const HELD: Duration = Duration::from_secs(3);

/// The files that documents name.
struct Files {
    folder: TempDir,
    idle_module: PathBuf,
    discovered: PathBuf,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (idle_module, discovered) = (folder.path().join("idle.wasm"), folder.path().join("ecds.yaml"));
        std::fs::write(&idle_module, wat::parse_str(IDLE_MODULE).unwrap()).unwrap();
        std::fs::write(&discovered, "resources: []").unwrap();
        Self { folder, idle_module, discovered }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[tokio::test]
async fn envoy_loads_every_document_that_is_its_own() {
    let files = Files::new();
    let service = SocketAddr::from((environment::current().own(), 1));
    let surroundings = Surroundings { module: &files.idle_module, service, discovered: &files.discovered };
    let documents = documents();
    assert!(documents.len() > 60, "{}", documents.len());
    let mut complaints = Vec::new();
    for document in documents {
        let path = files.path(&format!("{}.yaml", document.name));
        std::fs::write(&path, document.bootstrap(&surroundings)).unwrap();
        let result = envoy::validate(&path).await;
        complaints.extend(result.err().map(|error| format!("{}: {error}", document.name)));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Has every plugin in a VM of its own, with what that counts: the documents have the same policies, and one client.
fn set_vm(value: &mut Value, id: &str) {
    match value {
        Value::Object(members) => {
            if let Some(vm) = members.get_mut("vm_config").and_then(Value::as_object_mut) {
                vm.insert("vm_id".to_owned(), json!(id));
            }
            members.values_mut().for_each(|member| set_vm(member, id));
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| set_vm(element, id)),
        _ => {}
    }
}

/// The documents as listeners of one Envoy.
struct Running {
    envoy: Envoy,
    upstream: Upstream,
    _files: Files,
}

impl Running {
    async fn start(documents: &[Checked]) -> Self {
        let (files, upstream) = (Files::new(), Upstream::start(Vec::new()).await);
        let module = wasm_module().unwrap_or_else(|error| panic!("{error}"));
        let service = upstream.address();
        let surroundings = Surroundings { module: &module, service, discovered: &files.discovered };
        let listeners: Vec<Value> = documents
            .iter()
            .map(|document| {
                let mut listener = document.listener(&surroundings);
                listener["name"] = json!(document.name);
                listener["address"] = anywhere();
                set_vm(&mut listener, &document.name);
                listener
            })
            .collect();
        let bootstrap = json!({
            "node": {"id": "checked", "cluster": "checked"},
            "admin": {"address": anywhere()},
            "static_resources": {"listeners": listeners, "clusters": [cluster(service)]},
        });
        let envoy = start(&files.path("envoy.json"), &bootstrap.to_string()).await;
        Self { envoy, upstream, _files: files }
    }

    /// Makes a handshake from `origin`, sends a message behind it, and asserts the outcome.
    async fn assert_outcome(&self, name: &str, address: SocketAddr, origin: &str, expected: Outcome) {
        let wait = if expected == Outcome::Held { HELD } else { PATIENCE };
        assert_eq!(self.ask(address, origin, wait).await, expected, "{name}: {origin}");
    }

    /// Makes a handshake from `origin`, sends a message behind it, and returns the outcome: no answer counts as held after
    /// so long a wait.
    async fn ask(&self, address: SocketAddr, origin: &str, wait: Duration) -> Outcome {
        let request = Request::upgrade("/").header("Origin", origin).header("X-Trusted", "yes");
        let mut client = RawClient::connect(address, None, None).await.unwrap();
        client.send(request.bytes()).await;
        let response = match tokio::time::timeout(wait, client.try_response()).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => return Outcome::Cut,
            Err(_) => return Outcome::Held,
        };
        if response.status != 101 {
            assert!(!self.upstream.has_seen(request.case()), "the service has seen what is refused");
            return Outcome::Refused(response.status);
        }
        client.send(Frame::text("echo").masked().bytes()).await;
        let echoed = tokio::time::timeout(wait, client.frame()).await;
        if echoed.is_ok_and(|frame| frame.is_ok()) { Outcome::Echoed } else { Outcome::Held }
    }
}

/// The outcome of a WebSocket to a service that echoes.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The connection ended without an answer.
    Cut,
    /// A message came back.
    Echoed,
    /// No answer came, or no message.
    Held,
    /// The handshake was answered with this status, and the service has not seen it.
    Refused(u16),
}

/// Says that the module of WebAssembly, which the documents have, is not there.
fn is_without_wasm() -> bool {
    module::is_native() && environment::is_in_containers("the image has the dynamic module alone")
}

fn anywhere() -> Value {
    json!({"socket_address": {"address": environment::current().envoy().to_string(), "port_value": 0}})
}

async fn start(path: &Path, bootstrap: &str) -> Envoy {
    std::fs::write(path, bootstrap).unwrap();
    let started = Envoy::start_file(path, path.parent().unwrap(), 1, &[]).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn where_a_document_is_sound_an_evil_origin_is_refused_and_a_good_one_is_not() {
    if is_without_wasm() {
        return;
    }
    let sound: Vec<Checked> = documents()
        .into_iter()
        .filter(|document| document.is_sound() && !is_only_in_yaml(document))
        .collect();
    assert!(sound.len() > 35, "{}", sound.len());
    let running = Running::start(&sound).await;
    let addresses = running.envoy.listeners().await;
    // The documents are judged at once, since an answer that is held takes its full time.
    futures_util::future::join_all(
        sound.iter().map(|document| judge(document, &running, addresses[&document.name])),
    )
    .await;
}

async fn judge(document: &Checked, running: &Running, address: SocketAddr) {
    let name = &document.name;
    running.assert_outcome(name, address, EVIL, Outcome::Refused(403)).await;
    let expected = match () {
        () if document.prints(HOLDS) => Outcome::Held,
        () if document.name.starts_with("beside_jwt_authn") => Outcome::Refused(401),
        () if document.prints("unless its discovered route has") => Outcome::Refused(404),
        () if document.prints("upgrade_configs: has no `websocket`") => Outcome::Refused(403),
        () => Outcome::Echoed,
    };
    running.assert_outcome(name, address, GOOD, expected).await;
}

#[tokio::test]
async fn where_a_document_is_told_to_let_requests_past_postern_envoy_does() {
    if is_without_wasm() {
        return;
    }
    let bypasses = [
        "so that Postern judges nothing",
        "so that it goes unjudged",
        "lets requests past Postern",
        "all else passes unjudged",
        "stands in for Postern until",
        "passes Postern unjudged",
    ];
    let named: Vec<Checked> = documents()
        .into_iter()
        .filter(|document| bypasses.iter().any(|words| document.prints(words)))
        // An upgrade to another protocol is not tested here.
        .filter(|document| {
            document.name != "upgrade_filters_of_another_upgrade" && !is_only_in_yaml(document)
        })
        .collect();
    assert!(named.len() > 8, "{}", named.len());
    let running = Running::start(&named).await;
    let addresses = running.envoy.listeners().await;
    for Checked { name, .. } in &named {
        running.assert_outcome(name, addresses[name], EVIL, Outcome::Echoed).await;
    }
}

#[tokio::test]
async fn metadata_that_is_told_to_have_no_effect_has_none() {
    if is_without_wasm() {
        return;
    }
    // On a route the metadata would name a policy that does not exist, and every request would be answered
    // with 503.
    let named: Vec<Checked> = documents()
        .into_iter()
        .filter(|document| document.is_whole() && document.prints("filter_metadata.postern: "))
        .collect();
    assert!(named.len() > 6, "{}", named.len());
    let running = Running::start(&named).await;
    let addresses = running.envoy.listeners().await;
    for Checked { name, .. } in &named {
        running.assert_outcome(name, addresses[name], EVIL, Outcome::Refused(403)).await;
        running.assert_outcome(name, addresses[name], GOOD, Outcome::Echoed).await;
    }
}

/// Says whether Envoy takes a document only as YAML, where it ignores members and has more words for true.
fn is_only_in_yaml(document: &Checked) -> bool {
    document.name.starts_with("ignored") || document.name.contains("_word")
}

/// Starts an Envoy on the very text of a document.
async fn run_as_yaml(name: &str) -> Running {
    let document = documents().into_iter().find(|document| document.name == name).unwrap();
    let (files, upstream) = (Files::new(), Upstream::start(Vec::new()).await);
    let module = wasm_module().unwrap_or_else(|error| panic!("{error}"));
    let service = upstream.address();
    let text = document.text(&Surroundings { module: &module, service, discovered: &files.discovered });
    let envoy_address = environment::current().envoy();
    let text = text
        .replace("address: 127.0.0.1, port_value: 0", &format!("address: {envoy_address}, port_value: 0"));
    let admin = json!({"address": anywhere()});
    let envoy = start(&files.path("envoy.yaml"), &format!("{text}admin: {admin}\n")).await;
    Running { envoy, upstream, _files: files }
}

#[tokio::test]
async fn envoy_ignores_what_is_tagged_so_and_postern_judges_beside_it() {
    if is_without_wasm() {
        return;
    }
    let name = "ignored_members";
    let running = run_as_yaml(name).await;
    let address = running.envoy.listener();
    running.assert_outcome(name, address, EVIL, Outcome::Refused(403)).await;
    running.assert_outcome(name, address, GOOD, Outcome::Echoed).await;
}

#[tokio::test]
async fn envoy_takes_more_words_for_true_than_json_has() {
    if is_without_wasm() {
        return;
    }
    for name in [
        "filter_disabled_in_a_word_with_a_tag",
        "filter_disabled_in_another_word",
        "filter_disabled_on_route_in_another_word",
    ] {
        let running = run_as_yaml(name).await;
        running.assert_outcome(name, running.envoy.listener(), EVIL, Outcome::Echoed).await;
    }
}
