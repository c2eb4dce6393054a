//! The containers of `docker-compose.yaml`, from outside: for tests that cut, kill and restart them. All is
//! done by the `docker` command, and every change is put right again when its guard is dropped. Beside it are
//! the programs in the containers.

pub mod container_envoy;
pub mod relay;
pub mod remote_client;

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::containers::container_envoy::Options;
use crate::containers::remote_client::{Command as ClientCommand, Outcome};
use crate::scene::stats::Stats;

/// The variable that names the project. `make e2e-compose` sets it.
pub const PROJECT: &str = "COMPOSE_PROJECT_NAME";

/// The time limit of a change: Envoy compiles the module, and a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running project.
#[derive(Clone, Debug)]
pub struct Containers {
    project: String,
}

impl Containers {
    /// Returns the project that the environment names.
    pub fn of_environment() -> Self {
        let project = std::env::var(PROJECT);
        Self { project: project.expect("containers that are up: `make e2e-compose` runs these tests") }
    }

    /// Returns the id of a service's container, also of one that has ended.
    fn id(&self, service: &str) -> String {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = format!("label=com.docker.compose.service={service}");
        docker(&["ps", "--all", "--quiet", "--filter", &project, "--filter", &service])
    }

    /// Takes a service off a network until this is dropped.
    pub fn cut(&self, service: &str, network: &str) -> Cut {
        let cut = Cut {
            container: self.id(service),
            network: format!("{}_{network}", self.project),
            service: service.to_owned(),
        };
        docker(&["network", "disconnect", "--force", &cut.network, &cut.container]);
        cut
    }

    /// Kills a service; it is started again when this is dropped.
    pub fn kill(&self, service: &str) -> Killed {
        let container = self.id(service);
        docker(&["kill", &container]);
        Killed { container }
    }

    /// Ends a service and starts it again, and waits until it is healthy.
    pub fn restart(&self, service: &str) {
        let container = self.id(service);
        docker(&["restart", "--time", "0", &container]);
        healthy(&container);
    }

    /// Starts a client in a container, under the command of a test.
    pub fn client(&self, service: &str) -> Client {
        let mut process = exec(&self.id(service), &["/postern/client", "commands"]);
        let input = process.stdin.take().expect("a pipe");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        Client { process, input, output }
    }

    /// Starts one more Envoy in the container of Envoy, and waits until it is ready.
    pub fn envoy(&self, options: &Options) -> ContainerEnvoy {
        self.envoy_of("envoy", options)
    }

    /// Starts an Envoy in the container of a service, and waits until it is ready.
    pub fn envoy_of(&self, service: &str, options: &Options) -> ContainerEnvoy {
        let container = self.id(service);
        let mut process = exec(&container, &["/postern/launcher", "envoy"]);
        let mut input = process.stdin.take().expect("a pipe");
        writeln!(input, "{}", serde_json::to_string(options).expect("options as JSON")).expect("a pipe");
        let log = Arc::default();
        collect(process.stdout.take().expect("a pipe"), &log);
        collect(process.stderr.take().expect("a pipe"), &log);
        let admin = options.admin.to_string();
        let mut envoy = ContainerEnvoy { process, input: Some(input), log, container, admin };
        until("an Envoy that is ready", || {
            let ended = envoy.process.try_wait().expect("a process");
            assert_eq!(ended, None, "Envoy ended: {}", envoy.log());
            envoy.try_admin("/ready")
        });
        envoy
    }

    /// Returns the stats of the Envoy that the container itself runs.
    pub fn shipped_stats(&self) -> Stats {
        let container = self.id("envoy");
        Stats::parse(&docker(&["exec", &container, "/postern/launcher", "admin", "/stats/prometheus"]))
    }

    /// Puts a document into the folder from which the issuer serves it.
    pub fn publish(&self, name: &str, document: &Value) {
        let mut process =
            exec(&self.id("auth"), &["/postern/auth", "put", "--documents", "/documents", name]);
        let mut input = process.stdin.take().expect("a pipe");
        input.write_all(document.to_string().as_bytes()).expect("a pipe");
        drop(input);
        assert!(process.wait().expect("a process").success(), "{name} is not published");
    }
}

/// A network that a service is off.
#[derive(Debug)]
pub struct Cut {
    container: String,
    network: String,
    service: String,
}

