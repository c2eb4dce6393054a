//! Libraries of Python that know nothing of this project: clients, servers and an issuer; `e2e/python-requirements.txt`
//! names them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::deadline::within;
use crate::environment;
use crate::not_run::not_run;
use crate::scene::bootstrap::workspace;

/// The time limit of a script; to start an interpreter on a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(60);

/// The outcome of importing what a script does, by its import statements: some libraries were built for one Python in
/// particular, and this place may have another.
static IMPORTS: LazyLock<Mutex<HashMap<String, Result<(), String>>>> = LazyLock::new(Mutex::default);

/// The output of a script and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Says whether the script ended with 0.
    pub success: bool,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
}

/// Runs a Python script, each of whose import statements stands on a line of its own, with these arguments.
/// Returns `None`, after saying so loudly, when one of its libraries is not there; with `CI=true` that is a
/// failure.
pub async fn run(script: &str, arguments: &[&str]) -> Option<Outcome> {
    run_for(LIMIT, script, arguments).await
}

/// Runs a script as [`run`] does that may take up to `limit`.
pub async fn run_for(limit: Duration, script: &str, arguments: &[&str]) -> Option<Outcome> {
    let mut command = command(script)?;
    command.args(arguments).stdin(Stdio::null());
    let output = within(limit, "a Python script", command.output()).await.expect("python3 to start");
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
    /// Returns the address at which the service listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Starts a script that listens at the address it is given, prints its port and serves until its standard
/// input ends. Returns `None` as [`run`] does.
pub async fn serve(script: &str) -> Option<Service> {
    let mut command = command(script)?;
    let host = environment::current().own();
    command.arg(host.to_string());
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 to start");
    let mut line = String::new();
    let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
    within(LIMIT, "a Python service", output.read_line(&mut line)).await.expect("a pipe");
    let port = line.trim().parse().expect("the port of a service that has started");
    Some(Service { address: (host, port).into(), _process: process })
}

fn command(script: &str) -> Option<Command> {
    let statement = |line: &&str| line.starts_with("import ") || line.starts_with("from ");
    let imports = script.lines().filter(statement).collect::<Vec<_>>().join("\n");
    let mut known = IMPORTS.lock().expect("a lock that no panic has poisoned");
    let outcome = known.entry(imports).or_insert_with_key(|imports| import(imports)).clone();
    drop(known);
    if let Err(why) = outcome {
        not_run(&why);
        return None;
    }
    let mut command = Command::new("python3");
    command.args(["-c", script]).env("PYTHONPATH", libraries()).kill_on_drop(true);
    Some(command)
}

fn libraries() -> PathBuf {
    workspace().join(".tools/python")
}

/// Executes import statements, and nothing else.
fn import(statements: &str) -> Result<(), String> {
    let mut python = std::process::Command::new("python3");
    let output = python.args(["-c", statements]).env("PYTHONPATH", libraries()).output();
    let output = output.map_err(|error| format!("python3 does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = complaint.lines().last().unwrap_or_default();
    Err(format!("python3 cannot use its libraries, which `make python` fetches: {last}"))
}
