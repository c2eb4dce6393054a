//! `postern`, the command line.
//!
//! `postern check PATH...` judges policies where they are written: in a file of their own, in an
//! Envoy configuration or in a Kubernetes manifest. It exits with 0 when all is sound, 1 when there
//! are problems, and 2 when it is used wrongly.
//! `postern explain` says what becomes of a request under a policy, and why.
//! `postern mint` makes tokens for trying policies out, and exits alike.
//! `postern audit` tries attacks on an endpoint of one's own; it exits with 0 when none stands open, 1 when one does.

mod audit;
mod check;
mod checking;
mod excerpt;
mod explain;
mod finding;
mod manual;
mod mint;
mod render;
mod report;
mod schema;
mod source;
mod world;
mod yaml;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::audit::Arguments as Audit;
use crate::checking::Check;
use crate::mint::Mint;
use crate::render::Render;

/// Secure WebSockets in Envoy: judge policies before Envoy sees them, and try them out.
#[derive(Debug, Parser)]
#[command(name = "postern", version, after_help = manual::EXIT_CODES)]
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
    /// Say what becomes of a request and why: exit 0 when it is let in, 1 when it is refused, 2 on wrong use.
    ///
    /// The engine itself judges the request, with nothing counted before and nothing fetched. Each step of the handshake is
    /// told with its verdict, then the answer, what goes up, and what holds of the connection. No token is shown, only its
    /// claims.
    Explain(Box<explain::Arguments>),
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
    /// Print the script by which a shell completes the words of `postern`: exit 0.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write one for each command into a folder: exit 0, or 2 if the folder cannot be written.
    Man {
        /// The folder for the pages of all commands.
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
    /// Attack a WebSocket endpoint of your own: exit 0 when nothing stands open, 1 when something does, 2 on wrong use, or when
    /// it is not reached or gives no answer that says either.
    ///
    /// First an honest handshake has to be let in: say by --origin, --token and the like what it takes. Then some hundred
    /// attacks are tried, bounded in number and rate, within a minute or so. docs/audit.md lists them.
    Audit(Box<Audit>),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Check(check) => checking::run(&check),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Mint(mint) => mint::run(&mint),
        Command::Render(render) => render::run(&render),
        Command::Schema => schema::run(),
        Command::Completions { shell } => manual::completions(Arguments::command(), shell),
        Command::Man { into } => manual::pages(Arguments::command(), into.as_deref()),
        Command::Audit(audit) => audit::run(&audit),
    };
    // Nobody reads what is written (a closed pipe), so there is nobody to tell.
    done.unwrap_or(ExitCode::from(2))
}
