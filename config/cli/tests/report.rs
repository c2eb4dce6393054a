//! What `postern check` writes for other programs, and beneath its findings for people.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail anywhere")]

mod sarif;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use postern_engine::json_schema::Budget;
use serde_json::Value;
use tempfile::TempDir;

const SOUND: &str = "policies:\n  chat:\n    origins: {allow: [\"https://app.example.com\"]}\n    auth: {providers: [edge], from: [{header: authorization}]}\nproviders:\n  edge: {issuer: edge, audiences: [chat], algorithms: [HS256], secret: {env: POSTERN_EDGE_SECRET}}\n";

/// A policy with a problem, one with a weak setting, and one that is nothing of Postern's.
const FILES: [(&str, &str); 3] = [
    (
        "wrong policy.yaml",
        "policies:\n  chat:\n    origins: {allow: [app.example.com]}\n    auth: none\n    tls: optional\n",
    ),
    (
        "weak.yaml",
        "policies:\n  chat:\n    origins: {allow: [\"https://app.example.com\"]}\n    auth: none\n",
    ),
    ("nothing.yaml", "a: 1\n"),
];

fn folder_of(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn check(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command.arg("check").args(arguments).current_dir(folder).stdin(Stdio::null());
    command.envs(environment.iter().copied()).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns what is on stderr for a policy file of this text.
fn told(text: &str) -> String {
    let folder = folder_of(&[("policy.yaml", text)]);
    String::from_utf8(check(folder.path(), &["policy.yaml"], &[]).stderr).unwrap()
}

#[test]
fn json_is_a_list_of_findings_and_nothing_else_is_on_stdout() {
    let folder = folder_of(&FILES);
    let output = check(folder.path(), &["--output", "json", "wrong policy.yaml", "gone.yaml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let found = json(&output);
    let expected = serde_json::json!({
        "code": "PST0006", "severity": "error", "file": "wrong policy.yaml", "line": 3, "column": 23,
        "path": "policies.chat.origins.allow[0]", "message": "`app.example.com` has no scheme",
        "remedy": "write `https://app.example.com`",
    });
    assert_eq!(found[0], expected);
    assert_eq!((&found[1]["code"], &found[1]["line"]), (&Value::from("PST0020"), &Value::Null));
    assert_eq!(found.as_array().unwrap().len(), 2, "what is wrong hides what is weak: {found}");
    let output = check(folder.path(), &["--output", "json", "weak.yaml"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(json(&output)[0]["severity"], "warning");
    std::fs::write(folder.path().join("sound.yaml"), SOUND).unwrap();
    let output = check(folder.path(), &["--output", "json", "sound.yaml"], &[]);
    assert_eq!((output.status.code(), json(&output)), (Some(0), serde_json::json!([])));
}

#[test]
fn sarif_is_valid_by_its_schema_and_every_result_has_a_rule_a_level_and_a_region() {
    let folder = folder_of(&FILES);
    let paths = ["--output", "sarif", "wrong policy.yaml", "weak.yaml", "nothing.yaml", "gone.yaml"];
    let output = check(folder.path(), &paths, &[]);
    assert_eq!(output.status.code(), Some(2));
    let log = json(&output);
    let schema = sarif::schema();
    schema.validate(&log, Budget::for_bytes(64 << 20)).unwrap_or_else(|fault| panic!("{fault:?}: {log:#}"));
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    let codes: Vec<&str> = results.iter().map(|result| result["ruleId"].as_str().unwrap()).collect();
    assert_eq!(codes, ["PST0006", "PST0106", "PST0019", "PST0020"]);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(rules[index]["helpUri"].as_str().unwrap().ends_with(result["ruleId"].as_str().unwrap()));
        assert!(rules[index]["help"]["markdown"].as_str().unwrap().contains("```"));
    }
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "wrong%20policy.yaml");
    assert_eq!(place["region"], serde_json::json!({"startLine": 3, "startColumn": 23, "endColumn": 38}));
    assert_eq!(
        (&results[0]["level"], &results[1]["level"]),
        (&Value::from("error"), &Value::from("warning"))
    );
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
}

#[test]
fn the_schema_refuses_a_log_that_is_none() {
    let wrong = serde_json::json!({"version": "2.1.0", "runs": [{"tool": {}, "results": [{"message": {}}]}]});
    assert!(sarif::schema().validate(&wrong, Budget::for_bytes(64 << 20)).is_err());
}

#[test]
fn warnings_keep_a_file_from_being_sound_where_that_is_asked_for() {
    let folder = folder_of(&[FILES[1], ("sound.yaml", SOUND)]);
    for (arguments, expected) in [
        (&["weak.yaml"][..], 0),
        (&["--strict", "weak.yaml"], 1),
        (&["--strict", "--output", "json", "weak.yaml"], 1),
        (&["--strict", "sound.yaml"], 0),
        (&["--strict", "gone.yaml"], 2),
    ] {
        assert_eq!(check(folder.path(), arguments, &[]).status.code(), Some(expected), "{arguments:?}");
    }
}

#[test]
fn a_warning_that_is_accepted_where_it_is_is_not_told_and_a_problem_always_is() {
    let policy = |tls: &str, auth: &str| {
        let origins = "origins: {allow: [\"https://app.example.com\"]}";
        format!("policies:\n  chat:\n    {origins}\n{tls}\n    auth: none{auth}\n")
    };
    let weak = "    tls: optional";
    let accepted = policy(
        "    # postern-check: allow PST0102, PST0101\n    tls: optional",
        " # postern-check: allow PST0106",
    );
    assert_eq!(told(&accepted), "");
    for (text, expected) in [
        (policy(weak, ""), &["PST0101", "PST0106"][..]),
        (policy(weak, " # postern-check: allow PST0101"), &["PST0101", "PST0106"]),
        (policy("    tls: optional # postern-check: allow PST0101", ""), &["PST0106"]),
        (
            policy("    tls: sometimes # postern-check: allow PST0006", " # postern-check: allow PST0106"),
            &["PST0006"],
        ),
    ] {
        let told = told(&text);
        let codes: Vec<&str> = told
            .lines()
            .filter_map(|line| line.strip_suffix(']')?.rsplit_once('['))
            .map(|(_, code)| code)
            .collect();
        assert_eq!(codes, expected, "{text}");
    }
}

#[test]
fn the_place_of_a_finding_is_shown_beneath_it_and_in_colours_only_where_they_are_wanted() {
    let folder = folder_of(&FILES);
    let shown = |environment: &[(&str, &str)]| {
        String::from_utf8(check(folder.path(), &["wrong policy.yaml"], environment).stderr).unwrap()
    };
    let plain = "wrong policy.yaml:3:23: policies.chat.origins.allow[0]: `app.example.com` has no scheme; write \
        `https://app.example.com` [PST0006]\n      |\n    3 |     origins: {allow: [app.example.com]}\n      \
        |                       ^^^^^^^^^^^^^^^\n";
    assert_eq!(shown(&[]), plain);
    assert_eq!(shown(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]), plain);
    let coloured = shown(&[("CLICOLOR_FORCE", "1")]);
    assert!(coloured.contains("\u{1b}["), "{coloured:?}");
    assert!(coloured.starts_with("wrong policy.yaml:3:23: policies.chat"), "{coloured:?}");
}

#[test]
fn what_is_shown_beneath_a_finding_never_has_a_secret() {
    const SECRET: &str = "correct horse battery staple and 9 more";
    let provider = |secret: &str| {
        format!(
            "providers:\n  edge: {{issuer: edge, audiences: none, algorithms: [HS512], {secret}}}\npolicies: {{}}\n"
        )
    };
    let config_map = |text: &str| format!("apiVersion: v1\nkind: ConfigMap\ndata:\n  policy.yaml: {text}\n");
    let one_line = format!(
        "{{policies: {{chat: {{origins: 1}}}}, providers: {{edge: {{secret: {{inline: {SECRET}}}}}}}}}"
    );
    let mut shown = 0;
    for text in [
        provider(&format!("secret: {{inline: '{SECRET}'}}")),
        provider(&format!("secret: {{inline: \"{SECRET}\", x: 1}}")),
        provider(&format!("secrt: {{inline: {SECRET}}}")),
        provider(&format!("secret: '{SECRET}'")),
        provider(&format!("jwks: {{inline: {{keys: [{{kty: OKP, d: {SECRET}}}]}}}}")),
        // The secret stands on another line than its key, is anchored elsewhere, or is in a text.
        format!(
            "policies:\n  chat:\n    csrf:\n      secret:\n        inline: >-\n          {SECRET}\n        x: {SECRET}\n"
        ),
        format!("base: &base '{SECRET}'\npolicies: {{chat: {{csrf: {{secret: {{inline: *base}}}}}}}}\n"),
        config_map(&format!("'{one_line}'")),
        config_map(&format!("|\n    {one_line}")),
        config_map(&format!("|\n    # postern\n    {}", one_line.replace("origins", "or: {{"))),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\ndata: {{postern.yaml: '{SECRET}'}}\n"),
        format!("policies: {{}} # inline: {SECRET}\n"),
        format!("policies: {{}}\nx: [{{name: A, value: {SECRET}}}]\n"),
        format!("policies: {{}}\nx: {{environment_variables: {{key_values: {{POSTERN: {SECRET}}}}}}}\n"),
        // What follows is not YAML.
        provider(&format!("secret: {{inline: '{SECRET}}}")),
        format!("policies:\n  chat: [\n    secret: {{inline: {SECRET}\n"),
        format!("policies: {{}}\n\tsecret: {SECRET}\n"),
        format!("policies: {{}}\r\rproviders: {{edge: {{secret: {{inline: {SECRET}}}}}}}\r"),
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\nstringData: {{postern.yaml: 'policies {SECRET}'}}\n"
        ),
    ] {
        let told = told(&text);
        shown += usize::from(told.contains(" | "));
        for word in ["horse", "battery", "staple"] {
            assert!(!told.contains(word), "{text}\nis shown as\n{told}");
        }
    }
    assert!(shown > 12, "{shown}");
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
    assert!(!told(&format!("policies: {{}}\nx: Bearer {token}\n")).contains(token));
}

#[test]
fn a_line_of_any_length_is_shown_in_part_and_without_what_a_terminal_would_act_on() {
    let long = format!(
        "policies: {{chat: {{x: \"{}\", tsl: 1, y: \"{}\"}}}}\n",
        "a b ".repeat(5000),
        "c d ".repeat(5000)
    );
    let shown = told(&long);
    assert!(shown.contains("tsl: 1") && shown.contains("^^^"), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() < 700), "{shown}");
    let shown = told("policies: {\"ch\u{9b}2Jat\u{202e}\": {tsl: 1}}\n");
    assert!(!shown.contains(['\u{9b}', '\u{202e}']), "{shown:?}");
}
