//! The demo's service by itself, for an Envoy started by hand with `envoy.yaml`.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use clap::Parser;
use tokio::net::{TcpListener, TcpStream};

/// Serves a page and WebSockets that echo, for an Envoy with envoy.yaml in front of it.
#[derive(Debug, Parser)]
struct Arguments {
    /// The address to listen at; envoy.yaml expects 127.0.0.1:8080.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Signs the tokens that the page uses; the one that Envoy has.
    #[arg(long, env = "POSTERN_EDGE_SECRET", hide_env_values = true)]
    secret: String,
    /// Ends with 0 if another one of this machine listens.
    #[arg(long)]
    health: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.health {
        let there = TcpStream::connect((Ipv4Addr::LOCALHOST, arguments.listen.port())).await;
        return if there.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let served = match TcpListener::bind(arguments.listen).await {
        Ok(listener) => {
            eprintln!("upstream: listens at {}", arguments.listen);
            let log = |what: std::fmt::Arguments<'_>| eprintln!("upstream: {what}");
            postern_e2e::upstream::demo::serve(listener, &arguments.secret, log).await
        }
        Err(error) => Err(error),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upstream: {}: {error}", arguments.listen);
            ExitCode::FAILURE
        }
    }
}
