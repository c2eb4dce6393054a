//! One Envoy: started, watched, asked and stopped.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::raw_client::RawClient;
use crate::client::request::Request;
use crate::deadline::{PATIENCE, START, eventually};
use crate::http::Response;
use crate::scene::admin_pipe::AdminPipe;
use crate::scene::bootstrap::{Bootstrap, workspace};
use crate::scene::module;
use crate::scene::order::Usage;
use crate::scene::process::Process;
use crate::scene::stats::Stats;

/// The question for all listeners.
const LISTENERS: &str = "/listeners?format=json";

/// The number of lines of its log that a failed test shows.
const SHOWN: usize = 200;

/// The options by which several Envoys on one machine share nothing, and end soon.
const ALONE: [&str; 3] = ["--disable-hot-restart", "--drain-time-s", "1"];

/// The options by which what an Envoy has to say comes soon.
const SETTINGS: [&str; 4] = ["--log-level", "warning", "--file-flush-interval-msec", "20"];

/// The times of a hot restart, by which another Envoy takes over the sockets of one that runs.
#[derive(Clone, Copy, Debug)]
pub struct HotRestart {
    /// The time in which the listeners of the one before drain.
    pub drain_time: Duration,
    /// The way in which they do: `gradual`, or `immediate`.
    pub drain_strategy: &'static str,
    /// The time after which the one before ends.
    pub parent_shutdown_time: Duration,
}

impl HotRestart {
    /// Returns the options of the first of a row of Envoys, or of the next; `folder` has the row's number.
    fn options(self, folder: &Path, epoch: u32) -> Vec<String> {
        let number = folder.join("base-id");
        let row = match std::fs::read_to_string(&number) {
            Ok(number) if epoch > 0 => vec!["--base-id".to_owned(), number.trim().to_owned()],
            _ => vec![
                "--use-dynamic-base-id".to_owned(),
                "--base-id-path".to_owned(),
                number.display().to_string(),
            ],
        };
        let numbers = [
            ("--restart-epoch", u64::from(epoch)),
            ("--drain-time-s", self.drain_time.as_secs()),
            ("--parent-shutdown-time-s", self.parent_shutdown_time.as_secs()),
        ];
        let numbers =
            numbers.into_iter().flat_map(|(option, number)| [option.to_owned(), number.to_string()]);
        let strategy = ["--drain-strategy", self.drain_strategy].map(str::to_owned);
        row.into_iter().chain(numbers).chain(strategy).collect()
    }
}

/// The reason why there is no Envoy.
#[derive(Debug, thiserror::Error)]
pub enum EnvoyError {
    /// There is no binary.
    #[error(
        "there is no Envoy: `make envoy` fetches one, or ENVOY=/path/to/envoy names yours ({0} does not exist)"
    )]
    Missing(PathBuf),
    /// The process could not be started.
    #[error("cannot start {0}: {1}")]
    Unstartable(PathBuf, io::Error),
    /// The launcher did not start the process.
    #[error("the launcher has started no Envoy: {0}")]
    Launcher(io::Error),
    /// The files of the Envoy could not be written.
    #[error("cannot write {0}: {1}")]
    Unwritable(PathBuf, io::Error),
    /// The Envoy started and ended.
    #[error("Envoy ended at once ({status}): {complaint}")]
    Ended {
        /// The status by which it ended.
        status: String,
        /// The complaint that it wrote.
        complaint: String,
    },
    /// The Envoy started and was never ready.
    #[error("Envoy was not ready after {} s; its log is {log}", START.as_secs())]
    NotReady {
        /// The file of its log.
        log: PathBuf,
    },
}

/// Returns the binary: `$ENVOY`, or the one that `make envoy` fetched.
pub fn find_binary() -> Result<PathBuf, EnvoyError> {
    let fetched = || workspace().join(".envoy/envoy/_bin/envoy");
    let path = std::env::var_os("ENVOY").filter(|path| !path.is_empty()).map_or_else(fetched, PathBuf::from);
    if path.is_file() { Ok(path) } else { Err(EnvoyError::Missing(path)) }
}