impl Drop for Cut {
    fn drop(&mut self) {
        let connect = ["network", "connect", "--alias", &self.service, &self.network, &self.container];
        put_right(&connect);
    }
}

/// A service that is down.
#[derive(Debug)]
pub struct Killed {
    container: String,
}

impl Drop for Killed {
    fn drop(&mut self) {
        put_right(&["start", &self.container]);
        if !std::thread::panicking() {
            healthy(&self.container);
        }
    }
}

/// A client in a container.
#[derive(Debug)]
pub struct Client {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Client {
    /// Has the client carry out one command, and returns its outcome.
    pub fn carry_out(&mut self, command: &ClientCommand) -> Outcome {
        let line = serde_json::to_string(command).expect("a command as JSON");
        writeln!(self.input, "{line}").expect("a client that is there");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("a client that answers");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    /// Opens a WebSocket on a listener without TLS.
    pub fn open(&mut self, name: &str, port: u16, path: &str, headers: &[(&str, &str)]) -> Outcome {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (name, path) = (name.to_owned(), path.to_owned());
        self.carry_out(&ClientCommand::Open { name, to: format!("envoy:{port}"), path, headers, trust: None })
    }

    /// Sends a text message.
    pub fn send(&mut self, name: &str, text: &str) -> Outcome {
        self.carry_out(&ClientCommand::Send { name: name.to_owned(), text: text.to_owned() })
    }

    /// Waits for a message or the end.
    pub fn receive(&mut self, name: &str, within: Duration) -> Outcome {
        let within = u64::try_from(within.as_millis()).expect("a short time");
        self.carry_out(&ClientCommand::Receive { name: name.to_owned(), within })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An Envoy that a test has started in the container of Envoy. Its log is shown when this is dropped in a panic.
pub struct ContainerEnvoy {
    process: Child,
    input: Option<ChildStdin>,
    log: Arc<Mutex<String>>,
    container: String,
    admin: String,
}

impl fmt::Debug for ContainerEnvoy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerEnvoy").field("container", &self.container).finish_non_exhaustive()
    }
}

impl ContainerEnvoy {
    /// Returns Envoy's log and its access log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line of the access log that `fits`.
    pub fn access_line(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        until(what, || {
            let log = self.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line.is_object() && fits(line))
        })
    }

    /// Returns all counters and gauges as they are now.
    pub fn stats(&self) -> Stats {
        Stats::parse(&self.try_admin("/stats/prometheus").expect("stats"))
    }

    /// Waits until a metric's sum is `value`.
    pub fn stat_becomes(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        until(&format!("{name}{labels:?} to be {value}"), || {
            (self.stats().sum(name, labels) == value).then_some(())
        });
    }

    fn try_admin(&self, path: &str) -> Option<String> {
        let command = ["exec", &self.container, "/postern/launcher", "admin", "--port", &self.admin, path];
        try_docker(&command).ok()
    }
}

impl Drop for ContainerEnvoy {
    fn drop(&mut self) {
        // The end of its input ends Envoy in the container.
        drop(self.input.take());
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- Envoy's log ---\n{}\n---", self.log());
        }
    }
}

/// Waits for something, and panics with `what` when that is in vain.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn healthy(container: &str) {
    until("a healthy container", || {
        const STATE: &str = "{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}";
        let state = docker(&["inspect", "--format", STATE, container]);
        matches!(state.as_str(), "healthy" | "running").then_some(())
    });
}

fn exec(container: &str, command: &[&str]) -> Child {
    let mut docker = Command::new("docker");
    docker.args(["exec", "--interactive", container]).args(command);
    docker.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    docker.spawn().expect("the docker command")
}

fn collect(mut output: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = output.read(&mut piece) {
            let text = String::from_utf8_lossy(&piece[..read]);
            log.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        }
    });
}

/// Puts a change right, and panics never: in a guard that is dropped in a panic there must be no other.
fn put_right(arguments: &[&str]) {
    if let Err(error) = try_docker(arguments) {
        eprintln!("{error}");
    }
}

fn docker(arguments: &[&str]) -> String {
    try_docker(arguments).unwrap_or_else(|error| panic!("{error}"))
}

fn try_docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("docker: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
