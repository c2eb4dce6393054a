//! `make run`: the shipped `envoy.yaml` beside a demo service, with a certificate and a secret of this run only.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use postern_e2e::client::token::edge_claims;
use postern_e2e::scene::bootstrap::{BootstrapError, wasm_module, workspace};
use postern_e2e::tls::{Certificate, LOCAL};
use postern_e2e::{Bootstrap, Envoy, EnvoyError, Signer, Value};
use tokio::signal::unix::{SignalKind, signal};

const FAVOURITE_PORT: u16 = 8443;

/// The interval at which Envoy's life is looked at.
const WATCH: Duration = Duration::from_millis(300);

/// Runs Postern in a real Envoy before a demo service.
#[derive(Debug, Parser)]
struct Arguments {
    /// The port on this machine; 8443 if it is free, otherwise any.
    #[arg(long)]
    port: Option<u16>,
}

/// The reason why the demo does not run.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("port {0} is taken")]
    PortTaken(u16),
    #[error("cannot write into {0}: {1}")]
    Unwritable(PathBuf, std::io::Error),
    #[error("Envoy ended: {0}")]
    EnvoyEnded(String),
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    Envoy(#[from] EnvoyError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), DemoError> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::select! {
        outcome = demonstrate(arguments) => outcome,
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
    }
}

/// Runs until Envoy ends, which it should not. Everything that this started ends with it.
async fn demonstrate(arguments: &Arguments) -> Result<(), DemoError> {
    let module = wasm_module()?;
    let port = choose_port(arguments.port)?;
    let secret = fresh_secret()?;
    let folder = workspace().join(".run");
    std::fs::create_dir_all(&folder).map_err(|error| DemoError::Unwritable(folder.clone(), error))?;

    let service = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let bootstrap = render(port, service.local_addr()?, &module, &folder)?;
    let environment = [("POSTERN_EDGE_SECRET".to_owned(), secret.clone())];
    let mut envoy = Envoy::start(&bootstrap, &folder, 1, &environment).await?;
    explain(port, &secret, &folder, envoy.admin())?;

    let watch = async {
        while !envoy.has_ended() {
            tokio::time::sleep(WATCH).await;
        }
        // A Ctrl-C reaches Envoy too: then this process hears of it as well and should end in peace.
        tokio::time::sleep(WATCH).await;
        Err(DemoError::EnvoyEnded(envoy.complaint()))
    };
    tokio::select! {
        ended = watch => ended,
        served = postern_e2e::upstream::demo::serve(service, &secret, |_| ()) => Ok(served?),
    }
}

fn choose_port(wanted: Option<u16>) -> Result<u16, DemoError> {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    match wanted {
        Some(port) if !is_free(port) => Err(DemoError::PortTaken(port)),
        Some(port) => Ok(port),
        None if is_free(FAVOURITE_PORT) => Ok(FAVOURITE_PORT),
        None => Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port()),
    }
}

/// Returns a secret of 64 hexadecimal digits.
fn fresh_secret() -> Result<String, DemoError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn render(port: u16, service: SocketAddr, module: &Path, folder: &Path) -> Result<Bootstrap, DemoError> {
    let unwritable = |error| DemoError::Unwritable(folder.to_owned(), error);
    let (chain, key) = Certificate::self_signed(&LOCAL).write(folder).map_err(unwritable)?;
    let mut bootstrap = Bootstrap::shipped()?;
    // The demo's tokens are for everybody, so it serves this machine only.
    bootstrap.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    bootstrap.admin(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    bootstrap.upstream(service);
    bootstrap.certificate(&chain, &key);
    bootstrap.wasm(module);
    bootstrap.access_log(&folder.join("access.log"));
    if let Some(Value::Array(origins)) = bootstrap.configuration().pointer_mut("/policies/chat/origins/allow")
    {
        for origin in LOCAL.map(|host| Value::from(format!("https://{host}:{port}"))) {
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
    }
    Ok(bootstrap)
}

/// Prints what to do now.
fn explain(port: u16, secret: &str, folder: &Path, admin: SocketAddr) -> Result<(), DemoError> {
    let handshake = folder.join("handshake");
    let certificate = folder.join("cert.pem");
    let options = format!(
        "# What every handshake below has in common, for curl --config.\n\
         include\nsilent\nhttp1.1\nmax-time = 2\ncacert = \"{}\"\n\
         header = \"Connection: Upgrade\"\nheader = \"Upgrade: websocket\"\n\
         header = \"Sec-WebSocket-Version: 13\"\nheader = \"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\"\n",
        certificate.display(),
    );
    std::fs::write(&handshake, options).map_err(|error| DemoError::Unwritable(handshake.clone(), error))?;
    let token = Signer::hs256(secret).mint(&edge_claims("alice"));
    let site = format!("https://localhost:{port}");
    let curl = format!("curl --config {}", handshake.display());
    println!(
        "Postern runs in Envoy at {site}/ (a self-signed certificate: the browser will ask)\n\
         \n\
         A token, good for five minutes:\n  TOKEN={token}\n\
         \n\
         Let in, with 101 and a greeting from the service:\n  \
         {curl} -H 'Origin: {site}' -H \"Authorization: Bearer $TOKEN\" {site}/ws/chat\n\
         \n\
         Refused, with 401, since there is no token:\n  \
         {curl} -H 'Origin: {site}' {site}/ws/chat\n\
         \n\
         Refused, with 403, since another site's page has no business here:\n  \
         {curl} -H 'Origin: https://evil.example' -H \"Authorization: Bearer $TOKEN\" {site}/ws/chat\n\
         \n\
         Metrics: http://{admin}/stats/prometheus\n\
         Log:     {}\n\
         Ctrl-C ends it.",
        folder.join("access.log").display(),
    );
    Ok(())
}