/// A ready Envoy; it is killed when this is dropped, and its log is shown when that is in a panic.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    log: PathBuf,
    admin: SocketAddr,
    listener: SocketAddr,
    /// The way to an admin interface that has no address of TCP.
    _admin_pipe: Option<AdminPipe>,
}

impl Envoy {
    /// Starts the bootstrap with this number of workers and these variables in Envoy's environment, keeps its
    /// files in `folder`, and waits until it is ready.
    pub async fn start(
        bootstrap: &Bootstrap,
        folder: &Path,
        workers: u32,
        environment: &[(String, String)],
    ) -> Result<Self, EnvoyError> {
        let config = write(bootstrap, folder)?;
        Self::start_file(&config, folder, workers, environment).await
    }

    /// Starts the first of a row of Envoys, or the next, which takes over from the one before; else as [`Envoy::start`] does.
    pub async fn start_epoch(
        bootstrap: &Bootstrap,
        folder: &Path,
        workers: u32,
        environment: &[(String, String)],
        (restart, epoch): (HotRestart, u32),
    ) -> Result<Self, EnvoyError> {
        let own = folder.join(format!("epoch-{epoch}"));
        std::fs::create_dir(&own).map_err(|error| EnvoyError::Unwritable(own.clone(), error))?;
        let config = write(bootstrap, &own)?;
        Self::start_with(restart.options(folder, epoch), &config, &own, workers, environment).await
    }

    /// Starts a bootstrap that is written already, in YAML or JSON, and has an admin interface; else as
    /// [`Envoy::start`] does.
    pub async fn start_file(
        config: &Path,
        folder: &Path,
        workers: u32,
        environment: &[(String, String)],
    ) -> Result<Self, EnvoyError> {
        Self::start_with(ALONE.map(str::to_owned).to_vec(), config, folder, workers, environment).await
    }

    async fn start_with(
        mut arguments: Vec<String>,
        config: &Path,
        folder: &Path,
        workers: u32,
        environment: &[(String, String)],
    ) -> Result<Self, EnvoyError> {
        let log = folder.join("envoy.log");
        let admin_address = folder.join("admin-address");
        // A file of an earlier run would name an earlier port.
        let _ = std::fs::remove_file(&admin_address);
        // Envoy appends, and complaints of an earlier run are not this one's.
        std::fs::write(&log, "").map_err(|error| EnvoyError::Unwritable(log.clone(), error))?;
        for (option, file) in [("-c", config), ("--log-path", &log), ("--admin-address-path", &admin_address)]
        {
            arguments.extend([option.to_owned(), file.display().to_string()]);
        }
        arguments.extend(SETTINGS.map(str::to_owned));
        arguments.extend(["--component-log-level".to_owned(), module::log_levels()]);
        arguments.extend(["--concurrency".to_owned(), workers.to_string()]);
        let mut process = Process::start(find_binary, arguments, environment)?;

        let end = Instant::now() + START;
        let mut admin_pipe = None;
        let (admin, listener) = loop {
            if let Some(status) = process.ended() {
                return Err(EnvoyError::Ended { status, complaint: complaint(&log) });
            }
            if let Some(admin) = admin(&admin_address, &mut admin_pipe).await
                && let Some(listener) = ready(admin).await
            {
                break (admin, listener);
            }
            if Instant::now() > end {
                return Err(EnvoyError::NotReady { log });
            }
            sleep(Duration::from_millis(20)).await;
        };
        Ok(Self { process, log, admin, listener, _admin_pipe: admin_pipe })
    }

    /// Returns the process, where it runs.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the process's use of memory and processor so far.
    pub fn usage(&self) -> Usage {
        self.process.usage().expect("a process")
    }

