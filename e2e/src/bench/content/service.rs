//! The services behind the Envoys, each a process of its own, so that its CPU is seen apart from the client's. They
//! run on the CPU of this program, as its children.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::cpu::Cpu;

/// The time in which a service must start.
const START: Duration = Duration::from_secs(20);

/// The service of Node.
const SCRIPT: &str = include_str!("service.js");
/// The kinds of that service that do more than send back: one parses each message, the other judges it too.
pub(crate) const PARSES: &str = "ws+parse";
pub(crate) const JUDGES: &str = "ws+ajv";
/// The folder where Debian's packages of Node's libraries are, which a Node of another origin does not look into.
const DEBIAN: &str = "/usr/share/nodejs";

/// A running service; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) cpu: Cpu,
    /// The names and versions of what it is made of.
    pub(crate) about: String,
    _process: Child,
}

impl Service {
    /// Starts the service that echoes and does as little else as possible: this program, again.
    pub(crate) async fn plain() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--echo");
        Self::start(command).await
    }

    /// Starts a service of Node, of the kind that the script knows by this name.
    pub(crate) async fn node(kind: &str, schema: &str) -> io::Result<Self> {
        let mut command = node();
        command.args(["-e", SCRIPT, "--", &Ipv4Addr::LOCALHOST.to_string(), kind, schema]);
        Self::start(command).await
    }

    /// Starts a command that prints its port, and behind it what it is made of, and serves until its standard input
    /// ends.
    async fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let id = process.id().ok_or(io::ErrorKind::NotFound)?;
        let mut output = BufReader::new(process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut line = String::new();
        tokio::time::timeout(START, output.read_line(&mut line)).await??;
        let (port, about) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let port: u16 = port.parse().map_err(|_| io::Error::other("a service has not started"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { address, cpu: Cpu::of(id), about: about.to_owned(), _process: process })
    }
}

/// Says why there can be no service of Node here, if so.
pub(crate) async fn no_node() -> Result<(), String> {
    let output = node().args(["-e", "require('ws'); require('ajv')"]).output().await;
    let output = output.map_err(|error| format!("node does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let error = complaint.lines().find(|line| line.starts_with("Error")).unwrap_or_default();
    Err(format!("node has no ws or no ajv (Debian: node-ws, node-ajv): {error}"))
}

/// Returns a command that finds the libraries in the folders of `NODE_PATH`, and in Debian's.
fn node() -> Command {
    let named = std::env::var("NODE_PATH").unwrap_or_default();
    let mut command = Command::new("node");
    command.env("NODE_PATH", format!("{named}:{DEBIAN}"));
    command
}
