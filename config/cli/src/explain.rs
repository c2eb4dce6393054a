//! `postern explain`: what becomes of a request under a policy, and why.

use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use postern_config::Config;
use postern_explain::request::{self, NoRequest, Request};
use postern_explain::{Circumstances, Document, Documents, Explainer, Outcome, Token};
use serde_json::{Map, Value};

use crate::check::Judgement;
use crate::finding::Severity;
use crate::{check, world, yaml};

/// The request, and everything around it.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("request").required(true).args(["curl", "har", "head", "url"])))]
pub(crate) struct Arguments {
    /// A policy, an Envoy configuration or a Kubernetes manifest; `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    policy_file: String,
    /// The number of the configuration in the file, counted from 1, where it has several.
    #[arg(long, value_name = "N")]
    configuration: Option<usize>,
    /// A curl command line, as browsers copy it (bash); `-` is the standard input.
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    curl: Option<String>,
    /// An HTTP archive (HAR): its first WebSocket, or --entry.
    #[arg(long, value_name = "FILE")]
    har: Option<String>,
    /// The entry of the archive, counted from 0.
    #[arg(long, value_name = "N", requires = "har")]
    entry: Option<usize>,
    /// The head of a request as it is sent, in HTTP/1.
    #[arg(long, value_name = "FILE")]
    head: Option<String>,
    /// The URL of a WebSocket, as a browser opens it.
    #[arg(long)]
    url: Option<String>,
    /// A header field beside the URL. May be repeated.
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "url")]
    headers: Vec<String>,
    /// Where the client is.
    #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.1")]
    client_address: IpAddr,
    /// The client speaks to Envoy without TLS; otherwise the scheme says whether it does, and a raw head comes by TLS.
    #[arg(long)]
    plaintext: bool,
    /// The client shows a certificate that Envoy has verified.
    #[arg(long, conflicts_with = "plaintext")]
    client_certificate: bool,
    /// The name of Envoy's route, for lines of `routes` that ask for it, and for the metadata that the file has of it.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// The object that the metadata of Envoy's route have under `postern`, where the policy file has not that route.
    #[arg(long, value_name = "FILE")]
    route_metadata: Option<String>,
    /// The time of the judgement, in seconds since the Unix epoch; otherwise now.
    #[arg(long, value_name = "UNIX")]
    at: Option<u64>,
    /// A token to put where the policy looks for one: its first place, or that of the token which the request has.
    #[arg(long, env = "POSTERN_EXPLAIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The keys that a provider fetches (a JWK set), of one provider or of all. May be repeated.
    #[arg(long, value_name = "[PROVIDER=]FILE")]
    jwks: Vec<String>,
    /// The revocation list that a policy fetches.
    #[arg(long, value_name = "FILE")]
    revoked: Option<String>,
    /// The form of the explanation.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// The form of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Lines for people, in colour on a terminal.
    Text,
    /// A JSON object.
    Json,
}

/// The reason why nothing is explained. Nothing was judged, so all of them exit with 2.
#[derive(Debug)]
struct Failure(String);

/// Explains a request on the standard output.
pub(crate) fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    match explain(arguments) {
        Ok((text, outcome)) => {
            writeln!(io::stdout().lock(), "{}", text.trim_end())?;
            Ok(if outcome == Outcome::Refused { ExitCode::from(1) } else { ExitCode::SUCCESS })
        }
        Err(Failure(message)) => {
            writeln!(io::stderr().lock(), "{message}")?;
            Ok(ExitCode::from(2))
        }
    }
}

fn explain(arguments: &Arguments) -> Result<(String, Outcome), Failure> {
    let judgement = arguments.judgement()?;
    let route_metadata = arguments.metadata(&judgement)?;
    let config = arguments.config(judgement)?;
    let request = arguments.request()?;
    let at = arguments.at.map_or_else(world::now, Duration::from_secs);
    let circumstances = Circumstances {
        at,
        client: Some(arguments.client_address),
        has_client_certificate: arguments.client_certificate,
        route_name: arguments.route.clone(),
        route_metadata,
        token: arguments.token.clone().map(Token),
    };
    let explainer = arguments.explainer(config)?;
    let documents = arguments.documents()?;
    explainer.supply(&documents, at).map_err(|unfit| Failure(unfit.0))?;
    let report = explainer.explain(request, &circumstances);
    let text = match arguments.output {
        Form::Text => report.text(has_colour()),
        Form::Json => format!("{:#}", report.object()),
    };
    Ok((text, report.outcome()))
}

/// Says whether the standard output is a terminal whose owner wants colours (no-color.org).
fn has_colour() -> bool {
    let refused = world::variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refused && world::variable("TERM").as_deref() != Some("dumb")
}

impl Arguments {
    /// Judges the policy file, which must be sound.
    fn judgement(&self) -> Result<Judgement, Failure> {
        let name = &self.policy_file;
        let judgement = check::check(&read(name)?);
        let problems = judgement.findings.iter().filter(|finding| finding.severity() == Severity::Problem);
        let problems: Vec<String> = problems.map(|finding| format!("{name}:{finding}")).collect();
        if !problems.is_empty() {
            return Err(Failure(problems.join("\n")));
        }
        Ok(judgement)
    }

