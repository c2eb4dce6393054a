//! What runs in the container of Envoy: the shipped `envoy.yaml` in front of the service, and on request other Envoys
//! for the suite.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use postern_e2e::launcher;
use postern_e2e::standing::{self, Wishes};

/// The ports of the shipped file.
const ADMIN: u16 = 9901;

/// Starts Envoys for the tests in containers.
#[derive(Debug, Parser)]
enum Arguments {
    /// Runs the shipped policies in front of the service, and starts Envoys for whoever asks.
    Serve {
        /// Where orders come in.
        #[arg(long, default_value = "0.0.0.0:7070")]
        listen: SocketAddr,
        /// The service, as host and port.
        #[arg(long)]
        service: String,
        /// Where the certificate of this run is put.
        #[arg(long)]
        folder: PathBuf,
    },
    /// Runs one more Envoy, as the first line of the standard input says (JSON), until the standard input ends.
    Stand,
    /// Prints what the admin interface answers.
    Admin {
        /// Such as /stats/prometheus.
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
        Arguments::Stand => standing::stand().await,
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
    let binary = standing::binary();
    let wishes = Wishes { folder: Some(folder), ..Wishes::shipped(service) };
    let mut envoy = standing::start(&wishes)?;
    std::thread::spawn(move || launcher::serve(&listener, &binary));
    let status = envoy.wait().await?;
    Err(io::Error::other(format!("Envoy ended: {status}")))
}

async fn admin(port: u16, path: &str) -> io::Result<String> {
    let response = postern_e2e::envoy::ask(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), path).await;
    match response {
        Some(response) if response.status == 200 => Ok(response.text()),
        Some(response) => Err(io::Error::other(format!("{path}: {}", response.status))),
        None => Err(io::Error::other("the admin interface does not answer")),
    }
}
