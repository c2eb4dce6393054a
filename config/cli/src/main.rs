//! `postern`, the command line.
//!
//! `postern check FILE...` judges policies where they are written: in a file of their own, in an
//! Envoy configuration or in an Istio manifest. It exits with 0 when all is sound, 1 when there
//! are problems, and 2 when it is used wrongly.

mod check;
mod finding;
mod source;
mod yaml;

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::finding::Severity;

/// The most bytes of one file.
const LONGEST_FILE: u64 = 16 << 20;

/// Secure WebSockets in Envoy: judge policies before Envoy sees them.
#[derive(Debug, Parser)]
#[command(name = "postern", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge policies: exit 0 when all are sound, 1 when there are problems, 2 on wrong use.
    ///
    /// A file is a policy (YAML or JSON), an Envoy bootstrap, listener or ECDS resource, or an
    /// Istio manifest. Problems go to stderr as `file:line:column: path: what is wrong; what to do`.
    Check {
        /// The files; `-` is the standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
    },
}

fn main() -> ExitCode {
    let Command::Check { files } = Arguments::parse().command;
    match check_all(&files) {
        Ok(code) => code,
        // Nobody reads what is written (a closed pipe): there is nobody to tell.
        Err(_) => ExitCode::from(2),
    }
}

/// Judges every file and writes what was found.
fn check_all(files: &[String]) -> io::Result<ExitCode> {
    let (mut stdout, mut stderr) = (io::stdout().lock(), io::stderr().lock());
    let (mut has_problems, mut is_wrong_use) = (false, false);
    for name in files {
        let text = match read(name) {
            Ok(text) => text,
            Err(error) => {
                writeln!(stderr, "{name}: cannot be read: {error}")?;
                is_wrong_use = true;
                continue;
            }
        };
        let judgement = check::check(&text);
        for finding in &judgement.findings {
            has_problems |= finding.severity == Severity::Problem;
            writeln!(stderr, "{name}:{finding}")?;
        }
        for sound in &judgement.sound {
            writeln!(stdout, "{name}: {sound}")?;
        }
    }
    Ok(match (is_wrong_use, has_problems) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::from(1),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// The bytes of a file; an error when there are more than [`LONGEST_FILE`].
fn read(name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let more = LONGEST_FILE.saturating_add(1);
    match name {
        "-" => io::stdin().lock().take(more).read_to_end(&mut bytes)?,
        path => File::open(path)?.take(more).read_to_end(&mut bytes)?,
    };
    if u64::try_from(bytes.len()).is_ok_and(|read| read <= LONGEST_FILE) {
        Ok(bytes)
    } else {
        Err(io::Error::other(format!("it has more than {} MiB", LONGEST_FILE >> 20)))
    }
}
