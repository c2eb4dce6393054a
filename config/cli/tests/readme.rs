//! README.md against what it describes: every configuration in it is judged by the built binary,
//! and its tables are those of the code.
//!
//! The info string of a fenced block says what it is, such as `yaml policy`; a block of no known
//! kind fails, so that no configuration escapes.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail anywhere")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use postern_config::Segment;
use postern_engine::Reason;
use serde_json::{Value, json};

/// Under which a bare policy is judged.
const PROVIDERS: &str = "
providers:
  login: {issuer: https://login.example.com/, audiences: [chat], algorithms: [HS256], secret: {env: SECRET}}
policies:
  chat:
";

/// Beside which a bare route of Envoy's is judged.
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

/// A fenced block.
struct Block {
    line: usize,
    kind: String,
    text: String,
}

/// What `postern check` said.
struct Told {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).expect("a file of the repository")
}

fn blocks(readme: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (number, line) in readme.lines().enumerate() {
        match (line.strip_prefix("```"), is_open) {
            (Some(kind), false) => {
                blocks.push(Block { line: number + 1, kind: kind.to_owned(), text: String::new() });
                is_open = true;
            }
            (Some(_), true) => is_open = false,
            (None, true) => {
                let text = &mut blocks.last_mut().expect("the open block").text;
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!is_open, "the last block is not closed");
    blocks
}

/// The rows of the first table under a heading, cell by cell.
fn table(readme: &str, heading: &str) -> Vec<Vec<String>> {
    let below = readme.split_once(&format!("\n{heading}\n")).expect("the heading").1;
    let lines =
        below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<_> = lines.skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "{heading}");
    rows
}

/// The code spans of a line.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

fn run_check(directory: &Path, files: &[&str]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    let output = command
        .arg("check")
        .args(files)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("a built binary");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Told { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn check_text(text: &str) -> Told {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("policy.yaml"), text).expect("a writable directory");
    run_check(directory.path(), &["policy.yaml"])
}

/// Sound, without so much as a warning.
fn assert_sound(name: &str, told: &Told) {
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{name}");
    assert!(told.stdout.contains("sound") || told.stdout.contains("by discovery"), "{name}: {}", told.stdout);
}

/// Whether the lines of `excerpt` follow each other in `whole`, however they are indented.
fn is_excerpt(excerpt: &str, whole: &str) -> bool {
    let trimmed = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    let (excerpt, whole) = (trimmed(excerpt), trimmed(whole));
    whole.windows(excerpt.len()).any(|window| window == excerpt)
}

fn reason_called(id: &str) -> Reason {
    Reason::ALL.into_iter().find(|reason| reason.id() == id).unwrap_or_else(|| panic!("no reason {id}"))
}

#[test]
fn every_block_is_of_a_known_kind_and_every_configuration_is_what_it_is_said_to_be() {
    let readme = read("README.md");
    let mut kinds = BTreeSet::new();
    for Block { line, kind, text } in blocks(&readme) {
        let name = format!("README.md:{line}");
        match kind.as_str() {
            "sh" | "text" => {}
            "yaml policies" | "yaml envoy" | "yaml istio" => assert_sound(&name, &check_text(&text)),
            "yaml policy" => {
                assert_sound(&name, &check_text(&format!("{PROVIDERS}{}", indented(&text, 4))));
            }
            "yaml route" => {
                let told = check_text(&format!("{FILTER}{}", indented(&text, 8)));
                assert_sound(&name, &told);
                assert!(told.stdout.contains("1 route override"), "{name}: {}", told.stdout);
            }
            "yaml excerpt" => assert!(is_excerpt(&text, &read("envoy.yaml")), "{name} is not in envoy.yaml"),
            "yaml wrong" => {
                let told = check_text(&text);
                assert_eq!(told.code, Some(1), "{name}");
                assert!(readme.contains(&told.stderr), "{name} is told as\n{}", told.stderr);
            }
            "json problem" => {
                let problem: Value = serde_json::from_str(&text).expect("JSON");
                let id = problem["type"].as_str().and_then(|urn| urn.strip_prefix("urn:postern:"));
                let consequence = reason_called(id.expect("a type of Postern's")).consequence();
                assert_eq!(problem["status"], consequence.status, "{name}");
                assert_eq!(problem["title"], consequence.title, "{name}");
            }
            "json message" => {
                let message: Value = serde_json::from_str(&text).expect("JSON");
                let is_said = message["postern"].is_string() && message["expires_in"].is_u64();
                assert!(is_said && message.as_object().is_some_and(|members| members.len() == 2), "{name}");
            }
            "json access-log" => {
                let line: Value = serde_json::from_str(&text).expect("JSON");
                let reason = reason_called(line["reason"].as_str().expect("a reason"));
                assert_eq!(line["status"], reason.consequence().status, "{name}");
            }
            other => panic!("{name}: a block of unknown kind `{other}`"),
        }
        kinds.insert(kind);
    }
    assert!(kinds.len() > 8, "{kinds:?}");
}

#[test]
fn the_table_of_reasons_is_the_engines() {
    let dash_or = |number: u16, is_sent: bool| if is_sent { number.to_string() } else { "—".to_owned() };
    let expected: Vec<Vec<String>> = Reason::ALL
        .into_iter()
        .map(|reason| {
            let of = reason.consequence();
            // The numbers of an internal error stand for "never sent", but for that error itself.
            let is_internal = reason == Reason::Internal;
            vec![
                format!("`{}`", of.id),
                dash_or(of.status, is_internal || of.status != 500),
                dash_or(of.close, is_internal || of.close != 1011),
                of.title.to_owned(),
            ]
        })
        .collect();
    let written: Vec<Vec<String>> = table(&read("README.md"), "### Reasons")
        .into_iter()
        .map(|row| row.into_iter().take(4).collect())
        .collect();
    assert_eq!(written, expected);
}

#[test]
fn a_key_written_with_the_default_of_the_table_changes_nothing() {
    let base = json!({
        "providers": {"chat": {
            "issuer": "i", "audiences": ["a"],
            "jwks": {"inline": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}},
        }},
        "policies": {"chat": {
            "origins": {"allow": ["*"]}, "auth": {"providers": ["chat"], "from": [{"header": "authorization"}]},
        }},
    });
    let mut fetching = base.clone();
    fetching["providers"]["chat"]["jwks"] =
        json!({"remote": {"cluster": "a", "uri": "https://a.example.com/"}});
    fetching["policies"]["chat"]["auth"]["revocation"] = json!({"cluster": "a", "path": "/"});
    let read_whole = |document: &Value| {
        let config = postern_config::Config::from_value(document.clone())
            .unwrap_or_else(|problems| panic!("{document}: {problems}"));
        let postern_config::Config { providers, policies, routes, default_policy, log, memory, .. } = config;
        format!("{:#?}", (providers, policies, routes, default_policy, log, memory))
    };
    let mut written = 0;
    for row in table(&read("README.md"), "### Keys") {
        let [key, default, ..] = row.as_slice() else { panic!("{row:?}") };
        let is_one_span = default.starts_with('`') && default.ends_with('`') && spans(default).count() == 1;
        if !is_one_span {
            continue;
        }
        let key = key.trim_matches('`').replace('*', "chat");
        // Keys of what is off by default.
        let is_of_a_fetch = ["jwks.remote.", "auth.revocation."].iter().any(|part| key.contains(part));
        let base = if is_of_a_fetch { &fetching } else { &base };
        let mut document = base.clone();
        let place = key.split('.').fold(&mut document, |value, step| &mut value[step]);
        *place = value_of(default.trim_matches('`'));
        assert_eq!(read_whole(&document), read_whole(base), "{key}");
        written += 1;
    }
    assert!(written > 20, "{written}");
}

/// The value that a default stands for, as YAML reads it.
fn value_of(text: &str) -> Value {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some("") => json!([]),
        Some(items) => items.split(", ").map(value_of).collect(),
        None => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

#[test]
fn the_table_of_what_is_not_supported_yet_leaves_nothing_out() {
    let directory = root().join("config/tests/fixtures/unsupported");
    let entries = std::fs::read_dir(&directory).expect("fixtures");
    let names: Vec<String> =
        entries.filter_map(|entry| entry.expect("an entry").file_name().into_string().ok()).collect();
    let files: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.ends_with(".yaml")).collect();
    let refused: BTreeSet<String> = run_check(&directory, &files)
        .stderr
        .lines()
        .filter(|line| line.contains("not supported yet"))
        .map(|line| pattern(line.split(": ").nth(1).expect("a path")))
        .collect();
    let listed: BTreeSet<String> = table(&read("README.md"), "### Not supported yet")
        .iter()
        .filter_map(|row| row.first())
        .flat_map(|cell| spans(cell).filter(|span| span.contains(".*.")).map(str::to_owned))
        .collect();
    assert_eq!(listed, refused);
}

/// `policies.*.rates[].per` for `policies.chat.rates[0].per`.
fn pattern(path: &str) -> String {
    let path = postern_config::Path::parse(path).expect("a path");
    let mut written = String::new();
    for (depth, segment) in path.segments().iter().enumerate() {
        match segment {
            Segment::Index(_) => written.push_str("[]"),
            Segment::Key(_) if depth == 1 => written.push_str(".*"),
            Segment::Key(key) if depth == 0 => written.push_str(key),
            Segment::Key(key) => written.extend([".", key]),
        }
    }
    written
}

#[test]
fn every_make_target_and_every_file_that_is_named_exists() {
    let (readme, makefile) = (read("README.md"), read("Makefile"));
    let commands = blocks(&readme).into_iter().filter(|block| block.kind == "sh").map(|block| block.text);
    let prose: Vec<&str> = readme.lines().filter(|line| !line.starts_with("```")).collect();
    let commands: Vec<String> =
        commands.chain(prose.iter().flat_map(|line| spans(line)).map(str::to_owned)).collect();
    let mut targets = BTreeSet::new();
    for command in &commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let after_make = words.iter().skip_while(|word| **word != "make").nth(1);
        targets.extend(after_make.copied());
    }
    assert!(targets.contains("run") && targets.contains("test"), "{targets:?}");
    for target in targets {
        assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "make {target}");
    }
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let is_elsewhere = link.starts_with("https://") || link.starts_with('#');
        assert!(is_elsewhere || root().join(link).exists(), "{link}");
    }
}

#[test]
fn the_shipped_example_and_the_manifests_are_sound() {
    let istio = root().join("e2e/istio");
    let manifests: Vec<PathBuf> =
        std::fs::read_dir(istio).expect("manifests").map(|entry| entry.expect("an entry").path()).collect();
    assert!(!manifests.is_empty());
    for file in manifests.iter().chain([&root().join("envoy.yaml")]) {
        let name = file.to_str().expect("text");
        assert_sound(name, &run_check(&root(), &[name]));
    }
}
