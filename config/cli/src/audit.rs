//! `postern audit`: tries a catalogue of attacks on a WebSocket endpoint of one's own, and reports what stands open.
//!
//! An attack is data (`catalogue`), tried in one of a few ways (`trial`), and judged by what the endpoint is seen to do. The
//! audit speaks bytes itself, since no library would send what it has to; it connects to one address, which was looked at
//! before, and to nothing else.

mod answer;
mod arguments;
mod attack;
mod catalogue;
mod client;
mod forge;
mod frame;
mod honest;
mod report;
mod request;
mod schedule;
mod target;
mod tls;
mod trial;
mod wire;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use crate::world;

pub(crate) use arguments::Arguments;
use arguments::Output;
use client::{Client, Opened, Pace};
use forge::Jwt;
use report::Report;
use target::Target;
use trial::{Field, Habits};
use wire::{Tls, Wire};

/// Audits an endpoint, and writes the report on the standard output: exit code 0 when nothing stands open, 1 when something
/// does, 2 when the audit could not be made, or an attack got no answer that says either.
pub(crate) fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let field = match prepare(arguments) {
        Ok(field) => field,
        Err(complaint) => {
            writeln!(io::stderr().lock(), "{}: {complaint}", arguments.url.shown)?;
            return Ok(ExitCode::from(2));
        }
    };
    let outcomes = schedule::run(&field, &arguments.entries(), arguments.at_once.into());
    let report = Report::new(arguments.url.shown.clone(), outcomes);
    let mut stdout = io::stdout().lock();
    match arguments.output {
        Output::Text => write!(stdout, "{}", report.text())?,
        Output::Json => writeln!(stdout, "{:#}", report.json())?,
        Output::Sarif => writeln!(stdout, "{:#}", report.sarif())?,
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// Finds the endpoint, sees to it that it may be attacked, and learns what it does on an honest connection. The complaint says
/// what to do.
fn prepare(arguments: &Arguments) -> Result<Field, String> {
    let honest = arguments.honest()?;
    let address = reach(&arguments.url, arguments.i_own_this, arguments.timeout)?;
    let tls = match arguments.url.is_secure {
        true => Some(Tls { config: tls::client(arguments.trust())?, name: arguments.url.name.clone() }),
        false => None,
    };
    let pace = Pace::new(arguments.rate);
    let client = Client { honest, address, tls, timeout: arguments.timeout, pace };
    let limits = arguments.limits();
    let now = world::now();
    let soon = |token: &String| {
        let expires = Duration::from_secs(Jwt::parse(token)?.expires()?);
        (expires > now && expires <= now.saturating_add(limits.wait)).then(|| (token.clone(), expires))
    };
    let expiring = client.honest.expiring_token.iter().chain(&client.honest.token).find_map(soon);
    let mut field = Field { client, habits: Habits::default(), limits, expiring };
    field.habits = learn(&field)?;
    Ok(field)
}

/// Returns the address that is attacked: the first that takes a connection.
fn reach(target: &Target, is_owned: bool, timeout: Duration) -> Result<SocketAddr, String> {
    let addresses = target.addresses().map_err(|error| format!("the host is not found: {error}"))?;
    if !is_owned && !target::are_loopback(&addresses) {
        let found: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
        let found = if found.is_empty() { "no address".to_owned() } else { found.join(", ") };
        let remedy = "say by --i-own-this that it is yours to attack";
        return Err(format!("the host is not this machine, but {found}; {remedy}"));
    }
    let mut complaint = "the host has no address".to_owned();
    for address in addresses {
        match Wire::connect(address, None, world::instant() + timeout) {
            Ok(_) => return Ok(address),
            Err(error) => complaint = format!("not reached at {address}: {error}"),
        }
    }
    Err(complaint)
}

/// Makes the honest handshake and says the honest message, without which nothing that is refused says anything.
fn learn(field: &Field) -> Result<Habits, String> {
    let client = &field.client;
    if let Some(tls) = &client.tls {
        let tried = Wire::connect(client.address, Some(tls), client.deadline());
        tried.map_err(|error| format!("no TLS: {error}; --ca or --insecure trust another certificate"))?;
    }
    let request = client.honest.request();
    let opened = client.open(&request);
    let seen = field.seen_of(&opened);
    let Opened::Socket(mut socket, answer) = opened else {
        let remedy = "give what it asks for: --origin, --token with --token-in, --subprotocol, --header";
        return Err(format!("the honest handshake: {seen}; {remedy}"));
    };
    if !request.value("sec-websocket-key").is_some_and(|key| answer.accepts(key)) {
        return Err("it is no WebSocket: its 101 does not answer the key of the handshake".to_owned());
    }
    field.habits(&mut socket).map_err(|end| {
        format!("the honest message is answered by an end ({end}); give one that it takes by --message")
    })
}
