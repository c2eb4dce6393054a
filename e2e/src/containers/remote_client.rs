//! A client under the command of a test that runs elsewhere: each line of its standard input is a command, and each
//! line of its standard output the outcome of one. Both are JSON: [`Command`] and [`Outcome`].

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout, timeout_at};

use crate::client::raw_client::RawClient;
use crate::client::request::Request;
use crate::frames::{Frame, opcode};
use crate::tls;
use crate::wire::End;

/// The deadline of a command that names no time, in milliseconds.
const PATIENCE: u64 = 5_000;

/// A command to a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Opens a WebSocket and remembers it under `name`.
    Open {
        /// The connection's name from here on.
        name: String,
        /// The host and the port.
        to: String,
        /// The target of the handshake.
        path: String,
        /// The headers beside those of the handshake, or in the place of such.
        headers: Vec<(String, String)>,
        /// The PEM file of the certificate that is trusted, for TLS.
        trust: Option<String>,
    },
    /// Sends a text message.
    Send {
        /// The connection's name.
        name: String,
        /// The message.
        text: String,
    },
    /// Waits for a message or the end, and answers Pings meanwhile.
    Receive {
        /// The connection's name.
        name: String,
        /// The time to wait, in milliseconds.
        within: u64,
    },
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The handshake's answer, and the reason if it was refused.
    Answered {
        /// The status.
        status: u16,
        /// Postern's reason.
        reason: Option<String>,
    },
    /// A message that is on its way.
    Sent,
    /// A message.
    Frame(String),
    /// A Close.
    Closed {
        /// The code of the Close.
        code: Option<u16>,
        /// The reason of the Close.
        reason: String,
    },
    /// The connection is over without a Close: `Eof` or `Cut`.
    Ended(String),
    /// No message in time.
    Nothing,
    /// A command that could not be carried out.
    Failed(String),
}

/// Carries out the commands of the standard input until that ends.
pub async fn serve() -> io::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut output = tokio::io::stdout();
    let mut clients = HashMap::new();
    while let Some(line) = lines.next_line().await? {
        let outcome = match serde_json::from_str(&line) {
            Ok(command) => carry_out(command, &mut clients).await,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        let mut answer = serde_json::to_vec(&outcome)?;
        answer.push(b'\n');
        output.write_all(&answer).await?;
        output.flush().await?;
    }
    Ok(())
}

async fn carry_out(command: Command, clients: &mut HashMap<String, RawClient>) -> Outcome {
    match command {
        Command::Open { name, to, path, headers, trust } => {
            let opening = open(&to, &path, &headers, trust.as_deref());
            match timeout(Duration::from_millis(PATIENCE), opening).await {
                Ok(Ok((client, outcome))) => {
                    clients.insert(name, client);
                    outcome
                }
                Ok(Err(error)) => Outcome::Failed(error.to_string()),
                Err(_) => Outcome::Nothing,
            }
        }
        Command::Send { name, text } => match clients.get_mut(&name) {
            None => unknown(&name),
            Some(client) => {
                let sent = client.try_send(Frame::text(&text).masked().bytes()).await;
                sent.map_or_else(|error| Outcome::Failed(error.to_string()), |()| Outcome::Sent)
            }
        },
        Command::Receive { name, within } => match clients.get_mut(&name) {
            None => unknown(&name),
            Some(client) => receive(client, Duration::from_millis(within)).await,
        },
    }
}

fn unknown(name: &str) -> Outcome {
    Outcome::Failed(format!("there is no connection {name}"))
}

async fn open(
    to: &str,
    path: &str,
    headers: &[(String, String)],
    trust: Option<&str>,
) -> io::Result<(RawClient, Outcome)> {
    let mut addresses = tokio::net::lookup_host(to).await?;
    let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
    let trust = trust.map(|file| tls::client_trusting(file.as_ref())).transpose()?;
    let mut client = RawClient::connect(address, None, trust).await?;
    let request =
        headers.iter().fold(Request::upgrade(path), |request, (name, value)| request.set(name, value));
    client.try_send(request.bytes()).await?;
    let response = client.try_response().await.map_err(|end| io::Error::other(format!("{end:?}")))?;
    client.show_heartbeats();
    let outcome = Outcome::Answered { status: response.status, reason: response.reason() };
    Ok((client, outcome))
}

/// Receives a message or the end, and answers Pings meanwhile, as every client does.
async fn receive(client: &mut RawClient, within: Duration) -> Outcome {
    let end = Instant::now() + within;
    loop {
        // The wire's own patience must not run out first.
        let frame = match timeout_at(end, client.frame_within(within * 2)).await {
            Err(_) => return Outcome::Nothing,
            Ok(Err(how)) => return Outcome::Ended(format!("{how:?}")),
            Ok(Ok(frame)) => frame,
        };
        match frame.opcode {
            opcode::CLOSE => return Outcome::Closed { code: frame.code(), reason: frame.reason() },
            opcode::PING => {
                let pong = Frame::pong(frame.payload).masked();
                if client.try_send(pong.bytes()).await.is_err() {
                    return Outcome::Ended(format!("{:?}", End::Cut));
                }
            }
            opcode::PONG => {}
            _ => return Outcome::Frame(String::from_utf8_lossy(&frame.payload).into_owned()),
        }
    }
}
