//! The program in the container of Envoy: the shipped `envoy.yaml` in front of the service, and on request other Envoys
//! for the suite.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use postern_e2e::containers::container_envoy::{self, Options};
use postern_e2e::scene::launcher;

/// The ports of the shipped file.
const ADMIN: u16 = 9901;

/// Starts Envoys for the tests in containers.
#[derive(Debug, Parser)]
enum Arguments {
    /// Runs the shipped policies in front of the service, and starts Envoys for whoever asks.
    Serve {
        /// The address at which orders come in.
        #[arg(long, default_value = "0.0.0.0:7070")]
        listen: SocketAddr,
        /// The service, as host and port.
        #[arg(long)]
        service: String,
        /// The folder that gets the certificate of this run.
        #[arg(long)]
        folder: PathBuf,
    },
    /// Runs one more Envoy, as the first line of the standard input says (JSON), until the standard input ends.
    Envoy,
    /// Runs nothing by itself, in a container for the Envoys that tests start there.
    Idle,
    /// Prints what the admin interface answers.
    Admin {
        /// The path, such as /stats/prometheus.
        path: String,
        /// Its port.
        #[arg(long, default_value_t = ADMIN)]
        port: u16,
    },
    /// Ends with 0 if the Envoy of `serve` is ready.
    Health,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse() {
        Arguments::Serve { listen, service, folder } => serve(listen, &service, folder).await,
        Arguments::Envoy => container_envoy::serve().await,
        Arguments::Idle => std::future::pending().await,
        Arguments::Admin { path, port } => admin(port, &path).await.map(|body| print!("{body}")),
        Arguments::Health => admin(ADMIN, "/ready").await.map(drop),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("launcher: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(listen: SocketAddr, service: &str, folder: PathBuf) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    let binary = container_envoy::binary();
    let options = Options { folder: Some(folder), ..Options::shipped(service) };
    let mut envoy = container_envoy::start(&options)?;
    std::thread::spawn(move || launcher::serve(&listener, &binary));
    let status = envoy.wait().await?;
    Err(io::Error::other(format!("Envoy ended: {status}")))
}

async fn admin(port: u16, path: &str) -> io::Result<String> {
    let response = postern_e2e::scene::envoy::ask(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), path).await;
    match response {
        Some(response) if response.status == 200 => Ok(response.text()),
        Some(response) => Err(io::Error::other(format!("{path}: {}", response.status))),
        None => Err(io::Error::other("the admin interface does not answer")),
    }
}