    /// Returns the address that clients connect to.
    pub fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// Returns the address of the admin interface.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Returns the major and the minor number of its version.
    pub async fn version(&self) -> (u32, u32) {
        let info = self.ask_admin("/server_info").await.json();
        // A commit, the version, and how it was built, with slashes between.
        let version = info["version"].as_str().and_then(|version| version.split('/').nth(1));
        let mut numbers = version.unwrap_or_default().split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            _ => panic!("no version: {info}"),
        }
    }

    /// Says whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    /// Returns the complaint in its log.
    pub fn complaint(&self) -> String {
        complaint(&self.log)
    }

    /// Returns its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the growth of a metric from now on, in an Envoy in which others may have counted before.
    pub async fn growth<'a>(&'a self, name: &'a str, labels: &'a [(&'a str, &'a str)]) -> Growth<'a> {
        Growth { envoy: self, name, labels, before: self.stats().await.sum(name, labels) }
    }

    /// Returns the lines of its log that contain `part`.
    pub fn log_lines_with(&self, part: &str) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }

    /// Returns the lines of its log that contain `part`, once there is one: Envoy writes its log when it gets
    /// to it.
    pub async fn logged(&self, part: &str) -> Vec<String> {
        let look = || Some(self.log_lines_with(part)).filter(|lines| !lines.is_empty());
        eventually(PATIENCE, &format!("`{part}` in Envoy's log"), look).await
    }

    /// Prints the end of its log, for a test that fails.
    pub(crate) fn show_log(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(SHOWN)..];
        eprintln!("--- the end of Envoy's log ---\n{}\n---", shown.join("\n"));
    }

    /// Asks the admin interface.
    pub async fn ask_admin(&self, path: &str) -> Response {
        ask(self.admin, path).await.unwrap_or_else(|| panic!("the admin interface does not answer {path}"))
    }

    /// Returns the address of each listener. No answer comes while the module is compiled.
    pub async fn listeners(&self) -> BTreeMap<String, SocketAddr> {
        let answer =
            ask_within(START, self.admin, LISTENERS).await.expect("an admin interface that answers").json();
        let listeners = answer["listener_statuses"].as_array().expect("a list of listeners");
        listeners.iter().filter_map(addressed).collect()
    }

    /// Tells the admin interface to do something.
    pub async fn tell_admin(&self, path: &str) {
        let request = Request::get(path).method("POST").header("Content-Length", "0");
        let answer = tell(PATIENCE, self.admin, request).await.map(|answer| answer.status);
        assert_eq!(answer, Some(200), "{path}");
    }

    /// Ends it as a supervisor does, by SIGTERM, and waits until it has ended.
    pub async fn terminate(&mut self) {
        let signal = Command::new("kill").args(["-TERM", &self.process_id().to_string()]).status();
        assert!(signal.expect("kill").success());
        self.ends().await;
    }

    /// Waits until it has ended.
    pub async fn ends(&mut self) {
        eventually(START, "the end of an Envoy", || self.has_ended().then_some(())).await;
    }

    /// Returns all counters and gauges as they are now. Envoy merges them from its workers on asking, so a
    /// count that a client has already seen the effect of is in them.
    pub async fn stats(&self) -> Stats {
        Stats::parse(&self.ask_admin("/stats/prometheus").await.text())
    }

    /// Waits until a metric's sum is `value`.
    pub async fn stat_becomes(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.stats().await.sum(name, labels);
            if found == value {
                return;
            }
            assert!(Instant::now() < end, "{name}{labels:?} is {found} and never became {value}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the number of bytes that Envoy has allocated.
    pub async fn allocated_bytes(&self) -> u64 {
        let memory = self.ask_admin("/memory").await.json();
        memory["allocated"].as_str().and_then(|text| text.parse().ok()).expect("a number of bytes")
    }
}

/// The growth of a metric's sum since [`Envoy::growth`] was called.
#[derive(Debug)]
pub struct Growth<'a> {
    envoy: &'a Envoy,
    name: &'a str,
    labels: &'a [(&'a str, &'a str)],
    before: f64,
}

impl Growth<'_> {
    /// Returns the growth so far.
    pub async fn so_far(&self) -> f64 {
        self.envoy.stats().await.sum(self.name, self.labels) - self.before
    }

    /// Waits until the growth is `value` or more.
    pub async fn reaches(&self, value: f64) {
        let end = Instant::now() + PATIENCE;
        loop {
            let grown = self.so_far().await;
            if grown >= value {
                return;
            }
            assert!(Instant::now() < end, "{}{:?} has grown by {grown}, not {value}", self.name, self.labels);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the growth is `value`.
    pub async fn becomes(&self, value: f64) {
        self.envoy.stat_becomes(self.name, self.labels, self.before + value).await;
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_log();
        }
    }
}

