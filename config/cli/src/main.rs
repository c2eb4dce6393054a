//! `postern`, the command line.
//!
//! `postern check PATH...` judges policies where they are written: in a file of their own, in an
//! Envoy configuration or in a Kubernetes manifest. It exits with 0 when all is sound, 1 when there
//! are problems, and 2 when it is used wrongly.
//! `postern mint` makes tokens for trying policies out, and exits alike.

mod check;
mod checking;
mod excerpt;
mod finding;
mod mint;
mod report;
mod render;
mod schema;
mod source;
mod world;
mod yaml;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::checking::Check;
use crate::mint::Mint;
use crate::render::Render;

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
    /// A file is a policy (YAML or JSON), an Envoy bootstrap or any part of one, or a Kubernetes manifest (of Istio, of
    /// Envoy Gateway, or a ConfigMap with any of these). Of a folder every *.yaml, *.yml and *.json is judged that has
    /// something of Postern. Problems go to stderr as `file:line:column: path: what is wrong; what to do [code]`.
    Check(Check),
    /// Make tokens for trying a policy out: exit 0 when one was made, 1 when there are problems, 2 on wrong use.
    #[command(subcommand)]
    Mint(Mint),
    /// Render a policy for a platform: exit 0 when it is sound, 1 when there are problems, 2 on wrong use.
    #[command(subcommand)]
    Render(Render),
    /// Print the JSON Schema of policies, for editors: exit 0.
    ///
    /// It is draft-07, which every editor reads. A policy file names it in its first line:
    /// `# yaml-language-server: $schema=postern.schema.json`.
    Schema,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Check(check) => checking::run(&check),
        Command::Mint(mint) => mint::run(&mint),
        Command::Render(render) => render::run(&render),
        Command::Schema => schema::run(),
    };
    // Nobody reads what is written (a closed pipe), so there is nobody to tell.
    done.unwrap_or(ExitCode::from(2))
}
