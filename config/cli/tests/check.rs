//! `postern check` as people run it: the built binary, its exit code, and every line it writes.
//!
//! Beside each fixture `name.yaml` or `name.json` lies `name.<ext>.told`: the exit code on its
//! first line, then every line of stderr after `! ` and of stdout after `> `.

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
    assert_eq!(told(&output), "1\n! -:1:1: policies: is empty; write at least one policy\n");
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
    for arguments in
        [&[][..], &["check"], &["chekc", "x.yaml"], &["check", "--strict", "x.yaml"], &["check", "."]]
    {
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
