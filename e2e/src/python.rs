//! The Python library `websockets`, a client that knows nothing of this project.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::bootstrap::workspace;
use crate::deadline::within;
use crate::not_run::not_run;

/// Starting an interpreter on a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(60);

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

/// Runs a Python script in which `import websockets` works, with these arguments. `None`, after saying so loudly, when
/// the library is not there; with `CI=true` that is a failure.
pub async fn run(script: &str, arguments: &[&str]) -> Option<Outcome> {
    let libraries = workspace().join(".tools/python");
    if !libraries.join("websockets").is_dir() {
        not_run("the Python library websockets is missing; `make python` fetches it");
        return None;
    }
    let mut command = Command::new("python3");
    command
        .args(["-c", script])
        .args(arguments)
        .env("PYTHONPATH", libraries)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = within(LIMIT, "a Python script", command.output()).await.expect("python3 to start");
    Some(Outcome {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
