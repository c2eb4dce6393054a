//! The fenced blocks of every page.
//!
//! The info string names the kind of a block, such as `yaml policy`, and where it is an excerpt the file, unless that is
//! `envoy.yaml`. A block of no known kind fails, so that no configuration escapes; `text`, `sh` and `python` alone are not
//! parsed, for they are no configuration.

use std::collections::BTreeSet;

use postern_config::Config;
use postern_engine::Reason;
use serde_json::{Value, json};

use crate::pages::{Block, FINDINGS, Page, pages, read, root};
use crate::postern::{assert_no_problem, check, check_text, check_text_with};
use crate::schema::{documents, fault};

/// The document under which a bare policy is judged.
const PROVIDERS: &str = "
providers:
  login: {issuer: https://login.example.com/, audiences: [chat], algorithms: [HS256], secret: {env: SECRET}}
policies:
  chat:
";

/// The configuration beside which a bare route of Envoy's is judged.
const FILTER: &str = r#"
http_filters:
  - name: postern
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
      config:
        configuration:
          "@type": type.googleapis.com/google.protobuf.Struct
          value: {policies: {chat: {origins: {allow: ["*"]}, auth: none}}}
virtual_hosts:
  - routes:
      -
"#;

#[test]
fn every_block_is_of_a_known_kind_and_every_configuration_is_what_it_is_said_to_be() {
    let mut kinds = BTreeSet::new();
    for page in pages() {
        for block in page.blocks() {
            judge(&page, &block);
            kinds.insert(block.kind);
        }
    }
    assert!(kinds.len() > 10, "{kinds:?}");
}

fn judge(page: &Page, Block { line, kind, text }: &Block) {
    let name = format!("{}:{line}", page.name);
    match kind.as_str() {
        "sh" | "text" | "python" => {
            assert!(!is_a_configuration(text), "{name} is a configuration; say of which kind")
        }
        "text check envoy.yaml" => {
            let outcome = check(&root(), &["envoy.yaml"]);
            assert!(outcome.stdout.contains(text), "{name} is reported as\n{}", outcome.stdout);
        }
        "yaml policies" => {
            assert_no_problem(&name, &check_text(text));
            assert_eq!(fault(text), None, "{name}");
        }
        "yaml envoy" | "yaml istio" | "yaml envoy-gateway" => {
            assert_no_problem(&name, &check_text(text));
        }
        "yaml kubernetes" => assert_leaves_time(&name, text),
        "yaml policy" => {
            let document = format!("{PROVIDERS}{}", indented(text, 4));
            assert_no_problem(&name, &check_text(&document));
            assert_eq!(fault(&document), None, "{name}");
        }
        "yaml route" => {
            let outcome = check_text(&format!("{FILTER}{}", indented(text, 8)));
            assert_no_problem(&name, &outcome);
            assert!(outcome.stdout.contains("1 route override"), "{name}: {}", outcome.stdout);
        }
        // `e2e/tests/dashboards` asks promtool about the first kind; Debian's Prometheus cannot ask Kubernetes for pods.
        "yaml prometheus" | "yaml prometheus-of-kubernetes" => {
            assert!(!is_a_configuration(text), "{name} is a configuration of Envoy or Postern")
        }
        "yaml excerpt" => assert_excerpt(&name, text, "envoy.yaml"),
        excerpt if excerpt.starts_with("yaml excerpt ") => {
            assert_excerpt(&name, text, excerpt.trim_start_matches("yaml excerpt "));
        }
        whole if whole.starts_with("yaml policies ") => {
            assert_no_problem(&name, &check_text(text));
            assert_excerpt(&name, text, whole.trim_start_matches("yaml policies "));
        }
        "json findings" => {
            let told: Value = serde_json::from_str(text).expect("JSON");
            let policy = "policies:\n  chat:\n    origins: {allow: [\"https://app.example.com\"]}\n    tls: optional\n    \
                auth: {providers: [edge], from: [{header: authorization}]}\nproviders: {edge: {issuer: edge, audiences: \
                [chat], algorithms: [HS256], secret: {env: SECRET}}}\n";
            let outcome = check_text_with(&["--output", "json"], policy);
            assert_eq!(serde_json::from_str::<Value>(&outcome.stdout).expect("JSON"), told, "{name}");
        }
        "yaml finding" => {
            let outcome = check_text(text);
            let told: Vec<&str> =
                outcome.stderr.lines().filter(|line| line.ends_with(&code_of(page))).collect();
            assert!(!told.is_empty(), "{name} is reported as\n{}", outcome.stderr);
            for line in told {
                assert!(page.text.contains(line), "{name} is reported as\n{line}");
            }
        }
        "yaml mended" => {
            let outcome = check_text(text);
            assert!(!outcome.stderr.contains(&code_of(page)), "{name} is reported as\n{}", outcome.stderr);
            assert_no_problem(&name, &outcome);
        }
        "yaml wrong" => {
            let outcome = check_text(text);
            assert_eq!(outcome.code, Some(1), "{name}");
            assert!(page.text.contains(&outcome.stderr), "{name} is reported as\n{}", outcome.stderr);
        }
        "json problem" => {
            let problem: Value = serde_json::from_str(text).expect("JSON");
            let id = problem["type"].as_str().and_then(|urn| urn.strip_prefix("urn:postern:"));
            let consequence = reason_called(id.expect("a type of Postern's")).consequence();
            assert_eq!(problem["status"], consequence.status, "{name}");
            assert_eq!(problem["title"], consequence.title, "{name}");
        }
        "json message" => {
            let message: Value = serde_json::from_str(text).expect("JSON");
            let is_said = message["postern"].is_string() && message["expires_in"].is_u64();
            assert!(is_said && message.as_object().is_some_and(|members| members.len() == 2), "{name}");
        }
        "json access-log" => {
            let line: Value = serde_json::from_str(text).expect("JSON");
            let reason = reason_called(line["reason"].as_str().expect("a reason"));
            assert_eq!(line["status"], reason.consequence().status, "{name}");
        }
        other => panic!("{name}: a block of unknown kind `{other}`"),
    }
}

#[test]
fn every_code_but_that_of_unreadable_files_has_an_example_that_is_judged() {
    let mut found = 0;
    for page in pages().iter().filter(|page| page.name.starts_with(&format!("{FINDINGS}/PST"))) {
        let examples = page.blocks().iter().filter(|block| block.kind == "yaml finding").count();
        let is_of_files = page.text.contains("cannot be read: ");
        assert_eq!(examples, usize::from(!is_of_files), "{}", page.name);
        found += examples;
    }
    assert!(found > 70, "{found}");
}

/// Returns the code that the page is on, as it ends a finding.
fn code_of(page: &Page) -> String {
    let code = page.name.strip_prefix("docs/findings/").and_then(|name| name.strip_suffix(".md"));
    format!("[{}]", code.expect("a page on a finding"))
}

/// The time until all workers know that Envoy drains, and some more, in seconds.
const MARGIN: u64 = 2;

/// Asserts of each pod that all connections are sent away and have answered before Envoy ends, and that Envoy ends before
/// Kubernetes kills it, with the times that policies have by default; that a call that fails shows; and that a probe fails by
/// more than one late answer.
fn assert_leaves_time(name: &str, text: &str) {
    let policy = json!({"policies": {"chat": {"origins": {"allow": ["*"]}, "auth": "none"}}, "drain_with_envoy": {"cluster": "a"}});
    let policy = Config::from_value(policy).expect("a sound policy");
    let over = policy.drain_with_envoy.expect("what is written").over;
    let close = policy.policies["chat"].liveness.close_timeout;
    let needed = (over + close).as_secs() + MARGIN;
    let mut pods = 0;
    for document in documents(text) {
        let pod = document.pointer("/spec/template").unwrap_or(&document);
        let Some(containers) = pod["spec"]["containers"].as_array() else { continue };
        let hooks =
            containers.iter().filter_map(|container| container.pointer("/lifecycle/preStop/exec/command"));
        let hooks: Vec<String> = hooks.map(|command| words(command).join(" ")).collect();
        assert!(hooks.iter().any(|hook| hook.contains("healthcheck/fail")), "{name}: no health check fails");
        assert!(
            !hooks.iter().any(|hook| hook.contains(';')),
            "{name}: a call that fails does not show: {hooks:?}"
        );
        let waits = hooks.iter().filter_map(|hook| number_after(hook, "sleep "));
        let waits: u64 = waits.chain(drain_duration(pod)).sum();
        let end = pod["spec"]["terminationGracePeriodSeconds"].as_u64().expect("a grace period");
        assert!(needed < waits && waits < end, "{name}: {needed} s, {waits} s, {end} s");
        for probe in containers.iter().filter_map(|container| container.get("readinessProbe")) {
            let number = |key: &str| probe[key].as_u64().unwrap_or_else(|| panic!("{name}: no {key}"));
            assert!((2..=3).contains(&number("failureThreshold")), "{name}: {probe}");
            assert!((1..=number("periodSeconds")).contains(&number("timeoutSeconds")), "{name}: {probe}");
        }
        pods += 1;
    }
    assert!(pods > 0, "{name} has no pod");
}

fn words(command: &Value) -> Vec<&str> {
    command.as_array().expect("a command").iter().map(|word| word.as_str().expect("text")).collect()
}

/// Returns for how long istio-agent lets Envoy be after SIGTERM, in seconds.
fn drain_duration(pod: &Value) -> Option<u64> {
    let proxy = pod["metadata"]["annotations"]["proxy.istio.io/config"].as_str()?;
    number_after(proxy, "terminationDrainDuration: ")
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let (_, behind) = text.split_once(word)?;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Says whether a block of plain text has a line that only configurations have.
fn is_a_configuration(text: &str) -> bool {
    const KEYS: [&str; 5] = ["policies:", "providers:", "apiVersion:", "static_resources:", "typed_config:"];
    text.lines().any(|line| KEYS.iter().any(|key| line.trim_start().starts_with(key)))
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

fn assert_excerpt(name: &str, text: &str, file: &str) {
    assert!(is_excerpt(text, &read(file)), "{name} is not in {file}");
}

/// Says whether the lines of `excerpt` follow each other in `whole`, however they are indented.
fn is_excerpt(excerpt: &str, whole: &str) -> bool {
    let trimmed = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let (excerpt, whole) = (trimmed(excerpt), trimmed(whole));
    whole.windows(excerpt.len()).any(|window| window == excerpt)
}

fn reason_called(id: &str) -> Reason {
    Reason::ALL.into_iter().find(|reason| reason.id() == id).unwrap_or_else(|| panic!("no reason {id}"))
}
