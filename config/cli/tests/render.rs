//! `postern render`: what is rendered is sound, says of Postern what the shipped configurations say, and has the policy as it
//! was written, whatever is in it.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail anywhere")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Value, json};

const PLATFORMS: [&str; 3] = ["envoy", "istio", "envoy-gateway"];

const HCM: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// A policy in which much has a place of its own.
const POLICY: &str = "\
# yaml-language-server: $schema=policy.schema.json
# By its author.
---
providers:
  edge: {issuer: edge, audiences: [chat], algorithms: [HS256], secret: {env: POSTERN_EDGE_SECRET}}
policies:
  chat:
    origins: {allow: [\"https://app.example.com\"]}   # the application
    auth: {providers: [edge], from: [{subprotocol: \"bearer.\"}]}
    messages:
      types: [text]
      schema: |
        {\"type\": \"object\",

         \"required\": [\"type\"]}
default_policy: chat
...
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn postern(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_postern")).args(arguments).output().expect("a built binary")
}

/// Writes a policy, and renders it.
fn output(platform: &str, policy: &str, more: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), policy).expect("a writable file");
    let path = file.path().to_str().expect("text");
    postern(&[&["render", platform, "--policy-file", path], more].concat())
}

fn render(platform: &str, policy: &str, more: &[&str]) -> String {
    let output = output(platform, policy, more);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{platform}: {complaint}");
    String::from_utf8(output.stdout).expect("text")
}

fn documents(yaml: &str) -> Vec<Value> {
    let documents = Yaml::load_from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    documents.iter().map(json_of).collect()
}

fn json_of(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(members) => {
            let member = |(key, value): (&Yaml<'_>, &Yaml<'_>)| {
                (key.as_str().expect("a key is text").to_owned(), json_of(value))
            };
            Value::Object(members.iter().map(member).collect())
        }
        other => panic!("nothing has {other:?}"),
    }
}

/// Returns the policy inside what is rendered.
fn policy_of<'a>(platform: &str, documents: &'a [Value]) -> &'a Value {
    let place = match platform {
        "envoy" => format!("{HCM}/http_filters/0/typed_config/config/configuration/value"),
        "istio" => "/spec/pluginConfig".to_owned(),
        _ => "/spec/wasm/0/config".to_owned(),
    };
    documents[0].pointer(&place).unwrap_or_else(|| panic!("{platform} has nothing at {place}"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_example_is_rendered_for_every_platform_and_check_finds_nothing_wrong() {
    let entries = std::fs::read_dir(root().join("config/examples")).expect("examples");
    let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    assert!(paths.len() > 5);
    for path in paths {
        let policy = std::fs::read_to_string(&path).expect("text");
        for platform in PLATFORMS {
            let more: &[&str] =
                if platform == "envoy" { &["--client-ca", "/etc/envoy/clients.crt"] } else { &[] };
            let rendered = render(platform, &policy, more);
            let name = format!("{platform}: {}", path.display());
            assert_eq!(policy_of(platform, &documents(&rendered)), &documents(&policy)[0], "{name}");
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), &rendered).expect("a writable file");
            let told = postern(&["check", file.path().to_str().expect("text")]);
            assert_eq!(
                (told.status.code(), told.stderr.as_slice()),
                (Some(0), b"".as_slice()),
                "{name}\n{rendered}"
            );
        }
    }
}

/// The parts of what is rendered for an Envoy.
struct Parted {
    /// All but the others.
    whole: Value,
    /// The network filters before the connection manager.
    network_filters: Vec<Value>,
    filters: Vec<Value>,
    /// The names of metrics, by runtime keys and by expressions.
    names: [Value; 2],
}

fn parted(rendered: &str) -> Parted {
    let mut whole = documents(rendered).remove(0);
    let chain = "/static_resources/listeners/0/filter_chains/0/filters";
    let chain = whole.pointer_mut(chain).and_then(Value::as_array_mut).expect("network filters");
    let network_filters: Vec<_> = chain.drain(..chain.len() - 1).collect();
    let filters = whole.pointer_mut(&format!("{HCM}/http_filters")).expect("filters").take();
    let names = ["layered_runtime", "stats_config"]
        .map(|key| whole.as_object_mut().and_then(|whole| whole.remove(key)).unwrap_or_default());
    let filters = filters.as_array().cloned().expect("a list");
    Parted { whole, network_filters, filters, names }
}

#[test]
fn the_dynamic_module_is_rendered_behind_its_sender_in_the_place_of_the_other_and_check_finds_nothing_wrong()
{
    let shipped = documents(&read("e2e/dynamic-module/filters.yaml")).remove(0);
    let shipped_network = documents(&read("e2e/dynamic-module/network-filter.yaml")).remove(0);
    let entries = std::fs::read_dir(root().join("config/examples")).expect("examples");
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        let policy = std::fs::read_to_string(&path).expect("text");
        let ca = ["--client-ca", "/etc/envoy/clients.crt"];
        let library = ["--dynamic-module", "/etc/envoy/libpostern.so"];
        let rendered = render("envoy", &policy, &[ca, library].concat());
        let wasm = parted(&render("envoy", &policy, &ca));
        let Parted { whole, network_filters, mut filters, names: [runtime, labels] } = parted(&rendered);
        assert_eq!(
            (whole, filters.pop(), labels),
            (wasm.whole, wasm.filters.last().cloned(), Value::Null),
            "{rendered}"
        );
        assert_eq!(
            (json!(network_filters), wasm.network_filters),
            (shipped_network.clone(), vec![]),
            "{rendered}"
        );
        let own = filters[1].pointer_mut("/typed_config/filter_config/value").expect("a policy");
        assert_eq!(std::mem::replace(own, json!({"policies": {}})), documents(&policy)[0], "{rendered}");
        assert_eq!(json!(filters), shipped, "{rendered}");
        let strips = "envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix";
        assert_eq!(runtime["layers"][0]["static_layer"], json!({strips: true}), "{rendered}");
        assert!(!rendered.contains("VM") && !rendered.contains("wasmcustom"), "{rendered}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &rendered).expect("a writable file");
        let told = postern(&["check", file.path().to_str().expect("text")]);
        let complaint = String::from_utf8_lossy(&told.stderr);
        assert_eq!((told.status.code(), &*complaint), (Some(0), ""), "{}\n{rendered}", path.display());
        assert!(String::from_utf8_lossy(&told.stdout).contains("sound: polic"), "{}", path.display());
    }
}

#[test]
fn both_modules_at_once_are_wrong_use() {
    let both = output("envoy", POLICY, &["--module", "a.wasm", "--dynamic-module", "a.so"]);
    let told = String::from_utf8_lossy(&both.stderr);
    assert_eq!((both.status.code(), both.stdout.as_slice()), (Some(2), b"".as_slice()), "{told}");
}

#[test]
fn the_policy_keeps_its_comments_and_its_order() {
    for platform in PLATFORMS {
        let rendered = render(platform, POLICY, &[]);
        for line in
            ["# By its author.", "origins: {allow: [\"https://app.example.com\"]}   # the application"]
        {
            assert!(rendered.contains(line), "{platform}: {line}\n{rendered}");
        }
        assert!(!rendered.contains("$schema"), "the schema is that of another file");
        assert_eq!(policy_of(platform, &documents(&rendered)), &documents(POLICY)[0], "{platform}");
    }
}

#[test]
fn a_rendered_envoy_has_the_filter_the_upgrades_and_the_labels_of_the_shipped_one() {
    let (shipped, rendered) =
        (documents(&read("envoy.yaml")).remove(0), documents(&render("envoy", POLICY, &[])).remove(0));
    let without = |mut value: Value, places: &[&str]| {
        for place in places {
            *value.pointer_mut(place).unwrap_or_else(|| panic!("nothing at {place}")) = Value::Null;
        }
        value
    };
    // All else is the same, so the whole of both is compared.
    let route = format!("{HCM}/route_config/virtual_hosts/0/routes/0/match");
    let config = format!("{HCM}/http_filters/0/typed_config/config");
    let tls =
        "/static_resources/listeners/0/filter_chains/0/transport_socket/typed_config/common_tls_context";
    let exchanged = [
        format!("{config}/configuration/value"),
        format!("{config}/vm_config/code/local/filename"),
        format!("{tls}/tls_certificates"),
        route,
    ];
    let exchanged: Vec<&str> = exchanged.iter().map(String::as_str).collect();
    assert_eq!(without(rendered, &exchanged), without(shipped, &exchanged));
}

#[test]
fn rendered_manifests_say_what_the_shipped_ones_say() {
    let named = |documents: Vec<Value>, name: &str| {
        let found = documents.into_iter().find(|manifest| manifest["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no manifest {name}"))
    };
    for (platform, file, place, names) in [
        (
            "istio",
            "e2e/istio/postern.yaml",
            "/spec/pluginConfig",
            ["postern", "postern-buffers", "postern-idle"].as_slice(),
        ),
        (
            "envoy-gateway",
            "e2e/envoy-gateway/postern.yaml",
            "/spec/wasm/0/config",
            &["postern", "postern-buffers", "postern-idle", "postern-reads"],
        ),
    ] {
        for name in names {
            let [mut shipped, mut rendered] =
                [read(file), render(platform, POLICY, &[])].map(|text| named(documents(&text), name));
            for manifest in [&mut shipped, &mut rendered] {
                manifest.pointer_mut(place).map(Value::take);
            }
            assert_eq!(rendered, shipped, "{platform}: {name}");
        }
    }
}

#[test]
fn a_policy_with_problems_is_told_as_check_tells_it_and_nothing_is_rendered() {
    let wrong = POLICY.replace("app.example.com", "app.example.com/");
    for platform in PLATFORMS {
        let output = output(platform, &wrong, &[]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()), "{told}");
        assert!(told.contains(":8:23: policies.chat.origins.allow[0]: "), "{told}");
    }
}

#[test]
fn what_is_missing_for_a_whole_envoy_is_asked_for() {
    let lists = POLICY.replace("auth: {", "auth: {revocation: {cluster: lists, path: /revoked.json}, ");
    let mutual = POLICY.replace("    auth:", "    tls: mutual\n    auth:");
    for (policy, more, asked) in [
        (lists.as_str(), [].as_slice(), "--cluster"),
        (mutual.as_str(), &[], "--client-ca"),
        (POLICY, &["--cluster", "other=http://a:1"], "names no cluster other"),
        (POLICY, &["--listen", "8443"], "host:port"),
    ] {
        let output = output("envoy", policy, more);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), b"".as_slice()), "{told}");
        assert!(told.contains(asked), "{told}");
    }
    let rendered =
        documents(&render("envoy", &lists, &["--cluster", "lists=https://lists.example.com"])).remove(0);
    let cluster = &rendered["static_resources"]["clusters"][1];
    assert_eq!(
        (&cluster["name"], &cluster["transport_socket"]["typed_config"]["sni"]),
        (&json!("lists"), &json!("lists.example.com"))
    );
}

