//! A Prometheus of its own, which scrapes the Envoys of the test and judges the rules, and what is asked of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postern_e2e::deadline::PATIENCE;
use postern_e2e::not_run::not_run;
use postern_e2e::scene::envoy::ask;
use postern_e2e::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::dashboard::Panel;
use crate::files::RULES;
use crate::scaled::{Scale, written};

/// The time within which an alert fires, or a query is answered, on a machine that does much else.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The points of a graph.
const POINTS: u32 = 200;

/// The programs of Debian's package `prometheus`.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) prometheus: PathBuf,
    pub(crate) promtool: PathBuf,
}

/// Finds the programs on the path. Returns `None`, after saying so loudly, where they are not; with `CI=true` that is a
/// failure.
pub(crate) fn find() -> Option<Binaries> {
    let path = std::env::var_os("PATH")?;
    let on_path =
        |name: &str| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let (Some(prometheus), Some(promtool)) = (on_path("prometheus"), on_path("promtool")) else {
        not_run("there is no Prometheus to test with; Debian's package `prometheus` has it and promtool");
        return None;
    };
    Some(Binaries { prometheus, promtool })
}

/// A running Prometheus; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    address: SocketAddr,
    scale: Scale,
    _process: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts it with the scaled rules, and waits until it has scraped every target, which have a name each.
    pub(crate) async fn start(binaries: &Binaries, scale: Scale, targets: &[(&str, SocketAddr)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (file, log) = (folder.path().join("prometheus.json"), folder.path().join("log"));
        let rules = folder.path().join("rules.json");
        std::fs::write(&rules, scale.rules(RULES).to_string()).expect("a writable folder");
        std::fs::write(&file, configuration(scale, &rules, targets).to_string()).expect("a writable folder");
        let written_to = std::fs::File::create(&log).expect("a writable folder");
        let process = Command::new(&binaries.prometheus)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("series").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(written_to)
            .kill_on_drop(true)
            .spawn()
            .expect("Prometheus to start");
        let address = listening(&log).await;
        ready(address).await;
        let this = Self { address, scale, _process: process, _folder: folder };
        this.has(&format!("count(up == 1) == {}", targets.len()), PATIENCE).await;
        this
    }

    /// Waits until an expression has a result.
    async fn has(&self, expression: &str, limit: Duration) {
        let end = Instant::now() + limit;
        while self.query(expression).await.is_empty() {
            assert!(
                Instant::now() < end,
                "waited {limit:?} for {expression}; firing: {:#?}",
                self.firing().await
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until an alert with these labels fires.
    pub(crate) async fn fires(&self, alert: &str, labels: &str) {
        let separator = if labels.is_empty() { "" } else { ", " };
        let firing = format!("ALERTS{{alertstate=\"firing\", alertname=\"{alert}\"{separator}{labels}}}");
        self.has(&firing, SOON).await;
    }

    async fn firing(&self) -> Vec<Value> {
        let alerts = self.query(r#"ALERTS{alertstate="firing"}"#).await;
        alerts.into_iter().map(|alert| alert["metric"].clone()).collect()
    }

    /// Returns the alerts that have fired since `start`, with their labels.
    pub(crate) async fn alerts_since(&self, start: Instant) -> Vec<String> {
        let range = written(start.elapsed());
        let alerts = self.query(&format!(r#"max_over_time(ALERTS{{alertstate="firing"}}[{range}])"#)).await;
        alerts.iter().map(|alert| alert["metric"].to_string()).collect()
    }

    /// Returns the names of all alerts that have fired since `start`.
    pub(crate) async fn fired_since(&self, start: Instant) -> BTreeSet<String> {
        let range = written(start.elapsed());
        let fired = format!(r#"max by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}[{range}]))"#);
        let fired = self.query(&fired).await;
        fired.iter().map(|alert| alert["metric"]["alertname"].as_str().expect("a name").to_owned()).collect()
    }

    /// Returns when which alert fired since `start`.
    pub(crate) async fn firing_since(&self, start: Instant) -> Value {
        self.over(r#"max by (alertname, severity) (ALERTS{alertstate="firing"})"#, start).await
    }

    /// Returns what each query of a panel shows of the time since `start`, without series that have no number.
    pub(crate) async fn show(&self, panel: &Panel, start: Instant) -> Vec<Value> {
        let range = written(start.elapsed());
        let mut shown = Vec::new();
        for query in &panel.queries {
            let expression = query.filled(&self.scale.rate_interval(), &range);
            let mut series = self.over(&expression, start).await;
            let has_numbers = |series: &Value| {
                let points = series["values"].as_array().expect("points");
                points.iter().any(|point| point[1].as_str().is_some_and(|number| number != "NaN"))
            };
            series.as_array_mut().expect("series").retain(has_numbers);
            shown.push(json!({"expr": query.expression, "legend": query.legend, "series": series}));
        }
        shown
    }

    async fn over(&self, expression: &str, start: Instant) -> Value {
        let (end, elapsed) = (seconds_now(), start.elapsed().as_secs_f64());
        let step = elapsed / f64::from(POINTS);
        let query = encoded(expression);
        self.ask(&format!("query_range?query={query}&start={:.3}&end={end:.3}&step={step:.3}", end - elapsed))
            .await
    }

    async fn query(&self, expression: &str) -> Vec<Value> {
        let result = self.ask(&format!("query?query={}", encoded(expression))).await;
        result.as_array().expect("a vector").clone()
    }

    async fn ask(&self, what: &str) -> Value {
        let response = ask(self.address, &format!("/api/v1/{what}")).await.expect("an answer of Prometheus");
        let mut answer = response.json();
        assert_eq!(answer["status"], "success", "{what}: {answer}");
        answer["data"]["result"].take()
    }
}

/// Returns the time as Prometheus has it, in seconds since the Unix epoch.
pub(crate) fn seconds_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time of today").as_secs_f64()
}

fn configuration(scale: Scale, rules: &Path, targets: &[(&str, SocketAddr)]) -> Value {
    let interval = written(scale.interval());
    let target =
        |(name, address): &(&str, SocketAddr)| json!({"targets": [address], "labels": {"instance": name}});
    let targets: Vec<Value> = targets.iter().map(target).collect();
    json!({
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [rules],
        "scrape_configs": [{
            "job_name": "envoy", "metrics_path": "/stats/prometheus", "static_configs": targets,
        }],
    })
}

/// Waits until Prometheus says where it listens.
async fn listening(log: &Path) -> SocketAddr {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let line = text.lines().find(|line| line.contains("\"Listening on\"") && line.contains("address="));
        if let Some(address) = line.and_then(|line| line.rsplit("address=").next()?.trim().parse().ok()) {
            return address;
        }
        assert!(Instant::now() < end, "Prometheus does not listen: {text}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until Prometheus answers queries.
async fn ready(address: SocketAddr) {
    let end = Instant::now() + PATIENCE;
    while ask(address, "/-/ready").await.is_none_or(|response| response.status != 200) {
        assert!(Instant::now() < end, "Prometheus is not ready");
        sleep(Duration::from_millis(20)).await;
    }
}

fn encoded(text: &str) -> String {
    let plain = BTreeSet::from(*b"-._~");
    let encode = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || plain.contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
