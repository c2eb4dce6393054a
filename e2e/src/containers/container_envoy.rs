//! An Envoy in a container by itself: the shipped `envoy.yaml`, in front of a service of another container.
//! Its log and its access log are the output of the process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::scene::bootstrap::{Bootstrap, Name, workspace};
use crate::scene::module;
use crate::tls::{Certificate, LOCAL};

/// The options of such an Envoy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// The address that clients connect to.
    pub port: u16,
    /// The port of the admin interface, for this container only.
    pub admin: u16,
    /// The host and the port of the service.
    pub service: String,
    /// Another configuration than the shipped one: providers, policies, routes.
    pub document: Option<Value>,
    /// More clusters: the name of each, and its host and port.
    pub clusters: Vec<(String, String)>,
    /// The folder that gets the certificate, as `cert.pem`. Without one, clients connect without TLS.
    pub folder: Option<PathBuf>,
    /// The number of worker threads.
    pub workers: u32,
    /// The whole configuration, where that is another than the shipped file with these options.
    pub whole: Option<Value>,
}

impl Options {
    /// Returns the options of the shipped file but for the service, without TLS.
    pub fn shipped(service: &str) -> Self {
        let service = service.to_owned();
        Self {
            port: 8443,
            admin: 9901,
            service,
            document: None,
            clusters: Vec::new(),
            folder: None,
            workers: 2,
            whole: None,
        }
    }

    /// Makes any other change to what the options say so far.
    #[must_use]
    pub fn changed(self, change: impl FnOnce(&mut Value)) -> Self {
        let mut bootstrap = self.bootstrap().expect("the shipped file");
        change(bootstrap.value_mut());
        Self { whole: Some(bootstrap.value_mut().take()), ..self }
    }

    fn bootstrap(&self) -> io::Result<Bootstrap> {
        let mut bootstrap = Bootstrap::shipped().map_err(io::Error::other)?;
        bootstrap.listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port)));
        bootstrap.admin(SocketAddr::from((Ipv4Addr::LOCALHOST, self.admin)));
        bootstrap.named_upstream(&Name::of(&self.service)?);
        bootstrap.wasm(&module::path().map_err(io::Error::other)?);
        if let Some(document) = &self.document {
            *bootstrap.configuration() = document.clone();
        }
        for (cluster, address) in &self.clusters {
            bootstrap.named_cluster(cluster, &Name::of(address)?);
        }
        match &self.folder {
            None => bootstrap.without_tls(),
            Some(folder) => {
                let names = [&LOCAL[..], &["envoy"]].concat();
                let (chain, key) = Certificate::self_signed(&names).write(folder)?;
                bootstrap.certificate(&chain, &key);
            }
        }
        Ok(bootstrap)
    }
}

/// Returns the binary: `$ENVOY`, or where the public image has it.
pub fn binary() -> PathBuf {
    std::env::var_os("ENVOY").map_or_else(|| "/usr/local/bin/envoy".into(), PathBuf::from)
}

/// Starts an Envoy, which is killed when the child is dropped.
pub fn start(options: &Options) -> io::Result<Child> {
    let bootstrap = match &options.whole {
        Some(whole) => Bootstrap::from(whole.clone()).render(),
        None => options.bootstrap()?.render(),
    };
    Command::new(binary())
        .args(["--config-yaml", &bootstrap, "--disable-hot-restart", "--log-level", "warning"])
        .args(["--component-log-level", &module::log_levels(), "--concurrency", &options.workers.to_string()])
        .args(["--drain-time-s", "1"])
        .current_dir(workspace())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// Runs an Envoy as the first line of the standard input says, until that or the Envoy ends.
pub async fn serve() -> io::Result<()> {
    let mut input = BufReader::new(tokio::io::stdin());
    let mut line = String::new();
    input.read_line(&mut line).await?;
    let mut envoy = start(&serde_json::from_str(&line)?)?;
    let mut rest = Vec::new();
    tokio::select! {
        ended = envoy.wait() => Err(io::Error::other(format!("Envoy ended: {}", ended?))),
        read = input.read_to_end(&mut rest) => {
            envoy.kill().await?;
            read.map(drop)
        }
    }
}