/// Returns the address of the admin interface that an Envoy has written down, by a pipe where that is a path.
async fn admin(written: &Path, pipe: &mut Option<AdminPipe>) -> Option<SocketAddr> {
    let written = std::fs::read_to_string(written).ok()?;
    match written.trim() {
        path if path.starts_with('/') => {
            if pipe.is_none() {
                *pipe = Some(AdminPipe::open(Path::new(path)).await);
            }
            pipe.as_ref().map(AdminPipe::address)
        }
        address => address.parse().ok(),
    }
}

/// Returns the address of the listener of an Envoy that is ready.
async fn ready(admin: SocketAddr) -> Option<SocketAddr> {
    if ask_within(START, admin, "/ready").await?.status != 200 {
        return None;
    }
    let listeners = ask(admin, LISTENERS).await?.json();
    let (_, address) = addressed(listeners.pointer("/listener_statuses/0")?)?;
    Some(address)
}

/// Returns the name and the address of a listener.
fn addressed(status: &Value) -> Option<(String, SocketAddr)> {
    let address = status.pointer("/local_address/socket_address")?;
    let port = u16::try_from(address.get("port_value")?.as_u64()?).ok()?;
    let ip = address.get("address").and_then(Value::as_str)?.parse().ok()?;
    Some((status.get("name")?.as_str()?.to_owned(), SocketAddr::new(ip, port)))
}

/// Has Envoy load a bootstrap without serving it, and keeps its log beside it; the error is Envoy's
/// complaint.
pub async fn validate(config: &Path) -> Result<(), EnvoyError> {
    let log = config.with_extension("log");
    let mut arguments = ["--mode", "validate", "--log-level", "warning"].map(str::to_owned).to_vec();
    for (option, file) in [("-c", config), ("--log-path", &log)] {
        arguments.extend([option.to_owned(), file.display().to_string()]);
    }
    let mut process = Process::start(find_binary, arguments, &[])?;
    let end = Instant::now() + START;
    loop {
        match process.ended() {
            Some(status) if status == "exit status: 0" => return Ok(()),
            Some(status) => return Err(EnvoyError::Ended { status, complaint: complaint(&log) }),
            None if Instant::now() > end => return Err(EnvoyError::NotReady { log }),
            None => sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Asks the admin interface at this address; returns `None` without an answer.
pub async fn ask(admin: SocketAddr, path: &str) -> Option<Response> {
    ask_within(PATIENCE, admin, path).await
}

/// Asks an Envoy that may accept the connection, and then compile the module before it answers.
async fn ask_within(limit: Duration, admin: SocketAddr, path: &str) -> Option<Response> {
    tell(limit, admin, Request::get(path)).await
}

async fn tell(limit: Duration, admin: SocketAddr, request: Request) -> Option<Response> {
    let mut client = RawClient::connect(admin, None, None).await.ok()?;
    client.try_send(request.header("Connection", "close").bytes()).await.ok()?;
    client.response_within(limit).await.ok()
}

/// Writes the configuration of an Envoy into its folder.
fn write(bootstrap: &Bootstrap, folder: &Path) -> Result<PathBuf, EnvoyError> {
    let config = folder.join("envoy.json");
    match std::fs::write(&config, bootstrap.render()) {
        Ok(()) => Ok(config),
        Err(error) => Err(EnvoyError::Unwritable(config, error)),
    }
}

/// Returns the complaints of the module, or else the first one of Envoy: all others are consequences.
fn complaint(log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("[error]") || line.contains("[critical]"))
        .map(message)
        .collect();
    let of_the_module: Vec<&str> =
        complaints.iter().copied().filter(|line| line.contains("postern: ")).collect();
    match (of_the_module.is_empty(), complaints.first()) {
        (false, _) => of_the_module.join("; "),
        (true, Some(first)) => (*first).to_owned(),
        (true, None) => "it left no word in its log".to_owned(),
    }
}

/// Returns a log line without its time, thread, level and place.
fn message(line: &str) -> &str {
    line.splitn(6, ']').last().unwrap_or(line).trim()
}
