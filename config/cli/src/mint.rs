//! `postern mint`: tokens and CSRF tokens for trying a policy out, as an issuer and an application
//! would make them.

mod csrf;
mod token;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use postern_config::{Config, Path, Secret};
use postern_engine::auth::secret;

use crate::finding::Severity;
use crate::{check, world};

/// What is to be made.
#[derive(Debug, Subcommand)]
pub(crate) enum Mint {
    /// Make a token (JWT) of a provider.
    ///
    /// It has `iss` and `aud` as the provider asks for them, `iat`, `exp` and `sub`. Signed with the provider's shared
    /// secret, or with a private key of yours.
    Token(token::Arguments),
    /// Make a CSRF token of a policy, bound to a session.
    Csrf(csrf::Arguments),
}

/// Where the policies are.
#[derive(Args, Debug)]
struct Source {
    /// A policy, an Envoy configuration or a Kubernetes manifest; `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    policy_file: String,
}

/// The reason why nothing was made.
#[derive(Debug)]
enum Failure {
    /// A problem with what is written elsewhere: exit code 1.
    Problem(String),
    /// A wrong use of the command: exit code 2.
    Use(String),
}

/// Makes a token, and writes it on a line of the standard output.
pub(crate) fn run(mint: &Mint) -> io::Result<ExitCode> {
    let made = match mint {
        Mint::Token(arguments) => token::mint(arguments),
        Mint::Csrf(arguments) => csrf::mint(arguments),
    };
    let (message, code) = match made {
        Ok(made) => {
            writeln!(io::stdout().lock(), "{made}")?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(Failure::Problem(message)) => (message, 1),
        Err(Failure::Use(message)) => (message, 2),
    };
    writeln!(io::stderr().lock(), "{message}")?;
    Ok(ExitCode::from(code))
}

impl Source {
    /// Returns the configurations in the file, which must be sound.
    fn read(&self) -> Result<Vec<Config>, Failure> {
        let name = &self.policy_file;
        let text =
            world::read(name).map_err(|error| Failure::Use(format!("{name}: cannot be read: {error}")))?;
        let judgement = check::check(&text);
        let problems: Vec<String> = judgement
            .findings
            .iter()
            .filter(|finding| finding.severity() == Severity::Problem)
            .map(|finding| format!("{name}:{finding}"))
            .collect();
        if problems.is_empty() { Ok(judgement.configs) } else { Err(Failure::Problem(problems.join("\n"))) }
    }

    /// Returns what `find` finds in the first configuration that has it; else a failure that names all of
    /// that kind.
    fn find<'c, T>(
        &self,
        configs: &'c [Config],
        kind: &str,
        wanted: &str,
        find: impl Fn(&'c Config) -> Option<T>,
        names: impl Fn(&'c Config) -> Vec<&'c String>,
    ) -> Result<T, Failure> {
        configs.iter().find_map(find).ok_or_else(|| {
            let known: Vec<String> = configs.iter().flat_map(names).map(|name| format!("`{name}`")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Failure::Use(format!("{}: has no {kind} `{wanted}`, but {known}", self.policy_file))
        })
    }
}

/// Returns the bytes of a secret that stands at `path`.
fn resolve(secret: &Secret, path: &Path) -> Result<Vec<u8>, Failure> {
    if let Secret::Env(name) = secret
        && world::variable(name).is_none()
    {
        let message =
            format!("{path}: the environment variable {name} is not set; set it for this command too");
        return Err(Failure::Problem(message));
    }
    let resolved = secret::resolve(secret, path, &world::variable);
    resolved.map_err(|problem| Failure::Problem(problem.to_string()))
}
