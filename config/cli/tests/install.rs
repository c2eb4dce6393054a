//! `make install` and `make uninstall`, with the built command; and what `make run` says where it cannot begin.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail anywhere")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The files that are installed below the prefix, but for the manual pages of each command.
const FILES: [&str; 6] = [
    "bin/postern",
    "share/bash-completion/completions/postern",
    "share/fish/vendor_completions.d/postern.fish",
    "share/man/man1/postern.1",
    "share/postern/policy.schema.json",
    "share/zsh/site-functions/_postern",
];

fn make(target: &str, destination: &Path) {
    let output = Command::new("make")
        .args(["--no-print-directory", target, "PREFIX=/usr"])
        .arg(format!("DESTDIR={}", destination.display()))
        .arg(format!("POSTERN_BIN={}", env!("CARGO_BIN_EXE_postern")))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .expect("make");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns the files below a folder, by their paths from there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_command_is_installed_below_its_prefix_with_completions_and_manual_and_taken_away_again() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    make("install", folder.path());
    let installed = folder.path().join("usr");
    let read = |name: &str| {
        std::fs::read_to_string(installed.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let version = Command::new(installed.join("bin/postern")).arg("--version").output().expect("a command");
    assert!(version.stdout.starts_with(b"postern "), "it runs where it is");
    for shell in FILES.into_iter().filter(|name| name.contains("completions") || name.contains("zsh")) {
        assert!(read(shell).contains("render") && read(shell).contains("policy-file"), "{shell}");
    }
    assert!(read("share/man/man1/postern.1").contains("Exit codes: 0 when all is well"));
    assert!(read("share/man/man1/postern-render-envoy.1").contains("upstream"), "each command has a page");
    assert!(read("share/postern/policy.schema.json").contains("draft-07"));
    for file in files(folder.path()) {
        let inside =
            file.strip_prefix(&installed).expect("nothing is outside of the prefix").to_string_lossy();
        assert!(FILES.contains(&&*inside) || inside.starts_with("share/man/man1/postern-"), "{inside}");
    }
    make("uninstall", folder.path());
    assert_eq!(files(folder.path()), [""; 0].map(PathBuf::from), "nothing is left");
}

#[test]
fn make_run_tells_at_once_all_that_is_missing_and_begins_nothing() {
    let bare = tempfile::tempdir().expect("a temporary directory");
    let found = std::env::var_os("PATH").expect("a path");
    let make = std::env::split_paths(&found).map(|folder| folder.join("make")).find(|make| make.is_file());
    let output = Command::new(make.expect("make"))
        .args(["--no-print-directory", "run"])
        .env("PATH", bare.path())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .expect("make");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for missing in ["cargo (https://rustup.rs", "cc (Debian", "pip (Debian"] {
        assert!(told.contains(missing), "{missing}: {told}");
    }
    assert!(output.stdout.is_empty(), "nothing was begun");
}
