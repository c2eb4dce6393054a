//! Tests that need something this machine does not have.

use std::io::Write;

/// The variable that names the file in which tests say that they could not run, for whoever counts them.
const FILE: &str = "POSTERN_NOT_RUN";

/// Says loudly that a test could not run; with `CI=true` it fails instead.
pub fn not_run(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "NOT RUN: {why}");
    eprintln!("NOT RUN: {why}");
    if let Some(file) = std::env::var_os(FILE) {
        let thread = std::thread::current();
        let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(file);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a writable file");
    }
}