#[test]
fn the_admin_interface_that_a_policy_asks_is_asked_on_a_connection_of_its_own_each_time() {
    let policy = format!("{}drain_with_envoy: {{cluster: envoy_admin}}\n", POLICY.trim_end_matches("...\n"));
    let whole = render("envoy", &policy, &["--cluster", "envoy_admin=http://127.0.0.1:9901"]);
    let rendered = documents(&whole).remove(0);
    let options = &rendered["static_resources"]["clusters"][1]["typed_extension_protocol_options"];
    let options = &options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    assert_eq!(options["common_http_protocol_options"], json!({"max_requests_per_connection": 1}), "{whole}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &whole).expect("a writable file");
    let told = postern(&["check", file.path().to_str().expect("text")]);
    let complaint = String::from_utf8_lossy(&told.stderr);
    assert!(!complaint.contains("[PST0067]") && !complaint.contains("[PST0068]"), "{complaint}");
    for (platform, words) in [("istio", "patch the cluster in"), ("envoy-gateway", "patch the cluster in")] {
        let told = output(platform, &policy, &[]);
        let told = String::from_utf8_lossy(&told.stderr);
        assert!(
            told.contains(words) && told.contains("max_requests_per_connection: 1"),
            "{platform}: {told}"
        );
    }
}

#[test]
fn no_text_of_a_policy_or_of_an_option_breaks_out_of_its_place() {
    let evil = "x\u{2028}admin: {}\u{85}k: v";
    let line_ends =
        POLICY.replace("required\\\": [\\\"type", "").replace("# the application", &format!("# {evil}"));
    let document = json!({
        "policies": {"chat": {
            "origins": {"allow": ["https://app.example.com"]},
            "auth": "none",
            "messages": {"types": ["text"], "schema": {"type": "object", "enum": ["a: b", "\n---\nadmin: {}", "yes", "1", "- x", evil]}},
        }},
        "default_policy": "chat",
    });
    for policy in [line_ends, document.to_string(), format!("{document:#}"), POLICY.replace('\n', "\r\n")] {
        for platform in PLATFORMS {
            let rendered = render(platform, &policy, &[]);
            assert_eq!(
                policy_of(platform, &documents(&rendered)),
                &documents(&policy)[0],
                "{platform}\n{rendered}"
            );
            assert!(!rendered.contains(['\u{85}', '\u{2028}', '\r']), "{platform}");
        }
    }
    let rendered = documents(&render("envoy", POLICY, &["--module", "a}\n# b: c"])).remove(0);
    let config = rendered.pointer(&format!("{HCM}/http_filters/0/typed_config/config")).expect("the filter");
    assert_eq!(config["vm_config"]["code"]["local"], json!({"filename": "a}\n# b: c"}));
    let Parted { filters, .. } = parted(&render("envoy", POLICY, &["--dynamic-module", "a}\n# b: c"]));
    for filter in &filters[..2] {
        let local = &filter["typed_config"]["dynamic_module_config"]["module"]["local"];
        assert_eq!(local, &json!({"filename": "a}\n# b: c"}));
    }
    let rendered = documents(&render(
        "istio",
        POLICY,
        &["--image", "a: b\nc", "--namespace", "n\n---", "--selector", "a,b=}"],
    ));
    assert_eq!(rendered[0]["spec"]["url"], "a: b\nc");
    assert_eq!(rendered[0]["spec"]["selector"]["matchLabels"], json!({"a,b": "}"}));
    assert!(rendered.iter().all(|manifest| manifest["metadata"]["namespace"] == "n\n---"));
}

#[test]
fn a_policy_is_taken_out_of_whatever_has_one() {
    let inside = render("istio", POLICY, &[]);
    let rendered = documents(&render("envoy", &inside, &[]));
    assert_eq!(policy_of("envoy", &rendered), &documents(POLICY)[0]);
    let two = output("envoy", &format!("{}---\n{POLICY}", POLICY.trim_end_matches("...\n")), &[]);
    assert_eq!(two.status.code(), Some(2), "{}", String::from_utf8_lossy(&two.stderr));
}

#[test]
fn a_mesh_is_told_of_the_hosts_outside_of_it_that_a_policy_asks() {
    let policy = POLICY.replace(
        "algorithms: [HS256], secret: {env: POSTERN_EDGE_SECRET}",
        "jwks: {remote: {cluster: \
         \"outbound|443||auth.example.com\", uri: \"https://auth.example.com/jwks\"}}",
    );
    let rendered = documents(&render("istio", &policy, &[]));
    let of_kind = |kind: &str| {
        rendered.iter().find(|manifest| manifest["kind"] == kind).unwrap_or_else(|| panic!("{kind}"))
    };
    assert_eq!(of_kind("ServiceEntry")["spec"]["hosts"], json!(["auth.example.com"]));
    assert_eq!(of_kind("DestinationRule")["spec"]["trafficPolicy"]["tls"]["sni"], "auth.example.com");
    assert!(rendered[0]["spec"].get("vmConfig").is_none(), "there is no secret");
    let told = output("istio", &policy.replace("outbound|443||auth.example.com", "auth"), &[]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("auth is no cluster of Istio's"));
}

#[test]
fn a_sidecar_judges_what_comes_in_and_nothing_that_its_workload_opens() {
    let rendered = documents(&render("istio", POLICY, &["--sidecar", "--selector", "app=chat"]));
    assert_eq!(rendered[0]["spec"]["match"], json!([{"mode": "SERVER"}]));
    let patches =
        rendered.iter().filter_map(|manifest| manifest["spec"]["configPatches"].as_array()).flatten();
    let contexts: Vec<&Value> = patches.map(|patch| &patch["match"]["context"]).collect();
    assert_eq!(contexts, [&json!("SIDECAR_INBOUND"); 2]);
    assert!(documents(&render("istio", POLICY, &[]))[0]["spec"].get("match").is_none(), "of a gateway");
}

/// Returns the places where both say something, and not the same.
fn contradictions(one: &Value, other: &Value, at: &str) -> Vec<String> {
    match (one, other) {
        // The policies are those of two authors.
        _ if ["/value", "/pluginConfig", "/wasm/0/config"].iter().any(|policy| at.ends_with(policy)) => {
            Vec::new()
        }
        (Value::Object(one), Value::Object(other)) => one
            .iter()
            .filter_map(|(key, value)| Some(contradictions(value, other.get(key)?, &format!("{at}/{key}"))))
            .flatten()
            .collect(),
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => one
            .iter()
            .zip(other)
            .enumerate()
            .flat_map(|(i, (one, other))| contradictions(one, other, &format!("{at}/{i}")))
            .collect(),
        // One has routes that the other has not.
        (Value::Array(_), Value::Array(_)) => Vec::new(),
        (one, other) if one == other => Vec::new(),
        (one, other) => vec![format!("{at}: {one} and {other}")],
    }
}

/// Returns the blocks of a page that are of this kind.
fn blocks(page: &str, kind: &str) -> Vec<Value> {
    let text = read(page);
    let blocks: Vec<&str> = text.split("\n```").collect();
    let opened = format!("yaml {kind}\n");
    blocks.iter().filter_map(|block| block.strip_prefix(opened.as_str())).flat_map(documents).collect()
}

#[test]
fn no_page_contradicts_what_is_rendered() {
    let envoy = documents(&render("envoy", POLICY, &[])).remove(0);
    let managers = blocks("README.md", "envoy");
    assert_eq!(managers.len(), 1);
    let rendered = envoy.pointer(HCM).expect("a connection manager");
    assert_eq!(contradictions(&managers[0]["typed_config"], rendered, ""), [""; 0]);
    let mut compared = 0;
    for (page, platform) in [
        ("README.md", "istio"),
        ("README.md", "envoy-gateway"),
        ("docs/istio.md", "istio"),
        ("docs/envoy-gateway.md", "envoy-gateway"),
    ] {
        let rendered = documents(&render(platform, POLICY, &[]));
        for manifest in blocks(page, platform) {
            let is_same = |other: &&Value| {
                other["kind"] == manifest["kind"] && other["metadata"]["name"] == manifest["metadata"]["name"]
            };
            let Some(other) = rendered.iter().find(is_same) else { continue };
            assert_eq!(
                contradictions(&manifest, other, ""),
                [""; 0],
                "{page}: {}",
                manifest["metadata"]["name"]
            );
            compared += 1;
        }
    }
    assert!(compared > 6, "{compared}");
}
