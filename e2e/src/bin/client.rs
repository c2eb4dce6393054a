//! A client in a container of its own, so that Envoy sees an address of its own. Relays for the suite, and
//! carries out the commands on its standard input with `commands`.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tokio::net::{TcpListener, TcpStream};

/// A client for the tests in containers.
#[derive(Debug, Parser)]
enum Arguments {
    /// Passes connections on, from this container's address.
    Relay {
        /// The address to listen at.
        #[arg(long, default_value = "0.0.0.0:7071")]
        listen: SocketAddr,
    },
    /// Ends with 0 if the relay of this container listens.
    Health,
    /// Carries out commands, one JSON object a line, and answers each with a line.
    Commands,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse() {
        Arguments::Relay { listen } => match TcpListener::bind(listen).await {
            Ok(listener) => postern_e2e::containers::relay::serve(listener).await,
            Err(error) => Err(error),
        },
        Arguments::Health => TcpStream::connect(("127.0.0.1", 7071)).await.map(drop),
        Arguments::Commands => postern_e2e::containers::remote_client::serve().await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        }
    }
}
