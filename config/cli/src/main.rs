//! `postern`, the command line.
//!
//! `postern check FILE...` judges policies where they are written: in a file of their own, in an
//! Envoy configuration or in an Istio manifest. It exits with 0 when all is sound, 1 when there
//! are problems, and 2 when it is used wrongly.
//! `postern mint` makes tokens for trying policies out, and exits alike.

mod check;
mod finding;
mod mint;
mod source;
mod world;
mod yaml;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::finding::Severity;
use crate::mint::Mint;

/// Secure WebSockets in Envoy: judge policies before Envoy sees them, and try them out.
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
    /// Make tokens for trying a policy out: exit 0 when one was made, 1 when there are problems, 2 on wrong use.
    #[command(subcommand)]
    Mint(Mint),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Check { files } => check_all(&files),
        Command::Mint(mint) => mint::run(&mint),
    };
    // Nobody reads what is written (a closed pipe): there is nobody to tell.
    done.unwrap_or(ExitCode::from(2))
}

/// Judges every file and writes what was found.
fn check_all(files: &[String]) -> io::Result<ExitCode> {
    let (mut stdout, mut stderr) = (io::stdout().lock(), io::stderr().lock());
    let (mut has_problems, mut is_wrong_use) = (false, false);
    for name in files {
        let text = match world::read(name) {
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
