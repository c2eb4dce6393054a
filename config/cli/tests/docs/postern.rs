//! Runs of the built command line.

use std::path::Path;
use std::process::{Command, Stdio};

/// The outcome of a run.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `postern` with these words in `directory`.
pub(crate) fn run(directory: &Path, words: &[&str]) -> Outcome {
    run_with(directory, words, &[])
}

/// Runs `postern` with these words in `directory`, and these variables.
pub(crate) fn run_with(directory: &Path, words: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(words)
        .envs(variables.iter().copied())
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("a built binary");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs `postern check` on these files.
pub(crate) fn check(directory: &Path, files: &[&str]) -> Outcome {
    run(directory, &[&["check"], files].concat())
}

/// Runs `postern check` on a file policy.yaml of this text.
pub(crate) fn check_text(text: &str) -> Outcome {
    check_text_with(&[], text)
}

/// Runs `postern check` with these words on a file policy.yaml of this text.
pub(crate) fn check_text_with(words: &[&str], text: &str) -> Outcome {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("policy.yaml"), text).expect("a writable directory");
    check(directory.path(), &[words, &["policy.yaml"]].concat())
}

/// Demands that all is sound; it may be weak, which an excerpt often is.
pub(crate) fn assert_no_problem(name: &str, outcome: &Outcome) {
    assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.stderr);
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(said.contains("sound") || said.contains("by discovery"), "{name}: {said}");
}

/// Demands that all is sound, without so much as a warning.
pub(crate) fn assert_sound(name: &str, outcome: &Outcome) {
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{name}");
    assert!(
        outcome.stdout.contains("sound") || outcome.stdout.contains("by discovery"),
        "{name}: {}",
        outcome.stdout
    );
}
