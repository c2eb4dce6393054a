//! Libraries of Python that know nothing of this project: `websockets`, a client and a server, and PyJWT, an issuer.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::bootstrap::workspace;
use crate::deadline::within;
use crate::not_run::not_run;
use crate::place;

/// Starting an interpreter on a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(60);

/// What scripts import.
const LIBRARIES: [&str; 3] = ["cryptography", "jwt", "websockets"];

/// Whether the Python of this place takes the libraries, some of which were built for one in particular.
static IMPORTABLE: LazyLock<Result<(), String>> = LazyLock::new(|| {
    let mut python = std::process::Command::new("python3");
    python.args(["-c", &format!("import {}", LIBRARIES.join(", "))]);
    let output = python.env("PYTHONPATH", workspace().join(".tools/python")).output();
    let output = output.map_err(|error| format!("python3 does not start: {error}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = complaint.lines().last().unwrap_or_default();
    if output.status.success() { Ok(()) } else { Err(format!("python3 cannot use its libraries: {last}")) }
});

/// What a script printed and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it ended with 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a Python script that may import these libraries, with these arguments. `None`, after saying so loudly, when one
/// of them is not there; with `CI=true` that is a failure.
pub async fn run(script: &str, arguments: &[&str]) -> Option<Outcome> {
    let mut command = command(script)?;
    command.args(arguments).stdin(Stdio::null());
    let output = within(LIMIT, "a Python script", command.output()).await.expect("python3 to start");
    Some(Outcome {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A script that serves until this is dropped.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    _process: Child,
}

impl Service {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Starts a script that listens at the address it is given, prints its port and serves until its standard input ends.
/// `None` as in [`run`].
pub async fn serve(script: &str) -> Option<Service> {
    let mut command = command(script)?;
    let host = place::current().own();
    command.arg(host.to_string());
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 to start");
    let mut line = String::new();
    let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
    within(LIMIT, "a Python service", output.read_line(&mut line)).await.expect("a pipe");
    let port = line.trim().parse().expect("the port of a service that has started");
    Some(Service { address: (host, port).into(), _process: process })
}

fn command(script: &str) -> Option<Command> {
    let libraries = workspace().join(".tools/python");
    if let Some(missing) = LIBRARIES.iter().find(|library| !libraries.join(library).is_dir()) {
        not_run(&format!("the Python library {missing} is missing; `make python` fetches it"));
        return None;
    }
    if let Err(why) = &*IMPORTABLE {
        not_run(why);
        return None;
    }
    let mut command = Command::new("python3");
    command.args(["-c", script]).env("PYTHONPATH", libraries).kill_on_drop(true);
    Some(command)
}
