//! The words of `postern audit`, and what they mean where they leave something out.

use std::time::Duration;

use clap::{Args, ValueEnum};
use postern_config::parse_duration;

use super::catalogue::{self, Entry};
use super::honest::{Honest, Place};
use super::target::Target;
use super::tls::Trust;
use super::trial::Limits;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The endpoint, as wss://host/path or ws://host/path.
    #[arg(value_name = "URL", value_parser = Target::parse)]
    pub(super) url: Target,
    /// A token that the endpoint takes. It is never shown.
    #[arg(long, value_name = "TOKEN", env = "POSTERN_AUDIT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The place where the endpoint takes it: header (Authorization: Bearer), header:NAME, query:NAME, cookie:NAME or
    /// subprotocol:PREFIX. May be repeated; the first is used.
    #[arg(long, value_name = "PLACE", default_value = "header", value_parser = Place::parse)]
    token_in: Vec<Place>,
    /// A token of the same issuer that has expired, for the attack that sends one.
    #[arg(long, value_name = "TOKEN", env = "POSTERN_AUDIT_EXPIRED_TOKEN", hide_env_values = true)]
    expired_token: Option<String>,
    /// A token of the same issuer for another service, for the attack that sends one.
    #[arg(long, value_name = "TOKEN", env = "POSTERN_AUDIT_FOREIGN_TOKEN", hide_env_values = true)]
    foreign_token: Option<String>,
    /// A token that expires within --wait, for the attack that outlives it; otherwise --token, if it does.
    #[arg(long, value_name = "TOKEN", env = "POSTERN_AUDIT_EXPIRING_TOKEN", hide_env_values = true)]
    expiring_token: Option<String>,
    /// The origin of an honest page, or `none`. By default that of the URL.
    #[arg(long, value_name = "ORIGIN", value_parser = plain)]
    origin: Option<String>,
    /// One more field of the handshake, such as a cookie. May be repeated.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = field)]
    headers: Vec<(String, String)>,
    /// A subprotocol that the endpoint asks for. May be repeated.
    #[arg(long, value_name = "NAME", value_parser = plain)]
    subprotocol: Vec<String>,
    /// The message of an honest client; `{nonce}` in it becomes a number. Empty for a client that only listens.
    #[arg(long, value_name = "TEXT", default_value = r#"{"type":"postern-audit","number":"{nonce}"}"#)]
    message: String,
    /// Take any certificate.
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// Trust the certificates in this file (PEM) instead of those of this machine.
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
    /// Say that the endpoint is yours to attack. Needed wherever the host is not this machine.
    #[arg(long)]
    pub(super) i_own_this: bool,
    /// Try these attacks only, by their names with commas between.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = name)]
    only: Vec<String>,
    /// Leave these attacks out.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = name)]
    except: Vec<String>,
    /// The time for which a client is watched that should be sent away; at most 10m.
    #[arg(long, value_name = "DURATION", default_value = "40s", value_parser = up_to_ten_minutes)]
    wait: Duration,
    /// The longest that an answer may take; at most 10m.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = up_to_ten_minutes)]
    pub(super) timeout: Duration,
    /// The longest that a connection may outlive its token; at most 10m.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = up_to_ten_minutes)]
    grace: Duration,
    /// The most attempts in a second, but for the flood of handshakes.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) rate: u32,
    /// The most attacks at once, beside the few that wait.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(super) at_once: u8,
    /// The number of messages, and of Pings, of a flood.
    #[arg(long, value_name = "NUMBER", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    messages: u32,
    /// The number of connections at once that is too many.
    #[arg(long, value_name = "NUMBER", default_value_t = 30, value_parser = clap::value_parser!(u32).range(2..=500))]
    connections: u32,
    /// The number of handshakes that is too many.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=2000))]
    handshakes: u32,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: Output,
}

/// A form of the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    #[default]
    Text,
    Json,
    Sarif,
}

fn up_to_ten_minutes(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(600);
    let within = |time: &Duration| !time.is_zero() && *time <= MOST;
    parse_duration(text)
        .filter(within)
        .ok_or_else(|| "write a number and a unit, such as 500ms or 40s, up to 10m".into())
}

fn plain(text: &str) -> Result<String, String> {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if is_plain { Ok(text.to_owned()) } else { Err("write plain text on one line".to_owned()) }
}

fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value))
            if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) =>
        {
            Ok((name.to_owned(), plain(value.trim())?))
        }
        _ => Err("write `name: value`".to_owned()),
    }
}

fn name(text: &str) -> Result<String, String> {
    if catalogue::all().any(|(_, attack)| attack.id == text) {
        Ok(text.to_owned())
    } else {
        Err("there is no such attack; docs/audit.md lists them".to_owned())
    }
}

impl Arguments {
    /// Returns the attacks that are asked for.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let named = |names: &[String], id: &str| names.iter().any(|name| name == id);
        let wanted = |id: &str| (self.only.is_empty() || named(&self.only, id)) && !named(&self.except, id);
        catalogue::all().filter(|(_, attack)| wanted(attack.id)).collect()
    }

    /// Returns the honest client; an error says which word cannot stand in a request.
    pub(super) fn honest(&self) -> Result<Honest, String> {
        let own =
            || format!("{}://{}", if self.url.is_secure { "https" } else { "http" }, self.url.authority);
        let origin = self.origin.clone().unwrap_or_else(own);
        let tokens = [&self.token, &self.expired_token, &self.foreign_token, &self.expiring_token];
        if tokens
            .into_iter()
            .flatten()
            .any(|token| token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err("a token is empty, or has something that cannot stand in a request".to_owned());
        }
        Ok(Honest {
            authority: self.url.authority.clone(),
            target: self.url.path_and_query.clone(),
            origin: (origin != "none").then_some(origin),
            token: self.token.clone(),
            expired_token: self.expired_token.clone(),
            foreign_token: self.foreign_token.clone(),
            expiring_token: self.expiring_token.clone(),
            places: self.token_in.clone(),
            subprotocols: self.subprotocol.clone(),
            fields: self.headers.clone(),
            message: (!self.message.is_empty()).then(|| self.message.clone()),
        })
    }

    pub(super) fn trust(&self) -> Trust<'_> {
        match &self.ca {
            _ if self.insecure => Trust::Anybody,
            Some(file) => Trust::File(file),
            None => Trust::Machine,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        let Self { wait, grace, messages, connections, handshakes, .. } = *self;
        Limits { wait, grace, messages, connections, handshakes }
    }
}