    /// Returns what the route's metadata have under `postern`: as it is given, or as the file has it of the route.
    fn metadata(&self, judgement: &Judgement) -> Result<Option<Map<String, Value>>, Failure> {
        if let Some(file) = &self.route_metadata {
            let documents = yaml::load(&read(file)?).documents;
            let said = documents.first().filter(|_| documents.len() == 1).map(yaml::Node::to_json);
            let no_object = || {
                let remedy = "write what the route has in `filter_metadata.postern`, as YAML or JSON";
                Failure(format!("{file}: is no object: {remedy}"))
            };
            return said.as_ref().and_then(Value::as_object).cloned().ok_or_else(no_object).map(Some);
        }
        let Some(route) = &self.route else { return Ok(None) };
        let mut of_route = judgement.overrides.iter().filter(|(name, _)| name == route).map(|(_, said)| said);
        let said = of_route.next();
        if of_route.any(|other| Some(other) != said) {
            let remedy =
                "write the metadata of the one that is meant into a file, and name it by --route-metadata";
            return Err(Failure(format!("{}: has several routes `{route}`: {remedy}", self.policy_file)));
        }
        Ok(said.and_then(Value::as_object).cloned())
    }

    /// Returns the configuration that is meant.
    fn config(&self, judgement: Judgement) -> Result<Config, Failure> {
        let name = &self.policy_file;
        let configs = judgement.configs;
        let number = match (self.configuration, configs.len()) {
            (None, 0) => return Err(Failure(format!("{name}: has no policies, only what is beside them"))),
            (None, 1) => 1,
            (Some(number), _) => number,
            (None, _) => return Err(Failure(several(name, &configs))),
        };
        let chosen = number.checked_sub(1).and_then(|index| configs.get(index)).cloned();
        chosen.ok_or_else(|| Failure(several(name, &configs)))
    }

    fn request(&self) -> Result<Request, Failure> {
        let no_request = |error: NoRequest| Failure(error.to_string());
        let mut request = if let Some(command) = &self.curl {
            let from_stdin = if command == "-" { Some(text(command)?) } else { None };
            request::from_curl(from_stdin.as_deref().unwrap_or(command)).map_err(no_request)?
        } else if let Some(file) = &self.har {
            request::from_har(&read(file)?, self.entry)
                .map_err(|error| Failure(format!("{file}: {error}")))?
        } else if let Some(file) = &self.head {
            let head = request::from_head(&read(file)?, !self.plaintext);
            head.map_err(|error| Failure(format!("{file}: {error}")))?
        } else {
            request::from_url(self.url.as_deref().unwrap_or_default(), &self.headers).map_err(no_request)?
        };
        request.is_secure &= !self.plaintext;
        Ok(request)
    }

    fn explainer(&self, config: Config) -> Result<Explainer, Failure> {
        let variables = Explainer::variables(&config);
        let unset: Vec<String> =
            variables.into_iter().filter(|name| world::variable(name).is_none()).collect();
        if !unset.is_empty() {
            let (names, one) = (unset.join(", "), unset.first().cloned().unwrap_or_default());
            let message = format!(
                "{}: secrets of the policies are in variables that are not set here: {names}; set each as for Envoy, or, to \
                 see all but what hangs on the secret, to any 32 bytes: {one}=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n')",
                self.policy_file
            );
            return Err(Failure(message));
        }
        Explainer::new(config, &world::variable).map_err(|problems| Failure(problems.to_string()))
    }

    fn documents(&self) -> Result<Documents, Failure> {
        let document = |name: &str| -> Result<Document, Failure> {
            Ok(Document { name: name.to_owned(), bytes: read(name)? })
        };
        let keys = self.jwks.iter().map(|argument| match argument.split_once('=') {
            Some((provider, file)) => Ok((Some(provider.to_owned()), document(file)?)),
            None => Ok((None, document(argument)?)),
        });
        let revoked = self.revoked.as_deref().map(document).transpose()?;
        Ok(Documents { keys: keys.collect::<Result<_, Failure>>()?, revoked })
    }
}

fn read(name: &str) -> Result<Vec<u8>, Failure> {
    world::read(name).map_err(|error| Failure(format!("{name}: cannot be read: {error}")))
}

fn text(name: &str) -> Result<String, Failure> {
    String::from_utf8(read(name)?).map_err(|_| Failure(format!("{name}: is no text")))
}

/// Returns the list of the configurations of a file, of which one must be named.
fn several(name: &str, configs: &[Config]) -> String {
    let names = |config: &Config| {
        config.policies.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let list = configs.iter().enumerate();
    let list: Vec<String> =
        list.map(|(index, config)| format!("{}: {}", index.saturating_add(1), names(config))).collect();
    format!("{name}: write which of its configurations by --configuration: {}", list.join("; "))
}
