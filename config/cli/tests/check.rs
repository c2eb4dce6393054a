//! `postern check` as people run it: the built binary, its exit code, and every line it writes.
//!
//! Beside each fixture `name.yaml` or `name.json` lies `name.<ext>.told`: the exit code on its
//! first line, then every line of stderr after `! ` and of stdout after `> `.
//!
//! Each of `documents/` is of one kind of document, or has one thing around a policy that is sound. It begins
//! with a line that names it, and then has every finding on stderr after `#! ` and every line of stdout after `#> `,
//! without the file's name, the lines on memory, and the warnings of what most of them have: no TLS, no
//! authentication, and a cluster as Envoy makes it. `e2e/tests/checked.rs` hands those that say what
//! they are to Envoy to an Envoy.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn postern(arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn told(output: &Output) -> String {
    let lines = |bytes: &[u8], mark: &str| {
        let text = String::from_utf8_lossy(bytes);
        text.lines().map(|line| format!("{mark} {line}\n")).collect::<String>()
    };
    let code = output.status.code().map_or("killed".to_owned(), |code| code.to_string());
    format!("{code}\n{}{}", lines(&output.stderr, "!"), lines(&output.stdout, ">"))
}

#[test]
fn every_fixture_is_told_line_by_line() {
    let mut names: Vec<String> = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".told"))
        .collect();
    names.sort();
    assert!(names.len() > 10, "{names:?}");
    let mut failures = String::new();
    for name in names {
        let output =
            postern(&[OsStr::new("check"), OsStr::new(&name)]).current_dir(fixtures()).output().unwrap();
        let expected = std::fs::read_to_string(fixtures().join(format!("{name}.told"))).unwrap_or_default();
        let told = told(&output);
        if told != expected {
            failures += &format!("{name}: expected\n{expected}told\n{told}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

/// The codes of the warnings that no document announces.
const OF_MOST_DOCUMENTS: [&str; 3] = ["[PST0063]", "[PST0101]", "[PST0106]"];

/// Returns the findings and the lines of stdout: without what is shown beneath a finding, which is indented.
fn told_without_excerpts(output: &Output) -> String {
    let told = told(output);
    let lines = told.lines().filter(|line| !line.starts_with("!     "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Returns the lines that a document of `documents/` must be told, by its own first lines.
fn announced(text: &str) -> String {
    text.lines()
        .take_while(|line| line.starts_with('#'))
        .filter(|line| !line.starts_with("# "))
        .fold(String::new(), |told, line| told + line.trim_start_matches('#') + "\n")
}

#[test]
fn every_kind_of_document_is_told_what_it_announces() {
    let folder = fixtures().with_file_name("documents");
    let mut failures = String::new();
    let entries: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(entries.len() > 100, "{}", entries.len());
    for name in entries {
        let output = postern(&[OsStr::new("check"), &name]).current_dir(&folder).output().unwrap();
        let expected = announced(&std::fs::read_to_string(folder.join(&name)).unwrap());
        let has_problem = expected.lines().any(|line| line.starts_with('!') && !line.contains(": warning: "));
        let told = told_without_excerpts(&output);
        let told = told.replace(&format!(" {}:", name.display()), " ").replace("  ", " ");
        let is_announced = |line: &&str| {
            !line.starts_with("> memory: ") && !OF_MOST_DOCUMENTS.iter().any(|code| line.ends_with(code))
        };
        let lines = told.lines().skip(1).filter(is_announced);
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        if lines != expected || output.status.code() != Some(i32::from(has_problem)) {
            failures += &format!("{}: announced\n{expected}told\n{told}\n", name.display());
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

const SOUND: &str = "policies: {chat: {origins: {allow: [\"https://a.example.com\"]}, auth: none}} # postern-check: allow PST0106\n";

fn check_folder(folder: &Path) -> String {
    let output = postern(&[OsStr::new("check"), OsStr::new("folder")]).current_dir(folder).output().unwrap();
    let told = told_without_excerpts(&output);
    told.lines().filter(|line| !line.contains(": memory: ")).map(|line| format!("{line}\n")).collect()
}

/// Returns a temporary folder in which a folder called `folder` has these files.
fn folder_of(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("folder")).unwrap();
    for (name, text) in files {
        let path = directory.path().join("folder").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

#[test]
fn a_folder_is_judged_file_by_file_and_what_is_no_concern_of_posterns_is_counted() {
    let folder = folder_of(&[
        ("a.yaml", SOUND),
        ("b/c.yml", "policies: {}\ndefault_policy: chat\n"),
        ("b/d.JSON", "{\"policies\": {\"chat\": {\"origins\": {\"allow\": [\"*\"]}, \"auth\": 1}}}"),
        ("b/readme.md", "policies: {}"),
        (".hidden/e.yaml", "policies: {}\ndefault_policy: chat\n"),
        ("other.yaml", "providers: {google: {}}\nroutes: []\n"),
        ("service.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: postern}\n"),
        ("broken.yaml", "a: [\n"),
    ]);
    let told = check_folder(folder.path());
    let begins: Vec<&str> =
        told.lines().map(|line| line.split_once("; ").map_or(line, |(begin, _)| begin)).collect();
    assert_eq!(
        begins,
        [
            "1",
            "! folder/b/c.yml:1:1: policies: is empty",
            "! folder/b/c.yml:2:1: default_policy: `chat` names no policy",
            "! folder/b/d.JSON:1:53: policies.chat.auth: is a number",
            "! folder/broken.yaml:2:1: is not YAML: while parsing a node, did not find expected node content",
            "> folder/a.yaml: sound: policy `chat`, 0 providers, 0 routes",
            "> folder: nothing of Postern is in 2 files of 6",
        ]
    );
}

#[test]
fn a_folder_without_postern_is_a_problem_and_never_sound() {
    for files in [&[][..], &[("other.yaml", "a: 1\n")], &[("policy.txt", SOUND)]] {
        let told = check_folder(folder_of(files).path());
        assert!(told.starts_with("1\n! folder: nothing of Postern is in its "), "{told}");
        assert!(!told.contains('>'), "{told}");
    }
}

#[cfg(unix)]
#[test]
fn links_in_a_folder_lead_nowhere_twice_and_nothing_there_is_waited_for() {
    use std::os::unix::fs::symlink;
    let directory = folder_of(&[("a/policy.yaml", SOUND), ("..data/mounted.yaml", SOUND)]);
    let folder = directory.path().join("folder");
    symlink("..", folder.join("a/loop")).unwrap();
    symlink(".", folder.join("self")).unwrap();
    symlink("nowhere", folder.join("dangling.yaml")).unwrap();
    symlink("a/policy.yaml", folder.join("again.yaml")).unwrap();
    symlink("..data/mounted.yaml", folder.join("mounted.yaml")).unwrap();
    symlink("/dev/zero", folder.join("endless.yaml")).unwrap();
    let pipe = Command::new("mkfifo").arg(folder.join("pipe.yaml")).status().unwrap();
    assert!(pipe.success());
    let told = check_folder(directory.path());
    let sound = "sound: policy `chat`, 0 providers, 0 routes";
    assert_eq!(told, format!("0\n> folder/a/policy.yaml: {sound}\n> folder/mounted.yaml: {sound}\n"));
}

#[test]
fn texts_in_manifests_cannot_make_a_small_file_cost_much() {
    let mut bomb = "policies: {postern: 1}\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..5 {
        bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "));
    }
    let text: String = bomb.lines().map(|line| format!("      {line}\n")).collect();
    let again: String = (0..2000).map(|i| format!("  b{i}: *a\n")).collect();
    for (kind, begin) in [("ConfigMap", "data"), ("Secret", "stringData"), ("Values", "spec")] {
        let version = "apiVersion: v1\nmetadata: {name: a}";
        let manifest = format!("{version}\nkind: {kind}\n{begin}:\n  a: &a |\n{text}{again}");
        let told = check_folder(folder_of(&[("a.yaml", &manifest)]).path());
        assert!(told.starts_with("1\n! folder/a.yaml:"), "{told}");
        assert_eq!(told.lines().count(), 2, "{told}");
    }
    let mut nested = "a: 1".to_owned();
    for _ in 0..6 {
        let text: String = nested.lines().map(|line| format!("    {line}\n")).collect();
        nested = format!("apiVersion: v1\nkind: ConfigMap\ndata:\n  postern.yaml: |\n{text}");
    }
    let told = check_folder(folder_of(&[("a.yaml", &nested)]).path());
    assert!(told.contains("has too much inside to be read"), "{told}");
}

#[test]
fn a_file_that_does_nothing_but_disable_postern_is_no_other_file_of_a_folder() {
    let disabled = "{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}";
    let discovered = format!(
        "name: ws\nvirtual_hosts:\n  - name: ws\n    domains: ['*']\n    typed_per_filter_config: {{postern: {disabled}}}\n"
    );
    let patch = format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nspec: {{configPatches: [{{applyTo: HTTP_ROUTE, \
         patch: {{operation: MERGE, value: {{typed_per_filter_config: {{istio-ingress.postern: {disabled}}}}}}}}}]}}\n"
    );
    for text in [discovered, patch] {
        let told = check_folder(folder_of(&[("a.yaml", SOUND), ("b.yaml", &text)]).path());
        assert!(told.starts_with("1\n! folder/b.yaml:"), "{told}");
        assert!(told.contains("so that Postern judges nothing of "), "{told}");
    }
    let other =
        "name: ws\nvirtual_hosts: [{domains: ['*'], typed_per_filter_config: {buffer: {disabled: true}}}]\n";
    let told = check_folder(folder_of(&[("a.yaml", SOUND), ("b.yaml", other)]).path());
    assert!(told.contains("nothing of Postern is in 1 file of 2"), "{told}");
}

#[test]
fn json_on_one_line_of_a_manifest_is_read_as_any_other_text() {
    let policies = r#"{"policies": {"chat": {"origins": {"allow": ["*"]}, "auth": "none"}}}"#;
    let manifest = format!("apiVersion: v1\nkind: Secret\nstringData: {{envoy.json: '{policies}'}}\n");
    let told = check_folder(folder_of(&[("a.yaml", SOUND), ("b.yaml", &manifest)]).path());
    assert!(told.starts_with("1\n! folder/b.yaml:3:"), "{told}");
}

#[test]
fn texts_inside_texts_of_manifests_end_however_many_there_are() {
    let mut nested = String::new();
    for depth in 0..400 {
        let indent = " ".repeat(depth);
        nested += &format!("{indent}kind: A\n{indent}spec: |\n");
    }
    nested += &format!("{0}policies\n{0}x\n", " ".repeat(400));
    let told = check_folder(folder_of(&[("a.yaml", &nested)]).path());
    assert!(told.starts_with("1\n! folder/a.yaml:2:1: "), "{told}");
}

#[test]
fn long_keys_are_not_told_for_everything_below_them() {
    let key = "k".repeat(1 << 16);
    let text = format!("? {key}\n:\n{}", "  a: 1\n".repeat(2000));
    let told = check_folder(folder_of(&[("a.yaml", &text)]).path());
    assert!(told.len() < 4 << 20, "{}", told.len());
}

#[test]
fn a_folder_of_too_much_is_wrong_use() {
    let names: Vec<String> = (0..1001).map(|i| format!("{i}.yaml")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "a: 1\n")).collect();
    let told = check_folder(folder_of(&files).path());
    assert_eq!(
        told,
        "2\n! folder: cannot be read: it has more than 1000 files or 256 MiB; name a file or a folder that can be read [PST0020]\n"
    );
    let deep = vec!["d"; 18].join("/") + "/a.yaml";
    let told = check_folder(folder_of(&[(&deep, SOUND)]).path());
    assert_eq!(
        told,
        "2\n! folder: cannot be read: it has more than 16 folders in each other; name a file or a folder that can be read [PST0020]\n"
    );
}

#[test]
fn a_name_in_a_folder_writes_no_line_of_its_own() {
    let told = check_folder(folder_of(&[("a\n> b: sound\u{1b}[2J.yaml", SOUND)]).path());
    assert!(told.contains("> folder/a\\n> b: sound\\u{1b}[2J.yaml: sound: "), "{told}");
}

#[test]
fn a_dash_is_the_standard_input() {
    let mut child = postern(&[OsStr::new("check"), OsStr::new("-")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"policies: {}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        told_without_excerpts(&output),
        "1\n! -:1:1: policies: is empty; write at least one policy [PST0006]\n"
    );
}

#[test]
fn several_files_are_judged_and_the_worst_one_counts() {
    let arguments = ["check", "policy_sound.yaml", "policy_wrong.json"].map(OsStr::new);
    let output = postern(&arguments).current_dir(fixtures()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = told(&output);
    assert!(
        told.contains("> policy_sound.yaml: sound: ") && told.contains("! policy_wrong.json:3:"),
        "{told}"
    );
}

#[test]
fn wrong_use_is_neither_sound_nor_a_problem() {
    for arguments in [&[][..], &["check"], &["chekc", "x.yaml"], &["check", "--output", "xml", "x.yaml"]] {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        let output = postern(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_wrong_use() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("policy.yaml");
    let output = postern(&[OsStr::new("check"), missing.as_os_str()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("policy.yaml: cannot be read: "));
}

#[test]
fn the_examples_of_the_language_are_sound() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut arguments = vec![OsStr::new("check")];
    arguments.extend(files.iter().map(|file| file.as_os_str()));
    let output = postern(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let told = told(&output);
    let sound = told.lines().filter(|line| line.starts_with("> ") && line.contains(": sound: "));
    assert_eq!(sound.count(), files.len(), "{told}");
}
