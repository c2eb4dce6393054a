//! A rate limit service of the tests: Limitador's engine behind Envoy's protocol, in a process of its own, which can be
//! killed, frozen and started again, and which tells what it was asked. Several Envoys can share one.
//!
//! Limits are written as Limitador has them in its file. A limit may also have the variable `minute`, which the process
//! adds and Limitador has not: its count then begins anew with every minute of the clock, as that of services does that
//! align their windows.

use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

use crate::deadline::{PATIENCE, eventually, within};
use crate::environment;
use crate::not_run::not_run;
use crate::scene::Scene;
use crate::scene::bootstrap::workspace;

/// The name of the cluster that [`RateLimitServer::reached_from`] adds.
pub const CLUSTER: &str = "ratelimit";

/// One question that the service was asked, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The domain of the limits.
    pub domain: String,
    /// The entries of each descriptor, in their order.
    pub descriptors: Vec<Vec<(String, String)>>,
    /// The hits to be added; none is read as one.
    pub hits_addend: u32,
    /// Says whether that was too much.
    pub over_limit: bool,
    /// The minute of the clock in which it was asked, since the Unix epoch.
    pub minute: u64,
}

impl Asked {
    /// Returns the first descriptor's value of an entry.
    pub fn value(&self, key: &str) -> Option<&str> {
        let entries = self.descriptors.first()?;
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Says whether the question is about this count.
    pub fn counts(&self, count: &str) -> bool {
        self.value("count") == Some(count)
    }
}

/// A rate limit service that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct RateLimitServer {
    program: PathBuf,
    limits: NamedTempFile,
    address: SocketAddr,
    process: Option<Child>,
    // What the process tells is in it before whoever asked is answered.
    told: NamedTempFile,
}

impl RateLimitServer {
    /// Starts the `program` (`CARGO_BIN_EXE_ratelimit`) on any free port, with `limits` in Limitador's form.
    pub async fn start(program: &str, limits: &Value) -> Self {
        let file = NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), limits.to_string()).expect("a writable file");
        let mut server = Self {
            program: program.into(),
            limits: file,
            address: SocketAddr::from((environment::current().own(), 0)),
            process: None,
            told: NamedTempFile::new().expect("a temporary file"),
        };
        server.address = server.run().await.expect("a rate limit service");
        server
    }

    /// Returns the address at which it listens, also while it is stopped.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds the cluster `ratelimit` to a scene, as `e2e/ratelimit/cluster.yaml` has it for users.
    pub fn reached_from(&self, scene: Scene) -> Scene {
        let cluster = self.cluster();
        scene.change(|bootstrap| {
            let clusters = bootstrap.pointer_mut("/static_resources/clusters").and_then(Value::as_array_mut);
            clusters.expect("a list of clusters").push(cluster);
        })
    }

    fn cluster(&self) -> Value {
        let text = std::fs::read_to_string(workspace().join("e2e/ratelimit/cluster.yaml"));
        let mut cluster: Value = serde_saphyr::from_str(&text.expect("the cluster's file")).expect("YAML");
        let address = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
        let (host, port) = (self.address.ip().to_string(), self.address.port());
        *cluster.pointer_mut(address).expect("an address") = json!({"address": host, "port_value": port});
        cluster
    }

    /// Kills it, as a machine that fails does. Nothing that it has counted is left.
    pub async fn stop(&mut self) {
        let mut process = self.process.take().expect("a service that runs");
        process.kill().await.expect("a process that can be killed");
    }

    /// Starts it again on its port.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        within(PATIENCE, "the port to be free again", async {
            while let Err(_taken) = self.run().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Says whether there is a shell, by which a service is frozen; what needs one ends there.
    pub async fn can_be_frozen() -> bool {
        let status = Command::new("sh").args(["-c", ":"]).status().await;
        let can = status.is_ok_and(|status| status.success());
        if !can {
            not_run("there is no shell to freeze a service with");
        }
        can
    }

    /// Has it answer nothing more, and keep what it is asked, until [`RateLimitServer::thaw`].
    pub async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    /// Has it go on where it was frozen.
    pub async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let id = self.process.as_ref().and_then(Child::id).expect("a service that runs");
        // A shell has it everywhere; the program of this name is not in every image.
        let status = Command::new("sh").arg("-c").arg(format!("kill {signal} {id}")).status().await;
        assert!(status.is_ok_and(|status| status.success()), "kill {signal}");
    }

    /// Returns all that it was asked so far, by all Envoys and over all its runs.
    pub fn asked(&self) -> Vec<Asked> {
        // Its address, at the beginning of each run, is no question.
        self.told().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns the lines that it has told, as far as they are whole.
    fn told(&self) -> Vec<String> {
        let told = std::fs::read_to_string(self.told.path()).expect("a readable file");
        told.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }

    /// Returns the hits of a count that it has let pass.
    pub fn passed(&self, count: &str) -> u64 {
        let asked = self.asked();
        let passed = asked.iter().filter(|asked| asked.counts(count) && !asked.over_limit);
        passed.map(|asked| u64::from(asked.hits_addend.max(1))).sum()
    }

    /// Waits until `enough` of what it was asked.
    pub async fn await_asked(&self, what: &str, enough: impl Fn(&[Asked]) -> bool) {
        eventually(PATIENCE, what, || enough(&self.asked()).then_some(())).await;
    }

    /// Runs the program, and returns the address once it listens.
    async fn run(&mut self) -> io::Result<SocketAddr> {
        let before = self.told().len();
        let mut command = Command::new(&self.program);
        command.arg("--listen").arg(self.address.to_string()).arg("--limits").arg(self.limits.path());
        // The process ends with its input, and so with this one, however that ends.
        command.stdin(Stdio::piped()).kill_on_drop(true);
        command.stdout(OpenOptions::new().append(true).open(self.told.path())?);
        let mut process = command.spawn()?;
        let listens = || match process.try_wait() {
            Ok(None) => self.told().get(before).map(|line| Ok(line.parse().expect("an address"))),
            Ok(Some(status)) => Some(Err(io::Error::other(status.to_string()))),
            Err(error) => Some(Err(error)),
        };
        let address = eventually(PATIENCE, "the rate limit service to listen", listens).await?;
        self.process = Some(process);
        Ok(address)
    }
}
